//! Hooks as scripts in a directory. The tests need root, as hooks do.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::time::Instant;

use carp_proto::{DeviceName, Reason, StateName, UnixTime, Vhid};
use tempfile::TempDir;

use super::*;

/// Directory for hooks, beside the file that they write to.
struct Bench {
    directory: TempDir,
    hooks: Hooks,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("hooks.d")).unwrap();
        let hooks = Hooks::new(
            directory.path().join("hooks.d"),
            Path::new("/run/carpd/bus"),
        );
        Self { directory, hooks }
    }

    /// Writes a hook that appends the output of `line` to the file.
    fn hook(&self, name: &str, line: &str) -> PathBuf {
        let path = self.directory.path().join("hooks.d").join(name);
        let out = self.directory.path().join("out");
        let script = format!("#!/bin/sh\nexec >>{}\n{line}\n", out.display());
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn written(&self) -> String {
        fs::read_to_string(self.directory.path().join("out")).unwrap_or_default()
    }

    fn faults(&self) -> Vec<String> {
        let (_, faults) = directory::programs(&self.directory.path().join("hooks.d"));
        faults.into_iter().collect()
    }
}

fn transition(unit: u16, seconds: u64) -> Transition {
    Transition {
        unit: Unit::try_from(unit).unwrap(),
        vhid: Vhid::try_from(7).ok(),
        device: DeviceName::new("eth0"),
        at: UnixTime::from_micros(seconds * 1_000_000 + 42),
        from: StateName::Backup,
        to: StateName::Master,
        reason: Reason::MasterTimedOut,
        peer: None,
    }
}

#[tokio::test]
async fn hook_has_the_facts_in_its_environment() {
    let bench = Bench::new();
    bench.hook(
        "facts",
        "env | grep -E '^(CARP|PATH)' | sort; cat; echo \"$0\" | sed 's,.*/,,'",
    );
    bench.hooks.run(&transition(3, 1_767_225_603));
    bench.hooks.finish().await;
    assert_eq!(
        bench.written(),
        "CARPD_BUS_ADDRESS=unix:path=/run/carpd/bus\nCARP_DEVICE=eth0\nCARP_FROM=BACKUP\n\
         CARP_INTERFACE=carp3\nCARP_PEER=\nCARP_REASON=master-timed-out\n\
         CARP_TIME=1767225603.000042\nCARP_TO=MASTER\nCARP_VHID=7\n\
         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nfacts\n"
    );
}

#[tokio::test]
async fn hooks_of_one_interface_run_in_order_and_none_is_lost() {
    let bench = Bench::new();
    bench.hook(
        "10-first",
        "sleep 0.02; echo \"$CARP_INTERFACE $CARP_TIME 10\"",
    );
    bench.hook("20-second", "echo \"$CARP_INTERFACE $CARP_TIME 20\"");
    for time in 1..=5 {
        for unit in 0..3 {
            bench.hooks.run(&transition(unit, time));
        }
    }
    bench.hooks.finish().await;
    let written = bench.written();
    for unit in 0..3 {
        let name = format!("carp{unit} ");
        let lines: Vec<&str> = written
            .lines()
            .filter(|line| line.starts_with(&name))
            .collect();
        let expected: Vec<String> = (1..=5)
            .flat_map(|time| [10, 20].map(|hook| format!("{name}{time}.000042 {hook}")))
            .collect();
        assert_eq!(lines, expected);
    }
}

#[tokio::test]
async fn hanging_hook_is_killed_and_delays_its_own_interface_only() {
    let bench = Bench::new();
    let started = Instant::now();
    bench.hook(
        "hang",
        "if [ $CARP_INTERFACE = carp0 ]; then sleep 600 & echo $!; wait; fi; echo $CARP_INTERFACE",
    );
    bench.hooks.run(&transition(0, 1));
    bench.hooks.run(&transition(1, 2));
    let child = loop {
        let written = bench.written();
        if written.contains("carp1\n") && written.lines().count() == 2 {
            break written.lines().find_map(|line| line.parse::<u32>().ok());
        }
        assert!(
            started.elapsed() < RUN_TIMEOUT,
            "carp1 waits for carp0: {written:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    bench.hooks.finish().await;
    assert!(started.elapsed() >= RUN_TIMEOUT && started.elapsed() < STOP_TIMEOUT);
    assert!(!bench.written().contains("carp0"), "{:?}", bench.written());
    // The kernel kills it in its own time, and no parent reaps it: it can stay a zombie.
    let stat = || fs::read_to_string(format!("/proc/{}/stat", child.unwrap())).unwrap_or_default();
    let gone = |stat: &str| stat.is_empty() || stat.contains(") Z ");
    while !gone(&stat()) {
        assert!(started.elapsed() < STOP_TIMEOUT, "{}", stat());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn process_left_running_does_not_delay_the_next_hook() {
    let bench = Bench::new();
    bench.hook("daemon", "echo began; exec >&2; sleep 3 &");
    let started = Instant::now();
    bench.hooks.run(&transition(0, 1));
    bench.hooks.finish().await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(bench.written(), "began\n");
}

#[tokio::test]
async fn file_that_other_users_can_change_is_not_run() {
    let bench = Bench::new();
    let plain = bench.hook("plain", "echo plain");
    fs::set_permissions(plain, fs::Permissions::from_mode(0o644)).unwrap();
    bench.hook("good", "echo good");
    bench.hook("good.bak", "echo backup");
    let writable = bench.hook("writable", "echo writable");
    fs::set_permissions(writable, fs::Permissions::from_mode(0o775)).unwrap();
    chown(bench.hook("theirs", "echo theirs"), Some(1000), None).unwrap();
    bench.hooks.run(&transition(0, 1));
    bench.hooks.finish().await;
    assert_eq!(bench.written(), "good\n");
    let faults = bench.faults();
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[0].ends_with(
        "good.bak is not run as a hook: \
         it has a name with characters other than letters, digits, '-' and '_'"
    ));
    assert!(faults[1].ends_with("theirs is not run as a hook: it is not owned by root"));
    assert!(faults[2].contains("can be written by users other"));

    fs::set_permissions(
        bench.directory.path().join("hooks.d"),
        fs::Permissions::from_mode(0o777),
    )
    .unwrap();
    bench.hooks.run(&transition(0, 2));
    bench.hooks.finish().await;
    assert_eq!(bench.written(), "good\n", "nothing runs from there");
    assert!(bench.faults()[0].starts_with("no hook is run from"));
}

#[tokio::test]
async fn absent_directory_has_no_hooks() {
    let hooks = Hooks::new("/nowhere".into(), Path::new("/run/carpd/bus"));
    hooks.run(&transition(0, 1));
    hooks.finish().await;
    assert_eq!(
        directory::programs(Path::new("/nowhere")),
        Default::default()
    );
}
