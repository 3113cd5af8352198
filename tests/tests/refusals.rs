//! Bad input: one clear line, the right exit status, and nothing changed.

use anyhow::{Result, ensure};
use carp_tests::{Carpd, Lab, program};

/// Each line, and the text that its message must contain.
const REFUSED: &[(&str, &str)] = &[
    ("carp0 vhid 0", "vhid"),
    ("carp0 vhid 256", "256"),
    ("carp0 vhid x", "x"),
    ("carp0 advskew 255", "255"),
    ("carp0 advbase 255", "255"),
    ("carp0 pass 12345678901234567890", "19"),
    ("carp0 192.168.1.1.7", "192.168.1.1.7"),
    ("carp0 192.168.1.300/24", "192.168.1.300"),
    ("carp0 192.168.1.9/33", "33"),
    ("carp0 inet6 2001:db8::g/64", "2001:db8::g"),
    ("carp0 inet6 2001:db8::9 prefixlen 129", "129"),
    ("carp1 vhid 1", "vhid 1 is already used by carp0 on eth0"),
    ("carp7 vhid 7", "carp7"),
    ("carp7 destroy", "carp7"),
    ("carp0 create", "carp0"),
    ("eth0 vhid 3", "eth0"),
    ("carp0 carpdev eth9 vhid 5", "eth9"),
    ("carp0 frobnicate", "frobnicate"),
    ("carp0 vhid", "vhid"),
    ("carp0 -alias 192.168.1.77", "192.168.1.77"),
    ("carp0 192.168.1.1/24", "192.168.1.1"),
    ("carp0 state sideways", "sideways"),
    // No host can have these.
    ("carp0 192.168.1.0/24", "network address"),
    ("carp0 192.168.1.255/24", "broadcast address"),
    ("carp0 240.0.0.1/24", "240.0.0.0/4 is reserved"),
    ("carp0 0.1.2.3/24", "0.0.0.0/8 is reserved"),
    ("carp0 ::ffff:192.168.1.7/64", "write the IPv4 address"),
    ("carp0 2001:db8::/64", "anycast"),
    ("carp0 192.168.1.7/0", "1 to 32"),
    ("carp0 192.168.1.7 netmask 0.0.0.0", "1 to 32"),
    // Every word but the last is valid.
    (
        "carp0 vhid 9 advbase 3 advskew 7 192.168.1.9/24 description new up nonsense",
        "nonsense",
    ),
    ("carp0 vhid 9 advskew 7 192.168.1.9/24 advbase 300", "300"),
    (
        "carp0 vhid 9 advskew 7 192.168.1.9/24 -alias 10.0.0.1",
        "10.0.0.1",
    ),
    ("carp9 create vhid 9 192.168.1.9/24 advskew 999", "999"),
    (
        "sysctl net.inet.carp.nonsense=1",
        "unknown oid 'net.inet.carp.nonsense'",
    ),
    ("sysctl net.inet.carp.preempt=2", "preempt"),
    ("sysctl net.inet.carp.suppress_preempt=1", "is read only"),
    (
        "sysctl net.inet.carp.preempt=1 net.inet.carp.nonsense=1",
        "nonsense",
    ),
];

#[test]
fn bad_input_is_named_in_one_line_and_changes_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let mut carpd = Carpd::start(&lab.host("a", &[("lan", "192.168.1.2/24")])?)?;
    carpd.carpctl("carp0 create")?;
    carpd.carpctl("carp0 vhid 1 advskew 100 pass mekmitasdigoat 192.168.1.1/24 description old")?;
    carpd.carpctl("carp1 create")?;
    carpd.carpctl("carp1 vhid 2 192.168.1.9/24")?;
    for interface in ["carp0", "carp1"] {
        carpd.wait_for_state(interface, "MASTER", carp_tests::master_down(1, 100))?;
    }
    let before = (carpd.carpctl("-a")?, carpd.carpctl("sysctl -a")?);

    for (line, named) in REFUSED {
        let outcome = carpd.try_carpctl(line)?;
        println!(
            "carpctl {line}\n  {} {}",
            outcome.code,
            outcome.stderr.trim_end()
        );
        ensure!(matches!(outcome.code, 1 | 2), "carpctl {line}: {outcome:?}");
        ensure!(outcome.stdout.is_empty(), "carpctl {line}: {outcome:?}");
        ensure!(
            outcome.stderr.starts_with("carpctl: "),
            "carpctl {line}: {outcome:?}"
        );
        ensure!(
            outcome.stderr.lines().count() == 1,
            "carpctl {line}: {outcome:?}"
        );
        ensure!(
            outcome.stderr.contains(named),
            "carpctl {line} names {named}: {outcome:?}"
        );
        let after = (carpd.carpctl("-a")?, carpd.carpctl("sysctl -a")?);
        assert_eq!(before, after, "after carpctl {line}");
    }
    carpd.check_alive()
}

#[test]
fn missing_carpd_exits_3_and_names_the_command_to_start_it() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    for line in [
        "carp0",
        "-a",
        "carp0 create",
        "sysctl net.inet.carp.preempt",
    ] {
        let mut command = host.command(program("carpctl")?);
        let nowhere = format!("unix:path={}", lab.path("nowhere").display());
        command
            .env("CARPD_BUS_ADDRESS", nowhere)
            .args(line.split(' '));
        let output = command.output()?;
        let message = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(3), "carpctl {line}: {message}");
        assert_eq!(message.lines().count(), 1, "carpctl {line}: {message}");
        ensure!(
            message.contains("systemctl start carpd"),
            "carpctl {line}: {message}"
        );
        ensure!(output.stdout.is_empty());
    }
    Ok(())
}
