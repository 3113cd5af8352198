//! Segment: hosts on simulated Ethernet wires, with simulated kernels and one clock. It reads no clock and
//! does not sleep, so the same calls always have the same log.

pub(crate) mod bsd;
mod canonical;
pub(crate) mod fates;
mod host;
mod ifconfig;
mod observer;
mod script;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carp_proto::wire::ethernet::Frame;
use carp_proto::{
    Action, Answer, Counters, Engine, IfIndex, Input, Instant, Now, Peer, Refusal, Request,
    RequestId, SendFailure, Status, Transition, Unit, UnixTime, Work,
};

use self::fates::Fates;
use self::host::Host;

/// A wire, and the interface of each host on it.
pub(crate) const ETH0: IfIndex = IfIndex(1);
/// A second wire, of segments made with [`Segment::with_two_wires`].
pub(crate) const ETH1: IfIndex = IfIndex(2);

/// Transit time of a frame.
const LATENCY: Duration = Duration::from_micros(20);
/// Time that an item of kernel work takes.
const KERNEL: Duration = Duration::from_micros(100);

/// Faults of a wire.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Percentage of frames that are lost.
    pub(crate) loss: u64,
    /// Percentage of frames that arrive twice.
    pub(crate) duplication: u64,
    /// Maximum delay of a frame.
    pub(crate) delay: Duration,
    /// Frames come back to their sender, as in a loop.
    pub(crate) echo: bool,
    /// Frames of this kind are lost.
    pub(crate) lost_ethertype: Option<u16>,
}

/// Future event of one host.
#[derive(Clone, Debug)]
enum Happening {
    Arrives(IfIndex, Vec<u8>),
    Performs(Work),
}

/// Hosts, wires and the time.
#[derive(Clone)]
pub(crate) struct Segment {
    now: Instant,
    hosts: Vec<Host>,
    agenda: BTreeMap<(Instant, u64), (usize, Happening)>,
    entries: u64,
    /// Pairs of hosts between which frames are stopped, in one direction.
    cuts: BTreeSet<(usize, usize)>,
    /// The same for frames of one type.
    cut_ethertypes: BTreeSet<(usize, usize, u16)>,
    pub(crate) faults: Faults,
    fates: Fates,
    seed: u64,
    log: Vec<String>,
    answers: BTreeMap<RequestId, Result<Answer, Refusal>>,
    /// All frames on the wires, with their senders.
    pub(crate) sent: Vec<(usize, Vec<u8>)>,
}

impl Segment {
    /// Hosts on one wire. The first has the addresses 192.0.2.2 and `fe80::2`, and so on.
    pub(crate) fn new<const N: usize>(names: [&'static str; N]) -> Self {
        Self::with_wires(&names, &[ETH0])
    }

    /// Hosts on two wires. On the second they have the addresses 198.51.100.2, and so on.
    pub(crate) fn with_two_wires<const N: usize>(names: [&'static str; N]) -> Self {
        Self::with_wires(&names, &[ETH0, ETH1])
    }

    pub(crate) fn with_wires(names: &[&'static str], wires: &[IfIndex]) -> Self {
        let hosts = names
            .iter()
            .zip(2..)
            .map(|(name, number)| Host::new(name, number, wires));
        let mut segment = Self {
            now: Instant::ZERO,
            hosts: hosts.collect(),
            agenda: BTreeMap::new(),
            entries: 0,
            cuts: BTreeSet::new(),
            cut_ethertypes: BTreeSet::new(),
            faults: Faults::default(),
            fates: Fates::default(),
            seed: 1,
            log: Vec::new(),
            answers: BTreeMap::new(),
            sent: Vec::new(),
        };
        for host in 0..names.len() {
            segment.boot(host);
        }
        segment
    }

    fn next(&self) -> Option<Instant> {
        let agenda = self.agenda.keys().map(|(at, _)| *at).next();
        self.hosts
            .iter()
            .filter_map(Host::deadline)
            .chain(agenda)
            .min()
    }

    fn step(&mut self) {
        if let Some(entry) = self.agenda.first_entry()
            && entry.key().0 <= self.now
        {
            let (host, happening) = entry.remove();
            match happening {
                Happening::Arrives(device, frame) => self.arrive(host, device, &frame),
                Happening::Performs(work) => self.perform(host, work),
            }
            return;
        }
        let due = |host: &Host| host.deadline().is_some_and(|deadline| deadline <= self.now);
        if let Some(host) = self.hosts.iter().position(due) {
            self.handle(host, Input::Deadline);
        }
    }

    fn handle(&mut self, host: usize, input: Input<'_>) {
        let now = self.now(host);
        if let Some(bsd) = &mut self.hosts[host].bsd {
            for frame in bsd.handle(&input, now.instant) {
                self.send(host, ETH0, &frame);
            }
            return;
        }
        let Some(engine) = &mut self.hosts[host].engine else {
            return;
        };
        let overdue = engine
            .deadline()
            .is_some_and(|deadline| deadline < now.instant);
        let before = engine.totals();
        let reset = matches!(input, Input::Request(_, Request::ResetStatistics));
        let is_deadline = matches!(input, Input::Deadline);
        let shown = shown(engine, now);
        let actions = engine.handle(input, now);
        for (unit, status) in self::shown(engine, now) {
            assert!(
                shown.get(&unit) == Some(&status) || actions.iter().any(|it| reports(it, unit)),
                "{unit} changed without an action: {status:?}"
            );
        }
        let deadline = engine.deadline();
        assert!(
            overdue || deadline.is_none_or(|it| it >= now.instant),
            "a deadline in the past"
        );
        // Before the results of frames are reported, which can end suppression, and with it a wait.
        assert!(
            !is_deadline || deadline.is_none_or(|it| it > now.instant),
            "a deadline stays due"
        );
        let grew = |(counter, value)| engine.totals().of(counter) >= value;
        assert!(reset || before.iter().all(grew), "a counter went back");
        let mut sent = Vec::new();
        for action in actions {
            sent.extend(self.act(host, action));
        }
        for (unit, result) in sent {
            self.handle(host, Input::Sent { unit, result });
        }
    }

    /// Performs one action. Returns the result of a frame, which is reported after the whole list, so that
    /// its consequences do not overtake the rest.
    fn act(&mut self, host: usize, action: Action) -> Option<(Unit, Result<(), SendFailure>)> {
        let clock = self.hosts[host].clock(self.now);
        match action {
            Action::Transmit {
                unit,
                device,
                frame,
            } => {
                self.hosts[host].observer.transmitted(device, &frame, clock);
                let mute = self.hosts[host].mute;
                if !mute {
                    self.send(host, device, &frame);
                }
                let result = if mute {
                    Err(SendFailure::Refused)
                } else {
                    Ok(())
                };
                return Some((unit, result));
            }
            Action::Resolve { device, frame } => {
                if let Some(address) = fates::announced(&frame) {
                    let mut held = self.hosts[host].kernel.addresses(self.now);
                    assert!(
                        held.any(|held| held == address),
                        "{address} is announced and the kernel does not have it"
                    );
                }
                self.send(host, device, &frame);
            }
            Action::Work(work) => {
                if let Work::BowOut { device, frames, .. } = &work {
                    let observer = &mut self.hosts[host].observer;
                    for frame in frames {
                        observer.bowed_out(*device, frame, clock);
                    }
                }
                let at = self.hosts[host].queue_work(self.now);
                self.enter(at, host, Happening::Performs(work));
            }
            Action::Attach(device) => {
                assert!(self.hosts[host].attached.insert(device), "attached twice");
            }
            Action::Detach(device) => {
                assert!(
                    self.hosts[host].attached.remove(&device),
                    "detached without attached"
                );
            }
            Action::ListenArp { device, on } => self.hosts[host].listen_arp(device, on),
            Action::Changed(transition) => {
                self.hosts[host].changed = self.now;
                let (at, name) = (self.now.to_string(), self.hosts[host].name);
                let Transition {
                    unit,
                    from,
                    to,
                    reason,
                    ..
                } = transition;
                let (from, to, why) = (from.text(), to.text(), reason.text());
                self.log
                    .push(format!("{at:>9} {name} {unit}: {from} -> {to} ({why})"));
            }
            Action::Notice(notice) => self.hosts[host].notices.push(notice),
            Action::Answer(id, answer) => {
                self.answers.insert(id, answer);
            }
            Action::Created(_)
            | Action::Updated(_)
            | Action::Destroyed(_)
            | Action::SysctlsChanged => {}
        }
        None
    }

    fn perform(&mut self, host: usize, work: Work) {
        match work {
            Work::Take { unit, number, .. } => {
                self.hosts[host].kernel.perform(work, self.now);
                self.handle(host, Input::Taken { unit, number });
            }
            Work::BowOut { device, frames, .. } => {
                for frame in &frames {
                    self.send(host, device, frame);
                }
            }
            Work::Ensure { .. }
            | Work::Renew { .. }
            | Work::Leave { .. }
            | Work::Down { .. }
            | Work::Remove { .. } => self.hosts[host].kernel.perform(work, self.now),
        }
    }

    /// Sends a frame to all other hosts of a wire, with the faults of the wire.
    fn send(&mut self, from: usize, device: IfIndex, frame: &[u8]) {
        if !self.hosts[from].is_plugged(device) {
            return;
        }
        self.sent.push((from, frame.to_vec()));
        let ethertype = Frame::parse(frame).map(|frame| frame.ethertype);
        if self.faults.lost_ethertype.is_some() && self.faults.lost_ethertype == ethertype {
            return;
        }
        for to in 0..self.hosts.len() {
            if self.cuts.contains(&(from, to)) || (to == from && !self.faults.echo) {
                continue;
            }
            if ethertype.is_some_and(|it| self.cut_ethertypes.contains(&(from, to, it))) {
                continue;
            }
            if let Some(copies) = self.fates.of(from, to, frame) {
                for late in copies {
                    let happening = Happening::Arrives(device, frame.to_vec());
                    self.enter(self.now + LATENCY + late, to, happening);
                }
                continue;
            }
            if self.dice(100) < self.faults.loss {
                continue;
            }
            let copies = if self.dice(100) < self.faults.duplication {
                2
            } else {
                1
            };
            for _ in 0..copies {
                let most = u64::try_from(self.faults.delay.as_micros()).unwrap();
                let late = Duration::from_micros(self.dice(most + 1));
                let frame = frame.to_vec();
                self.enter(
                    self.now + LATENCY + late,
                    to,
                    Happening::Arrives(device, frame),
                );
            }
        }
    }

    fn arrive(&mut self, host: usize, device: IfIndex, frame: &[u8]) {
        if self.hosts[host].hears(device, frame) {
            let refused = self.hosts[host].refused();
            self.handle(host, Input::Packet { device, frame });
            if let Some((_, header)) = fates::advertisement(frame)
                && self.hosts[host].refused() == refused
            {
                self.hosts[host].heard = Some((self.now, header));
            }
        }
    }

    fn enter(&mut self, at: Instant, host: usize, happening: Happening) {
        self.entries += 1;
        self.agenda.insert((at, self.entries), (host, happening));
    }

    /// Random number (splitmix64), the same in each run.
    fn dice(&mut self, sides: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// Status of all carp interfaces without counters and times: clients are notified of changes of the rest.
fn shown(engine: &Engine, now: Now) -> BTreeMap<Unit, Status> {
    let quiet = |status: Status| Status {
        advertised: None,
        counters: Counters::default(),
        master: status.master.map(|master| Peer {
            heard: UnixTime::default(),
            ..master
        }),
        ..status
    };
    engine
        .units()
        .filter_map(|unit| Some((unit, quiet(engine.status(unit, now)?))))
        .collect()
}

fn reports(action: &Action, of: Unit) -> bool {
    match action {
        Action::Created(unit) | Action::Updated(unit) => *unit == of,
        Action::Changed(transition) => transition.unit == of,
        Action::Transmit { .. }
        | Action::Resolve { .. }
        | Action::Work(_)
        | Action::Attach(_)
        | Action::Detach(_)
        | Action::ListenArp { .. }
        | Action::Destroyed(_)
        | Action::SysctlsChanged
        | Action::Notice(_)
        | Action::Answer(..) => false,
    }
}
