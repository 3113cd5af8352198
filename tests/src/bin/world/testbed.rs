//! A recipe in network namespaces: the host with carpd, its twin with the virtual addresses as
//! own ones, the host that never had carpd, the other host of the pair, and the clients.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::{fs, process::Output};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Carpd, Host, Lab, Outcome, program};

use crate::recipe::{Kind, Recipe, Scope, Step};

/// Addresses of the other host of the pair.
pub(crate) const PEER: [&str; 2] = ["10.99.0.3/16", "2001:db8:99::3/64"];

/// Addresses of a client.
const CLIENT: [&str; 2] = ["10.99.0.100/16", "2001:db8:99::100/64"];

/// Words of lines about the other hosts than the pair, which show nothing.
const UNSEEN: [&str; 7] = [
    "twin",
    "plain",
    "tclient",
    "pclient",
    "conf.ref.",
    "add ref ",
    "set ref ",
];

/// All that runs.
pub(crate) struct Stage {
    /// carpd on the host.
    pub(crate) a: Carpd,
    /// carpd on the other one of the pair.
    pub(crate) b: Carpd,
    /// What `carpctl carp0 create` answered on the host.
    pub(crate) created: Outcome,
    /// The virtual addresses are its own ones.
    pub(crate) twin: Host,
    /// Has neither carpd nor the virtual addresses.
    pub(crate) plain: Host,
    /// Asks the pair.
    pub(crate) client: Host,
    /// Asks the twin.
    pub(crate) twins_client: Host,
    /// Asks the plain one.
    pub(crate) plain_client: Host,
    set: Set,
}

/// The namespaces, and everything that was typed.
struct Set {
    device: &'static str,
    typed: Mutex<String>,
    lab: Lab,
}

impl Set {
    /// Has a shell in a host do these lines; each may fail if it is `bold`.
    fn shell(&self, host: &Host, lines: &[String], bold: bool) -> Result<Output> {
        let mut script = if bold {
            String::new()
        } else {
            "set -e\n".to_owned()
        };
        for line in lines {
            writeln!(script, "{}", self.named(line))?;
        }
        let output = host.command("sh").args(["-c", &script]).output()?;
        ensure!(
            bold || output.status.success(),
            "{}: {script}{}",
            host.name(),
            String::from_utf8_lossy(&output.stderr)
        );
        self.record(host, lines);
        Ok(output)
    }

    /// `@a@` is the namespace of a.
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
        if is_unseen(host.name()) {
            return;
        }
        let mut typed = self.typing();
        for line in lines
            .iter()
            .filter(|line| !UNSEEN.iter().any(|word| line.contains(word)))
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

    fn typing(&self) -> MutexGuard<'_, String> {
        self.typed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, line: &str) {
        let _ = writeln!(self.typing(), "{line}");
    }

    fn host(&self, name: &str) -> Result<Host> {
        let host = self.lab.host(name, &[])?;
        if !is_unseen(name) {
            self.note(&format!("ip netns add {name}; ip -n {name} link set lo up"));
        }
        Ok(host)
    }

    /// A cable from a host to a segment; the MAC ends with `number`.
    fn cable(&self, host: &Host, segment: &str, number: u8) -> Result<()> {
        let name = host.name();
        let port = host.port("eth0");
        self.shell(
            self.lab.switch(),
            &[
                format!("ip link add {port} type veth peer name eth0 address 02:00:00:00:00:{number:02x} netns @{name}@"),
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

    /// What is between the cable and the carpdev.
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
                        format!("ip link add {tunnel} type vxlan id {number} dstport 4789 local 172.30.{number}.1 remote 172.30.{number}.2"),
                        format!("sysctl -qw net.ipv6.conf.{tunnel}.disable_ipv6=1"),
                        format!("ip link set {tunnel} master {segment} up"),
                    ],
                    false,
                )?;
                vec![
                    // The same on all three: the twin's own network differs from the others'.
                    format!("ip address add 172.30.{number}.2/24 dev eth0"),
                    format!(
                        "ip link add vx0 address {mac} type vxlan id {number} dstport 4789 local 172.30.{number}.2 remote 172.30.{number}.1"
                    ),
                ]
            }
        };
        if matches!(kind, Kind::Macvlan(_) | Kind::Macvtap) {
            // The device below is another host's, as that of a container: it answers for nobody.
            lines.push(
                "sysctl -qw net.ipv4.conf.eth0.arp_ignore=8 net.ipv6.conf.eth0.disable_ipv6=1"
                    .to_owned(),
            );
        }
        lines.extend(up(kind.device()));
        if kind == Kind::BridgeWithGuest {
            lines.push("ip link add vm0 address 02:00:00:00:00:20 type veth peer name vm1 address 02:00:00:00:00:21".to_owned());
            lines.push(
                "sysctl -qw net.ipv6.conf.vm0.disable_ipv6=1 net.ipv6.conf.vm1.disable_ipv6=1"
                    .to_owned(),
            );
            lines.push("ip link set vm0 master br0 up".to_owned());
            lines.push("ip link set vm1 arp off up".to_owned());
        }
        self.shell(host, &lines, false).map(drop)
    }

    /// The host, its twin or the plain one, as it is before anything of CARP.
    fn oddity(&self, name: &str, recipe: &Recipe, number: u8) -> Result<Host> {
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

    fn others(&self, name: &str, number: u8, addresses: &[&str]) -> Result<Host> {
        let host = self.host(name)?;
        self.shell(&host, &["sysctl -qw net.ipv4.ping_group_range='0 0' net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0".to_owned()], false)?;
        self.cable(&host, segment(&host), number)?;
        self.addresses(&host, "eth0", addresses)?;
        Ok(host)
    }

    /// Does a step to the host, its twin and the plain one at once; any line may fail. False
    /// if it failed on the host, and not on the plain one, or the other way round.
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
        // The status is the number of the lines for all that failed.
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

/// The line that adds an address to a device.
fn add(address: &str, device: &str) -> String {
    let nodad = if address.contains(':') { " nodad" } else { "" };
    format!("ip address add {address} dev {device}{nodad}")
}

/// The step that adds the addresses that the host gets once it is MASTER.
pub(crate) fn late(recipe: &Recipe) -> Option<Step> {
    let late = recipe.own.late.iter().map(|address| add(address, "DEV"));
    let late: Vec<String> = late.collect();
    let lines: Vec<&str> = late.iter().map(String::as_str).collect();
    (!lines.is_empty()).then(|| Step::new("own addresses added later", &lines, &[]))
}

/// Whether a recipe for a shell does without this host.
fn is_unseen(name: &str) -> bool {
    matches!(name, "twin" | "plain" | "tclient" | "pclient")
}

fn segment(host: &Host) -> &'static str {
    match host.name() {
        "twin" | "tclient" => "ref",
        "plain" | "pclient" => "plain",
        _ => "lan",
    }
}

impl Stage {
    /// Sets a recipe up, until the carp interface has been created on both hosts.
    pub(crate) fn new(recipe: &Recipe) -> Result<Self> {
        let set = Set {
            device: recipe.kind.device(),
            typed: Mutex::default(),
            lab: Lab::new()?,
        };
        set.note("ip netns add switch");
        let mut lines = vec!["sysctl -qew net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 net.bridge.bridge-nf-call-arptables=0 || true".to_owned()];
        for segment in ["lan", "ref", "plain"] {
            lines.push(format!(
                "ip link add {segment} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
            ));
            lines.push(format!("sysctl -qw net.ipv6.conf.{segment}.disable_ipv6=1"));
            lines.push(format!("ip link set {segment} up"));
        }
        set.shell(set.lab.switch(), &lines, false)?;
        let a = set.oddity("a", recipe, 1)?;
        let twin = set.oddity("twin", recipe, 2)?;
        let plain = set.oddity("plain", recipe, 3)?;
        // From the start, as its own ones: some may be refused.
        let virtuals = recipe.virtuals.addresses.iter();
        let virtuals: Vec<String> = virtuals.map(|each| add(each, set.device)).collect();
        set.shell(&twin, &virtuals, true)?;
        let b = set.others("b", 3, &PEER)?;
        let client = set.others("client", 100, &CLIENT)?;
        let twins_client = set.others("tclient", 100, &CLIENT)?;
        let plain_client = set.others("pclient", 100, &CLIENT)?;
        for step in &recipe.before {
            set.step([&a, &twin, &plain], step)?;
        }
        let a = if recipe.frozen {
            Carpd::start_program(&a, frozen(&set.lab)?, &["--bus", "none"])?
        } else {
            Carpd::start(&a)?
        };
        let b = Carpd::start(&b)?;
        for (host, way) in [
            (
                "a",
                if recipe.frozen {
                    "sh -c 'mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys; exec carpd \"$@\"' sh"
                } else {
                    "carpd"
                },
            ),
            ("b", "carpd"),
        ] {
            set.note(&format!("mkdir -p /tmp/{host}/etc; ip netns exec {host} {way} --bus none --config-dir /tmp/{host}/etc --run-dir /tmp/{host}/run &"));
        }
        set.note("sleep 1");
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
        let stage = Self {
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
            set,
        };
        let created = stage.carpctl(&stage.a, &addresses(recipe.kind.device(), 0))?;
        let other = stage.carpctl(&stage.b, &addresses("eth0", 100))?;
        ensure!(other.code == 0, "b: {}", other.stderr);
        Ok(Self { created, ..stage })
    }

    /// Runs carpctl on a host, whatever comes of it, and writes down what was typed.
    pub(crate) fn carpctl(&self, carpd: &Carpd, line: &str) -> Result<Outcome> {
        let outcome = carpd.try_carpctl(line)?;
        let host = carpd.host().name();
        self.set.note(&format!("ip netns exec {host} env CARPD_BUS_ADDRESS=unix:path=/tmp/{host}/run/bus carpctl {line}"));
        Ok(outcome)
    }

    /// Does a step. False if the kernel refused it because carpd is there.
    pub(crate) fn step(&self, step: &Step) -> Result<bool> {
        self.set
            .step([self.a.host(), &self.twin, &self.plain], step)
    }

    /// Gives the twin the virtual addresses that it does not have.
    pub(crate) fn equip(&self, recipe: &Recipe) -> Result<()> {
        let lines: Vec<String> = recipe
            .virtuals
            .addresses
            .iter()
            .map(|address| add(address, self.set.device))
            .collect();
        self.set.shell(&self.twin, &lines, true)?;
        // Else the kernel lets the answers of a proxy wait for up to a second.
        let line =
            "sysctl -qew net.ipv4.neigh.carp0.proxy_delay=0 net.ipv6.neigh.carp0.proxy_delay=0";
        self.a.host().output(line).map(drop)
    }

    /// The name of the switch's port that the host's frames come from.
    pub(crate) fn port(&self, recipe: &Recipe) -> String {
        let interface = if recipe.kind == Kind::Vxlan {
            "vx0"
        } else {
            "eth0"
        };
        self.a.host().port(interface)
    }

    /// The switch.
    pub(crate) fn switch(&self) -> &Host {
        self.set.lab.switch()
    }

    /// The name of the carpdev.
    pub(crate) const fn device(&self) -> &'static str {
        self.set.device
    }

    /// Everything that was typed, for another shell.
    pub(crate) fn typed(&self) -> String {
        self.set.typing().clone()
    }
}

/// A program that becomes a carpd that cannot write to /proc/sys.
fn frozen(lab: &Lab) -> Result<PathBuf> {
    let path = lab.path("frozen");
    let carpd = program("carpd")?;
    let script = format!(
        "#!/bin/sh\nset -e\nmount --bind /proc/sys /proc/sys\nmount -o remount,ro,bind /proc/sys\nexec {} \"$@\"\n",
        carpd.display()
    );
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}
