//! Tests of carpctl run as `ifconfig` and `sysctl`: links in a directory that precedes the system's
//! programs in `PATH`. Here these programs are scripts that print their arguments.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::fake::Fake;

/// Program of the system that prints its name, each argument in brackets and its standard input,
/// and exits with 7.
const ECHO: &str = "#!/bin/sh\nprintf 'system %s' \"${0##*/}\"; printf ' [%s]' \"$@\"; echo\n\
                    echo to-stderr >&2\n[ -t 0 ] || cat\nexit 7\n";

/// ifconfig of the system with net-tools' output for carp0 and eth0.
const LIST: &str = "#!/bin/sh\nprintf 'carp0: flags=4163<UP>  mtu 1500\\n        inet \
                     192.0.2.1\\n\\neth0: flags=4163<UP>  mtu 1500\\n        ether 02::\\n\\n'\n\
                     exit $STATUS\n";

/// Host with a fake daemon, links to carpctl and programs of the system.
struct Host {
    fake: Fake,
    directory: tempfile::TempDir,
}

impl Host {
    fn new(ifconfig: &str, sysctl: &str) -> Self {
        let host = Self::without_programs();
        for (name, text) in [("ifconfig", ifconfig), ("sysctl", sysctl)] {
            let file = host.path("system").join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        }
        host
    }

    fn without_programs() -> Self {
        let host = Self {
            fake: Fake::start(),
            directory: tempfile::tempdir().unwrap(),
        };
        for directory in ["links", "more", "system"] {
            fs::create_dir(host.path(directory)).unwrap();
        }
        for (directory, name) in [
            ("links", "ifconfig"),
            ("links", "sysctl"),
            ("more", "sysctl"),
        ] {
            let link = host.path(directory).join(name);
            symlink(env!("CARGO_BIN_EXE_carpctl"), link).unwrap();
        }
        // carpctl must not run a directory.
        fs::create_dir(host.path("more").join("ifconfig")).unwrap();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns a line for `sh`, which finds the links before the system's programs.
    fn shell(&self, line: &str) -> Command {
        let directories = ["links", "more", "system"].map(|name| self.path(name));
        let path = std::env::join_paths(
            directories
                .iter()
                .map(PathBuf::as_path)
                .chain([Path::new("/bin"), Path::new("")]),
        );
        let mut command = self.fake.shell(line);
        command.env("PATH", path.unwrap());
        command
    }

    /// Runs a line with only the directories of this host in `PATH`.
    fn run_isolated(&self, line: &str) -> (String, String, i32) {
        let directories = ["links", "more", "system"].map(|name| self.path(name));
        let path = std::env::join_paths(directories).unwrap();
        let line = format!("PATH='{}'; {line}", path.to_str().unwrap());
        texts(&self.fake.shell(&line).output().unwrap())
    }

    fn run(&self, line: &str) -> (String, String, i32) {
        texts(&self.shell(line).output().unwrap())
    }
}

fn texts(output: &Output) -> (String, String, i32) {
    (
        String::from_utf8(output.stdout.clone()).unwrap(),
        String::from_utf8(output.stderr.clone()).unwrap(),
        output.status.code().unwrap(),
    )
}

#[test]
fn ifconfig_serves_carp_interfaces() {
    let host = Host::new(ECHO, ECHO);
    let (shown, errors, status) = host.run("ifconfig carp1");
    assert!(shown.starts_with("carp1: flags=8843<UP,"), "{shown}");
    assert!(shown.contains("\tcarp: BACKUP vhid 2 advbase 1 advskew 100\n"));
    assert_eq!((errors.as_str(), status), ("", 0));
    assert_eq!(host.run("ifconfig -v carp1").0, shown);

    assert_eq!(
        host.run("ifconfig carp create"),
        ("carp2\n".into(), String::new(), 0)
    );
    host.run("ifconfig carp1 vhid 7");
    assert_eq!(
        host.fake.take_calls(),
        ["CreateInterface carp2", "Configure carp1 Vhid=byte 0x07"]
    );
}

#[test]
fn errors_as_ifconfig_bear_its_name() {
    let host = Host::new(ECHO, ECHO);
    let refused = "ifconfig: vhid 0: must be a number from 1 to 255\n".to_owned();
    assert_eq!(
        host.run("ifconfig carp0 vhid 0"),
        (String::new(), refused, 2)
    );
    let (_, line, status) = host.run("CARPD_BUS_ADDRESS=unix:path=/nowhere ifconfig carp0");
    assert!(line.starts_with("ifconfig: carpd is not running"), "{line}");
    assert_eq!(status, 3);
}

#[test]
fn other_lines_go_to_the_system_with_streams_and_status() {
    let host = Host::new(ECHO, ECHO);
    for line in [
        "ifconfig eth0 'inet 192.0.2.9' netmask ''",
        "ifconfig -s",
        "ifconfig carpet0 up",
        "sysctl -w net.ipv4.ip_forward=1",
        "sysctl --system",
        "sysctl -p 'a file'",
        "sysctl",
    ] {
        let (name, _) = line.split_once(' ').unwrap_or((line, ""));
        let rest = Command::new("sh")
            .args(["-c", &format!("printf ' [%s]' {}", &line[name.len()..])])
            .output()
            .unwrap();
        let rest = String::from_utf8(rest.stdout).unwrap();
        let expected = format!("system {name}{rest}\ninput\n");
        assert_eq!(
            host.run(&format!("echo input | {line}")),
            (expected, "to-stderr\n".into(), 7),
            "{line}"
        );
    }
    // The process stays the same, so that waiting and signals work.
    let own = "#!/bin/sh\necho $$\n";
    let host = Host::new(own, own);
    let (pids, _, _) = host.run("sh -c 'echo $$; exec ifconfig eth0'");
    let pids: Vec<&str> = pids.lines().collect();
    assert_eq!(pids.first(), pids.last());
    assert_eq!(pids.len(), 2);
}

#[test]
fn list_of_all_shows_each_carp_interface_once_as_carpctl_does() {
    let host = Host::new(LIST, ECHO);
    for line in ["ifconfig", "ifconfig -a"] {
        let (shown, errors, status) = host.run(&format!("STATUS=0 {line}"));
        let theirs = "eth0: flags=4163<UP>  mtu 1500\n        ether 02::\n\n";
        let ours = shown
            .strip_prefix(theirs)
            .unwrap_or_else(|| panic!("{shown}"));
        assert_eq!(ours.matches("carp0: flags=8843<UP,").count(), 1, "{ours}");
        assert_eq!(ours.matches("carp1: flags=8843<UP,").count(), 1, "{ours}");
        assert_eq!((errors.as_str(), status), ("", 0), "{line}");
    }
    assert_eq!(host.run("STATUS=4 ifconfig -a").2, 4);

    // Without carpd there are no carp interfaces: the list is the system's.
    let host = Host::new(ECHO, ECHO);
    let alone = host.run("CARPD_BUS_ADDRESS=unix:path=/nowhere ifconfig -a </dev/null");
    assert_eq!(
        alone,
        ("system ifconfig [-a]\n".into(), "to-stderr\n".into(), 7)
    );
}

#[test]
fn sysctl_serves_net_inet_carp() {
    let host = Host::new(ECHO, ECHO);
    let preempt = "net.inet.carp.preempt";
    assert_eq!(
        host.run(&format!("sysctl {preempt}=1")).0,
        format!("{preempt}: 0 -> 1\n")
    );
    assert_eq!(host.run(&format!("sysctl -n {preempt}")).0, "1\n");
    assert_eq!(
        host.run("sysctl net/inet/carp/preempt").0,
        format!("{preempt}: 1\n")
    );
    assert_eq!(
        host.run("sysctl net.inet").0,
        host.run("sysctl net.inet.carp").0
    );
    // -q as Linux's sysctl(8) has it: values that were set are not printed.
    let silent = (String::new(), String::new(), 0);
    assert_eq!(host.run(&format!("sysctl -qw {preempt}=0")), silent);
    assert_eq!(
        host.run(&format!("sysctl --write --quiet {preempt}=1")),
        silent
    );
    assert_eq!(host.fake.take_calls().len(), 3);

    let unknown = "sysctl: unknown oid 'net.inet.carp.x'\n".to_owned();
    assert_eq!(
        host.run("sysctl net.inet.carp.x"),
        (String::new(), unknown, 1)
    );
}

#[test]
fn mixed_sysctl_line_is_split_in_its_order() {
    let host = Host::new(ECHO, ECHO);
    let (shown, _, status) = host.run(
        "sysctl -e net.inet.carp.preempt=1 net.ipv4.ip_forward vm.x=1 net.inet.carp.allow </dev/null",
    );
    assert_eq!(
        shown,
        "net.inet.carp.preempt=0 -> 1\nsystem sysctl [-e] [net.ipv4.ip_forward] [vm.x=1]\n\
         net.inet.carp.allow=1\n"
    );
    assert_eq!(status, 7);

    // A mistake in carpctl's part stops the whole line; a refusal stops only that name.
    let (shown, errors, status) = host.run("sysctl vm.x=1 net.inet.carp.preempt=yes </dev/null");
    let mistake = "sysctl: net.inet.carp.preempt: 'yes' must be a number\n";
    assert_eq!((shown.as_str(), errors.as_str(), status), ("", mistake, 2));
    let (shown, _, status) = host.run("sysctl net.inet.carp.x vm.x=1 </dev/null");
    assert_eq!((shown.as_str(), status), ("system sysctl [vm.x=1]\n", 1));
}

#[test]
fn sysctl_a_shows_the_systems_names_then_carpctls() {
    let host = Host::new(ECHO, ECHO);
    let (shown, _, status) = host.run("sysctl -an </dev/null");
    let (ours, _, _) = host.run("sysctl -n net.inet.carp");
    assert_eq!(shown, format!("system sysctl [-an]\n{ours}"));
    assert_eq!(status, 7);
    let (alone, errors, status) =
        host.run("CARPD_BUS_ADDRESS=unix:path=/nowhere sysctl -a </dev/null");
    assert_eq!(
        (alone.as_str(), errors.as_str(), status),
        ("system sysctl [-a]\n", "to-stderr\n", 7)
    );
}

#[test]
fn status_is_127_without_a_program_of_the_system() {
    let host = Host::without_programs();
    let line = |name| format!("{name}: no other {name} in PATH: carpctl itself serves only carp\n");
    let run = |line: &str| host.run_isolated(line);
    assert_eq!(run("ifconfig eth0"), (String::new(), line("ifconfig"), 127));
    assert_eq!(
        run("sysctl vm.swappiness"),
        (String::new(), line("sysctl"), 127)
    );
    let (shown, errors, status) = run("ifconfig -a");
    assert!(shown.starts_with("carp0: "), "{shown}");
    assert_eq!((errors, status), (line("ifconfig"), 127));
    assert_eq!(run("sysctl net.inet.carp.preempt").2, 0);
}

#[test]
fn copies_of_carpctl_do_not_run_each_other() {
    let host = Host::without_programs();
    for directory in ["links", "system"] {
        let copy = host.path(directory).join("ifconfig");
        let _ = fs::remove_file(&copy);
        fs::copy(env!("CARGO_BIN_EXE_carpctl"), copy).unwrap();
    }
    let (shown, errors, status) = host.run_isolated("ifconfig eth0");
    assert_eq!((shown.as_str(), status), ("", 127));
    assert!(
        errors.starts_with("ifconfig: PATH has two copies of carpctl"),
        "{errors}"
    );
}
