//! The grammar of worlds: everything that a host with carpd can have or go through.

use carp_tests::Random;

use crate::actions::{CARP_ACTIONS, CARPDEV_ACTIONS, PROGRAMS};
use crate::recipe::{Event, Recipe, Step};
use crate::tables::{
    FIREWALLS, GLOBAL_SYSCTLS, KINDS, OWN, RULES, Row, SYSCTLS_V4, SYSCTLS_V6, VIRTUALS,
};

impl Recipe {
    /// Returns a random world.
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut recipe = Self::PLAIN;
        if random.once_in(3) {
            recipe.kind = random.one_of(KINDS);
        }
        recipe.parent = random.once_in(6);
        recipe.read_only = random.once_in(40);
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
            recipe.before.extend(action("carpdev: a bridge's port"));
            recipe
                .after
                .extend(action("carpdev: no bridge's port").map(Event::Do));
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

/// Returns the action on the carpdev of this name.
fn action(name: &str) -> Option<Step> {
    let found = CARPDEV_ACTIONS.iter().find(|(known, ..)| *known == name)?;
    Some(row(*found, "DEV"))
}

fn step_before(random: &mut Random) -> Step {
    match random.below(8) {
        0..=3 => sysctl(random, "all default DEV"),
        4 => row(random.one_of(RULES), "DEV"),
        5 => row(random.one_of(FIREWALLS), "DEV"),
        6 => row(random.one_of(CARPDEV_ACTIONS), "DEV"),
        _ => global(random),
    }
}

fn step_after(random: &mut Random) -> Step {
    match random.below(10) {
        0..=2 => row(random.one_of(CARPDEV_ACTIONS), "DEV"),
        3..=5 => row(random.one_of(CARP_ACTIONS), "DEV"),
        6 => row(random.one_of(PROGRAMS), "carp0"),
        7 => row(random.one_of(PROGRAMS), "DEV"),
        8 => sysctl(random, "all DEV carp0"),
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
        // As 802.1X does it: the port is closed for all other traffic.
        return step.at_switch("bridge link set dev PORT state 0");
    }
    step
}

/// Each write also sets the mode to 2; the one of `all` fails.
const SAME_SECRETS: &str = "for secret in /proc/sys/net/ipv6/conf/*/stable_secret; do echo \
     2001:db8::77 >$secret || true; done 2>/dev/null";

/// Returns a step that sets a sysctl of one interface, of all, or of future ones.
fn sysctl(random: &mut Random, whose: &str) -> Step {
    let (family, sysctls): (_, &[(&str, &[&str])]) = if random.once_in(3) {
        ("ipv6", &SYSCTLS_V6)
    } else {
        ("ipv4", &SYSCTLS_V4)
    };
    let whose: Vec<&str> = whose.split(' ').collect();
    let (Some((sysctl, values)), Some(whose)) = (random.choose(sysctls), random.choose(&whose))
    else {
        return global(random);
    };
    let value = random.choose(values).copied().unwrap_or("1");
    let name = format!("{family}.{whose}.{sysctl}={value}");
    let mut line = format!("sysctl -qew net.{family}.conf.{whose}.{sysctl}={value}");
    if (*sysctl, value) == ("addr_gen_mode", "3") {
        // All hosts get the same secret, or their addresses would differ.
        line = format!("{SAME_SECRETS}; {line}");
    }
    Step::new(&name, &[&line], &[sysctl])
}

fn global(random: &mut Random) -> Step {
    let setting = random.one_of(GLOBAL_SYSCTLS);
    let key = setting.split('=').next().unwrap_or(setting);
    let word = key.rsplit('.').next().unwrap_or(key);
    Step::new(setting, &[&format!("sysctl -qew {setting}")], &[word])
}
