//! A lab: one switch and any number of hosts, each a network namespace, removed when dropped.

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
/// The switch is a namespace of its own with one bridge per segment: learning, without spanning
/// tree and without multicast snooping.
#[derive(Debug)]
pub struct Lab {
    id: String,
    switch: Host,
    hosts: AtomicU32,
    directory: TempDir,
}

impl Lab {
    /// An empty lab. Needs root; first removes what killed runs left behind.
    pub fn new() -> Result<Self> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        ensure!(
            rustix::process::geteuid().is_root(),
            "the lab needs root: it makes network namespaces (run it with sudo)"
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

    /// What the names of this lab's namespaces begin with.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The namespace that holds the bridges.
    #[must_use]
    pub fn switch(&self) -> &Host {
        &self.switch
    }

    /// A new host with cables: each `(segment, addresses)` becomes eth0, eth1, … of the host, with
    /// the addresses (`ADDRESS/LENGTH`, separated by blanks) on it. Segments appear when first
    /// named.
    ///
    /// The third host's second interface has the MAC 02:00:00:00:03:01.
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

    /// A path in the lab's own directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Lets users other than root at what is in the lab's directory, such as the socket of a bus.
    pub fn open_to_others(&self) -> Result<()> {
        let passable = Permissions::from_mode(0o711);
        fs::set_permissions(self.directory.path(), passable).context("the lab's directory")
    }

    /// Where logs, captures and run files of this lab are.
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
            // Where br_netfilter is loaded this switch would be a firewall, at its senders' cost.
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

    /// Lays the first cable of a host anew, without addresses, after its interface was deleted.
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
        // The hosts' own addresses are usable at once; those of carpd get no such help.
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
            eprintln!("cleaning up the lab: {error:#}");
        }
    }
}
