//! carpd's privileges after the start, and the secrecy of its memory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Bus, Carpd, Host, Lab, MARGIN, master_down, wait_until};

/// Bits 12 and 13: `CAP_NET_ADMIN` and `CAP_NET_RAW`.
const NETWORK: u64 = 1 << 12 | 1 << 13;

/// `CAP_SYS_NICE`.
const SCHEDULER: u64 = 1 << 23;

/// `SCHED_OTHER` and `SCHED_FIFO`.
const OTHER: u32 = 0;
const FIFO: u32 = 1;

/// carpd on one host.
struct Site {
    host: Host,
    carpd: Carpd,
    _lab: Lab,
}

impl Site {
    fn with(arguments: &[&str]) -> Result<Self> {
        let lab = Lab::new()?;
        let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
        let carpd = Carpd::start_with(&host, &[&["--bus", "none"], arguments].concat())?;
        // The socket exists before all threads do.
        carpd.wait_for_log(" is ready on ")?;
        Ok(Self {
            host,
            carpd,
            _lab: lab,
        })
    }

    /// Returns every thread of carpd: its directory in /proc, and its name.
    fn threads(&self) -> Result<Vec<(PathBuf, String)>> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.carpd.id()))?;
        tasks
            .map(|task| {
                let path = task?.path();
                let name = fs::read_to_string(path.join("comm"))?;
                Ok((path, name.trim().to_owned()))
            })
            .collect()
    }

    /// Asserts that every thread has these capabilities in every set that can have some.
    fn may_do(&self, wanted: u64) -> Result<()> {
        let threads = self.threads()?;
        let names: Vec<&str> = threads.iter().map(|(_, name)| name.as_str()).collect();
        ensure!(
            ["protocol", "kernel", "log"]
                .iter()
                .all(|name| names.contains(name)),
            "{names:?}"
        );
        for (path, name) in &threads {
            let status = fs::read_to_string(path.join("status"))?;
            let set =
                |field| -> Result<u64> { Ok(u64::from_str_radix(value(&status, field)?, 16)?) };
            for field in ["CapEff", "CapPrm", "CapBnd"] {
                assert_eq!(set(field)?, wanted, "{field} of {name}");
            }
            for field in ["CapInh", "CapAmb"] {
                assert_eq!(set(field)?, 0, "{field} of {name}");
            }
            assert_eq!(value(&status, "NoNewPrivs")?, "1", "{name}");
            assert_eq!(value(&status, "Umask")?, "0077", "{name}");
        }
        Ok(())
    }
}

fn value<'a>(status: &'a str, field: &str) -> Result<&'a str> {
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(name, _)| *name == field).context("no field")?;
    Ok(value.trim())
}

#[test]
fn every_thread_keeps_only_the_network_capabilities() -> Result<()> {
    let site = Site::with(&[])?;
    // Saving starts one more thread, for work that waits for a disk.
    site.carpd.carpctl("carp0 create")?;
    site.carpd.carpctl("save")?;
    site.may_do(NETWORK)?;
    let limits = fs::read_to_string(format!("/proc/{}/limits", site.carpd.id()))?;
    let cores = limits.lines().find(|line| line.starts_with("Max core"));
    let soft = cores.and_then(|line| line.split_whitespace().nth(4));
    assert_eq!(soft, Some("0"), "{limits}");
    Ok(())
}

#[test]
fn memory_is_closed_to_processes_without_sys_ptrace() -> Result<()> {
    let site = Site::with(&[])?;
    // Root with no more than carpd's privileges. A process that can dump core would be readable.
    let peer = "setpriv --bounding-set=-all,+net_admin,+net_raw";
    let mut sleeper = site.host.command("setpriv");
    sleeper.args(["--bounding-set=-all,+net_admin,+net_raw", "sleep", "600"]);
    let sleeper = site.host.spawn("sleep", sleeper)?;
    let look = |id: u32| site.host.output(&format!("{peer} cat /proc/{id}/environ"));
    wait_until("sleep sleeps", MARGIN, || {
        Ok(look(sleeper.id())?.status.success().then_some(()))
    })?;
    let refused = look(site.carpd.id())?;
    let text = String::from_utf8_lossy(&refused.stderr);
    ensure!(text.contains("Permission denied"), "{text}");
    Ok(())
}

#[test]
fn realtime_raises_protocol_threads_and_locks_memory() -> Result<()> {
    let site = Site::with(&["--realtime=7"])?;
    site.may_do(NETWORK | SCHEDULER)?;
    for (path, name) in site.threads()? {
        let stat = fs::read_to_string(path.join("stat"))?;
        let (_, fields) = stat.rsplit_once(") ").context("a name")?;
        // proc_pid_stat(5): rt_priority is the 40th field, and the third is the first here.
        let field = |number: usize| fields.split(' ').nth(number - 3).context("a field");
        let found: (u32, u32) = (field(41)?.parse()?, field(40)?.parse()?);
        let expected = match name.as_str() {
            "protocol" | "kernel" => (FIFO, 7),
            _ => (OTHER, 0),
        };
        assert_eq!(found, expected, "{name}");
    }
    // All memory, if the limit on it could be raised; else none, and the log says so.
    let status = fs::read_to_string(format!("/proc/{}/status", site.carpd.id()))?;
    let locked = !value(&status, "VmLck")?.starts_with("0 ");
    let limits = fs::read_to_string(format!("/proc/{}/limits", site.carpd.id()))?;
    let limit = limits
        .lines()
        .find(|line| line.starts_with("Max locked memory"))
        .context("no limit")?;
    assert_eq!(locked, limit.contains("unlimited"), "{limit}\n{status}");
    let log = site.carpd.log()?;
    assert_eq!(locked, !log.contains("WARN memory is not locked"), "{log}");
    // It works as ever.
    site.carpd.carpctl("carp0 create")?;
    site.carpd.carpctl("carp0 vhid 1 192.168.1.1/24")?;
    site.carpd
        .wait_for_state("carp0", "MASTER", master_down(1, 0))
}

/// Returns those of `secrets` that are in the memory of process `id`. grep(1) reads tens of
/// megabytes faster than a program built for debugging.
fn found_in_memory(lab: &Lab, id: u32, secrets: &[&str]) -> Result<BTreeSet<String>> {
    let maps = fs::read_to_string(format!("/proc/{id}/maps"))?;
    let memory = File::open(format!("/proc/{id}/mem"))?;
    let path = lab.path("memory");
    let mut copy = File::create(&path)?;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (range, _) = line.split_once(' ').context("a mapping")?;
        let (start, end) = range.split_once('-').context("a range")?;
        let (start, end) = (
            u64::from_str_radix(start, 16)?,
            u64::from_str_radix(end, 16)?,
        );
        let mut bytes = vec![0; usize::try_from(end - start)?];
        // A mapping may have gone meanwhile, or may not be readable.
        if memory.read_exact_at(&mut bytes, start).is_ok() {
            copy.write_all(&bytes)?;
        }
    }
    let mut grep = Command::new("grep");
    grep.args(["--text", "--only-matching", "--fixed-strings"]);
    for secret in secrets {
        grep.arg(format!("--regexp={secret}"));
    }
    let output = grep.arg(&path).output()?;
    ensure!(output.status.code() <= Some(1), "grep failed");
    let lines = String::from_utf8(output.stdout)?;
    Ok(lines.lines().map(str::to_owned).collect())
}

#[test]
fn no_password_stays_in_memory_after_its_interface() -> Result<()> {
    let lab = Lab::new()?;
    let bus = Bus::start(&lab)?;
    let host = lab.host("a", &[("lan", "192.168.1.2/24")])?;
    let carpd = Carpd::start_on(&host, bus.address())?;
    // Passwords from every source: the socket, the bus, a file, and the saved configuration.
    let secrets = [
        "gibbiceps-socket",
        "gibbiceps-accept",
        "gibbiceps-bus-bytes",
        "gibbiceps-file",
        "gibbiceps-changed",
    ];
    let file = lab.path("password");
    fs::write(&file, format!("{}\n", secrets[3]))?;
    carpd.carpctl("carp0 create")?;
    carpd.carpctl(&format!(
        "carp0 vhid 1 pass {} accept_pass {} 192.168.1.1/24",
        secrets[0], secrets[1]
    ))?;
    carpd.carpctl("carp1 create")?;
    let bytes: Vec<String> = secrets[2].bytes().map(|byte| byte.to_string()).collect();
    host.run(&format!(
        "busctl --address={} call org.carpd1 /org/carpd1/interface/carp1 org.carpd1.Interface \
         SetPassword ay {} {}",
        bus.address(),
        bytes.len(),
        bytes.join(" ")
    ))?;
    let rc_conf = format!(
        "cloned_interfaces=\"carp0 carp1 carp2\"\n\
         ifconfig_carp0=\"vhid 1 pass {} accept_pass {} 192.168.1.1/24\"\n\
         ifconfig_carp1=\"pass {}\"\nifconfig_carp2=\"passfile {}\"\n",
        secrets[0],
        secrets[1],
        secrets[2],
        file.display()
    );
    fs::write(carpd.config("rc.conf"), rc_conf)?;
    carpd.carpctl("reload")?;
    carpd.wait_for_state("carp0", "MASTER", master_down(1, 0))?;
    carpd.carpctl(&format!("carp2 pass {}", secrets[4]))?;
    let there = found_in_memory(&lab, carpd.id(), &secrets)?;
    for secret in [secrets[0], secrets[1], secrets[2], secrets[4]] {
        ensure!(
            there.contains(secret),
            "{secret} is in use, and is not found: {there:?}"
        );
    }
    carpd.carpctl("save")?;
    let shown = carpd.carpctl("carp0 --show-pass")?;
    ensure!(shown.contains(secrets[0]), "{shown}");
    for interface in ["carp0", "carp1", "carp2"] {
        carpd.carpctl(&format!("{interface} destroy"))?;
    }
    // A connection's buffer keeps the last message: that of the socket ends with its client,
    // that of the bus has to be overwritten.
    let long = "x".repeat(1000);
    let refused = host.output(&format!(
        "busctl --address={} call org.carpd1 /org/carpd1 org.carpd1.Manager GetInterface s {long}",
        bus.address(),
    ))?;
    ensure!(!refused.status.success());
    wait_until("no password is left", MARGIN, || {
        let left = found_in_memory(&lab, carpd.id(), &secrets)?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })
}
