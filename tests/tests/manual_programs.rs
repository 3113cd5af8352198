//! The examples in the pages of the programs and of the configuration, unchanged.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{
    Carpd, Lab, MARGIN, Pair, Shell, Terminal, example, executable, master_down, program, source,
    typed_and_printed, wait_until,
};

/// Runs an example with prompts, which must print what the page shows.
fn as_shown(shell: &Shell, page: &str, name: &str) -> Result<()> {
    let (typed, printed) = typed_and_printed(&example(page, name)?);
    assert_eq!(shell.run(&typed)?, printed, "{name} in {page}");
    Ok(())
}

#[test]
fn carpctl_examples_print_what_the_page_shows() -> Result<()> {
    const PAGE: &str = "carpctl.8";
    let pair = Pair::new()?;
    let (a, b) = (Shell::new(&pair.a)?, Shell::new(&pair.b)?);
    as_shown(&a, PAGE, "host-a")?;
    as_shown(&b, PAGE, "host-b")?;
    pair.wait_until_settled()?;
    as_shown(&a, PAGE, "show")?;

    let (down, up) = example(PAGE, "update")?
        .split_once('\n')
        .map(|(down, up)| (typed_and_printed(down).0, typed_and_printed(up).0))
        .context("two lines")?;
    a.run(&down)?;
    pair.b.wait_for_state("carp0", "MASTER", MARGIN)?;
    a.run(&up)?;
    as_shown(&a, PAGE, "preempt")?;
    pair.a
        .wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    pair.b.wait_for_state("carp0", "BACKUP", MARGIN)?;

    // Each line on every host before the next, and no host misses a master.
    let before = pair.b.interface("carp0")?.last_transition;
    let (typed, _) = typed_and_printed(&example(PAGE, "password")?);
    for line in typed.lines() {
        for shell in [&a, &b] {
            shell.run(line)?;
            pair.b.wait_for_counter("carp0", "ipackets", 2)?;
        }
    }
    assert_eq!(pair.b.interface("carp0")?.last_transition, before);
    let shown = pair.a.carpctl("carp0 --show-pass")?;
    ensure!(shown.contains("new"), "{shown}");

    pair.a.carpctl("carp0 destroy")?;
    let phrase = pair.lab.path("carp0");
    fs::write(&phrase, "mekmitasdigoat\n")?;
    let (typed, _) = typed_and_printed(&example(PAGE, "one-change")?);
    let line = typed.replace("/root/carp0", &phrase.display().to_string());
    ensure!(line != typed, "{typed}");
    a.run(&line)?;
    let shown = pair.a.carpctl("carp0 --show-pass")?;
    ensure!(shown.contains("mekmitasdigoat"), "{shown}");
    Ok(())
}

#[test]
fn carpd_examples_start_check_and_try_it() -> Result<()> {
    const PAGE: &str = "carpd.8";
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let carpd = Carpd::start(&host)?;
    let shell = Shell::new(&carpd)?;
    // systemd's part is not tested here.
    let said = lab.path("said");
    shell.stand_in("systemctl", &format!("echo $* >>{}", said.display()))?;
    let real = program("carpd")?;
    let directory = carpd.config_directory();
    let lines = format!(
        "exec {} --config-dir {} \"$@\"",
        real.display(),
        directory.display()
    );
    shell.stand_in("carpd", &lines)?;
    as_shown(&shell, PAGE, "enable")?;
    as_shown(&shell, PAGE, "restart")?;
    assert_eq!(
        fs::read_to_string(&said)?,
        "enable --now carpd\nrestart carpd\n"
    );
    fs::write(carpd.config("rc.conf"), "ifconfig_carp0=\"vhid 0\"\n")?;
    let restart = typed_and_printed(&example(PAGE, "restart")?).0;
    ensure!(shell.run(&restart).is_err(), "a fault prevents the restart");

    let here = lab.path("here");
    fs::create_dir_all(here.join("try"))?;
    fs::write(here.join("try/sysctl.conf"), "net.inet.carp.log=2\n")?;
    let typed = typed_and_printed(&example(PAGE, "try")?).0;
    let typed = typed
        .trim_end()
        .replace("carpd ", &format!("{} ", real.display()));
    let mut command = shell.command(&format!("exec {typed}"))?;
    command.current_dir(&here);
    let mut tried = host.spawn("carpd", command)?;
    tried.wait_for_log("is ready on ./run/bus", Duration::from_secs(10))?;
    ensure!(
        tried.terminate(Duration::from_secs(10))?.success(),
        "{}",
        tried.log()?
    );
    Ok(())
}

#[test]
fn hook_example_announces_a_new_master() -> Result<()> {
    let pair = Pair::new()?;
    let said = pair.lab.path("said");
    let shell = Shell::new(&pair.a)?;
    let lines = format!("echo \"$*\" >>{}", said.display());
    let stand_in = shell.stand_in("systemd-run", &lines)?;
    let hooks = pair.a.config_directory().join("hooks.d");
    fs::create_dir(&hooks)?;
    // A hook's PATH has only the usual directories.
    let text = example("carpd.8", "hook-tell")?;
    let hook = text.replace("systemd-run ", &format!("{} ", stand_in.display()));
    ensure!(hook != text, "{text}");
    executable(&hooks.join("10-tell"), &hook)?;
    pair.form_group("192.168.1.1/24")?;
    wait_until("the hook has run", MARGIN, || {
        let written = fs::read_to_string(&said).unwrap_or_default();
        let expected = "--quiet wall carp0 is MASTER here: master-timed-out\n";
        ensure!(written == expected, "it said\n{written}");
        Ok(Some(()))
    })
}

#[test]
fn service_example_is_bound_to_the_master_and_not_to_the_boot() -> Result<()> {
    const PAGE: &str = "carpd.8";
    let lab = Lab::new()?;
    let carpd = Carpd::start(&lab.host("a", &[("lan", "192.168.1.2/24")])?)?;
    let shell = Shell::new(&carpd)?;
    // systemctl itself, on a root directory of its own.
    let root = lab.path("root");
    let lines = format!("exec /usr/bin/systemctl --root={} \"$@\"", root.display());
    shell.stand_in("systemctl", &lines)?;
    let (vendor, local) = (
        root.join("usr/lib/systemd/system"),
        root.join("etc/systemd/system"),
    );
    fs::create_dir_all(&vendor)?;
    fs::create_dir_all(local.join("strongswan.service.d"))?;
    fs::write(
        vendor.join("carp-master@.target"),
        source("carpd/carp-master@.target")?,
    )?;
    fs::write(
        vendor.join("strongswan.service"),
        "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
    )?;
    let wanted_by = |target: &str| local.join(format!("{target}.wants/strongswan.service"));
    shell.run("systemctl enable strongswan 2>&1")?;
    ensure!(
        wanted_by("multi-user.target").is_symlink(),
        "it starts at boot"
    );

    fs::write(
        local.join("strongswan.service.d/carp.conf"),
        example(PAGE, "unit")?,
    )?;
    as_shown(&shell, PAGE, "unit-moves")?;
    ensure!(
        wanted_by("carp-master@carp0.target").is_symlink(),
        "the target starts it"
    );
    ensure!(
        !wanted_by("multi-user.target").is_symlink(),
        "only the target starts it"
    );
    Ok(())
}

#[test]
fn carptop_examples_show_interfaces_and_problems() -> Result<()> {
    const PAGE: &str = "carptop.8";
    let pair = Pair::with_group("192.168.1.1/24")?;
    let (live, _) = typed_and_printed(&example(PAGE, "live")?);
    let arguments = live
        .trim_end()
        .strip_prefix("carptop ")
        .context("carptop")?;
    let terminal = Terminal::start(&pair.a, (100, 30), arguments)?;
    terminal.wait_for(&["carp0", "MASTER"], Duration::ZERO)?;

    let (wrong, _) = typed_and_printed(&example(PAGE, "wrong")?);
    let shell = Shell::new(&pair.a)?;
    let healthy = shell.run(&wrong)?;
    ensure!(!healthy.contains("carp0"), "{healthy}");
    pair.a.host().pull("eth0")?;
    wait_until("carptop shows the problem", MARGIN, || {
        let told = shell.run(&wrong)?;
        ensure!(
            told.contains("carp0") && told.contains("no carrier"),
            "{told}"
        );
        Ok(Some(()))
    })
}

#[test]
fn rc_conf_examples_make_a_firewall_and_its_backup() -> Result<()> {
    const PAGE: &str = "carpd.rc.conf.5";
    let lab = Lab::new()?;
    let a = lab.host("a", &[("lan", "192.168.1.4/24"), ("dmz", "192.168.2.4/24")])?;
    let b = lab.host("b", &[("lan", "192.168.1.5/24"), ("dmz", "192.168.2.5/24")])?;
    let sysctl = example(PAGE, "sysctl")?;
    let a = Carpd::start_configured(&a, &example(PAGE, "firewall")?, &sysctl)?;
    let b = Carpd::start_configured(&b, &example(PAGE, "backup")?, &sysctl)?;
    for interface in ["carp0", "carp1"] {
        a.wait_for_state(interface, "MASTER", master_down(1, 0))?;
        b.wait_for_counter(interface, "ipackets", 2)?;
        assert_eq!(b.state(interface)?, "BACKUP");
    }
    a.host().pull("eth1")?;
    for interface in ["carp0", "carp1"] {
        b.wait_for_state(interface, "MASTER", master_down(1, 100))?;
    }
    let addresses = b.host().addresses()?;
    ensure!(addresses.contains("192.168.1.2/32"), "{addresses}");
    Ok(())
}

#[test]
fn rc_conf_example_of_both_families_starts() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.0.2.2/24 2001:db8::2/64")])?;
    let carpd = Carpd::start_configured(&host, &example("carpd.rc.conf.5", "both-families")?, "")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 50))?;
    let shown = carpd.carpctl("carp0 --show-pass")?;
    for wanted in [
        "description: the office's way out",
        "inet 192.0.2.1 netmask 0xffffff00",
        "inet6 2001:db8::1 prefixlen 64",
        "advskew 50",
        "mekmitas digoat",
    ] {
        ensure!(shown.contains(wanted), "{wanted} in {shown}");
    }
    Ok(())
}
