//! The reason why an interface is in INIT: shown, warned of and logged.

use anyhow::{Result, ensure};
use carp_tests::{Carpd, Lab, REACTION_TIMEOUT, master_down, wait_until};

/// Returns the line `reason:` of `carpctl carp0`, if there is one.
fn reason(carpd: &Carpd) -> Result<Option<String>> {
    let shown = carpd.carpctl("carp0")?;
    let mut lines = shown.lines();
    Ok(lines.find_map(|line| Some(line.strip_prefix("\treason: ")?.to_owned())))
}

fn wait_for_reason(carpd: &Carpd, expected: Option<&str>) -> Result<()> {
    wait_until(
        &format!("the reason {expected:?}"),
        REACTION_TIMEOUT,
        || Ok((reason(carpd)?.as_deref() == expected).then_some(())),
    )
}

#[test]
fn command_that_leaves_an_interface_without_a_carpdev_warns() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let mut carpd = Carpd::start(&host)?;
    let nowhere = "no physical interface has an address in 192.0.2.0/24: name one with carpdev";

    let outcome = carpd.try_carpctl("carp0 create")?;
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    wait_for_reason(&carpd, Some("administratively down"))?;
    let outcome = carpd.try_carpctl("carp0 vhid 1 192.0.2.1/24")?;
    assert_eq!(
        (outcome.code, outcome.stderr),
        (0, format!("carpctl: carp0: {nowhere}\n"))
    );
    assert_eq!(reason(&carpd)?.as_deref(), Some(nowhere));
    ensure!(carpd.carpctl("carp0 --json")?.contains(nowhere));
    carpd.wait_for_log(&format!("carp0: stays in INIT: {nowhere}"))?;

    let outcome = carpd.try_carpctl("carp0 carpdev eth0")?;
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    assert_eq!(reason(&carpd)?, None);

    host.run("ip link set eth0 down")?;
    wait_for_reason(&carpd, Some("eth0 is down"))?;
    host.run("ip link set eth0 up")?;
    wait_for_reason(&carpd, None)?;
    let log = carpd.log()?;
    assert_eq!(log.matches("stays in INIT").count(), 1, "{log}");
    carpd.check_alive()
}
