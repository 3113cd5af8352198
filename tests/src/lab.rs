//! Lab: a switch and any number of hosts, each a network namespace, removed when dropped.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::host::Host;
use crate::sweep::{PREFIX, sweep, sweep_leftovers};

/// Hosts on Ethernet segments.
///
/// The switch is a namespace with a bridge per segment. The bridges learn MAC addresses and use
/// neither spanning tree nor multicast snooping.
#[derive(Debug)]
pub struct Lab {
    id: String,
    switch: Host,
    hosts: AtomicU32,
    directory: TempDir,
}

impl Lab {
    /// Creates an empty lab. Requires root. Removes the leftovers of killed tests first.
    pub fn new() -> Result<Self> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        ensure!(
            rustix::process::geteuid().is_root(),
            "the lab creates network namespaces and requires root: run it with sudo"
        );
        sweep_leftovers();
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let id = format!("{PREFIX}{}-{number}-", std::process::id());
        let directory = tempfile::Builder::new().prefix(&id).tempdir()?;
        let switch = Host::create(&id, "switch", directory.path(), None)?;
        Ok(Self {
            id,
            switch,
            hosts: AtomicU32::new(0),
            directory,
        })
    }

    /// Returns the prefix of the names of this lab's namespaces.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the namespace with the bridges.
    #[must_use]
    pub fn switch(&self) -> &Host {
        &self.switch
    }

    /// Creates a host with cables: each `(segment, addresses)` becomes eth0, eth1, … of the host
    /// with these addresses (`ADDRESS/LENGTH`, separated by blanks). Creates segments that do not
    /// exist.
    ///
    /// The second interface of the third host has the MAC address 02:00:00:00:03:01.
    pub fn host(&self, name: &str, cables: &[(&str, &str)]) -> Result<Host> {
        let number = self.hosts.fetch_add(1, Ordering::Relaxed) + 1;
        let host = Host::create(&self.id, name, self.directory.path(), Some(&self.switch))?;
        for (index, (segment, addresses)) in cables.iter().enumerate() {
            self.add_segment(segment)?;
            self.lay_cable(&host, segment, number, index)?;
            for address in addresses.split_whitespace() {
                host.run(&format!("ip address add {address} dev eth{index}"))?;
            }
        }
        Ok(host)
    }

    /// Returns a path in the directory of the lab.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Gives other users than root access to the directory of the lab, for the socket of a bus.
    pub fn open_to_others(&self) -> Result<()> {
        let searchable = Permissions::from_mode(0o711);
        fs::set_permissions(self.directory.path(), searchable).context("the lab's directory")
    }

    /// Returns the directory for logs, captures and run-time files of this lab.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn add_segment(&self, segment: &str) -> Result<()> {
        if self
            .switch
            .output(&format!("ip link show dev {segment}"))?
            .status
            .success()
        {
            return Ok(());
        }
        self.switch
            .run(&format!(
                "ip link add {segment} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
            ))
            .and_then(|_| {
                self.switch.run(&format!(
                    "sysctl -qw net.ipv6.conf.{segment}.disable_ipv6=1"
                ))
            })
            // With br_netfilter, this switch would pass frames to the firewall and delay them.
            .and_then(|_| {
                self.switch.run(
                    "sysctl -qew net.bridge.bridge-nf-call-iptables=0 \
                     net.bridge.bridge-nf-call-ip6tables=0 net.bridge.bridge-nf-call-arptables=0",
                )
            })
            .and_then(|_| self.switch.run(&format!("ip link set {segment} up")))
            .with_context(|| format!("segment {segment}"))
            .map(drop)
    }

    /// Lays the first cable of a host again, without addresses, after its interface was deleted.
    pub fn replace_cable(&self, host: &Host, segment: &str) -> Result<()> {
        self.lay_cable(host, segment, 0xff, 0)
    }

    fn lay_cable(&self, host: &Host, segment: &str, number: u32, index: usize) -> Result<()> {
        let interface = format!("eth{index}");
        let port = host.port(&interface);
        let mac = format!("02:00:00:00:{number:02x}:{index:02x}");
        self.switch.run(&format!(
            "ip link add {port} type veth peer name {interface} address {mac} netns {}",
            host.namespace()
        ))?;
        self.switch
            .run(&format!("sysctl -qw net.ipv6.conf.{port}.disable_ipv6=1"))?;
        self.switch
            .run(&format!("ip link set {port} master {segment} up"))?;
        // Addresses of the hosts are usable at once; addresses of carpd undergo DAD as usual.
        host.run(&format!(
            "sysctl -qw net.ipv6.conf.{interface}.accept_dad=0"
        ))?;
        host.run(&format!("ip link set {interface} up"))?;
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = sweep(&self.id) {
            eprintln!("lab: cannot clean up: {error:#}");
        }
    }
}
