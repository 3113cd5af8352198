//! The worlds that there are: everything that a host with carpd may have or go through.

use carp_tests::Random;

use crate::actions::{CARP_DEEDS, DEEDS, PROGRAMS};
use crate::recipe::{Event, Recipe, Step};
use crate::tables::{
    FIREWALLS, GLOBAL, KINDS, OWN, RULES, Row, SWITCHES_V4, SWITCHES_V6, VIRTUALS,
};

impl Recipe {
    /// A world.
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut recipe = Self::PLAIN;
        if random.once_in(3) {
            recipe.kind = random.one_of(KINDS);
        }
        recipe.parent = random.once_in(6);
        recipe.frozen = random.once_in(40);
        if random.once_in(2) {
            recipe.own = random.one_of(OWN);
        }
        if random.once_in(2) {
            recipe.virtuals = random.one_of(VIRTUALS);
        }
        for _ in 0..random.below(4) {
            recipe.before.push(step_before(random));
        }
        if random.once_in(25) {
            // While carpd starts, and for a moment more.
            recipe.before.extend(deed("carpdev: a bridge's port"));
            recipe
                .after
                .extend(deed("carpdev: no bridge's port").map(Event::Do));
        }
        for _ in 0..random.below(5) {
            let event = if random.once_in(4) {
                Event::Failover
            } else {
                Event::Do(step_after(random))
            };
            recipe.after.push(event);
        }
        recipe
    }
}

/// The deed of this name.
fn deed(name: &str) -> Option<Step> {
    let found = DEEDS.iter().find(|(known, ..)| *known == name)?;
    Some(row(*found, "DEV"))
}

fn step_before(random: &mut Random) -> Step {
    match random.below(8) {
        0..=3 => switch(random, "all default DEV"),
        4 => row(random.one_of(RULES), "DEV"),
        5 => row(random.one_of(FIREWALLS), "DEV"),
        6 => row(random.one_of(DEEDS), "DEV"),
        _ => global(random),
    }
}

fn step_after(random: &mut Random) -> Step {
    match random.below(10) {
        0..=2 => row(random.one_of(DEEDS), "DEV"),
        3..=5 => row(random.one_of(CARP_DEEDS), "DEV"),
        6 => row(random.one_of(PROGRAMS), "carp0"),
        7 => row(random.one_of(PROGRAMS), "DEV"),
        8 => switch(random, "all DEV carp0"),
        _ => row(random.one_of(FIREWALLS), "DEV"),
    }
}

fn row((name, lines, words): Row, device: &str) -> Step {
    let lines: Vec<String> = lines
        .iter()
        .map(|line| line.replace("DEV", device))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let name = if device == "DEV" {
        name.to_owned()
    } else {
        format!("{name} on {device}")
    };
    let step = Step::new(&name, &lines, words);
    if name == "carpdev: dormant" {
        // As 802.1X does it: the port is closed for everything else.
        return step.at_switch("bridge link set dev PORT state 0");
    }
    step
}

/// Each write also sets the mode to 2; the one of `all` fails.
const SAME_SECRETS: &str = "for secret in /proc/sys/net/ipv6/conf/*/stable_secret; do echo 2001:db8::77 >$secret || true; done 2>/dev/null";

/// A switch of one interface, of all, or of those to come.
fn switch(random: &mut Random, whose: &str) -> Step {
    let (family, switches): (_, &[(&str, &[&str])]) = if random.once_in(3) {
        ("ipv6", &SWITCHES_V6)
    } else {
        ("ipv4", &SWITCHES_V4)
    };
    let whose: Vec<&str> = whose.split(' ').collect();
    let (Some((switch, values)), Some(whose)) = (random.choose(switches), random.choose(&whose))
    else {
        return global(random);
    };
    let value = random.choose(values).copied().unwrap_or("1");
    let name = format!("{family}.{whose}.{switch}={value}");
    let mut line = format!("sysctl -qew net.{family}.conf.{whose}.{switch}={value}");
    if (*switch, value) == ("addr_gen_mode", "3") {
        // Of a secret that is the same on each host, which would have different addresses.
        line = format!("{SAME_SECRETS}; {line}");
    }
    Step::new(&name, &[&line], &[switch])
}

fn global(random: &mut Random) -> Step {
    let setting = random.one_of(GLOBAL);
    let key = setting.split('=').next().unwrap_or(setting);
    let word = key.rsplit('.').next().unwrap_or(key);
    Step::new(setting, &[&format!("sysctl -qew {setting}")], &[word])
}
