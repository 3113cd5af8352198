//! Handovers to a peer that reacts within a tenth of a millisecond, behind a switch that learns. No
//! frame from the virtual MAC may follow the frame that makes the peer take over, or the switch
//! sends clients to the host that has left, until the new master's next advertisement.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use carp_proto::{Advskew, Change, Key, StateName, Vhid, VirtualAddress};
use carp_tests::{
    Capture, Carpd, Frame, Host, Lab, MARGIN, Ping, QuickPeer, VIRTUAL_MAC, master_down,
};

const IPV4: &str = "192.168.1.1/24";
const IPV6: &str = "2001:db8:1::1/64";

/// Handovers of each kind.
const HANDOVERS: u32 = 50;

/// Interval of the client's requests.
const REQUEST_INTERVAL: Duration = Duration::from_millis(5);

/// Longest gap without a wrong port. A switch that has learned a wrong port sends clients astray
/// for an interval; a busy machine delays an answer for less than half of it.
const MAX_GAP: Duration = Duration::from_millis(500);

/// RFC 3810, sections 7.2 and 9.1: a change of listeners is reported twice, within a second each.
const REPORT_PERIOD: Duration = Duration::from_secs(2);

/// The frame that makes the peer take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// carpd's bow-out.
    BowOut,
    /// carpd's first advertisement, before it has the addresses: the peer preempts.
    EarlyPreemption,
    /// carpd's second advertisement, after its announcements: the peer preempts.
    Preemption,
    /// The advertisement with the repeated announcements.
    RepeatedBurst,
}

/// carpd on A; the peer on B, which always has the virtual addresses and answers no ARP; a client
/// that knows the virtual MAC. Only the switch decides which host answers.
struct Site {
    a: Carpd,
    peer: QuickPeer,
    pings: Vec<Ping>,
    _lab: Lab,
}

impl Site {
    fn new(kind: Kind, addresses: &[&str]) -> Result<Self> {
        let lab = Lab::new()?;
        let own = |last: u8| format!("192.168.1.{last}/24 2001:db8:1::{last}/64");
        let a = lab.host("a", &[("lan", &own(2))])?;
        let b = lab.host("b", &[("lan", &own(3))])?;
        let client = lab.host("client", &[("lan", &own(100))])?;
        silent_holder(&b, addresses)?;
        let pings = addresses.iter().map(|address| bare(address));
        for address in pings {
            client.run(&format!(
                "ip neighbour add {address} lladdr {VIRTUAL_MAC} dev eth0 nud permanent"
            ))?;
        }
        if kind == Kind::EarlyPreemption {
            drop_listener_reports(&a)?;
        }
        // A host that waits for a processor hears its master too late.
        let a = Carpd::start_with(&a, &["--realtime"])?;
        let skew = if kind == Kind::BowOut { 0 } else { 100 };
        a.carpctl(&format!(
            "carp0 create vhid 1 pass secret advskew {skew} {}",
            addresses.join(" ")
        ))?;
        a.wait_for_state("carp0", "MASTER", master_down(1, skew))?;
        let mut changes = vec![
            Change::Vhid(Vhid::try_from(1)?),
            Change::Key(Key::password(b"secret")?),
            Change::Advskew(Advskew::try_from(if kind == Kind::BowOut {
                100
            } else {
                0
            })?),
        ];
        for address in addresses {
            let (address, prefix) = address.split_once('/').unwrap_or((address, "32"));
            changes.push(Change::AddAddress(VirtualAddress {
                address: address.parse()?,
                prefix: prefix.parse()?,
            }));
        }
        let mut peer = QuickPeer::start(&b, changes, kind != Kind::BowOut)?;
        let first = if kind == Kind::BowOut {
            StateName::Backup
        } else {
            StateName::Master
        };
        peer.wait_for_state(first, master_down(1, 100))?;
        let pings = addresses
            .iter()
            .map(|address| Ping::start_every(&client, bare(address), REQUEST_INTERVAL))
            .collect::<Result<_>>()?;
        Ok(Self {
            a,
            peer,
            pings,
            _lab: lab,
        })
    }

    /// carpd takes over from the peer, and the peer from carpd.
    fn exchange(&mut self, kind: Kind) -> Result<()> {
        match kind {
            Kind::BowOut => {
                self.a.carpctl("carp0 state backup")?;
                self.peer.wait_for_state(StateName::Master, MARGIN)?;
                self.peer.hand_over(0)?;
                self.peer.wait_for_state(StateName::Backup, MARGIN)?;
                self.a.wait_for_state("carp0", "MASTER", MARGIN)
            }
            Kind::EarlyPreemption | Kind::Preemption | Kind::RepeatedBurst => {
                let ignored = match kind {
                    Kind::BowOut | Kind::EarlyPreemption => 0,
                    Kind::Preemption => 1,
                    Kind::RepeatedBurst => 2,
                };
                self.peer.hand_over(ignored)?;
                self.peer.wait_for_state(StateName::Backup, MARGIN)?;
                let burst = Duration::from_secs(2);
                self.peer.wait_for_state(StateName::Master, burst + MARGIN)
            }
        }
    }
}

fn bare(address: &str) -> &str {
    address
        .split_once('/')
        .map_or(address, |(address, _)| address)
}

/// Drops the kernel's listener reports, which it sends two ticks after a device has got its
/// addresses. If other tests keep the kernel's routing lock longer, a host that has lost them
/// meanwhile still sends one.
fn drop_listener_reports(host: &Host) -> Result<()> {
    let rules = [
        "add table netdev reports",
        "add chain netdev reports out { type filter hook egress device eth0 priority 0 ; }",
        "add rule netdev reports out ip6 daddr ff02::16 drop",
    ];
    for rule in rules {
        host.run(&format!("nft {rule}"))?;
    }
    Ok(())
}

/// Makes a host answer echo requests for the virtual MAC, and send nothing else from it.
fn silent_holder(host: &Host, addresses: &[&str]) -> Result<()> {
    host.run(&format!(
        "ip link add vip0 link eth0 address {VIRTUAL_MAC} type macvlan mode bridge"
    ))?;
    host.run(
        "sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 \
         net.ipv6.conf.vip0.addr_gen_mode=1 net.ipv6.conf.vip0.accept_dad=0",
    )?;
    host.run("ip link set vip0 arp off up")?;
    for address in addresses {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        host.run(&format!(
            "ip address add {address} dev vip0 noprefixroute {nodad}"
        ))?;
    }
    Ok(())
}

fn no_frame_follows_a_handover(kind: Kind, addresses: &[&str]) -> Result<()> {
    let mut site = Site::new(kind, addresses)?;
    let begin = SystemTime::now();
    for _ in 0..HANDOVERS {
        site.exchange(kind)?;
        // The next handover would repair what the switch has learned.
        let end = SystemTime::now();
        for ping in &site.pings {
            ping.wait_for_reply_after(end, MARGIN)?;
        }
    }
    for (ping, address) in site.pings.iter().zip(addresses) {
        let longest = ping.outage_since(begin)?;
        println!(
            "{kind:?} {address}: the longest gap in {HANDOVERS} handovers is {longest:?}, {} lost",
            ping.lost()?
        );
        ensure!(longest < MAX_GAP, "{kind:?} {address}: {longest:?}");
    }
    Ok(())
}

#[test]
fn bow_out_is_the_last_ipv4_frame() -> Result<()> {
    no_frame_follows_a_handover(Kind::BowOut, &[IPV4])
}

#[test]
fn bow_out_is_the_last_ipv6_frame() -> Result<()> {
    no_frame_follows_a_handover(Kind::BowOut, &[IPV6])
}

#[test]
fn bow_outs_of_both_families_are_the_last_frames() -> Result<()> {
    no_frame_follows_a_handover(Kind::BowOut, &[IPV4, IPV6])
}

#[test]
fn early_preemption_by_ipv4_is_followed_by_no_frame() -> Result<()> {
    no_frame_follows_a_handover(Kind::EarlyPreemption, &[IPV4])
}

#[test]
fn early_preemption_by_ipv6_is_followed_by_no_frame() -> Result<()> {
    no_frame_follows_a_handover(Kind::EarlyPreemption, &[IPV6])
}

#[test]
fn early_preemption_by_both_families_is_followed_by_no_frame() -> Result<()> {
    no_frame_follows_a_handover(Kind::EarlyPreemption, &[IPV4, IPV6])
}

#[test]
fn preemption_by_ipv4_is_followed_by_no_frame() -> Result<()> {
    no_frame_follows_a_handover(Kind::Preemption, &[IPV4])
}

#[test]
fn preemption_by_ipv6_is_followed_by_no_frame() -> Result<()> {
    no_frame_follows_a_handover(Kind::Preemption, &[IPV6])
}

#[test]
fn preemption_by_both_families_is_followed_by_no_frame() -> Result<()> {
    no_frame_follows_a_handover(Kind::Preemption, &[IPV4, IPV6])
}

#[test]
fn repeated_announcements_come_before_the_advertisement() -> Result<()> {
    no_frame_follows_a_handover(Kind::RepeatedBurst, &[IPV4])
}

#[test]
fn repeated_ipv6_announcements_come_before_the_advertisement() -> Result<()> {
    no_frame_follows_a_handover(Kind::RepeatedBurst, &[IPV6])
}

#[test]
fn repeated_announcements_of_both_families_come_first() -> Result<()> {
    no_frame_follows_a_handover(Kind::RepeatedBurst, &[IPV4, IPV6])
}

/// The kernel reports listeners by itself, up to seconds after an address has come or gone.
#[test]
fn no_listener_report_follows_a_bow_out() -> Result<()> {
    let addresses = [IPV4, IPV6];
    let mut site = Site::new(Kind::BowOut, &addresses)?;
    let mut capture = Capture::sent_by(site.a.host(), "eth0")?;
    for _ in 0..3 {
        site.a.carpctl("carp0 state backup")?;
        site.peer.wait_for_state(StateName::Master, MARGIN)?;
        let ping = site.pings.first().context("a client")?;
        ping.wait_for_reply_after(SystemTime::now() + REPORT_PERIOD, REPORT_PERIOD + MARGIN)?;
        site.peer.hand_over(0)?;
        site.a.wait_for_state("carp0", "MASTER", MARGIN)?;
        ping.wait_for_reply_after(SystemTime::now() + REPORT_PERIOD, REPORT_PERIOD + MARGIN)?;
    }
    let frames = capture.stop()?;
    let sent: Vec<&Frame> = frames
        .iter()
        .filter(|frame| frame.source() == VIRTUAL_MAC)
        .collect();
    ensure!(
        sent.iter().any(|frame| frame.is_listener_report()),
        "a MASTER reports its listeners"
    );
    let mut handovers = 0;
    for (before, after) in sent.iter().zip(sent.iter().skip(1)) {
        if before.advertisement().is_some_and(|it| it.is_bow_out()) {
            handovers += 1;
            ensure!(
                after.advertisement().is_some(),
                "after a bow-out: {after:02x?}"
            );
        }
    }
    ensure!(handovers >= 3, "{handovers} bow-outs");
    Ok(())
}
