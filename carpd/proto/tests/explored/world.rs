//! Hosts of a story, and the rules that hold during it and after all faults stop.

use std::collections::BTreeSet;
use std::time::Duration;

use carp_proto::{
    Advbase, Advskew, Answer, Cause, Family, HolderId, Instant, Interval, Key, Priority, Request,
    SavedState, StateName, Status, Sysctl, Vhid,
};

use crate::segment::bsd::BsdSettings;
use crate::segment::{ETH0, Segment};
use crate::step::{BsdLine, HOSTS, Step};

/// Time that a frame and a kernel can take. After it, the rules hold.
const SLACK: Duration = Duration::from_millis(200);

/// Maximum time for which a host stays suppressed after it can send again.
const LAPSE: Duration = Duration::from_secs(60);

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) rule: &'static str,
    pub(crate) how: String,
}

/// Data of a host that the segment does not have.
#[derive(Clone, Debug, Default)]
struct Host {
    /// Its command lines, for a reboot.
    lines: Vec<String>,
    sysctls: Vec<(Sysctl, u64)>,
    held: Vec<HolderId>,
    /// State that it saved before it was killed; `None` while it runs.
    saved: Option<SavedState>,
    bsd: Option<BsdLine>,
    /// Longest wait that was configured since it last heard its master.
    wait: Duration,
    /// Time at which it last heard its master, or began to wait.
    since: Instant,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) segment: Segment,
    hosts: Vec<Host>,
    alone: Option<usize>,
    /// A host could not send.
    was_mute: bool,
    addresses: BTreeSet<String>,
}

impl World {
    pub(crate) fn new(hosts: usize) -> Self {
        Self {
            segment: Segment::with_wires(&HOSTS[..hosts], &[ETH0]),
            hosts: vec![Host::default(); hosts],
            alone: None,
            was_mute: false,
            addresses: BTreeSet::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    pub(crate) fn is_bsd(&self, host: usize) -> bool {
        self.hosts[host].bsd.is_some()
    }

    pub(crate) fn runs(&self, host: usize) -> bool {
        self.hosts[host].saved.is_none()
    }

    /// Runs a story, and then stops all faults.
    pub(crate) fn run(hosts: usize, steps: &[Step]) -> Result<(), Broken> {
        let mut world = Self::new(hosts);
        for step in steps {
            world.take(step)?;
        }
        world.settle()
    }

    pub(crate) fn take(&mut self, step: &Step) -> Result<(), Broken> {
        self.perform(step);
        self.segment.sent.clear();
        self.backups_do_not_wait_too_long()
    }

    fn perform(&mut self, step: &Step) {
        let segment = &mut self.segment;
        match step {
            Step::Run(millis) => segment.run(Duration::from_millis(*millis)),
            Step::Ifconfig(host, line) => {
                for word in line.split_whitespace().filter(|word| word.contains('/')) {
                    self.addresses
                        .insert(word.split('/').next().unwrap().into());
                }
                self.hosts[*host].lines.push(line.clone());
                if self.runs(*host) {
                    let _ = self.segment.ifconfig(HOSTS[*host], line);
                }
            }
            Step::Sysctl(host, sysctl, value) => {
                self.hosts[*host].sysctls.push((*sysctl, *value));
                if self.runs(*host) {
                    self.segment.sysctl(HOSTS[*host], *sysctl, *value);
                }
            }
            Step::Bare(host) => segment.relink(HOSTS[*host], |link| link.addresses.clear()),
            Step::Bsd(host, line) => self.become_bsd(*host, line),
            Step::Cut(from, to, None) => segment.cut(HOSTS[*from], HOSTS[*to], true),
            Step::Mend(from, to, None) => segment.cut(HOSTS[*from], HOSTS[*to], false),
            Step::Cut(from, to, Some(family)) => segment.cut_family(*from, *to, *family, true),
            Step::Mend(from, to, Some(family)) => segment.cut_family(*from, *to, *family, false),
            Step::Next(from, to, family, fate) => segment.decide(*from, *to, *family, *fate),
            Step::Mute(host, mute) => {
                self.was_mute |= *mute;
                segment.mute(HOSTS[*host], *mute);
            }
            Step::Suppress(host, held) => self.suppress(*host, *held),
            Step::Plug(host, plugged) => segment.carrier(HOSTS[*host], ETH0, *plugged),
            Step::Kill(host) => {
                if self.runs(*host) && !self.is_bsd(*host) {
                    self.hosts[*host].saved = Some(self.segment.saved(HOSTS[*host]));
                    self.hosts[*host].held.clear();
                    self.segment.kill(HOSTS[*host]);
                }
            }
            Step::Restart(host) => {
                if let Some(saved) = self.hosts[*host].saved.take() {
                    self.segment.restart(HOSTS[*host], saved);
                    self.begins_to_wait(*host);
                }
            }
            Step::Reboot(host) => self.reboot(*host),
            Step::Clock(host, millis) => segment.step_clock(HOSTS[*host], millis * 1000),
            Step::Alone(host) => self.alone = Some(*host),
        }
    }

    fn begins_to_wait(&mut self, host: usize) {
        self.hosts[host].since = self.segment.now(host).instant;
        self.hosts[host].wait = Duration::ZERO;
    }

    fn become_bsd(&mut self, host: usize, line: &BsdLine) {
        let settings = BsdSettings {
            vhid: Vhid::try_from(1).unwrap(),
            key: Key::password(b"secret").unwrap(),
            advbase: Advbase::try_from(u64::from(line.advbase)).unwrap(),
            advskew: Advskew::try_from(u64::from(line.advskew)).unwrap(),
            preempt: line.preempt,
            addresses: self
                .addresses
                .iter()
                .map(|it| it.parse().unwrap())
                .collect(),
            families: line.families.clone(),
        };
        self.hosts[host].bsd = Some(line.clone());
        self.segment.become_bsd(HOSTS[host], settings);
    }

    fn suppress(&mut self, host: usize, hold: bool) {
        if !self.runs(host) || self.is_bsd(host) {
            return;
        }
        if hold {
            let (who, why) = ("holder".to_owned(), "a reason".to_owned());
            let answer = self.segment.request(host, &Request::Suppress { who, why });
            if let Ok(Answer::Held(holder)) = answer {
                self.hosts[host].held.push(holder);
            }
        } else if let Some(holder) = self.hosts[host].held.pop() {
            let _ = self.segment.request(host, &Request::Release(holder));
        }
    }

    /// The power fails and returns. The same settings are made again.
    fn reboot(&mut self, host: usize) {
        if self.is_bsd(host) {
            return;
        }
        let name = HOSTS[host];
        self.segment.crash(name);
        self.segment.boot(host);
        self.hosts[host].saved = None;
        self.hosts[host].held.clear();
        for (sysctl, value) in self.hosts[host].sysctls.clone() {
            self.segment.sysctl(name, sysctl, value);
        }
        for line in self.hosts[host].lines.clone() {
            let _ = self.segment.ifconfig(name, &line);
        }
        self.begins_to_wait(host);
    }

    fn status(&self, host: usize) -> Option<Status> {
        let runs = self.runs(host) && !self.is_bsd(host);
        let unit = "carp0".parse().unwrap();
        runs.then(|| {
            let engine = self.segment.engine(HOSTS[host]);
            engine.status(unit, self.segment.now(host))
        })?
    }

    /// Rule: a backup takes over after its master was silent for the longest wait that was configured
    /// during that time.
    fn backups_do_not_wait_too_long(&mut self) -> Result<(), Broken> {
        for (host, name) in HOSTS.iter().enumerate().take(self.len()) {
            let Some(status) = self.status(host) else {
                continue;
            };
            let now = self.segment.now(host).instant;
            let heard = self.segment.heard(name);
            let changed = self.segment.changed(name);
            let interval = heard.map_or(Duration::ZERO, |(_, header)| {
                let bows_out = header.is_bow_out();
                let interval = Interval::new(header.advbase, header.advskew).duration();
                if bows_out { Duration::ZERO } else { interval }
            });
            let last = heard.map_or(changed, |(at, _)| at.max(changed));
            let configured = Duration::from_micros(status.master_down_micros);
            let known = &mut self.hosts[host];
            if last > known.since {
                known.since = last;
                known.wait = Duration::ZERO;
            }
            known.wait = known.wait.max(configured).max(interval * 3);
            let waited = now.since(known.since);
            if status.state == StateName::Backup && waited > known.wait + SLACK {
                return Err(Broken {
                    rule: "a backup takes over when its master is silent",
                    how: format!(
                        "{} has been BACKUP for {} ms without a master, and waits {} ms",
                        name,
                        waited.as_millis(),
                        known.wait.as_millis()
                    ),
                });
            }
        }
        Ok(())
    }

    /// Stops all faults except settings, suppression, and the loss of one family if all hosts hear each
    /// other by the other family.
    fn heal(&mut self) {
        let hosts = self.len();
        self.segment.forget_fates();
        for (host, name) in HOSTS.iter().enumerate().take(hosts) {
            self.segment.mute(name, false);
            self.segment.step_clock(name, 0);
            self.segment.carrier(name, ETH0, true);
            self.perform(&Step::Restart(host));
        }
        for (from, name) in HOSTS.iter().enumerate().take(hosts) {
            for to in (0..hosts).filter(|to| *to != from) {
                let alone = self.alone.is_some_and(|host| host == from || host == to);
                self.segment.cut(name, HOSTS[to], alone);
                let speaks =
                    |family: &Family| self.speaks(from, *family) && self.speaks(to, *family);
                let heard = |family: &Family| !self.segment.is_family_cut(from, to, *family);
                let families = Family::ALL.into_iter().filter(speaks);
                if !families.clone().any(|family| heard(&family)) {
                    for family in families.collect::<Vec<_>>() {
                        self.segment.cut_family(from, to, family, false);
                    }
                }
            }
        }
    }

    fn speaks(&self, host: usize, family: Family) -> bool {
        let has = |address: &String| Family::of(address.parse().unwrap()) == family;
        match &self.hosts[host].bsd {
            Some(bsd) => bsd.families.contains(&family),
            None => self.addresses.iter().any(has),
        }
    }

    /// Longest interval of the group, with the effect of suppression.
    fn interval(&self) -> Duration {
        let intervals =
            (0..self.len()).map(|host| match (&self.hosts[host].bsd, self.status(host)) {
                (Some(bsd), _) => Interval::new(bsd.advbase, bsd.advskew).duration(),
                (None, Some(status)) => {
                    Interval::new(status.advbase, status.effective_advskew).duration()
                }
                (None, None) => Duration::from_secs(1),
            });
        intervals.max().unwrap_or_default()
    }

    /// Rule: after all faults stop, the group settles for ten intervals, within a bound from the timers of
    /// the protocol.
    pub(crate) fn settle(&mut self) -> Result<(), Broken> {
        self.heal();
        self.segment.log();
        let interval = self.interval();
        // Each host times out, is heard, and yields or stays. The kernel keeps addresses for a lease, and a
        // counter from the future delays the group by the window at most.
        let waits = (0..self.len()).filter_map(|host| Some(self.status(host)?.master_down_micros));
        let wait = Duration::from_micros(waits.max().unwrap_or_default()).max(interval * 3);
        let bound = wait * 4 + Duration::from_secs(4) + self.window() * 2;
        let bound = if self.was_mute { bound + LAPSE } else { bound };
        let (mut passed, mut quiet) = (Duration::ZERO, 0);
        let mut wrong = String::new();
        while quiet < 10 {
            self.segment.run(interval);
            self.segment.sent.clear();
            passed += interval;
            let moved = self.segment.log();
            let now = if moved.is_empty() {
                self.wrong()
            } else {
                Some(moved.join("\n"))
            };
            match now {
                None => quiet += 1,
                Some(how) => {
                    quiet = 0;
                    wrong = how;
                    if passed > bound {
                        let rule = "the group comes to rest when all faults have stopped";
                        return Err(Broken { rule, how: wrong });
                    }
                }
            }
        }
        drop(wrong);
        Ok(())
    }

    fn window(&self) -> Duration {
        let strict = |host: &Host| host.sysctls.contains(&(Sysctl::Replay, 2));
        let windows = self.hosts.iter().filter(|host| strict(host)).map(|host| {
            let window = host.sysctls.iter().rfind(|it| it.0 == Sysctl::ReplayWindow);
            Duration::from_secs(window.map_or(60, |it| it.1))
        });
        windows.max().unwrap_or_default()
    }

    /// Fault of a group that should have settled.
    fn wrong(&self) -> Option<String> {
        let (apart, together): (Vec<usize>, Vec<usize>) =
            (0..self.len()).partition(|host| self.alone == Some(*host));
        let masters = self.segment.masters("carp0");
        for part in [together, apart] {
            if part.is_empty() {
                continue;
            }
            let is_in = |names: &[&str]| -> Vec<usize> {
                let members = part.iter().copied();
                members
                    .filter(|host| names.contains(&HOSTS[*host]))
                    .collect()
            };
            let here = is_in(&masters);
            if here.len() != 1 {
                return Some(format!("{} masters: {masters:?}", here.len()));
            }
            for address in &self.addresses {
                let holders = self.segment.holders(address);
                if is_in(&holders) != here {
                    return Some(format!(
                        "{address} is on {holders:?}, master is {masters:?}"
                    ));
                }
            }
            if let Some(how) = self.better_than(here[0], &part) {
                return Some(how);
            }
        }
        (0..self.len()).find_map(|host| self.unfounded(host))
    }

    /// Host that should be MASTER instead of `master`. BSD hosts ignore demotion.
    fn better_than(&self, master: usize, part: &[usize]) -> Option<String> {
        if part.iter().any(|host| self.is_bsd(*host)) {
            return None;
        }
        let priority = |host: usize| {
            let status = self.status(host)?;
            Some(Priority {
                demotion: status.demotion,
                interval: Interval::new(status.advbase, status.effective_advskew),
            })
        };
        let theirs = priority(master)?;
        part.iter().find_map(|host| {
            let ours = priority(*host)?;
            let preempt = self.segment.engine(HOSTS[*host]).sysctls().preempt;
            let better = ours.demotion < theirs.demotion || (preempt && ours.beats(theirs));
            better.then(|| format!("{} should be master, not {}", HOSTS[*host], HOSTS[master]))
        })
    }

    /// Cause of suppression without its reason.
    fn unfounded(&self, host: usize) -> Option<String> {
        self.status(host)?;
        let held = &self.hosts[host].held;
        let mut causes = self.segment.engine(HOSTS[host]).suppressions();
        let left = causes.find(|it| match it.cause {
            Cause::Holder(holder) => !held.contains(&holder),
            Cause::Link(_) | Cause::Sending(_) | Cause::Refused(_) => true,
        })?;
        Some(format!(
            "{} is still suppressed: {:?}",
            HOSTS[host], left.cause
        ))
    }
}
