//! README.md: every command line in it runs, and its statements about other programs are true.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use carp_tests::{
    Bus, Carpd, Host, Keepalived, Lab, MARGIN, Shell, Terminal, Ucarp, master_down, program,
    source, wait_until,
};

/// Command lines that other tests run: the line without comment and blanks, the file of the test,
/// and the part of the line that it has.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "make deb && sudo apt install ./target/debian/carpd_*.deb",
        "packages.rs",
        "apt-get install --yes /tmp/carpd.deb",
    ),
    // There is no Fedora here: the test inspects the files of the package.
    (
        "make rpm && sudo dnf install ./target/generate-rpm/carpd-*.rpm",
        "packages.rs",
        "rpm2cpio",
    ),
    (
        "make release && sudo make install",
        "install.rs",
        "make(\"install\"",
    ),
];

/// Returns the blocks of code: the comment before each, if any, and its lines.
fn blocks() -> Result<Vec<(Option<String>, String)>> {
    let text = source("README.md")?;
    let mut blocks: Vec<(Option<String>, String)> = Vec::new();
    let (mut comment, mut inside) = (None, false);
    for line in text.lines() {
        let code = line.strip_prefix("    ");
        match (code, inside) {
            (Some(code), true) => {
                let (_, text) = blocks.last_mut().context("a block")?;
                text.push_str(code);
                text.push('\n');
            }
            (Some(code), false) => blocks.push((comment.take(), format!("{code}\n"))),
            (None, _) if line.is_empty() => {}
            (None, _) => {
                let inner = line
                    .strip_prefix("<!-- ")
                    .and_then(|rest| rest.strip_suffix(" -->"));
                comment = inner.map(str::to_owned);
            }
        }
        inside = code.is_some();
    }
    Ok(blocks)
}

/// Returns the block after this comment.
fn block(comment: &str) -> Result<String> {
    let found = blocks()?
        .into_iter()
        .find(|(mark, _)| mark.as_deref() == Some(comment));
    Ok(found.with_context(|| comment.to_owned())?.1)
}

fn example(name: &str) -> Result<String> {
    block(&format!("example: {name}"))
}

/// Starts a shell as root, beside a carpd that systemd would have started.
fn shell(carpd: &Carpd) -> Result<Shell<'_>> {
    let shell = Shell::new(carpd)?;
    shell.stand_in("sudo", "exec \"$@\"")?;
    shell.stand_in("systemctl", "[ \"$*\" = 'enable --now carpd' ]")?;
    Ok(shell)
}

fn host(lab: &Lab, name: &str, number: u8) -> Result<Host> {
    lab.host(name, &[("lan", &format!("192.0.2.{number}/24"))])
}

#[test]
fn every_block_of_commands_is_run() -> Result<()> {
    let own = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readme.rs"))?;
    let mut seen = BTreeSet::new();
    let mut elsewhere = 0;
    for (mark, text) in blocks()? {
        let Some(mark) = mark else {
            for word in [
                "sudo ", "make ", "carpctl ", "carpd ", "apt ", "dnf ", "busctl ",
            ] {
                ensure!(!text.contains(word), "no test runs this:\n{text}");
            }
            continue;
        };
        ensure!(seen.insert(mark.clone()), "{mark}: twice in README");
        let Some(name) = mark.strip_prefix("example: ") else {
            ensure!(own.contains(&format!("block(\"{mark}\")")), "{mark}");
            continue;
        };
        if own.contains(&format!("example(\"{name}\")")) {
            continue;
        }
        for line in text.lines() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            let known = ELSEWHERE.iter().find(|(known, ..)| *known == line);
            let (_, file, proof) = known.with_context(|| format!("no test runs: {line}"))?;
            let tests = source(&format!("tests/tests/{file}"))?;
            ensure!(tests.contains(proof), "{file} does not run: {line}");
            elsewhere += 1;
        }
    }
    assert_eq!(
        elsewhere,
        ELSEWHERE.len(),
        "README has every line of ELSEWHERE"
    );
    Ok(())
}

#[test]
fn first_pair_is_a_master_and_a_backup() -> Result<()> {
    let lab = Lab::new()?;
    let carpds = [
        Carpd::start(&host(&lab, "a", 2)?)?,
        Carpd::start(&host(&lab, "b", 3)?)?,
    ];
    let [a, b] = &carpds;
    shell(a)?.run(&example("start")?)?;
    let first = example("first")?;
    shell(a)?.run(&first)?;
    a.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    // As README says.
    let second = first.replace(" pass ", " advskew 100 pass ");
    ensure!(second != first, "{first}");
    shell(b)?.run(&second)?;
    b.wait_for_counter("carp0", "ipackets", 2)?;
    assert_eq!(b.state("carp0")?, "BACKUP");
    // README shows a tab as eight blanks.
    let shown = block("printed by: carpctl carp0")?.replace("        ", "\t");
    assert_eq!(a.carpctl("carp0")?, shown);

    shell(a)?.run(&example("save")?)?;
    let saved = fs::read_to_string(a.config("rc.conf"))?;
    ensure!(saved.contains("vhid 1 pass mekmitasdigoat"), "{saved}");

    // B takes over.
    a.host().pull("eth0")?;
    b.wait_for_state("carp0", "MASTER", master_down(1, 100))
}

#[test]
fn commands_to_watch_show_the_interface() -> Result<()> {
    let lab = Lab::new()?;
    let carpd = Carpd::start(&host(&lab, "a", 2)?)?;
    let shell = shell(&carpd)?;
    shell.run(&example("first")?)?;
    for line in example("look")?.lines() {
        let line = line.strip_prefix("sudo ").context("as root")?;
        if line == "carptop" {
            let terminal = Terminal::start(&carpd, (100, 30), "")?;
            terminal.wait_for(&["carp0"], Duration::ZERO)?;
        } else if line.ends_with("monitor") {
            let mut monitor = carpd
                .host()
                .spawn("monitor", shell.command(&format!("exec {line}"))?)?;
            wait_until("monitor prints a transition", MARGIN, || {
                carpd.carpctl("carp0 state backup")?;
                carpd.carpctl("carp0 state master")?;
                monitor.check_alive()?;
                Ok(monitor.log()?.contains("BACKUP -> MASTER").then_some(()))
            })?;
        } else {
            ensure!(!shell.run(line)?.is_empty(), "{line} prints nothing");
        }
    }
    Ok(())
}

#[test]
fn bus_examples_read_and_change_a_state() -> Result<()> {
    let lab = Lab::new()?;
    let bus = Bus::start(&lab)?;
    let carpd = Carpd::start_on(&host(&lab, "a", 2)?, bus.address())?;
    carpd.wait_for_log("org.carpd1 is on ")?;
    carpd.carpctl("carp0 create vhid 1 192.0.2.1/24")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    let lines = example("bus")?;
    let [get, set, monitor] = lines.lines().collect::<Vec<_>>()[..] else {
        bail!("three lines: {lines}");
    };
    let shell = shell(&carpd)?;
    let on_bus = |line: &str| -> Result<Command> {
        let mut command = shell.command(&format!("exec {line}"))?;
        command.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
        Ok(command)
    };
    let output = on_bus(get)?.output()?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "s \"MASTER\"\n");
    let monitor = carpd.host().spawn("busctl", on_bus(monitor)?)?;
    monitor.wait_for_log("Monitoring bus message stream", Duration::from_secs(10))?;
    let output = on_bus(set)?.output()?;
    ensure!(output.status.success(), "{output:?}");
    carpd.wait_for_state("carp0", "BACKUP", Duration::ZERO)?;
    monitor.wait_for_log("Transitioned", Duration::from_secs(10))
}

#[test]
fn commands_to_try_are_those_that_ci_runs() -> Result<()> {
    let lines = example("try")?;
    let (clone, lines) = lines.split_once('\n').context("several lines")?;
    assert_eq!(clone, "git clone REPOSITORY carpd && cd carpd");
    let targets: Vec<&str> = lines
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(targets, ["demo", "test"]);
    let fresh = source("tests/fresh")?;
    ensure!(
        fresh.contains("commands=(\"make demo ARGS=--once\" \"make test\")"),
        "a fresh machine runs the same"
    );
    let makefile = source("Makefile")?;
    ensure!(
        makefile.contains("$(TARGET)/debug/demo $(ARGS)"),
        "{makefile}"
    );
    ensure!(
        source(".ci/run")?.ends_with("exec make test\n"),
        "CI runs make test"
    );
    let output = Command::new(program("demo")?).arg("--once").output()?;
    let shown = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{shown}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Starts keepalived on two hosts; the first is master.
fn keepaliveds(hosts: &[Host; 2]) -> Result<[Keepalived; 2]> {
    let addresses = ["192.168.1.1/24".to_owned()];
    let start = |host, priority| {
        let settings = format!("advert_int 1\n priority {priority}");
        Keepalived::start(host, 7, &settings, &addresses)
    };
    let mut master = start(&hosts[0], 250)?;
    master.wait_until_master()?;
    Ok([master, start(&hosts[1], 100)?])
}

fn has_the_address(host: &Host) -> Result<bool> {
    Ok(host.addresses()?.contains(" 192.168.1.1/24 "))
}

fn hosts(lab: &Lab) -> Result<[Host; 2]> {
    Ok([
        lab.host("a", &[("lan", "192.168.1.2/24")])?,
        lab.host("b", &[("lan", "192.168.1.3/24")])?,
    ])
}

#[test]
fn killed_carpd_leaves_one_address_and_the_others_two() -> Result<()> {
    let lab = Lab::new()?;
    let hosts = hosts(&lab)?;
    let [a, b] = &hosts;
    let both = || Ok((has_the_address(a)? && has_the_address(b)?).then_some(()));
    let bound = master_down(1, 100) + MARGIN * 2;

    let mut daemons = keepaliveds(&hosts)?;
    daemons[0].kill_all()?;
    wait_until("two hosts have keepalived's address", bound, both)?;
    drop(daemons);
    for host in &hosts {
        host.run("ip address flush dev eth0 to 192.168.1.1")?;
    }

    let ucarp = |host, skew, number| {
        let group = "--vhid=1 --pass=mekmitasdigoat";
        let options = format!("{group} --advskew={skew} --srcip=192.168.1.{number}");
        Ucarp::start(host, "192.168.1.1", &options)
    };
    let mut master = ucarp(a, 0, 2)?;
    master.wait_for("MASTER", 1, master_down(1, 0))?;
    let mut backup = ucarp(b, 100, 3)?;
    backup.wait_for("BACKUP", 1, master_down(1, 0))?;
    master.kill()?;
    wait_until("two hosts have ucarp's address", bound, both)?;
    backup.kill()?;
    for host in &hosts {
        host.run("ip address flush dev eth0 to 192.168.1.1")?;
    }

    let mut first = Carpd::start(a)?;
    first.carpctl("carp0 create vhid 1 192.168.1.1/24")?;
    first.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    let second = Carpd::start(b)?;
    second.carpctl("carp0 create vhid 1 advskew 100 192.168.1.1/24")?;
    second.wait_for_counter("carp0", "ipackets", 2)?;
    first.kill()?;
    second.wait_for_state("carp0", "MASTER", master_down(1, 100))?;
    ensure!(!has_the_address(a)?, "{}", a.addresses()?);
    Ok(())
}

#[test]
fn keepalived_behind_a_firewall_becomes_a_second_master() -> Result<()> {
    let lab = Lab::new()?;
    let hosts = hosts(&lab)?;
    for host in &hosts {
        let rules = host.file("rules", "nft");
        fs::write(
            &rules,
            "table inet f {\n chain c {\n type filter hook input priority 0\n \
             meta l4proto 112 drop\n }\n}\n",
        )?;
        host.run(&format!("nft -f {}", rules.display()))?;
    }
    let _daemons = keepaliveds(&hosts)?;
    wait_until(
        "two hosts have the address",
        master_down(1, 100) + MARGIN * 2,
        || Ok((has_the_address(&hosts[0])? && has_the_address(&hosts[1])?).then_some(())),
    )
}
