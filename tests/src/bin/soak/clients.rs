//! The clients' view: which host answers for each address, and how long none or two have answered.
//!
//! Clients ask for every address ten times a second by ARP and neighbour solicitation, which every
//! host with the address answers, and ping it. Captures at the switch show the answers: the port
//! identifies the host, and the kernel stamps the time.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Host, Lab, Process};

const ASK: &str = include_str!("ask.py");
const WATCH: &str = include_str!("watch.py");

/// A host is considered to answer if it has answered in this time.
const RECENT: Duration = Duration::from_millis(1500);

/// Least number of questions in that time.
const MIN_QUESTIONS: usize = 5;

/// Time that an answer may take on a busy machine.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);

/// Number of questions and pings that are shown after a failure.
const SHOWN_ROUNDS: usize = 20;

/// Older questions and answers are dropped.
const HISTORY: Duration = Duration::from_secs(120);

/// A point in time: microseconds since the epoch.
pub(crate) type Moment = u64;

/// Returns the current time.
pub(crate) fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    micros(since.unwrap_or_default())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Clients, captures, and their results.
#[derive(Debug)]
pub(crate) struct Clients {
    watch: Tail,
    late: Vec<Tail>,
    addresses: Vec<Address>,
    /// Times at which an asking program did not get to run, each with its length.
    stalls: VecDeque<(Moment, Duration)>,
    hosts: Vec<String>,
    /// They end when this is dropped.
    _programs: Vec<Process>,
}

/// One address, as clients see it.
#[derive(Debug)]
struct Address {
    name: &'static str,
    rounds: VecDeque<Round>,
    /// Times of answered pings, with the host that answered.
    pings: VecDeque<(Moment, usize)>,
}

/// A question and its answers.
#[derive(Debug)]
struct Round {
    asked: Moment,
    answers: Vec<(Moment, usize)>,
}

/// Effects that clients have noticed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Symptoms {
    /// The longest time in which no host answered for an address.
    pub(crate) outage: Duration,
    /// The address, and the kind of question without answer.
    pub(crate) silent: [&'static str; 2],
    /// The longest time in which two hosts answered for an address.
    pub(crate) double: Duration,
}

impl Symptoms {
    /// Returns the worse of both.
    pub(crate) fn or(self, other: Self) -> Self {
        let worst = if other.outage > self.outage {
            other
        } else {
            self
        };
        Self {
            double: self.double.max(other.double),
            ..worst
        }
    }
}

impl Clients {
    /// Starts clients and captures: `clients` with the addresses that each asks for, and the names
    /// of the hosts that may answer.
    pub(crate) fn open(
        lab: &Lab,
        clients: &[(&Host, &[&'static str])],
        hosts: &[&str],
    ) -> Result<Self> {
        let mut programs = Vec::new();
        let mut command = lab.switch().command("python3");
        command.args(["-c", WATCH]);
        for name in hosts {
            command.args(["eth0", "eth1"].map(|interface| format!("{name}-{interface}")));
        }
        command.args(clients.iter().map(|(client, _)| client.port("eth0")));
        let mut watch = Tail::new(lab.path("watch.log"));
        programs.push(Process::spawn("watch", command, &watch.path)?);
        for process in &mut programs {
            process.wait_for_log("listening", Duration::from_secs(20))?;
        }
        let mut late = Vec::new();
        let mut addresses = Vec::new();
        for (client, asked) in clients {
            let mut command = client.command("python3");
            command.args(["-c", ASK, "eth0"]).args(*asked);
            late.push(Tail::new(lab.path(&format!("ask-{}.log", client.name()))));
            let log = late.last().context("just pushed")?;
            programs.push(Process::spawn("ask", command, &log.path)?);
            for address in *asked {
                let mut command = client.command("ping");
                command.args(["-n", "-q", "-i", "0.1", "-W", "1", address]);
                let log = lab.path(&format!("ping-{address}.log"));
                programs.push(Process::spawn("ping", command, &log)?);
                addresses.push(Address {
                    name: address,
                    rounds: VecDeque::new(),
                    pings: VecDeque::new(),
                });
            }
        }
        watch.lines()?;
        Ok(Self {
            watch,
            late,
            addresses,
            stalls: VecDeque::new(),
            hosts: hosts.iter().map(ToString::to_string).collect(),
            _programs: programs,
        })
    }

    /// Reads all questions and answers since the last call.
    pub(crate) fn look(&mut self) -> Result<()> {
        for line in self.watch.lines()? {
            let words: Vec<&str> = line.split(' ').collect();
            if let [at, port, what, address] = words[..] {
                self.saw(at.parse()?, port, what, address);
            }
        }
        for tail in &mut self.late {
            for line in tail.lines()? {
                let (at, late) = line.split_once(' ').context("two numbers")?;
                let stall = (at.parse()?, Duration::from_micros(late.parse()?));
                self.stalls.push_back(stall);
            }
        }
        let oldest = now().saturating_sub(micros(HISTORY));
        for address in &mut self.addresses {
            address.rounds.retain(|round| round.asked > oldest);
            address.pings.retain(|(at, _)| *at > oldest);
        }
        self.stalls.retain(|(at, _)| *at > oldest);
        Ok(())
    }

    fn saw(&mut self, at: Moment, port: &str, what: &str, address: &str) {
        let Some(address) = self.addresses.iter_mut().find(|each| each.name == address) else {
            return;
        };
        let name = port.split('-').next().unwrap_or_default();
        let host = self.hosts.iter().position(|host| host == name);
        match (what, host) {
            // Hosts ask each other too.
            ("q", None) => address.rounds.push_back(Round {
                asked: at,
                answers: Vec::new(),
            }),
            ("r", Some(host)) => {
                let mut rounds = address.rounds.iter_mut().rev();
                if let Some(round) = rounds.find(|round| round.asked <= at) {
                    round.answers.push((at, host));
                }
            }
            ("p", Some(host)) => address.pings.push_back((at, host)),
            _ => {}
        }
    }

    /// Succeeds if each address has lately been answered for by exactly one host, to questions and
    /// to pings, and by `expected` if that is given; otherwise returns the problem.
    pub(crate) fn settled(&self, expected: Option<usize>) -> Result<(), String> {
        let now = now();
        let since = now.saturating_sub(micros(RECENT));
        let until = now.saturating_sub(micros(ANSWER_TIMEOUT));
        for Address {
            name,
            rounds,
            pings,
        } in &self.addresses
        {
            let lately = rounds
                .iter()
                .filter(|round| (since..until).contains(&round.asked));
            let answers: Vec<Vec<usize>> = lately.map(Round::hosts).collect();
            let first = answers.first().cloned().unwrap_or_default();
            let hosts = |all: &[usize]| {
                let names = all.iter().filter_map(|host| self.hosts.get(*host));
                names.cloned().collect::<Vec<_>>().join(" and ")
            };
            if answers.len() < MIN_QUESTIONS {
                return Err(format!("{name}: only {} questions", answers.len()));
            }
            if let Some(other) = answers.iter().find(|each| each.len() != 1) {
                let who = if other.is_empty() {
                    "no host".to_owned()
                } else {
                    hosts(other)
                };
                return Err(format!("{name} is answered for by {who}"));
            }
            if answers.iter().any(|each| *each != first) {
                return Err(format!("{name} is answered for by one and then another"));
            }
            if expected.is_some_and(|expected| first != [expected]) {
                return Err(format!(
                    "{name} is answered for by {}, a slower one",
                    hosts(&first)
                ));
            }
            let pinged = pings
                .iter()
                .any(|(at, host)| *at > until - micros(ANSWER_TIMEOUT) && [*host] == first[..]);
            if !pinged {
                return Err(format!(
                    "{name} does not answer pings from {}",
                    hosts(&first)
                ));
            }
        }
        Ok(())
    }

    /// Returns the last questions and answers, to find out why it did not settle.
    pub(crate) fn last(&self) -> String {
        let now = now();
        let ago = |at: Moment| {
            format!(
                "{:.3}",
                Duration::from_micros(now.saturating_sub(at)).as_secs_f64()
            )
        };
        let by = |(at, host): &(Moment, usize)| {
            let name = self.hosts.get(*host).map_or("?", String::as_str);
            format!("{} {name}", ago(*at))
        };
        let mut text = String::new();
        for address in &self.addresses {
            let _ = writeln!(text, "{}, seconds ago:", address.name);
            for round in address.rounds.iter().rev().take(SHOWN_ROUNDS) {
                let answers: Vec<String> = round.answers.iter().map(by).collect();
                let _ = writeln!(text, "  asked {}: {}", ago(round.asked), answers.join(", "));
            }
            let pings: Vec<String> = address
                .pings
                .iter()
                .rev()
                .take(SHOWN_ROUNDS)
                .map(by)
                .collect();
            let _ = writeln!(text, "  pings: {}", pings.join(", "));
        }
        text
    }

    /// Returns the longest symptoms that lasted beyond `since`.
    pub(crate) fn symptoms_since(&self, since: Moment) -> Symptoms {
        let now = now();
        let mut symptoms = Symptoms::default();
        for address in &self.addresses {
            let answers = address.rounds.iter().filter_map(Round::first).collect();
            let pings = address.pings.iter().map(|(at, _)| *at).collect();
            for (asked, answered) in [("questions", answers), ("pings", pings)] {
                symptoms = symptoms.or(Symptoms {
                    outage: longest_gap(answered, since, now),
                    silent: [address.name, asked],
                    double: address.double_since(since),
                });
            }
        }
        symptoms
    }

    /// Returns the longest time since `since` in which an asking program did not get to run: then
    /// the machine was too busy, perhaps for carpd as well.
    pub(crate) fn stalled_since(&self, since: Moment) -> Duration {
        let stalls = self.stalls.iter().filter(|(at, _)| *at > since);
        stalls.map(|(_, late)| *late).max().unwrap_or_default()
    }
}

impl Round {
    fn first(&self) -> Option<Moment> {
        self.answers.first().map(|(at, _)| *at)
    }

    /// Returns the hosts that answered, each once.
    fn hosts(&self) -> Vec<usize> {
        let mut hosts: Vec<usize> = self.answers.iter().map(|(_, host)| *host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }
}

impl Address {
    /// Returns the longest time in which consecutive questions had two answers. A question with a
    /// single answer does not end it: a host may be late.
    fn double_since(&self, since: Moment) -> Duration {
        let mut longest = 0;
        let mut run: Option<(Moment, Moment)> = None;
        let mut single = 0;
        for round in self.rounds.iter().filter(|round| round.asked >= since) {
            if round.hosts().len() > 1 {
                let last = round.answers.last().map_or(round.asked, |(at, _)| *at);
                let start = run.map_or(round.asked, |(start, _)| start);
                run = Some((start, last));
                longest = longest.max(last - start);
                single = 0;
            } else {
                single += 1;
                if single > 2 {
                    run = None;
                }
            }
        }
        Duration::from_micros(longest)
    }
}

/// Returns the longest time between two of `answered` that ends after `since`; the last one ends
/// now.
fn longest_gap(mut answered: Vec<Moment>, since: Moment, now: Moment) -> Duration {
    answered.sort_unstable();
    answered.push(now);
    let gaps = answered.iter().zip(answered.iter().skip(1));
    let longest = gaps
        .filter(|(_, end)| **end > since)
        .map(|(start, end)| end - start)
        .max();
    Duration::from_micros(longest.unwrap_or_default())
}

/// A growing file, read line by line.
#[derive(Debug)]
struct Tail {
    path: PathBuf,
    offset: u64,
}

impl Tail {
    const fn new(path: PathBuf) -> Self {
        Self { path, offset: 0 }
    }

    /// Returns the complete lines since the last call.
    fn lines(&mut self) -> Result<Vec<String>> {
        let mut file = File::open(&self.path).with_context(|| shown(&self.path))?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        ensure!(
            !text.contains("Traceback"),
            "{}:\n{text}",
            shown(&self.path)
        );
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text.truncate(whole);
        self.offset += whole as u64;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
