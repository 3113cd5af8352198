//! Both examples of carp(4) as one shell script, run through the names `ifconfig` and `sysctl`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Carpd, MARGIN, Pair, master_down, ping, program, wait_until};

const PAGE: &str = include_str!("../data/carp.4.txt");
const SCRIPT: &str = include_str!("../data/manual-examples.sh");

/// `carpctl` under its other names.
struct Names(PathBuf);

impl Names {
    fn new(pair: &Pair) -> Result<Self> {
        let directory = pair.lab.path("names");
        fs::create_dir(&directory)?;
        for name in ["ifconfig", "sysctl"] {
            symlink(program("carpctl")?, directory.join(name))?;
        }
        Ok(Self(directory))
    }

    /// Runs a program that finds these names first, and returns its output.
    fn run(&self, carpd: &Carpd, program: impl AsRef<Path>, arguments: &str) -> Result<String> {
        let system = env::var_os("PATH").unwrap_or_default();
        let path: OsString = env::join_paths(
            [self.0.clone()]
                .into_iter()
                .chain(env::split_paths(&system)),
        )?;
        let output = carpd
            .host()
            .command(program.as_ref())
            .args(arguments.split_whitespace())
            .env("PATH", path)
            .env("CARPD_BUS_ADDRESS", carpd.address())
            .output()?;
        let printed = String::from_utf8(output.stdout)?;
        ensure!(
            output.status.success(),
            "{} {arguments}: {}\n{printed}{}",
            program.as_ref().display(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(printed)
    }

    /// Runs one example of the script on both hosts.
    fn example(&self, pair: &Pair, example: &str) -> Result<[String; 2]> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/manual-examples.sh");
        Ok([
            self.run(&pair.a, &script, &format!("{example} A"))?,
            self.run(&pair.b, &script, &format!("{example} B"))?,
        ])
    }
}

fn wait_for(states: &[(&Carpd, &str, &str)]) -> Result<()> {
    states.iter().try_for_each(|(carpd, interface, state)| {
        carpd.wait_for_state(interface, state, master_down(1, 100))
    })
}

#[test]
fn script_of_both_examples_works_unchanged() -> Result<()> {
    let pair = Pair::new()?;
    let names = Names::new(&pair)?;
    let Pair { a, b, .. } = &pair;

    for printed in names.example(&pair, "first")? {
        assert_eq!(printed, "net.inet.carp.preempt: 0 -> 1\n");
    }
    wait_for(&[(a, "carp0", "MASTER"), (a, "carp1", "MASTER")])?;
    wait_for(&[(b, "carp0", "BACKUP"), (b, "carp1", "BACKUP")])?;
    pair.client_reaches("192.168.1.1")?;
    let shown = names.run(b, names.0.join("ifconfig"), "carp1")?;
    ensure!(
        shown.contains("\tinet 192.168.2.1 netmask 0xffffff00 broadcast 192.168.2.255\n")
            && shown.contains("\tcarp: BACKUP vhid 2 advbase 1 advskew 100\n"),
        "{shown}"
    );

    // "This will cause host B to preempt on both interfaces instead of just the failed one."
    a.host().pull("eth1")?;
    wait_for(&[(b, "carp0", "MASTER"), (b, "carp1", "MASTER")])?;
    pair.client_reaches("192.168.1.1")?;
    a.host().plug("eth1")?;
    wait_for(&[(a, "carp0", "MASTER"), (a, "carp1", "MASTER")])?;

    for carpd in [a, b] {
        for interface in ["carp0", "carp1"] {
            names.run(
                carpd,
                names.0.join("ifconfig"),
                &format!("{interface} destroy"),
            )?;
        }
    }
    for printed in names.example(&pair, "second")? {
        assert_eq!(printed, "net.inet.carp.arpbalance: 0 -> 1\n");
    }
    wait_for(&[(a, "carp0", "MASTER"), (b, "carp1", "MASTER")])?;
    wait_for(&[(a, "carp1", "BACKUP"), (b, "carp0", "BACKUP")])?;
    // "This way, locally connected systems will receive different ARP replies".
    let odd = pair.lab.host("odd", &[("lan", "192.168.1.101/24")])?;
    for (client, mac) in [
        (&pair.client, "00:00:5e:00:01:01"),
        (&odd, "00:00:5e:00:01:02"),
    ] {
        wait_until("the address answers", MARGIN, || {
            ping(client, "192.168.1.10", 1).map(Some)
        })?;
        ping(client, "192.168.1.10", 5)?;
        assert_eq!(client.neighbour("192.168.1.10")?.as_deref(), Some(mac));
    }
    Ok(())
}

#[test]
fn commands_about_the_host_go_to_the_systems_programs() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    let names = Names::new(&pair)?;
    let (ifconfig, sysctl) = (names.0.join("ifconfig"), names.0.join("sysctl"));
    for line in ["-n net.ipv4.ip_forward", "-n net.ipv4.conf.eth0.arp_ignore"] {
        assert_eq!(
            names.run(&pair.a, &sysctl, line)?,
            pair.a.host().run(&format!("sysctl {line}"))?
        );
    }
    let mixed = "-qw net.ipv4.ip_forward=1 net.inet.carp.preempt=1";
    assert_eq!(names.run(&pair.a, &sysctl, mixed)?, "");
    assert_eq!(pair.a.host().run("sysctl -n net.ipv4.ip_forward")?, "1\n");
    assert_eq!(pair.a.carpctl("sysctl -n net.inet.carp.preempt")?, "1\n");
    let all = names.run(&pair.a, &sysctl, "-a")?;
    ensure!(
        all.contains("net.ipv4.ip_forward = 1\n") && all.contains("net.inet.carp.preempt: 1\n"),
        "{all}"
    );
    assert_eq!(
        names.run(&pair.a, &ifconfig, "eth1")?,
        pair.a.host().run("ifconfig eth1")?
    );

    // Each interface once: carpctl shows carp0, and the system's program does not.
    let all = names.run(&pair.a, &ifconfig, "-a")?;
    let mut shown: Vec<&str> = all
        .lines()
        .filter_map(|line| line.split_once(": flags=").map(|(name, _)| name))
        .collect();
    shown.sort_unstable();
    assert_eq!(shown, ["carp0", "eth0", "eth1", "lo"], "{all}");
    ensure!(all.ends_with(&pair.a.carpctl("carp0")?), "{all}");
    Ok(())
}

#[test]
fn script_has_the_commands_of_the_page() -> Result<()> {
    let page = one_line(PAGE);
    let mut commands = 0;
    for part in ["first A", "first B", "second A", "second B"] {
        let (_, part) = SCRIPT
            .split_once(&format!("\"{part}\")\n"))
            .with_context(|| format!("{part} is in the script"))?;
        let (part, _) = part.split_once(";;").context("a part has an end")?;
        // The page has the sysctls apart from the interfaces, and once for both hosts.
        let lines = part.trim().lines().map(str::trim);
        let (sysctls, interfaces): (Vec<_>, Vec<_>) =
            lines.partition(|line| line.starts_with("sysctl "));
        commands += sysctls.len() + interfaces.len();
        for text in sysctls
            .into_iter()
            .map(one_line)
            .chain([one_line(&interfaces.join(" "))])
        {
            ensure!(page.contains(&text), "not in carp(4): {text}");
        }
    }
    assert_eq!(commands, 20);
    Ok(())
}

/// Returns the words, without the addresses that the page lacks.
fn one_line(text: &str) -> String {
    let words = text
        .split_whitespace()
        .filter(|word| !word.starts_with("192.168."));
    words.collect::<Vec<_>>().join(" ")
}
