//! A recipe in network namespaces: the host with carpd, its twin with the virtual addresses as its
//! own, the plain host that never had carpd, the peer, and the clients.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::{fs, process::Output};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Carpd, Host, Lab, Outcome, program};

use crate::recipe::{Kind, Recipe, Scope, Step};

/// Addresses of the peer.
pub(crate) const PEER: [&str; 2] = ["10.99.0.3/16", "2001:db8:99::3/64"];

/// Addresses of a client.
const CLIENT: [&str; 2] = ["10.99.0.100/16", "2001:db8:99::100/64"];

/// Words of lines about hosts other than the pair, which are not recorded.
const HIDDEN_WORDS: [&str; 7] = [
    "twin",
    "plain",
    "tclient",
    "pclient",
    "conf.ref.",
    "add ref ",
    "set ref ",
];

/// All hosts and programs.
pub(crate) struct Testbed {
    /// carpd on the host.
    pub(crate) a: Carpd,
    /// carpd on the peer.
    pub(crate) b: Carpd,
    /// Output of `carpctl carp0 create` on the host.
    pub(crate) created: Outcome,
    /// Host with the virtual addresses as its own.
    pub(crate) twin: Host,
    /// Host with neither carpd nor the virtual addresses.
    pub(crate) plain: Host,
    /// Client of the pair.
    pub(crate) client: Host,
    /// Client of the twin.
    pub(crate) twins_client: Host,
    /// Client of the plain host.
    pub(crate) plain_client: Host,
    network: Network,
}

/// The namespaces, and the commands so far.
struct Network {
    device: &'static str,
    typed: Mutex<String>,
    lab: Lab,
}

impl Network {
    /// Runs these lines in a shell on a host; each may fail if `may_fail`.
    fn shell(&self, host: &Host, lines: &[String], may_fail: bool) -> Result<Output> {
        let mut script = if may_fail {
            String::new()
        } else {
            "set -e\n".to_owned()
        };
        for line in lines {
            writeln!(script, "{}", self.named(line))?;
        }
        let output = host.command("sh").args(["-c", &script]).output()?;
        ensure!(
            may_fail || output.status.success(),
            "{}: {script}{}",
            host.name(),
            String::from_utf8_lossy(&output.stderr)
        );
        self.record(host, lines);
        Ok(output)
    }

    /// Replaces `@a@` by the namespace of a.
    fn named(&self, line: &str) -> String {
        let mut parts = line.split('@');
        let mut whole = parts.next().unwrap_or_default().to_owned();
        while let Some(name) = parts.next() {
            whole.push_str(self.lab.id());
            whole.push_str(name);
            whole.push_str(parts.next().unwrap_or_default());
        }
        whole
    }

    fn record(&self, host: &Host, lines: &[String]) {
        if is_hidden(host.name()) {
            return;
        }
        let mut typed = self.lock_typed();
        for line in lines
            .iter()
            .filter(|line| !HIDDEN_WORDS.iter().any(|word| line.contains(word)))
        {
            let line = line.replace('@', "");
            let quoted = if line.contains(['\'', ';', '|', '{', '<', '>']) {
                format!("sh -c '{}'", line.replace('\'', r"'\''"))
            } else {
                line
            };
            let _ = writeln!(typed, "ip netns exec {} {quoted}", host.name());
        }
    }

    fn lock_typed(&self) -> MutexGuard<'_, String> {
        self.typed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, line: &str) {
        let _ = writeln!(self.lock_typed(), "{line}");
    }

    fn host(&self, name: &str) -> Result<Host> {
        let host = self.lab.host(name, &[])?;
        if !is_hidden(name) {
            self.note(&format!("ip netns add {name}; ip -n {name} link set lo up"));
        }
        Ok(host)
    }

    /// Connects a host to a segment by a cable; the MAC ends with `number`.
    fn cable(&self, host: &Host, segment: &str, number: u8) -> Result<()> {
        let name = host.name();
        let port = host.port("eth0");
        self.shell(
            self.lab.switch(),
            &[
                format!(
                    "ip link add {port} type veth peer name eth0 address \
                     02:00:00:00:00:{number:02x} netns @{name}@"
                ),
                format!("sysctl -qw net.ipv6.conf.{port}.disable_ipv6=1"),
                format!("ip link set {port} master {segment} up"),
            ],
            false,
        )?;
        self.shell(
            host,
            &[
                "sysctl -qw net.ipv6.conf.eth0.accept_dad=0".to_owned(),
                "ip link set eth0 up".to_owned(),
            ],
            false,
        )?;
        Ok(())
    }

    fn addresses(&self, host: &Host, device: &str, addresses: &[&str]) -> Result<()> {
        let lines: Vec<String> = addresses
            .iter()
            .map(|address| add(address, device))
            .collect();
        self.shell(host, &lines, false).map(drop)
    }

    /// Makes the devices between the cable and the carpdev.
    fn carpdev(&self, host: &Host, kind: Kind, number: u8) -> Result<()> {
        let mac = "02:00:00:00:00:10";
        let up = |device: &str| {
            vec![
                format!("sysctl -qw net.ipv6.conf.{device}.accept_dad=0"),
                format!("ip link set {device} up"),
            ]
        };
        let mut lines: Vec<String> = match kind {
            Kind::Veth => return Ok(()),
            Kind::Bridge | Kind::BridgeWithGuest => vec![
                format!(
                    "ip link add br0 address {mac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
                ),
                "ip link set eth0 master br0".to_owned(),
            ],
            Kind::Macvlan(mode) => vec![format!(
                "ip link add link eth0 name mv0 address {mac} type macvlan mode {mode}"
            )],
            Kind::Macvtap => vec![format!(
                "ip link add link eth0 name mv0 address {mac} type macvtap mode bridge"
            )],
            Kind::Vxlan => {
                let port = host.port("eth0");
                let tunnel = host.port("vx0");
                let segment = segment(host);
                self.shell(
                    self.lab.switch(),
                    &[
                        format!("ip link set {port} nomaster"),
                        format!("ip address add 172.30.{number}.1/24 dev {port}"),
                        format!(
                            "ip link add {tunnel} type vxlan id {number} dstport 4789 local \
                             172.30.{number}.1 remote 172.30.{number}.2"
                        ),
                        format!("sysctl -qw net.ipv6.conf.{tunnel}.disable_ipv6=1"),
                        format!("ip link set {tunnel} master {segment} up"),
                    ],
                    false,
                )?;
                vec![
                    // The same on all three: the twin's own network differs from the others'.
                    format!("ip address add 172.30.{number}.2/24 dev eth0"),
                    format!(
                        "ip link add vx0 address {mac} type vxlan id {number} dstport 4789 local \
                             172.30.{number}.2 remote 172.30.{number}.1"
                    ),
                ]
            }
        };
        if matches!(kind, Kind::Macvlan(_) | Kind::Macvtap) {
            // The device below belongs to another host, as that of a container: it answers for no
            // address.
            lines.push(
                "sysctl -qw net.ipv4.conf.eth0.arp_ignore=8 net.ipv6.conf.eth0.disable_ipv6=1"
                    .to_owned(),
            );
        }
        lines.extend(up(kind.device()));
        if kind == Kind::BridgeWithGuest {
            lines.push(
                "ip link add vm0 address 02:00:00:00:00:20 type veth peer name vm1 address \
                 02:00:00:00:00:21"
                    .to_owned(),
            );
            lines.push(
                "sysctl -qw net.ipv6.conf.vm0.disable_ipv6=1 net.ipv6.conf.vm1.disable_ipv6=1"
                    .to_owned(),
            );
            lines.push("ip link set vm0 master br0 up".to_owned());
            lines.push("ip link set vm1 arp off up".to_owned());
        }
        self.shell(host, &lines, false).map(drop)
    }

    /// Makes the host, its twin or the plain one, as it is before CARP.
    fn host_to_compare(&self, name: &str, recipe: &Recipe, number: u8) -> Result<Host> {
        let host = self.host(name)?;
        self.shell(
            &host,
            &["sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0".to_owned()],
            false,
        )?;
        self.cable(&host, segment(&host), 1)?;
        self.carpdev(&host, recipe.kind, number)?;
        self.addresses(&host, self.device, recipe.own.early)?;
        self.addresses(&host, "lo", recipe.own.loopback)?;
        Ok(host)
    }

    fn plain_host(&self, name: &str, number: u8, addresses: &[&str]) -> Result<Host> {
        let host = self.host(name)?;
        self.shell(
            &host,
            &[
                "sysctl -qw net.ipv4.ping_group_range='0 0' net.ipv4.icmp_ratelimit=0 \
             net.ipv6.icmp.ratelimit=0"
                    .to_owned(),
            ],
            false,
        )?;
        self.cable(&host, segment(&host), number)?;
        self.addresses(&host, "eth0", addresses)?;
        Ok(host)
    }

    /// Runs a step on the host, its twin and the plain one at once; any line may fail. Returns
    /// false if it failed on the host, and not on the plain one, or the other way round.
    fn step(&self, hosts: [&Host; 3], step: &Step) -> Result<bool> {
        let [a, twin, plain] = hosts;
        let of = |host: &Host| -> Vec<String> {
            let lines = step.lines.iter().filter(|(scope, _)| {
                *scope == Scope::All || *scope == Scope::Carp && host.name() == "a"
            });
            lines
                .map(|(_, line)| line.replace("DEV", self.device))
                .collect()
        };
        let ports = step
            .lines
            .iter()
            .filter(|(scope, _)| *scope == Scope::Switch);
        for (_, line) in ports {
            let lines = [a, twin, plain].map(|host| line.replace("PORT", &host.port("eth0")));
            self.shell(self.lab.switch(), &lines, true)?;
        }
        // The exit status is the number of failed lines for all hosts.
        let on = |host: &Host| -> Result<Option<i32>> {
            let mut script = "failed=0\n".to_owned();
            for (scope, line) in &step.lines {
                let line = self.named(&line.replace("DEV", self.device));
                match scope {
                    Scope::All => writeln!(script, "{{ {line}; }} || failed=$((failed + 1))")?,
                    Scope::Carp if host.name() == "a" => writeln!(script, "{line}")?,
                    Scope::Carp | Scope::Switch => {}
                }
            }
            script.push_str("exit $failed");
            Ok(host
                .command("sh")
                .args(["-c", &script])
                .output()?
                .status
                .code())
        };
        let same = thread::scope(|scope| -> Result<bool> {
            let all = [a, twin, plain].map(|host| scope.spawn(move || on(host)));
            let mut statuses = Vec::new();
            for one in all {
                statuses.push(one.join().ok().context("a thread panicked")??);
            }
            Ok(statuses.first() == statuses.last())
        })?;
        self.record(a, &of(a));
        Ok(same)
    }
}

/// Returns the line that adds an address to a device.
fn add(address: &str, device: &str) -> String {
    let nodad = if address.contains(':') { " nodad" } else { "" };
    format!("ip address add {address} dev {device}{nodad}")
}

/// Returns the step that adds the addresses that the host gets once it is MASTER.
pub(crate) fn late(recipe: &Recipe) -> Option<Step> {
    let late = recipe.own.late.iter().map(|address| add(address, "DEV"));
    let late: Vec<String> = late.collect();
    let lines: Vec<&str> = late.iter().map(String::as_str).collect();
    (!lines.is_empty()).then(|| Step::new("own addresses added later", &lines, &[]))
}

/// Returns whether the printed commands leave out this host.
fn is_hidden(name: &str) -> bool {
    matches!(name, "twin" | "plain" | "tclient" | "pclient")
}

fn segment(host: &Host) -> &'static str {
    match host.name() {
        "twin" | "tclient" => "ref",
        "plain" | "pclient" => "plain",
        _ => "lan",
    }
}

impl Testbed {
    /// Sets a recipe up, until the carp interface has been created on both hosts.
    pub(crate) fn new(recipe: &Recipe) -> Result<Self> {
        let network = Network {
            device: recipe.kind.device(),
            typed: Mutex::default(),
            lab: Lab::new()?,
        };
        network.note("ip netns add switch");
        let mut lines = vec![
            "sysctl -qew net.bridge.bridge-nf-call-iptables=0 \
             net.bridge.bridge-nf-call-ip6tables=0 net.bridge.bridge-nf-call-arptables=0 || true"
                .to_owned(),
        ];
        for segment in ["lan", "ref", "plain"] {
            lines.push(format!(
                "ip link add {segment} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
            ));
            lines.push(format!("sysctl -qw net.ipv6.conf.{segment}.disable_ipv6=1"));
            lines.push(format!("ip link set {segment} up"));
        }
        network.shell(network.lab.switch(), &lines, false)?;
        let a = network.host_to_compare("a", recipe, 1)?;
        let twin = network.host_to_compare("twin", recipe, 2)?;
        let plain = network.host_to_compare("plain", recipe, 3)?;
        // From the start, as its own: the kernel may refuse some.
        let virtuals = recipe.virtuals.addresses.iter();
        let virtuals: Vec<String> = virtuals.map(|each| add(each, network.device)).collect();
        network.shell(&twin, &virtuals, true)?;
        let b = network.plain_host("b", 3, &PEER)?;
        let client = network.plain_host("client", 100, &CLIENT)?;
        let twins_client = network.plain_host("tclient", 100, &CLIENT)?;
        let plain_client = network.plain_host("pclient", 100, &CLIENT)?;
        for step in &recipe.before {
            network.step([&a, &twin, &plain], step)?;
        }
        let a = if recipe.read_only {
            Carpd::start_program(&a, read_only(&network.lab)?, &["--bus", "none"])?
        } else {
            Carpd::start(&a)?
        };
        let b = Carpd::start(&b)?;
        for (host, way) in [
            (
                "a",
                if recipe.read_only {
                    "sh -c 'mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys; \
                         exec carpd \"$@\"' sh"
                } else {
                    "carpd"
                },
            ),
            ("b", "carpd"),
        ] {
            network.note(&format!(
                "mkdir -p /tmp/{host}/etc; ip netns exec {host} {way} --bus none \
                 --config-dir /tmp/{host}/etc --run-dir /tmp/{host}/run &"
            ));
        }
        network.note("sleep 1");
        let addresses = |device: &str, skew: u8| {
            let list: Vec<String> = recipe
                .virtuals
                .addresses
                .iter()
                .map(|address| {
                    if address.contains(':') {
                        format!("inet6 {address}")
                    } else {
                        format!("inet {address}")
                    }
                })
                .collect();
            let parent = if recipe.parent { " lladdr parent" } else { "" };
            format!(
                "carp0 create carpdev {device} vhid 1 advskew {skew}{parent} pass x {}",
                list.join(" ")
            )
        };
        let testbed = Self {
            created: Outcome {
                code: 0,
                stdout: String::new(),
                stderr: String::new(),
            },
            a,
            b,
            twin,
            plain,
            client,
            twins_client,
            plain_client,
            network,
        };
        let created = testbed.carpctl(&testbed.a, &addresses(recipe.kind.device(), 0))?;
        let other = testbed.carpctl(&testbed.b, &addresses("eth0", 100))?;
        ensure!(other.code == 0, "b: {}", other.stderr);
        Ok(Self { created, ..testbed })
    }

    /// Runs carpctl on a host and records the command, whatever its result.
    pub(crate) fn carpctl(&self, carpd: &Carpd, line: &str) -> Result<Outcome> {
        let outcome = carpd.try_carpctl(line)?;
        let host = carpd.host().name();
        self.network.note(&format!(
            "ip netns exec {host} env \
             CARPD_BUS_ADDRESS=unix:path=/tmp/{host}/run/bus carpctl {line}"
        ));
        Ok(outcome)
    }

    /// Runs a step. Returns false if the kernel refused it because of carpd.
    pub(crate) fn step(&self, step: &Step) -> Result<bool> {
        self.network
            .step([self.a.host(), &self.twin, &self.plain], step)
    }

    /// Gives the twin the virtual addresses that it has lost.
    pub(crate) fn restore_twin(&self, recipe: &Recipe) -> Result<()> {
        let lines: Vec<String> = recipe
            .virtuals
            .addresses
            .iter()
            .map(|address| add(address, self.network.device))
            .collect();
        self.network.shell(&self.twin, &lines, true)?;
        // Otherwise the kernel delays the answers of a proxy for up to a second.
        let line =
            "sysctl -qew net.ipv4.neigh.carp0.proxy_delay=0 net.ipv6.neigh.carp0.proxy_delay=0";
        self.a.host().output(line).map(drop)
    }

    /// Returns the name of the switch's port at which the host's frames arrive.
    pub(crate) fn port(&self, recipe: &Recipe) -> String {
        let interface = if recipe.kind == Kind::Vxlan {
            "vx0"
        } else {
            "eth0"
        };
        self.a.host().port(interface)
    }

    /// Returns the switch.
    pub(crate) fn switch(&self) -> &Host {
        self.network.lab.switch()
    }

    /// Returns the name of the carpdev.
    pub(crate) const fn device(&self) -> &'static str {
        self.network.device
    }

    /// Returns the commands, for another shell.
    pub(crate) fn typed(&self) -> String {
        self.network.lock_typed().clone()
    }
}

/// Returns a program that runs carpd with a read-only /proc/sys.
fn read_only(lab: &Lab) -> Result<PathBuf> {
    let path = lab.path("read_only");
    let carpd = program("carpd")?;
    let script = format!(
        "#!/bin/sh\nset -e\nmount --bind /proc/sys /proc/sys\nmount -o remount,ro,bind /proc/sys\nexec {} \"$@\"\n",
        carpd.display()
    );
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}
