//! Rules that hold in any world, without a list of expected results. The host's twin, which has the
//! virtual addresses as its own, shows what a client gets from those. The plain host shows what a
//! client gets from the host's own addresses, and how the host must be after a clean stop.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use carp_tests::{Frame, Host, Interface, Outcome, VIRTUAL_MAC, wait_until};

use crate::breach::{Breach, Clause, Verdict, breach};
use crate::cable::Cable;
use crate::probe::{Answers, Way, ask, resolved};
use crate::recipe::{Event, Recipe};
use crate::snapshot::{difference, is_lost_with_the_last_address, snapshot};
use crate::testbed::{PEER, Testbed, late};

/// Addresses that no host has.
const UNUSED_ADDRESSES: [&str; 2] = ["10.99.200.200", "2001:db8:99::dead"];

/// Time that an answer may take on a busy machine.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(700);

/// Time that the pair may take to settle after any event: a master-down time, the time that the
/// kernel or carpd takes, and the machine's.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(5500);

/// Time until clients get the answers that match the states.
const CLIENT_TIMEOUT: Duration = Duration::from_millis(3500);

/// Time that a host's last frames as MASTER take to reach the switch.
const DRAIN_TIME: Duration = Duration::from_millis(150);

/// More lines of one kind are a flood in a world that lasts some seconds.
const MAX_REPETITIONS: usize = 10;

/// Ends of log lines about a repair.
const REPAIR_ENDINGS: [&str; 7] = [
    ": set back",
    ": put back",
    ": up again",
    ": made anew",
    ": on again",
    ": ended",
    ": taken out",
];

/// The role that the host should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Master,
    Backup,
}

struct Oracle<'a> {
    recipe: &'a Recipe,
    testbed: &'a Testbed,
    role: Role,
    virtuals: Vec<IpAddr>,
    own: Vec<IpAddr>,
    explained: Vec<String>,
    differs: bool,
    /// Number of advertisements that it had heard at the last failover.
    heard: u64,
}

/// Makes a world, lets every event happen, and checks the rules after each.
pub(crate) fn examine(recipe: &Recipe) -> Result<Verdict> {
    let mut testbed = Testbed::new(recipe)?;
    let mut oracle = Oracle::new(recipe, &testbed);
    let mut breach = oracle.events()?;
    let (explained, differs) = (oracle.explained, oracle.differs);
    if breach.is_none() {
        breach = flood(&testbed.a.log()?);
    }
    if breach.is_none() {
        breach = stopped(recipe, &mut testbed)
            .filter(|breach| breach.clause != Clause::Left || !differs);
    }
    Ok(Verdict {
        breach,
        explained,
        typed: testbed.typed(),
        log: testbed.a.log()?,
    })
}

impl<'a> Oracle<'a> {
    fn new(recipe: &'a Recipe, testbed: &'a Testbed) -> Self {
        let own = recipe.own;
        let own = [own.early, own.late, own.loopback].concat();
        Self {
            recipe,
            testbed,
            role: Role::Master,
            virtuals: bare(recipe.virtuals.addresses),
            own: bare(&own),
            explained: Vec::new(),
            differs: false,
            heard: 0,
        }
    }

    /// Lets every event happen, and checks the rules after each.
    fn events(&mut self) -> Result<Option<Breach>> {
        let mut failed_over = false;
        if let Some(breach) = self.settled(None)? {
            return Ok(Some(breach));
        }
        let late: Vec<Event> = late(self.recipe).map(Event::Do).into_iter().collect();
        for event in late.iter().chain(&self.recipe.after) {
            match event {
                Event::Do(step) => {
                    let cable = self.cable()?;
                    let before = self.testbed.a.interface("carp0");
                    let same = self.testbed.step(step)?;
                    let frames = cable.drain()?;
                    let leak = frames.iter().find_map(|frame| self.leak(frame));
                    let after = self.testbed.a.interface("carp0");
                    if let (Ok(before), Ok(after), Some(leak)) = (before, after, leak)
                        && before.state != "MASTER"
                        && before.last_transition == after.last_transition
                    {
                        let text =
                            format!("during {:?}, {} it sent {leak}", step.name, after.state);
                        return Ok(breach(Clause::Leak, text));
                    }
                    if !same {
                        // From now on the host and the others differ.
                        self.differs = true;
                        self.explained
                            .push(format!("{}: refused by the kernel", step.name));
                        return Ok(None);
                    }
                }
                Event::Failover => {
                    failed_over = true;
                    self.failover()?;
                }
            }
            if let Some(breach) = self.settled(Some(event))? {
                return Ok(Some(breach));
            }
        }
        // After all events, one failover and back.
        if !failed_over || self.role == Role::Backup {
            let times = if self.role == Role::Backup { 1 } else { 2 };
            for _ in 0..times {
                self.failover()?;
                if let Some(breach) = self.settled(Some(&Event::Failover))? {
                    return Ok(Some(breach));
                }
            }
        }
        Ok(None)
    }

    fn failover(&mut self) -> Result<()> {
        self.role = match self.role {
            Role::Master => Role::Backup,
            Role::Backup => Role::Master,
        };
        self.order()?;
        self.heard = heard(self.testbed.a.interface("carp0").ok().as_ref());
        Ok(())
    }

    /// Forces the right host to be MASTER.
    fn order(&self) -> Result<()> {
        let [this, other] = match self.role {
            Role::Master => ["master", "backup"],
            Role::Backup => ["backup", "master"],
        };
        if self.role == Role::Backup {
            self.testbed
                .carpctl(&self.testbed.a, &format!("carp0 state {this}"))?;
            self.testbed
                .carpctl(&self.testbed.b, &format!("carp0 state {other}"))?;
        } else {
            self.testbed
                .carpctl(&self.testbed.a, &format!("carp0 state {this}"))?;
        }
        Ok(())
    }

    /// Waits until all rules hold; returns the one that does not and is not explained.
    fn settled(&mut self, event: Option<&Event>) -> Result<Option<Breach>> {
        self.testbed.restore_twin(self.recipe)?;
        let start = Instant::now();
        let mut ordered = start;
        if event.is_none() {
            self.order()?;
        }
        loop {
            let Some(mut breach) = self.look()? else {
                return Ok(None);
            };
            let waited = start.elapsed();
            if waited >= SETTLE_TIMEOUT / 4
                && !matches!(
                    breach.clause,
                    Clause::Leak | Clause::Stranger | Clause::TwoMasters
                )
                && let Some(reason) = self.reason(&breach)?
            {
                self.explained
                    .push(format!("{breach} (explained by {reason:?})"));
                return Ok(None);
            }
            let at_once = matches!(breach.clause, Clause::Died) || breach.clause == Clause::Leak;
            let of_states = matches!(
                breach.clause,
                Clause::NoMaster | Clause::TwoMasters | Clause::NotOperational
            );
            let bound = if of_states {
                SETTLE_TIMEOUT
            } else {
                CLIENT_TIMEOUT
            };
            if waited >= bound || at_once {
                let when = match event {
                    None => "at the beginning".to_owned(),
                    Some(Event::Failover) => "after a failover".to_owned(),
                    Some(Event::Do(step)) => format!("after {:?}", step.name),
                };
                breach.text = format!(
                    "{} ({when}, this host should be {:?})",
                    breach.text, self.role
                );
                return Ok(Some(breach));
            }
            if breach.clause == Clause::NoMaster && ordered.elapsed() > Duration::from_secs(1) {
                self.order()?;
                ordered = Instant::now();
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns a rule that is broken now.
    fn look(&self) -> Result<Option<Breach>> {
        let Ok(this) = self.testbed.a.interface("carp0") else {
            if self.testbed.created.code != 0
                && self.testbed.created.stderr.trim().lines().count() == 1
            {
                // carpctl refused the interface with a reason: there is nothing to check.
                return Ok(None);
            }
            return Ok(breach(
                Clause::Died,
                "carpctl carp0 prints no state".to_owned(),
            ));
        };
        let other = self.testbed.b.state("carp0")?;
        let states = (this.state.as_str(), other.as_str());
        let asked = thread::scope(|scope| {
            let twin = scope.spawn(|| self.ask(&self.testbed.twins_client));
            let plain = scope.spawn(|| self.ask_for_own());
            let pair = self.asked_and_watched(this.state != "MASTER");
            (twin.join(), plain.join(), pair)
        });
        let (Ok(twin), Ok(plain), pair) = asked else {
            anyhow::bail!("a thread panicked");
        };
        let (twin, plain, (answers, leaks)) = (twin?, plain?, pair?);
        let works = self
            .virtuals
            .iter()
            .any(|address| given(&twin, *address).next().is_some());
        if let Some(found) = self.masters(states, works)? {
            return Ok(Some(found));
        }
        if let Some(leak) = leaks.into_iter().next() {
            let still = self.testbed.a.state("carp0")?;
            if still != "MASTER" {
                return Ok(breach(
                    Clause::Leak,
                    format!("while {still} it sent {leak}"),
                ));
            }
        }
        if states.0 == "MASTER" && !self.is_operational()? && states.1 == "MASTER" {
            return Ok(breach(
                Clause::NotOperational,
                "MASTER while the carpdev is not operational".to_owned(),
            ));
        }
        let found = self.compare(&twin, &plain, &answers, this.state == "MASTER");
        let now = self.testbed.a.interface("carp0").ok();
        if found.is_none() && works && this.state == "BACKUP" && heard(now.as_ref()) <= self.heard {
            return Ok(breach(Clause::Deaf, "it hears no advertisement".to_owned()));
        }
        Ok(found)
    }

    fn masters(&self, states: (&str, &str), works: bool) -> Result<Option<Breach>> {
        if states.0 == "MASTER" && states.1 == "MASTER" {
            if !self.is_operational()? {
                return Ok(breach(
                    Clause::NotOperational,
                    format!("MASTER, but {} is not operational", self.testbed.device()),
                ));
            }
            // A host that receives nothing cannot know of another master.
            return Ok(works
                .then(|| breach(Clause::TwoMasters, "both hosts are MASTER".to_owned()))
                .flatten());
        }
        if states.0 != "MASTER" && states.1 != "MASTER" {
            return Ok(breach(
                Clause::NoMaster,
                format!("{} and {}", states.0, states.1),
            ));
        }
        if works && states.0 != "MASTER" && self.role == Role::Master {
            return Ok(breach(
                Clause::NoMaster,
                format!("it is {}, but the twin answers", states.0),
            ));
        }
        if works && states.0 == "INIT" {
            return Ok(breach(
                Clause::NoMaster,
                "it is INIT, but the twin answers".to_owned(),
            ));
        }
        if states.0 == "MASTER" && self.role == Role::Backup {
            return Ok(breach(
                Clause::NoMaster,
                "it is MASTER, but should be BACKUP".to_owned(),
            ));
        }
        Ok(None)
    }

    fn is_operational(&self) -> Result<bool> {
        let state = self.testbed.a.host().output(&format!(
            "cat /sys/class/net/{}/operstate",
            self.testbed.device()
        ))?;
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        Ok(matches!(state.as_str(), "up" | "unknown"))
    }

    /// Returns the answers that the pair's client gets, and the frames that the host sent meanwhile
    /// although only a MASTER may.
    fn asked_and_watched(&self, watched: bool) -> Result<(Answers, Vec<String>)> {
        let cable = self.cable()?;
        if watched {
            // Frames that it sent as MASTER have left it by now.
            thread::sleep(DRAIN_TIME);
            let _ = cable.drain()?;
        }
        let answers = self.ask(&self.testbed.client)?;
        if !watched {
            return Ok((answers, Vec::new()));
        }
        let frames = cable.drain()?;
        let leaks = frames.iter().filter_map(|frame| self.leak(frame)).collect();
        Ok((answers, leaks))
    }

    /// Starts to capture the host's frames.
    fn cable(&self) -> Result<Cable> {
        Cable::open(self.testbed.switch(), &self.testbed.port(self.recipe))
    }

    /// Returns the reason why a host that is not MASTER must not send this frame.
    fn leak(&self, frame: &Frame) -> Option<String> {
        if !self.recipe.parent && frame.source() == VIRTUAL_MAC {
            return Some(format!("from the virtual MAC: {}", hex(&frame.bytes)));
        }
        let (address, mac) = resolved(frame)?;
        self.virtuals
            .contains(&address)
            .then(|| format!("{address} is at {mac}"))
    }

    fn ask(&self, client: &Host) -> Result<Answers> {
        let all = [self.virtuals.as_slice(), &self.own].concat();
        let strangers = [bare(&PEER), bare(&UNUSED_ADDRESSES)].concat();
        ask(client, &all, &strangers, ANSWER_TIMEOUT)
    }

    /// Asks the plain host for the own addresses.
    fn ask_for_own(&self) -> Result<Answers> {
        if self.own.is_empty() {
            return Ok(Answers::default());
        }
        ask(&self.testbed.plain_client, &self.own, &[], ANSWER_TIMEOUT)
    }

    fn compare(
        &self,
        twin: &Answers,
        plain: &Answers,
        answers: &Answers,
        master: bool,
    ) -> Option<Breach> {
        // The pair's other host is plain: it answers whatever the twin would.
        let missing = |from: &Answers, name: &str, address: &IpAddr| -> Option<String> {
            let (way, right) = given(from, *address)
                .find(|(way, right)| answers.given.get(&(*address, *way)) != Some(right))?;
            let got = answers
                .given
                .get(&(*address, way))
                .map_or("no answer", String::as_str);
            Some(format!(
                "{way:?} of {address} gets {got}, but {right} from the {name}"
            ))
        };
        let virtuals = &mut self.virtuals.iter();
        if master && let Some(text) = virtuals.find_map(|each| missing(twin, "twin", each)) {
            return breach(Clause::Silent, text);
        }
        let own = &mut self.own.iter();
        if let Some(text) = own.find_map(|each| missing(plain, "plain host", each)) {
            return breach(Clause::OwnSilent, text);
        }
        if self.recipe.parent {
            return None;
        }
        let only = BTreeSet::from([VIRTUAL_MAC.to_owned()]);
        for (address, macs) in &answers.macs {
            if self.virtuals.contains(address) && *macs != only {
                return breach(Clause::WrongMac, format!("{address} is at {macs:?}"));
            }
            if !self.virtuals.contains(address) && macs.contains(VIRTUAL_MAC) {
                return breach(Clause::Stranger, format!("{address} is at {macs:?}"));
            }
        }
        None
    }

    /// Returns a sentence that explains the breach: of the refusal, `carpctl carp0`, the log or the
    /// manual.
    fn reason(&self, breach: &Breach) -> Result<Option<String>> {
        if breach.clause == Clause::Silent
            && let Some(sentence) = self.recipe.documented_silence()?
        {
            return Ok(Some(sentence.to_owned()));
        }
        let shown: Outcome = self.testbed.a.try_carpctl("carp0")?;
        let log = self.testbed.a.log()?;
        let lines = log
            .lines()
            .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
            // A line about a repair explains nothing.
            .filter(|line| !REPAIR_ENDINGS.iter().any(|word| line.contains(word)));
        let shown = shown.stdout.lines().filter(|line| {
            // Lines that are always there explain nothing.
            let word = line.split_whitespace().next().unwrap_or_default();
            !word.starts_with("carp0:")
                && !matches!(word, "lladdr" | "inet" | "inet6" | "carpdev:" | "carp:")
        });
        let refused = self.testbed.created.stderr.lines();
        let mut words = self.recipe.words();
        if breach.clause == Clause::OwnSilent {
            // A line about one own address explains only that one.
            let own = self.own.iter().map(ToString::to_string);
            words.extend(own.filter(|each| breach.text.contains(&format!(" of {each} gets"))));
        }
        let mut all = lines.chain(shown).chain(refused);
        let reason = all.find(|line| {
            words
                .iter()
                .any(|word| line.contains(&word.replace("DEV", self.testbed.device())))
        });
        Ok(reason.map(str::to_owned))
    }
}

/// Checks (c), after a clean stop.
fn stopped(recipe: &Recipe, testbed: &mut Testbed) -> Option<Breach> {
    let status = testbed.a.stop();
    if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
        return breach(Clause::Died, format!("when stopped: {status:?}"));
    }
    let mut left = Vec::new();
    let same = wait_until("the host is as it was", Duration::from_secs(1), || {
        left = difference(&snapshot(&testbed.plain)?, &snapshot(testbed.a.host())?);
        left.retain(|line| !is_lost_with_the_last_address(recipe, line));
        Ok(left.is_empty().then_some(()))
    });
    let first: Vec<&str> = left.iter().take(8).map(String::as_str).collect();
    same.err()
        .and_then(|_| breach(Clause::Left, first.join("\n  ")))
}

/// Checks (e).
fn flood(log: &str) -> Option<Breach> {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for line in log.lines().filter(|line| !line.contains(" -> ")) {
        let words = line.split_whitespace().skip(1);
        let kind: Vec<&str> = words
            .filter(|word| !word.bytes().any(|byte| byte.is_ascii_digit()))
            .collect();
        *kinds.entry(kind.join(" ")).or_default() += 1;
    }
    let (kind, times) = kinds
        .into_iter()
        .find(|(_, times)| *times > MAX_REPETITIONS)?;
    breach(Clause::Flood, format!("{times} times: {kind}"))
}

/// Returns the number of accepted advertisements of a carp interface.
fn heard(interface: Option<&Interface>) -> u64 {
    let statistics = interface.map(|interface| &interface.statistics);
    let of = |name| {
        statistics
            .and_then(|statistics| statistics.get(name))
            .copied()
            .unwrap_or_default()
    };
    of("ipackets") + of("ipackets6")
}

fn given(answers: &Answers, address: IpAddr) -> impl Iterator<Item = (Way, &String)> {
    let of_it = answers
        .given
        .iter()
        .filter(move |((of, _), _)| *of == address);
    of_it.map(|((_, way), answer)| (*way, answer))
}

fn bare(addresses: &[&str]) -> Vec<IpAddr> {
    let parts = addresses
        .iter()
        .filter_map(|address| address.split('/').next());
    parts.filter_map(|address| address.parse().ok()).collect()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(64) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
