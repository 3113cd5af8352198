//! The log at each level, its fields in the journal, and no passwords in it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Bus, Carpd, Lab, MARGIN, master_down, program, receive, wait_until};

/// Returns a CARP packet from 192.168.1.9 that is no valid advertisement: its TTL is 254.
fn bad_packet() -> Vec<u8> {
    let mut frame = vec![0x01, 0x00, 0x5e, 0x00, 0x00, 0x12, 2, 0, 0, 0, 0, 9, 8, 0];
    frame.extend([0x45, 0x10, 0, 56, 0, 0, 0x40, 0, 254, 112, 0xda, 0x81]);
    frame.extend([192, 168, 1, 9, 224, 0, 0, 18]);
    frame.extend([0; 36]);
    frame
}

/// Returns how often `text` is in carpd's log.
fn count(carpd: &Carpd, text: &str) -> Result<usize> {
    Ok(carpd.log()?.matches(text).count())
}

#[test]
fn log_levels_are_those_of_the_manual() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let carpd = Carpd::start(&host)?;
    let receives = |frames: usize| {
        let before = packets(&carpd)?;
        lab.switch()
            .inject(&host.port("eth0"), &vec![bad_packet(); frames])?;
        wait_until("the packets are counted", MARGIN, || {
            Ok((packets(&carpd)? >= before + frames).then_some(()))
        })
    };
    carpd.carpctl("carp0 create")?;
    carpd.carpctl("carp0 vhid 1 192.168.1.1/24")?;

    // Above 1: changes of state.
    carpd.carpctl("sysctl net.inet.carp.log=2")?;
    carpd.carpctl("carp0 state master")?;
    carpd.wait_for_log("INFO carp0: BACKUP -> MASTER (user requested via ifconfig)\n")?;
    // 0: nothing.
    carpd.carpctl("sysctl net.inet.carp.log=0")?;
    carpd.carpctl("carp0 state backup")?;
    receives(3)?;
    // 1, the default: bad packets, few of many, and no changes of state.
    carpd.carpctl("sysctl net.inet.carp.log=1")?;
    carpd.carpctl("carp0 state master")?;
    receives(500)?;
    let line =
        "WARN eth0: bad packet from 192.168.1.9: TTL 254 instead of 255: forwarded by a router";
    carpd.wait_for_log(line)?;
    assert_eq!(count(&carpd, line)?, 1, "{}", carpd.log()?);
    wait_until(
        "it is logged again, with the number held back",
        Duration::from_secs(11) + MARGIN,
        || {
            receives(1)?;
            Ok((count(&carpd, line)? == 2).then_some(()))
        },
    )?;
    let log = carpd.log()?;
    let second = log.lines().filter(|text| text.contains(line)).nth(1);
    let held_back = second
        .and_then(|text| text.split_once(" ("))
        .and_then(|(_, rest)| rest.split_once(" more held back)"))
        .context("no number")?;
    ensure!(held_back.0.parse::<u32>()? >= 499, "{log}");
    assert_eq!(count(&carpd, " -> ")?, 1, "{log}");
    Ok(())
}

fn packets(carpd: &Carpd) -> Result<usize> {
    let counters: serde_json::Value = serde_json::from_str(&carpd.carpctl("netstat --json")?)?;
    let count = counters.get("ipackets").and_then(serde_json::Value::as_u64);
    Ok(usize::try_from(count.context("no ipackets")?)?)
}

#[test]
fn no_password_is_ever_logged() -> Result<()> {
    let lab = Lab::new()?;
    let bus = Bus::start(&lab)?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let mut carpd = Carpd::start_with(&host, &["--bus", bus.address(), "--log-level", "trace"])?;
    let secrets = ["gibbiceps-one", "gibbiceps-two", "gibbiceps-three"];
    carpd.carpctl("carp0 create")?;
    carpd.carpctl(&format!("carp0 vhid 1 pass {} 192.168.1.1/24", secrets[0]))?;
    carpd.carpctl(&format!("carp0 pass {}", secrets[1]))?;
    let refused = carpd.try_carpctl(&format!("carp0 vhid 300 pass {}", secrets[2]))?;
    assert_ne!(refused.code, 0);
    let shown = carpd.carpctl("carp0 --show-pass")?;
    ensure!(shown.contains(secrets[1]), "{shown}");
    // The same over the bus, as an array of bytes and as a word.
    let mut busctl = host.command("busctl");
    busctl.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address()).args([
        "--system",
        "call",
        "org.carpd1",
        "/org/carpd1/interface/carp0",
        "org.carpd1.Interface",
        "SetPassword",
        "ay",
        "3",
        "203",
        "204",
        "205",
    ]);
    ensure!(busctl.status()?.success());
    carpd.carpctl("save")?;
    carpd.carpctl("reload")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    ensure!(carpd.stop()?.success());

    let log = carpd.log()?;
    ensure!(log.contains("carp0: BACKUP -> MASTER"), "{log}");
    for secret in secrets {
        ensure!(!log.contains(secret), "the log contains {secret}");
        let bytes = format!("{:?}", secret.as_bytes());
        let bytes = bytes.trim_matches(['[', ']']);
        ensure!(!log.contains(bytes), "the log contains {bytes}");
        let hexadecimal: String = secret
            .bytes()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect();
        ensure!(
            !log.contains(&hexadecimal),
            "the log contains {hexadecimal}"
        );
    }
    ensure!(!log.contains("203, 204, 205"), "the log contains the bytes");
    Ok(())
}

#[test]
fn journal_has_the_facts_as_fields() -> Result<()> {
    let lab = Lab::new()?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let journal = lab.path("journal");
    fs::create_dir(&journal)?;
    let journald = UnixDatagram::bind(journal.join("socket"))?;
    // A /run of its own, and a standard error as the journal would set it up.
    let (log, run) = (lab.path("stderr"), lab.path("run"));
    let stream = fs::metadata(fs::File::create(&log).map(|_| &log)?)?;
    let line = format!(
        "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
         mount --bind {} /run/systemd/journal && \
         exec {} --bus none --config-dir {} --run-dir {} 2>{}",
        journal.display(),
        program("carpd")?.display(),
        lab.path("etc").display(),
        run.display(),
        log.display()
    );
    let mut command = host.command("sh");
    command.args(["-c", &line]);
    command.env(
        "JOURNAL_STREAM",
        format!("{}:{}", stream.dev(), stream.ino()),
    );
    let mut process = host.spawn("carpd", command)?;
    let entry = |wanted: &str| -> Result<String> {
        loop {
            let entry = receive(&journald, Duration::from_secs(10))?;
            if entry.contains(wanted) {
                return Ok(entry);
            }
        }
    };
    entry("MESSAGE=carpd ").context("carpd is ready")?;
    for words in [
        &["sysctl", "net.inet.carp.log=2"][..],
        &["carp0", "create"],
        &["carp0", "vhid", "7", "192.168.1.1/24"],
    ] {
        let mut carpctl = host.command(program("carpctl")?);
        carpctl.env(
            "CARPD_BUS_ADDRESS",
            format!("unix:path={}/bus", run.display()),
        );
        ensure!(carpctl.args(words).output()?.status.success());
    }
    assert_eq!(
        entry("CARP_TO=BACKUP")?,
        "SYSLOG_IDENTIFIER=carpd\nPRIORITY=6\n\
         MESSAGE=carp0: INIT -> BACKUP (initialization complete)\n\
         CARP_EVENT=transition\nCARP_INTERFACE=carp0\nCARP_VHID=7\nCARP_DEVICE=eth0\n\
         CARP_FROM=INIT\nCARP_TO=BACKUP\nCARP_REASON=became-runnable\n"
    );
    ensure!(process.terminate(Duration::from_secs(10))?.success());
    assert_eq!(fs::read_to_string(&log)?, "", "standard error stays empty");
    Ok(())
}
