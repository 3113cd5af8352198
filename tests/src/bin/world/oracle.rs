//! What must hold in any world. No list of expectations: the host's twin, which has the virtual
//! addresses as its own ones, shows what a client gets from those, and the plain host what it gets
//! from the host's own addresses, and what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use carp_tests::{Frame, Host, Interface, Outcome, VIRTUAL_MAC, wait_until};

use crate::cable::Cable;
use crate::probe::{Answers, Way, ask, resolved};
use crate::recipe::{Event, Recipe};
use crate::snapshot::{difference, is_lost_with_the_last, picture};
use crate::testbed::{PEER, Stage, late};

/// Nobody has it.
const NOBODY: [&str; 2] = ["10.99.200.200", "2001:db8:99::dead"];

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_millis(700);

/// How long the pair may take to be as it should be after anything: a master-down time, the time
/// that the kernel or carpd takes, and the machine's.
const SETTLED: Duration = Duration::from_millis(5500);

/// How long it may take until clients have the answers that go with the states.
const ANSWERED: Duration = Duration::from_millis(3500);

/// How long the host that was left must have been before what it sends counts.
const LEFT: Duration = Duration::from_millis(150);

/// So many lines of one kind are a flood in a world that lasts some seconds.
const FLOOD: usize = 10;

/// How the log says that something was put right.
const MENDED: [&str; 7] = [
    ": set back",
    ": put back",
    ": up again",
    ": made anew",
    ": on again",
    ": ended",
    ": taken out",
];

/// What was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Clause {
    /// (a) The virtual address does not do for clients what an own address does.
    Silent,
    /// (a) An address of the host itself does not do what it does without carpd.
    OwnSilent,
    /// (a) Another MAC than the virtual one answers for the virtual address.
    WrongMac,
    /// (a) The virtual MAC answers for an address of others.
    Stranger,
    /// (a) Neither host can be MASTER, or this one cannot although nothing is wrong.
    NoMaster,
    /// (b) Both are MASTER.
    TwoMasters,
    /// (b) A BACKUP does not hear its master.
    Deaf,
    /// (a) MASTER on an interface that the kernel says does not carry anything.
    NotOperational,
    /// (b) A host that is not MASTER sends as one, or answers.
    Leak,
    /// (c) The host is not as it was.
    Left,
    /// (e) The log is flooded.
    Flood,
    /// carpd ended, or did not end when told to.
    Died,
}

/// A clause that was broken, and how.
#[derive(Clone, Debug)]
pub(crate) struct Breach {
    /// The clause.
    pub(crate) clause: Clause,
    /// Who, what, when.
    pub(crate) text: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.clause, self.text)
    }
}

/// What came of a world.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The first clause that was broken.
    pub(crate) breach: Option<Breach>,
    /// What was not as on the twin, but explained.
    pub(crate) explained: Vec<String>,
    /// All that was typed.
    pub(crate) typed: String,
    /// What carpd printed on the host.
    pub(crate) log: String,
}

/// Which of the two should be MASTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Master,
    Backup,
}

struct Judge<'a> {
    recipe: &'a Recipe,
    stage: &'a Stage,
    role: Role,
    virtuals: Vec<IpAddr>,
    own: Vec<IpAddr>,
    explained: Vec<String>,
    differs: bool,
    /// The advertisements that it had heard at the last failover.
    heard: u64,
}

/// Makes a world, has it go through everything, and judges it.
pub(crate) fn judge(recipe: &Recipe) -> Result<Verdict> {
    let mut stage = Stage::new(recipe)?;
    let mut judge = Judge::new(recipe, &stage);
    let mut breach = judge.events()?;
    let (explained, differs) = (judge.explained, judge.differs);
    if breach.is_none() {
        breach = flood(&stage.a.log()?);
    }
    if breach.is_none() {
        breach =
            stopped(recipe, &mut stage).filter(|breach| breach.clause != Clause::Left || !differs);
    }
    Ok(Verdict {
        breach,
        explained,
        typed: stage.typed(),
        log: stage.a.log()?,
    })
}

impl<'a> Judge<'a> {
    fn new(recipe: &'a Recipe, stage: &'a Stage) -> Self {
        let own = recipe.own;
        let own = [own.early, own.late, own.loopback].concat();
        Self {
            recipe,
            stage,
            role: Role::Master,
            virtuals: bare(recipe.virtuals.addresses),
            own: bare(&own),
            explained: Vec::new(),
            differs: false,
            heard: 0,
        }
    }

    /// Everything that happens, judged after each.
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
                    let before = self.stage.a.interface("carp0");
                    let same = self.stage.step(step)?;
                    let frames = cable.drain()?;
                    let leak = frames.iter().find_map(|frame| self.leak(frame));
                    let after = self.stage.a.interface("carp0");
                    if let (Ok(before), Ok(after), Some(leak)) = (before, after, leak)
                        && before.state != "MASTER"
                        && before.last_transition == after.last_transition
                    {
                        let text =
                            format!("during {:?}, {} it sent {leak}", step.name, after.state);
                        return Ok(breach(Clause::Leak, text));
                    }
                    if !same {
                        // From now on the host and the others are different ones.
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
        // Whatever has happened, there and back.
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
        self.heard = heard(self.stage.a.interface("carp0").ok().as_ref());
        Ok(())
    }

    /// Has the right one be MASTER.
    fn order(&self) -> Result<()> {
        let [this, other] = match self.role {
            Role::Master => ["master", "backup"],
            Role::Backup => ["backup", "master"],
        };
        if self.role == Role::Backup {
            self.stage
                .carpctl(&self.stage.a, &format!("carp0 state {this}"))?;
            self.stage
                .carpctl(&self.stage.b, &format!("carp0 state {other}"))?;
        } else {
            self.stage
                .carpctl(&self.stage.a, &format!("carp0 state {this}"))?;
        }
        Ok(())
    }

    /// Waits until all is as it should be; what is not, and is not explained, is a breach.
    fn settled(&mut self, event: Option<&Event>) -> Result<Option<Breach>> {
        self.stage.equip(self.recipe)?;
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
            if waited >= SETTLED / 4
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
            let bound = if of_states { SETTLED } else { ANSWERED };
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

    /// What is wrong now.
    fn look(&self) -> Result<Option<Breach>> {
        let Ok(this) = self.stage.a.interface("carp0") else {
            if self.stage.created.code != 0 && self.stage.created.stderr.trim().lines().count() == 1
            {
                // Refused in words: there is nothing to judge.
                return Ok(None);
            }
            return Ok(breach(
                Clause::Died,
                "carpctl carp0 gives no state".to_owned(),
            ));
        };
        let other = self.stage.b.state("carp0")?;
        let states = (this.state.as_str(), other.as_str());
        let asked = thread::scope(|scope| {
            let twin = scope.spawn(|| self.ask(&self.stage.twins_client));
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
            let still = self.stage.a.state("carp0")?;
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
        let now = self.stage.a.interface("carp0").ok();
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
                    format!("MASTER, and {} is not operational", self.stage.device()),
                ));
            }
            // A host that nothing reaches cannot know of another one.
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
                format!("it is {}, and the twin answers", states.0),
            ));
        }
        if works && states.0 == "INIT" {
            return Ok(breach(
                Clause::NoMaster,
                "it is INIT, and the twin answers".to_owned(),
            ));
        }
        if states.0 == "MASTER" && self.role == Role::Backup {
            return Ok(breach(
                Clause::NoMaster,
                "it is MASTER, and should be BACKUP".to_owned(),
            ));
        }
        Ok(None)
    }

    fn is_operational(&self) -> Result<bool> {
        let state = self.stage.a.host().output(&format!(
            "cat /sys/class/net/{}/operstate",
            self.stage.device()
        ))?;
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        Ok(matches!(state.as_str(), "up" | "unknown"))
    }

    /// The virtual addresses and the own ones as the pair's client sees them, and what the host
    /// sent meanwhile that only a MASTER may.
    fn asked_and_watched(&self, watched: bool) -> Result<(Answers, Vec<String>)> {
        let cable = self.cable()?;
        if watched {
            // What it sent as MASTER has left it by now.
            thread::sleep(LEFT);
            let _ = cable.drain()?;
        }
        let answers = self.ask(&self.stage.client)?;
        if !watched {
            return Ok((answers, Vec::new()));
        }
        let frames = cable.drain()?;
        let leaks = frames.iter().filter_map(|frame| self.leak(frame)).collect();
        Ok((answers, leaks))
    }

    /// What the host sends.
    fn cable(&self) -> Result<Cable> {
        Cable::open(self.stage.switch(), &self.stage.port(self.recipe))
    }

    /// Why a host that is no MASTER must not send this.
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
        let strangers = [bare(&PEER), bare(&NOBODY)].concat();
        ask(client, &all, &strangers, PATIENCE)
    }

    /// The own addresses as the plain host has them.
    fn ask_for_own(&self) -> Result<Answers> {
        if self.own.is_empty() {
            return Ok(Answers::default());
        }
        ask(&self.stage.plain_client, &self.own, &[], PATIENCE)
    }

    fn compare(
        &self,
        twin: &Answers,
        plain: &Answers,
        answers: &Answers,
        master: bool,
    ) -> Option<Breach> {
        // The other host of the pair is plain: it answers whatever the twin would.
        let missing = |from: &Answers, name: &str, address: &IpAddr| -> Option<String> {
            let (way, right) = given(from, *address)
                .find(|(way, right)| answers.given.get(&(*address, *way)) != Some(right))?;
            let got = answers
                .given
                .get(&(*address, way))
                .map_or("no answer", String::as_str);
            Some(format!(
                "{way:?} of {address} gets {got}, and {right} from the {name}"
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

    /// A sentence that explains it: of the refusal, of `carpctl carp0`, of the log, or of the manual.
    fn reason(&self, breach: &Breach) -> Result<Option<String>> {
        if breach.clause == Clause::Silent
            && let Some(sentence) = self.recipe.documented_silence()?
        {
            return Ok(Some(sentence.to_owned()));
        }
        let shown: Outcome = self.stage.a.try_carpctl("carp0")?;
        let log = self.stage.a.log()?;
        let lines = log
            .lines()
            .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
            // What claims that all is well again explains nothing.
            .filter(|line| !MENDED.iter().any(|word| line.contains(word)));
        let shown = shown.stdout.lines().filter(|line| {
            // What is always shown explains nothing.
            let word = line.split_whitespace().next().unwrap_or_default();
            !word.starts_with("carp0:")
                && !matches!(word, "lladdr" | "inet" | "inet6" | "carpdev:" | "carp:")
        });
        let refused = self.stage.created.stderr.lines();
        let mut words = self.recipe.words();
        if breach.clause == Clause::OwnSilent {
            // A line about one own address explains that one alone.
            let own = self.own.iter().map(ToString::to_string);
            words.extend(own.filter(|each| breach.text.contains(&format!(" of {each} gets"))));
        }
        let mut all = lines.chain(shown).chain(refused);
        let reason = all.find(|line| {
            words
                .iter()
                .any(|word| line.contains(&word.replace("DEV", self.stage.device())))
        });
        Ok(reason.map(str::to_owned))
    }
}

/// (c), after a clean stop.
fn stopped(recipe: &Recipe, stage: &mut Stage) -> Option<Breach> {
    let status = stage.a.stop();
    if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
        return breach(Clause::Died, format!("when stopped: {status:?}"));
    }
    let mut left = Vec::new();
    let same = wait_until("the host is as it was", Duration::from_secs(1), || {
        left = difference(&picture(&stage.plain)?, &picture(stage.a.host())?);
        left.retain(|line| !is_lost_with_the_last(recipe, line));
        Ok(left.is_empty().then_some(()))
    });
    let first: Vec<&str> = left.iter().take(8).map(String::as_str).collect();
    same.err()
        .and_then(|_| breach(Clause::Left, first.join("\n  ")))
}

/// (e)
fn flood(log: &str) -> Option<Breach> {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for line in log.lines().filter(|line| !line.contains(" -> ")) {
        let words = line.split_whitespace().skip(1);
        let kind: Vec<&str> = words
            .filter(|word| !word.bytes().any(|byte| byte.is_ascii_digit()))
            .collect();
        *kinds.entry(kind.join(" ")).or_default() += 1;
    }
    let (kind, times) = kinds.into_iter().find(|(_, times)| *times > FLOOD)?;
    breach(Clause::Flood, format!("{times} times: {kind}"))
}

#[expect(clippy::unnecessary_wraps, reason = "all callers return it so")]
const fn breach(clause: Clause, text: String) -> Option<Breach> {
    Some(Breach { clause, text })
}

/// How many good advertisements a carp interface has heard.
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
