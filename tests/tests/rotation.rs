//! A running group gets another password, with the commands of carpctl(8).

use std::fs;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Carpd, Pair};

const ADDRESS: &str = "192.168.1.1";
/// The password at the start of the example, as in all examples of the manual.
const OLD: &str = "mekmitasdigoat";
const NEW: &str = "rijmdvarkentje";

/// Returns the lines of the example, without their prompt.
fn commands() -> Result<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../man/carpctl.8");
    let page = fs::read_to_string(path)?;
    let (_, text) = page
        .split_once("# carpctl carp0 accept_pass new\n")
        .context("the example")?;
    let (text, _) = text.split_once(".Ed").context("its end")?;
    let first = "carp0 accept_pass new".to_owned();
    let others = text.lines().filter_map(|line| {
        let line = line.strip_prefix("# carpctl ")?;
        Some(line.to_owned())
    });
    Ok([first].into_iter().chain(others).collect())
}

/// Types the commands one after the other, each on every host before the next.
fn rotate(pair: &Pair, hosts: [&Carpd; 2], old: &str, new: &str) -> Result<()> {
    for command in commands()? {
        let words: Vec<&str> = command
            .split(' ')
            .map(|word| match word {
                OLD => old,
                "new" => new,
                word => word,
            })
            .collect();
        for carpd in hosts {
            carpd.carpctl(&words.join(" "))?;
            // Before an administrator reaches the next host, the master has advertised.
            pair.a.wait_for_counter("carp0", "opackets", 2)?;
        }
    }
    Ok(())
}

#[test]
fn password_rotation_makes_no_second_master() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    let hosts = [&pair.a, &pair.b];
    let of_both = |counter: &str| -> Result<Vec<u64>> {
        let hosts = hosts.into_iter();
        hosts.map(|carpd| carpd.counter("carp0", counter)).collect()
    };
    let states = of_both("ostates")?;
    assert_eq!(commands()?.len(), 3);
    for (order, from, to) in [(hosts, OLD, NEW), ([&pair.b, &pair.a], NEW, OLD)] {
        rotate(&pair, order, from, to)?;
        for carpd in hosts {
            let shown = carpd.carpctl("carp0 --show-pass")?;
            ensure!(shown.contains(to) && !shown.contains(from), "{shown}");
        }
        assert_eq!(of_both("ostates")?, states, "no host changes state");
        assert_eq!(of_both("badauth")?, [0, 0], "no advertisement is refused");
        let log = pair.a.log()?;
        ensure!(!log.contains("MASTER too"), "{log}");
        pair.client_reaches(ADDRESS)?;
    }
    Ok(())
}
