//! ARP requests for many addresses, each sent to the MAC that a client would have, and the times of
//! the answers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use carp_tests::{Host, Wire};

use crate::addresses::Mac;
use crate::frames::{Content, arp_request, read};

/// The client is the third host of the lab.
const CLIENT: u8 = 3;

/// Interval between two rounds of questions.
const ROUND_INTERVAL: Duration = Duration::from_millis(2);

/// Interval between two rounds for all addresses, also those that have answered.
const WHOLE_ROUND_INTERVAL: Duration = Duration::from_millis(10);

/// Longest delay of a round.
const MAX_DELAY: Duration = Duration::from_millis(1);

/// An address to ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// `eth0` of the client is 0.
    pub(crate) interface: u8,
    pub(crate) address: Ipv4Addr,
    pub(crate) mac: Mac,
}

/// Answers, with times since the epoch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// The first advertisement of the host that takes over.
    pub(crate) advertised: Option<Duration>,
    /// The first and the last answer of each address.
    pub(crate) times: BTreeMap<Ipv4Addr, (Duration, Duration)>,
}

impl Answers {
    /// Returns when the last address answered for the first time.
    pub(crate) fn complete(&self) -> Option<Duration> {
        self.times.values().map(|(first, _)| *first).max()
    }

    /// Returns when the very last answer came.
    pub(crate) fn silent(&self) -> Option<Duration> {
        self.times.values().map(|(_, last)| *last).max()
    }
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    /// At once, and only for addresses without answer.
    UntilAnswered,
    /// The same, after the first advertisement of this host.
    AfterTakeover(u8),
    /// For all addresses, repeatedly.
    Always,
}

/// Threads that ask, one for each interface; they end with the probe.
#[derive(Debug)]
pub(crate) struct Probe {
    threads: Vec<JoinHandle<Result<Answers>>>,
    stop: Arc<AtomicBool>,
    targets: usize,
}

impl Probe {
    /// Asks for each address until it has answered.
    pub(crate) fn until_answered(client: &Host, targets: &[Target]) -> Result<Self> {
        Self::start(client, targets, Mode::UntilAnswered)
    }

    /// The same, from the first advertisement of the host whose addresses end in `host`.
    pub(crate) fn after_takeover(client: &Host, targets: &[Target], host: u8) -> Result<Self> {
        Self::start(client, targets, Mode::AfterTakeover(host))
    }

    /// Asks for every address, a hundred times a second.
    pub(crate) fn always(client: &Host, targets: &[Target]) -> Result<Self> {
        Self::start(client, targets, Mode::Always)
    }

    fn start(client: &Host, targets: &[Target], mode: Mode) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut wires: BTreeMap<u8, Vec<Target>> = BTreeMap::new();
        for target in targets {
            wires.entry(target.interface).or_default().push(*target);
        }
        let threads = wires.into_iter().map(|(interface, targets)| {
            let wire = Wire::open(client, &format!("eth{interface}"), MAX_DELAY)?;
            let stop = Arc::clone(&stop);
            let work = move || ask(&wire, interface, &targets, mode, &stop);
            Ok(thread::Builder::new().spawn(work)?)
        });
        Ok(Self {
            threads: threads.collect::<Result<_>>()?,
            stop,
            targets: targets.len(),
        })
    }

    /// Waits until every address has answered.
    pub(crate) fn finish(mut self, bound: Duration) -> Result<Answers> {
        let end = Instant::now() + bound;
        while !self.threads.iter().all(JoinHandle::is_finished) && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        let answers = self.join()?;
        ensure!(
            answers.times.len() == self.targets,
            "{} of {} addresses answered within {bound:.1?}",
            answers.times.len(),
            self.targets
        );
        Ok(answers)
    }

    /// Stops asking.
    pub(crate) fn stop(mut self) -> Result<Answers> {
        self.join()
    }

    fn join(&mut self) -> Result<Answers> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Answers::default();
        for thread in self.threads.drain(..) {
            let answers = thread.join().map_err(|_| anyhow!("a probe panicked"))??;
            all.advertised = match (all.advertised, answers.advertised) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            all.times.extend(answers.times);
        }
        Ok(all)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

fn ask(
    wire: &Wire,
    interface: u8,
    targets: &[Target],
    mode: Mode,
    stop: &AtomicBool,
) -> Result<Answers> {
    let own = [2, 0, 0, 0, CLIENT, interface];
    let sender = Ipv4Addr::new(10, interface, 0, 100);
    let mut questions: BTreeMap<Ipv4Addr, Vec<u8>> = targets
        .iter()
        .map(|target| {
            let frame = arp_request(own, sender, target.mac, target.address);
            (target.address, frame)
        })
        .collect();
    let mut answers = Answers::default();
    let mut next = Instant::now();
    let mut buffer = [0; 128];
    while !stop.load(Ordering::Relaxed) && !questions.is_empty() {
        let waiting = matches!(mode, Mode::AfterTakeover(_)) && answers.advertised.is_none();
        if !waiting && Instant::now() >= next {
            for frame in questions.values() {
                // A full queue drains until the next round.
                let _ = wire.send(frame);
            }
            next = Instant::now()
                + if matches!(mode, Mode::Always) {
                    WHOLE_ROUND_INTERVAL
                } else {
                    ROUND_INTERVAL
                };
        }
        let Some((time, length)) = wire.receive(&mut buffer).context("receiving answers")? else {
            continue;
        };
        match buffer.get(..length).and_then(read) {
            Some(Content::Arp { sender, .. }) => {
                if questions.contains_key(&sender) {
                    answers.times.entry(sender).or_insert((time, time)).1 = time;
                    if !matches!(mode, Mode::Always) {
                        questions.remove(&sender);
                    }
                }
            }
            Some(Content::Advertisement { source, .. }) => {
                if let Mode::AfterTakeover(host) = mode {
                    let [.., last] = source.octets();
                    if last == host && answers.advertised.is_none() {
                        answers.advertised = Some(time);
                    }
                }
            }
            Some(Content::EchoReply { .. }) | None => {}
        }
    }
    Ok(answers)
}
