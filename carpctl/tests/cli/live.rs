//! Tests of commands that take time or end by a signal: `monitor`, `suppress`, closed pipes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::fake::{self, Fake};

#[test]
fn monitor_shows_kept_then_new_events_until_carpd_ends() {
    let fake = Fake::start();
    let mut monitor = fake
        .shell("exec carpctl monitor --since 1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(monitor.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert_eq!(
        lines.next().unwrap(),
        "2026-11-23 01:02:05.456 carp0: BACKUP -> MASTER (master timed out)"
    );
    fake.emit(fake::event(3, "MASTER -> INIT (carrier lost)"));
    assert_eq!(
        lines.next().unwrap(),
        "2026-11-23 01:02:06.456 carp0: MASTER -> INIT (carrier lost)"
    );
    drop(fake);
    assert_eq!(lines.next(), None);
    let output = monitor.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "carpctl: carpd has closed the connection\n"
    );
}

#[test]
fn monitor_writes_one_json_object_per_line() {
    let fake = Fake::start();
    let mut monitor = fake
        .shell("exec carpctl monitor --since all --json")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(monitor.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert_eq!(
        lines.next().unwrap(),
        "{\"number\":1,\"time\":1795395724456789,\"interface\":\"carp0\",\
         \"kind\":\"transition\",\"text\":\"carp0: INIT -> BACKUP (initialization complete)\",\
         \"details\":{}}"
    );
    assert!(lines.next().unwrap().starts_with("{\"number\":2,"));
    drop(fake);
    assert_eq!(monitor.wait().unwrap().code(), Some(3));
}

#[test]
fn monitor_ends_without_error_when_its_reader_closes() {
    let fake = Fake::start();
    let mut monitor = fake
        .shell("exec carpctl monitor --since 1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(monitor.stdout.take().unwrap());
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    // A process that another test is starting may hold a copy of the reader's end for a moment.
    let mut number = 3;
    while monitor.try_wait().unwrap().is_none() {
        fake.emit(fake::event(number, "MASTER -> INIT (carrier lost)"));
        number += 1;
        assert!(number < 1000, "monitor still runs without a reader");
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = monitor.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}

#[test]
fn closed_standard_output_is_no_failure() {
    let fake = Fake::start();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = fake
        .shell("exec carpctl -a")
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}

#[test]
fn suppression_ends_with_the_command_not_its_children() {
    let fake = Fake::start();
    let output = fake
        .shell("carpctl suppress --who me --why test -- sh -c 'sleep 60 >/dev/null 2>&1 & echo $!'")
        .output()
        .unwrap();
    let left_running = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    let suppressions = fake.suppressions();
    let killed = Command::new("kill")
        .arg(left_running.trim())
        .status()
        .unwrap();
    assert!(killed.success(), "sleep has already ended");
    assert_eq!(suppressions, 0);
}

#[test]
fn suppress_passes_a_signal_on_and_waits_for_the_command() {
    let fake = Fake::start();
    let script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.1; done";
    let mut suppress = fake
        .shell("exec carpctl suppress --who me --why test -- sh -c \"$SCRIPT\"")
        .env("SCRIPT", script)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(suppress.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!((line.as_str(), fake.suppressions()), ("ready\n", 1));
    let killed = Command::new("kill")
        .arg(suppress.id().to_string())
        .status()
        .unwrap();
    assert!(killed.success());
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "caught\n");
    assert_eq!(suppress.wait().unwrap().code(), Some(5));
    assert_eq!(fake.suppressions(), 0);
}
