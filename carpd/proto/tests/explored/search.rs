//! The search: groups of all kinds, their events, and the shortest form of a history that breaks a rule.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use carp_proto::{Family, Sysctl};

use crate::segment::fates::Fate;
use crate::step::{BsdLine, Step};
use crate::world::{Broken, World};

const V4: &str = "192.0.2.100/24";
const V6: &str = "2001:db8::100/64";

/// Random numbers: Splitmix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}

/// Set-up of a group, and its unit of time.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) hosts: usize,
    pub(crate) setup: Vec<Step>,
    families: Vec<Family>,
    unit: u64,
    strict: bool,
}

impl Group {
    /// Random group.
    pub(crate) fn any(dice: &mut Dice) -> Self {
        let hosts = dice.of(&[2, 2, 3]);
        let families = dice.of(&[
            vec![Family::V4],
            vec![Family::V4, Family::V6],
            vec![Family::V4, Family::V6],
            vec![Family::V6],
        ]);
        let advbase = dice.of(&[0, 1, 1]);
        let replay = dice.of(&[0, 1, 2]);
        let preempt = dice.of(&[0, 1]);
        let skews: Vec<u8> = if dice.below(2) == 0 {
            vec![dice.of(&[10, 20, 100]); hosts]
        } else {
            let mut skews = vec![10, 20, 100];
            skews.rotate_left(dice.below(3));
            skews
        };
        let bare = dice.below(5) == 0;
        let bsd = (replay != 2 && dice.below(4) == 0).then(|| dice.below(hosts));
        let mut setup = Vec::new();
        for (host, advskew) in skews.iter().enumerate().take(hosts) {
            if bare {
                setup.push(Step::Bare(host));
            }
            setup.push(Step::Sysctl(host, Sysctl::Preempt, preempt));
            setup.push(Step::Sysctl(host, Sysctl::Replay, replay));
            if replay == 2 {
                setup.push(Step::Sysctl(host, Sysctl::ReplayWindow, 3));
            }
            let timing = format!("advbase {advbase} advskew {advskew}");
            let mut line = format!("carp0 carpdev eth0 vhid 1 pass secret {timing}");
            for family in &families {
                line += " ";
                line += match family {
                    Family::V4 => V4,
                    Family::V6 => V6,
                };
            }
            setup.push(Step::Ifconfig(host, line));
        }
        if let (Some(host), false) = (bsd, bare) {
            let one = vec![dice.of(&families)];
            let line = BsdLine {
                advbase,
                advskew: skews[host],
                preempt: preempt == 1,
                families: dice.of(&[families.clone(), one]),
            };
            setup.push(Step::Bsd(host, line));
        }
        Self {
            hosts,
            setup,
            families,
            unit: if advbase == 0 { 100 } else { 1000 },
            strict: replay == 2,
        }
    }

    /// Events that are possible next.
    pub(crate) fn events(&self, world: &World) -> Vec<Step> {
        let mut events = Vec::new();
        let late = [self.unit / 3, self.unit * 3];
        for from in 0..self.hosts {
            for to in (0..self.hosts).filter(|to| *to != from) {
                events.push(Step::Cut(from, to, None));
                events.push(Step::Mend(from, to, None));
                for family in self.families.iter().copied() {
                    if self.families.len() > 1 {
                        events.push(Step::Cut(from, to, Some(family)));
                        events.push(Step::Mend(from, to, Some(family)));
                    }
                    events.push(Step::Next(from, to, family, Fate::Lost));
                    for late in late.map(Duration::from_millis) {
                        events.push(Step::Next(from, to, family, Fate::Late(late)));
                        events.push(Step::Next(from, to, family, Fate::Twice(late)));
                    }
                }
            }
            if world.is_bsd(from) {
                continue;
            }
            if !world.runs(from) {
                events.extend([Step::Restart(from), Step::Reboot(from)]);
                continue;
            }
            for on in [true, false] {
                events.push(Step::Mute(from, on));
                events.push(Step::Suppress(from, on));
                events.push(Step::Plug(from, on));
            }
            events.extend([Step::Kill(from), Step::Reboot(from)]);
            for advskew in [10, 11, 20, 100] {
                events.push(Step::Ifconfig(from, format!("carp0 advskew {advskew}")));
            }
            for advbase in [0, 1, 3] {
                events.push(Step::Ifconfig(from, format!("carp0 advbase {advbase}")));
            }
            if self.strict {
                for millis in [0, 2500, -2500, 7_200_000, -7_200_000] {
                    events.push(Step::Clock(from, millis));
                }
            }
        }
        if self.hosts > 2 {
            events.extend((0..self.hosts).map(Step::Alone));
        }
        events
    }

    fn runs(&self) -> [Step; 4] {
        [
            self.unit / 50,
            self.unit * 7 / 10,
            self.unit * 2,
            self.unit * 5,
        ]
        .map(Step::Run)
    }
}

/// Extent of a search.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) groups: u64,
    pub(crate) states: u64,
    pub(crate) known: u64,
    pub(crate) histories: u64,
    pub(crate) steps: u64,
    pub(crate) deepest: usize,
}

/// History that breaks a rule, in its shortest form.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) hosts: usize,
    pub(crate) steps: Vec<Step>,
    pub(crate) broken: Broken,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "\"{}\": {}", self.broken.rule, self.broken.how)?;
        writeln!(f, "    comes_to_rest({}, \"", self.hosts)?;
        for step in &self.steps {
            writeln!(f, "        {step}")?;
        }
        write!(f, "    \");")
    }
}

pub(crate) struct Search {
    dice: Dice,
    pub(crate) counts: Counts,
    visited: BTreeSet<u64>,
    /// Maximum number of states of the tree of one group.
    budget: u64,
    depth: usize,
}

impl Search {
    pub(crate) fn new(seed: u64, depth: usize) -> Self {
        Self {
            dice: Dice(seed),
            counts: Counts::default(),
            visited: BTreeSet::new(),
            budget: 0,
            depth,
        }
    }

    /// Searches one group: the tree of its events, and some long walks.
    pub(crate) fn round(&mut self) -> Result<(), Finding> {
        let group = Group::any(&mut self.dice);
        self.counts.groups += 1;
        self.visited.clear();
        self.budget = 150;
        let mut history = group.setup.clone();
        let mut world = World::new(group.hosts);
        for step in &history {
            self.step(&group, &mut world, step, &history)?;
        }
        let unit = group.unit;
        self.tree(&group, &world, &mut history, self.depth)?;
        // The group has a master by now.
        let ready = Step::Run(unit * 10);
        history.push(ready.clone());
        self.budget = 150;
        if self.step(&group, &mut world, &ready, &history).is_ok() {
            self.tree(&group, &world, &mut history, self.depth)?;
        }
        for _ in 0..20 {
            self.walk(&group)?;
        }
        Ok(())
    }

    /// Searches depth first: each event, and after it each passage of time.
    fn tree(
        &mut self,
        group: &Group,
        world: &World,
        history: &mut Vec<Step>,
        depth: usize,
    ) -> Result<(), Finding> {
        if self.budget == 0 {
            return Ok(());
        }
        if !self.visited.insert(world.segment.canonical()) {
            self.counts.known += 1;
            return Ok(());
        }
        self.budget -= 1;
        self.counts.states += 1;
        self.counts.deepest = self.counts.deepest.max(history.len() - group.setup.len());
        self.settle(group, world.clone(), history)?;
        if depth == 0 {
            return Ok(());
        }
        let mut events = group.events(world);
        let runs = group.runs();
        for _ in 0..events.len().min(8) {
            let event = events.swap_remove(self.dice.below(events.len()));
            let run = self.dice.of(&runs);
            let mut next = world.clone();
            history.extend([event.clone(), run.clone()]);
            self.step(group, &mut next, &event, history)?;
            self.step(group, &mut next, &run, history)?;
            self.tree(group, &next, history, depth - 1)?;
            history.truncate(history.len() - 2);
        }
        Ok(())
    }

    fn walk(&mut self, group: &Group) -> Result<(), Finding> {
        let mut history = group.setup.clone();
        let mut world = World::new(group.hosts);
        for step in &group.setup {
            world.take(step).unwrap();
        }
        // Some walks use few kinds of events, so that these meet.
        let mut liked = group.events(&world);
        if self.dice.below(2) == 0 {
            let few = (0..4).map(|_| self.dice.of(&liked)).collect();
            liked = few;
        }
        let length = 4 + self.dice.below(40);
        let runs = group.runs();
        for _ in 0..length {
            let events = if world_changed(&world, &liked) {
                group.events(&world)
            } else {
                liked.clone()
            };
            for step in [self.dice.of(&events), self.dice.of(&runs)] {
                history.push(step.clone());
                self.step(group, &mut world, &step, &history)?;
            }
        }
        self.counts.deepest = self.counts.deepest.max(history.len() - group.setup.len());
        self.settle(group, world, &history)
    }

    fn step(
        &mut self,
        group: &Group,
        world: &mut World,
        step: &Step,
        history: &[Step],
    ) -> Result<(), Finding> {
        self.counts.steps += 1;
        quietly(|| world.take(step)).map_err(|broken| Self::shrink(group, history, broken))
    }

    fn settle(&mut self, group: &Group, mut world: World, history: &[Step]) -> Result<(), Finding> {
        self.counts.histories += 1;
        quietly(|| world.settle()).map_err(|broken| Self::shrink(group, history, broken))
    }

    /// Shortens a history: removes steps, and rounds times.
    fn shrink(group: &Group, history: &[Step], broken: Broken) -> Finding {
        let mut finding = Finding {
            hosts: group.hosts,
            steps: history.to_vec(),
            broken,
        };
        let breaks = |steps: &[Step], rule: &str| {
            let result = quietly(|| World::run(group.hosts, steps));
            result.err().filter(|broken| broken.rule == rule)
        };
        let mut chunk = finding.steps.len().next_power_of_two() / 2;
        while chunk > 0 {
            let mut at = 0;
            let mut less = false;
            while at < finding.steps.len() {
                let mut steps = finding.steps.clone();
                steps.drain(at..(at + chunk).min(steps.len()));
                let kept =
                    |it: &Step| !matches!(it, Step::Ifconfig(_, line) if line.contains("vhid"));
                let removable = finding.steps[at..(at + chunk).min(finding.steps.len())]
                    .iter()
                    .all(kept);
                match breaks(&steps, finding.broken.rule).filter(|_| removable) {
                    Some(broken) => {
                        (finding.steps, finding.broken, less) = (steps, broken, true);
                    }
                    None => at += 1,
                }
            }
            if !less {
                chunk /= 2;
            }
        }
        finding
    }
}

/// Returns true if a killed host makes other events possible than those that a walk likes.
fn world_changed(world: &World, liked: &[Step]) -> bool {
    let dead = (0..world.len()).any(|host| !world.runs(host));
    dead && !liked
        .iter()
        .any(|it| matches!(it, Step::Restart(_) | Step::Reboot(_)))
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs a story. A failed assertion of the segment is a broken rule too.
pub(crate) fn quietly(run: impl FnOnce() -> Result<(), Broken>) -> Result<(), Broken> {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| Some((*panic.downcast_ref::<&str>()?).to_owned()));
        Err(Broken {
            rule: "nothing that the segment asserts fails",
            how: text.unwrap_or_default(),
        })
    })
}
