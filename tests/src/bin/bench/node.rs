//! A host that runs one of the daemons, each configured for the same groups.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Carpd, Host, Process};
use rustix::process::Signal;

use crate::addresses::{Group, Place};
use crate::engine::Engine;
use crate::testbed::Testbed;
use crate::usage;

/// Time that a daemon may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(30);

const PASSWORD: &str = "mekmitasdigoat";

/// Configuration of both hosts, except for the preference.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) groups: Vec<Group>,
    /// In seconds; 1 for every engine that cannot do less.
    pub(crate) advbase: u8,
    /// For carpd only: skew of each virtual host on both hosts, instead of 0 on A and 100 on B.
    pub(crate) advskew: Option<fn(Group) -> u8>,
    /// Further arguments of carpd.
    pub(crate) arguments: Vec<String>,
}

impl Plan {
    /// Returns groups that advertise once a second.
    pub(crate) fn of(groups: Vec<Group>) -> Self {
        Self {
            groups,
            advbase: 1,
            advskew: None,
            arguments: Vec::new(),
        }
    }

    /// Returns carpd's rc.conf.
    pub(crate) fn rc_conf(&self, place: Place) -> Result<String> {
        let names: Vec<String> = (0..self.groups.len()).map(|n| format!("carp{n}")).collect();
        let mut text = format!("cloned_interfaces=\"{}\"\n", names.join(" "));
        for (name, group) in names.iter().zip(&self.groups) {
            let skew = match (self.advskew, place) {
                (Some(skew), _) => skew(*group),
                (None, Place::A) => 0,
                (None, Place::B) => 100,
            };
            writeln!(
                text,
                "ifconfig_{name}=\"vhid {} advbase {} advskew {skew} pass {PASSWORD} {}/16\"",
                group.vhid,
                self.advbase,
                group.address()
            )?;
        }
        Ok(text)
    }

    fn keepalived_conf(&self, place: Place, vmac: bool) -> Result<String> {
        let (state, priority) = match place {
            Place::A => ("MASTER", 254),
            Place::B => ("BACKUP", 156),
        };
        let mut text = String::new();
        for Group { interface, vhid } in &self.groups {
            let address = Group {
                interface: *interface,
                vhid: *vhid,
            }
            .address();
            let vmac = if vmac {
                format!(" use_vmac v{interface}.{vhid}\n")
            } else {
                String::new()
            };
            writeln!(
                text,
                "vrrp_instance i{interface}_{vhid} {{\n state {state}\n interface eth{interface}\n{vmac} \
                 virtual_router_id {vhid}\n priority {priority}\n advert_int {}\n \
                 virtual_ipaddress {{\n  {address}/16\n }}\n}}",
                self.advbase
            )?;
        }
        Ok(text)
    }
}

/// The running daemons of one host: one, or with ucarp one for each virtual host. They are killed
/// when it is dropped.
#[derive(Debug)]
pub(crate) struct Node {
    daemons: Daemons,
}

#[derive(Debug)]
enum Daemons {
    Carpd(Box<Carpd>),
    Others(Vec<Process>),
}

impl Node {
    /// Starts `engine` on one host of the testbed.
    pub(crate) fn start(
        engine: Engine,
        testbed: &Testbed,
        place: Place,
        plan: &Plan,
    ) -> Result<Self> {
        let host = testbed.host(place);
        match engine {
            Engine::Carpd => {
                let arguments: Vec<&str> = plan.arguments.iter().map(String::as_str).collect();
                let carpd = Carpd::start_configured_with(
                    host,
                    &plan.rc_conf(place)?,
                    "net.inet.carp.preempt=1\n",
                    &[&["--bus", "none"], &arguments[..]].concat(),
                )?;
                Ok(Self {
                    daemons: Daemons::Carpd(Box::new(carpd)),
                })
            }
            Engine::Ucarp => {
                let scripts = [script(host, "add")?, script(host, "delete")?];
                let groups = plan.groups.iter();
                let started = groups.map(|group| ucarp(host, place, *group, plan, &scripts));
                Ok(Self::of(started.collect::<Result<_>>()?))
            }
            Engine::Keepalived | Engine::KeepalivedVmac => {
                let vmac = engine == Engine::KeepalivedVmac;
                let started = keepalived(host, &plan.keepalived_conf(place, vmac)?)?;
                Ok(Self::of(vec![started]))
            }
        }
    }

    fn of(processes: Vec<Process>) -> Self {
        Self {
            daemons: Daemons::Others(processes),
        }
    }

    /// Returns carpd, if it is the program.
    pub(crate) fn carpd(&self) -> Result<&Carpd> {
        match &self.daemons {
            Daemons::Carpd(carpd) => Ok(carpd),
            Daemons::Others(_) => anyhow::bail!("not carpd"),
        }
    }

    /// Returns all processes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        usage::family(&match &self.daemons {
            Daemons::Carpd(carpd) => vec![carpd.id()],
            Daemons::Others(processes) => processes.iter().map(Process::id).collect(),
        })
    }

    /// Waits until the start is over: until the processes do next to nothing for half a second, or
    /// about as much as in the half second before.
    pub(crate) fn wait_until_calm(&self) -> Result<()> {
        const MEASURED_TIME: Duration = Duration::from_millis(500);
        let end = Instant::now() + END_TIMEOUT;
        let mut before = usage::time(&self.processes());
        let mut usual = Duration::MAX;
        loop {
            thread::sleep(MEASURED_TIME);
            let after = usage::time(&self.processes());
            let used = after.saturating_sub(before);
            if used < MEASURED_TIME / 10
                || used.abs_diff(usual) < usual / 5 && used < MEASURED_TIME / 2
            {
                return Ok(());
            }
            ensure!(Instant::now() < end, "the daemon does not come to rest");
            (before, usual) = (after, used);
        }
    }

    /// Sends SIGTERM, without waiting for the end.
    pub(crate) fn ask_to_end(&mut self) -> Result<()> {
        match &mut self.daemons {
            Daemons::Carpd(carpd) => carpd.signal(Signal::TERM),
            Daemons::Others(processes) => processes
                .iter_mut()
                .try_for_each(|process| process.signal(Signal::TERM)),
        }
    }

    /// Returns whether any of its daemons is running.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        match &mut self.daemons {
            Daemons::Carpd(carpd) => Ok(!carpd.has_ended()?),
            Daemons::Others(processes) => {
                for process in processes {
                    if process.ended()?.is_none() {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Fails, with the daemon's output, if one has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match &mut self.daemons {
            Daemons::Carpd(carpd) => carpd.check_alive(),
            Daemons::Others(processes) => processes.iter_mut().try_for_each(Process::check_alive),
        }
    }

    /// Waits for the end after [`Node::ask_to_end`].
    pub(crate) fn wait_for_end(&mut self) -> Result<()> {
        match &mut self.daemons {
            Daemons::Carpd(carpd) => carpd.stop().map(drop),
            Daemons::Others(processes) => processes
                .iter_mut()
                .try_for_each(|process| process.wait_for_end(END_TIMEOUT).map(drop)),
        }
    }

    /// Returns the number of bytes in its log.
    pub(crate) fn logged(&self) -> Result<usize> {
        match &self.daemons {
            Daemons::Carpd(carpd) => Ok(carpd.log()?.len()),
            Daemons::Others(processes) => processes
                .iter()
                .try_fold(0, |sum, process| Ok(sum + process.log()?.len())),
        }
    }
}

fn ucarp(
    host: &Host,
    place: Place,
    group: Group,
    plan: &Plan,
    [up, down]: &[PathBuf; 2],
) -> Result<Process> {
    let skew = match place {
        Place::A => 0,
        Place::B => 100,
    };
    let mut command = host.command("ucarp");
    command.args(["--shutdown", "--preempt"]);
    command.arg(format!("--interface=eth{}", group.interface));
    command.arg(format!("--srcip={}", place.address(group.interface)));
    command.arg(format!("--vhid={}", group.vhid));
    command.arg(format!("--pass={PASSWORD}"));
    command.arg(format!("--addr={}", group.address()));
    command.arg(format!("--advbase={}", plan.advbase));
    command.arg(format!("--advskew={skew}"));
    command.arg("--upscript").arg(up);
    command.arg("--downscript").arg(down);
    host.spawn("ucarp", command)
}

/// Writes a script for ucarp, as its documentation shows: interface and address are its arguments.
fn script(host: &Host, verb: &str) -> Result<PathBuf> {
    let path = host.file(verb, "sh");
    let text = format!("#!/bin/sh\nexec ip address {verb} \"$2\"/16 dev \"$1\"\n");
    fs::write(&path, text)?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    Ok(path)
}

fn keepalived(host: &Host, configuration: &str) -> Result<Process> {
    let file = host.file("keepalived", "conf");
    fs::write(&file, configuration)?;
    let mut command = host.command("keepalived");
    command.args(["--dont-fork", "--log-console", "--vrrp", "--use-file"]);
    command.arg(&file);
    command.arg("--pid").arg(host.file("keepalived", "pid"));
    command.arg("--vrrp_pid").arg(host.file("vrrp", "pid"));
    let process = host.spawn("keepalived", command);
    process.context("is keepalived installed?")
}
