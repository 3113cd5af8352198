//! What is heard and what is sent, on a cable between two network namespaces.

use std::collections::BTreeSet;
use std::time::Duration;

use carp_proto::{Family, IfIndex, Mac, Place, SendFailure, Unit, VirtualAddress, Work};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::{Batch, Ports};
use crate::clock::Clock;
use crate::kernel::tests::lab::{self, Lab, PATIENCE, index_of, on_a_cable, run, set};
use crate::kernel::{self, News};

const VIRTUAL_MAC: [u8; 6] = [0x00, 0x00, 0x5e, 0x00, 0x01, 0x01];
const BROADCAST: [u8; 6] = [0xff; 6];
const GROUP_V4: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12];
const GROUP_V6: [u8; 6] = [0x33, 0x33, 0x00, 0x00, 0x00, 0x12];

fn frame(destination: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [
        &destination[..],
        &VIRTUAL_MAC,
        &ethertype.to_be_bytes(),
        payload,
    ]
    .concat()
}

/// An IPv4 packet to 224.0.0.18 whose payload is `mark`, 36 times.
fn ipv4(protocol: u8, mark: u8) -> Vec<u8> {
    let mut packet = vec![0x45, 0x10, 0, 56, 0, 0, 0x40, 0, 255, protocol, 0, 0];
    packet.extend([192, 0, 2, 9, 224, 0, 0, 18]);
    packet.extend([mark; 36]);
    packet
}

fn ipv6(next_header: u8, mark: u8) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 36, next_header, 255];
    packet.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    packet.extend([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12]);
    packet.extend([mark; 36]);
    packet
}

fn carp(mark: u8) -> Vec<u8> {
    frame(GROUP_V4, 0x0800, &ipv4(112, mark))
}

fn arp(operation: u8, destination: [u8; 6]) -> Vec<u8> {
    let mut payload = vec![0, 1, 8, 0, 6, 4, 0, operation];
    payload.extend([0; 20]);
    frame(destination, 0x0806, &payload)
}

/// Everything heard up to and including the batch that has the frame that ends with `mark`.
async fn hear_until(ports: &mut Ports, mark: u8) -> Vec<(IfIndex, Vec<u8>)> {
    let mut batch = Batch::new(16);
    let mut heard: Vec<(IfIndex, Vec<u8>)> = Vec::new();
    while !heard.iter().any(|(_, frame)| frame.ends_with(&[mark])) {
        timeout(PATIENCE, ports.recv(&mut batch, Clock))
            .await
            .expect("the marked frame");
        heard.extend(
            batch
                .frames()
                .map(|(device, frame)| (device, frame.to_vec())),
        );
    }
    heard
}

/// What the peer sends is heard.
async fn hears(lab: &Lab, ports: &mut Ports, mark: u8) {
    lab.send_from_peer(&frame(GROUP_V6, 0x86dd, &ipv6(112, mark - 1)));
    lab.send_from_peer(&carp(mark));
    let heard = hear_until(ports, mark).await;
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[1], (index_of("eth0"), carp(mark)));
}

#[test]
fn advertisements_are_heard_whatever_mode_our_macvlan_is_in() {
    on_a_cable(async |lab| {
        let mut ports = Ports::open().unwrap();
        ports.attach(index_of("eth0")).unwrap();
        hears(&lab, &mut ports, 11).await;
        run("ip link add carp0 link eth0 address 00:00:5e:00:01:01 type macvlan mode source");
        hears(&lab, &mut ports, 21).await;
        run("ip link set carp0 up");
        for (mode, mark) in [
            ("source", 31),
            ("private", 41),
            ("vepa", 51),
            ("bridge", 61),
        ] {
            run(&format!("ip link set carp0 type macvlan mode {mode}"));
            hears(&lab, &mut ports, mark).await;
        }
    });
}

#[test]
fn no_firewall_and_no_reverse_path_filter_makes_it_deaf() {
    on_a_cable(async |lab| {
        set("ipv4/conf/all/rp_filter", 1);
        set("ipv4/conf/eth0/rp_filter", 1);
        run("ip address delete 192.0.2.2/24 dev eth0");
        run("nft add table inet filter");
        run(
            "nft 'add chain inet filter input { type filter hook input priority 0; policy drop; }'",
        );
        run(
            "nft 'add chain inet filter early { type filter hook prerouting priority -300; policy drop; }'",
        );
        let mut ports = Ports::open().unwrap();
        ports.attach(index_of("eth0")).unwrap();
        hears(&lab, &mut ports, 11).await;
        run("nft flush ruleset");
        run("nft add table netdev first");
        run(
            "nft 'add chain netdev first in { type filter hook ingress device eth0 priority -500; policy drop; }'",
        );
        hears(&lab, &mut ports, 21).await;
    });
}

#[test]
fn an_advertisement_to_the_interface_itself_is_heard() {
    on_a_cable(async |lab| {
        let mut ports = Ports::open().unwrap();
        ports.attach(index_of("eth0")).unwrap();
        let link = run("ip -br link show dev eth0");
        let mac: Vec<u8> = link
            .split_ascii_whitespace()
            .nth(2)
            .unwrap()
            .split(':')
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        let unicast = frame(mac.try_into().unwrap(), 0x0800, &ipv4(112, 3));
        lab.send_from_peer(&unicast);
        assert_eq!(
            hear_until(&mut ports, 3).await,
            [(index_of("eth0"), unicast)]
        );
    });
}

#[test]
fn other_frames_never_leave_the_kernel() {
    on_a_cable(async |lab| {
        let mut ports = Ports::open().unwrap();
        ports.attach(index_of("eth0")).unwrap();
        run("ip link set eth0 promisc on");
        let tagged = |id: u16| {
            let tag = [&id.to_be_bytes()[..], &[0x08, 0x00], &ipv4(112, 2)].concat();
            frame(GROUP_V4, 0x8100, &tag)
        };
        lab.send_from_peer(&tagged(7));
        lab.send_from_peer(&frame(GROUP_V4, 0x0800, &ipv4(17, 3)));
        lab.send_from_peer(&frame(GROUP_V6, 0x86dd, &ipv6(58, 4)));
        lab.send_from_peer(&frame([2, 0, 0, 0, 0, 0x99], 0x0800, &ipv4(112, 5)));
        lab.send_from_peer(&arp(1, BROADCAST));
        // A tag of VLAN 0 is a priority alone.
        lab.send_from_peer(&tagged(0));
        lab.send_from_peer(&carp(9));
        let heard: Vec<Vec<u8>> = hear_until(&mut ports, 9)
            .await
            .into_iter()
            .map(|(_, frame)| frame)
            .collect();
        assert_eq!(heard, [carp(2), carp(9)]);
    });
}

#[test]
fn what_this_host_sends_is_not_heard_by_itself() {
    on_a_cable(async |lab| {
        let eth0 = index_of("eth0");
        let mut ports = Ports::open().unwrap();
        ports.attach(eth0).unwrap();
        let capture = lab.capture("ip proto 112");
        assert_eq!(ports.send_all(&[(eth0, &carp(1))]), [Ok(())]);
        lab.send_from_peer(&carp(2));
        assert_eq!(hear_until(&mut ports, 2).await, [(eth0, carp(2))]);
        let seen = capture.stop();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        assert!(
            seen[0].contains("00:00:5e:00:01:01 > 01:00:5e:00:00:12"),
            "{seen:#?}"
        );
    });
}

#[test]
fn arp_requests_are_heard_while_they_are_listened_for() {
    on_a_cable(async |lab| {
        let eth0 = index_of("eth0");
        let mut ports = Ports::open().unwrap();
        ports.listen_arp(eth0, true).unwrap();
        ports.attach(eth0).unwrap();
        run("ip link set eth0 promisc on");
        for (on, expected) in [(false, 0), (true, 2), (false, 0)] {
            ports.listen_arp(eth0, on).unwrap();
            lab.send_from_peer(&arp(1, BROADCAST));
            lab.send_from_peer(&arp(1, VIRTUAL_MAC));
            lab.send_from_peer(&arp(2, BROADCAST));
            lab.send_from_peer(&carp(9));
            let mut heard = hear_until(&mut ports, 9).await;
            heard.retain(|(_, frame)| frame[12..14] == [0x08, 0x06]);
            // They come on a socket of their own, perhaps behind the mark.
            let mut batch = Batch::new(16);
            while timeout(Duration::from_millis(200), ports.recv(&mut batch, Clock))
                .await
                .is_ok()
            {
                heard.extend(
                    batch
                        .frames()
                        .map(|(device, frame)| (device, frame.to_vec())),
                );
            }
            assert_eq!(heard.len(), expected, "listening: {on}");
        }
    });
}

#[test]
fn a_flood_on_one_interface_does_not_starve_another() {
    on_a_cable(async |lab| {
        run("ip link add quiet0 type veth peer name quiet1");
        run("ip link set quiet0 up && ip link set quiet1 up");
        let (eth0, quiet) = (index_of("eth0"), index_of("quiet0"));
        let mut ports = Ports::open().unwrap();
        ports.attach(eth0).unwrap();
        ports.attach(quiet).unwrap();
        for _ in 0..200 {
            lab.send_from_peer(&carp(1));
        }
        let sent = ports.send_all(&[(index_of("quiet1"), &carp(2))]);
        assert_eq!(sent, [Ok(())]);

        let mut batch = Batch::new(16);
        let mut rounds = 0;
        let mut others = 0;
        while others == 0 {
            timeout(PATIENCE, ports.recv(&mut batch, Clock))
                .await
                .unwrap();
            assert!(batch.frames().count() <= 16, "the budget holds");
            others = batch
                .frames()
                .filter(|(device, _)| *device == quiet)
                .count();
            rounds += 1;
        }
        assert!(rounds <= 2, "heard in batch {rounds}");
    });
}

/// `ports` with a kernel thread beside it, and a MASTER's device on eth0.
struct Master {
    ports: Ports,
    families: BTreeSet<Family>,
    kernel: kernel::Handle,
    news: UnboundedReceiver<News>,
    heard: Vec<Vec<u8>>,
    _run_dir: TempDir,
}

impl Master {
    fn start(families: &[Family]) -> Self {
        let run_dir = tempfile::tempdir().unwrap();
        let (kernel, news) = kernel::start(kernel::Options {
            run_dir: run_dir.path().to_owned(),
            adopt: false,
            realtime: None,
        })
        .unwrap();
        let eth0 = index_of("eth0");
        let unit = Unit::try_from(0).unwrap();
        kernel.work(Work::Ensure {
            unit,
            parent: eth0,
            mac: Mac(VIRTUAL_MAC),
        });
        kernel.work(Work::Take {
            unit,
            place: Place::Device,
            addresses: vec![VirtualAddress {
                address: "192.0.2.1".parse().unwrap(),
                prefix: 24,
            }],
            lease: 60,
            number: 0,
        });
        let mut ports = Ports::open().unwrap();
        ports.attach(eth0).unwrap();
        let mut master = Self {
            ports,
            families: BTreeSet::new(),
            kernel,
            news,
            heard: Vec::new(),
            _run_dir: run_dir,
        };
        master.use_families(families);
        master
    }

    /// Uses these families from now on; none while a virtual host is not MASTER.
    fn use_families(&mut self, families: &[Family]) {
        self.families = families.iter().copied().collect();
        self.ports.roles_may_change(Clock.now().instant);
        self.obey();
    }

    /// As the protocol loop does, for a while.
    async fn live(&mut self, time: Duration) {
        let mut batch = Batch::new(16);
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            tokio::select! {
                () = self.ports.recv(&mut batch, Clock) => {
                    self.heard.extend(batch.frames().map(|(_, frame)| frame.to_vec()));
                }
                Some(news) = self.news.recv() => match news {
                    News::Ear { device, ear } => {
                        self.ports.ear_is(device, ear, Clock.now().instant);
                    }
                    News::Probed(device, number) => {
                        self.ports.probe_sent(device, number, Clock.now().instant);
                    }
                    News::Refused { error, .. } => panic!("{error}"),
                    News::Gateways(_) | News::Found(_) | News::Ready | News::Link(_) | News::LinkGone(_)
                    | News::Taken { .. } | News::Granted { .. } | News::Confirmed(_) => {}
                },
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
            self.obey();
        }
    }

    /// Does what the ports ask for.
    fn obey(&mut self) {
        let families_of_masters = |_| self.families.clone();
        for order in self.ports.tick(Clock.now().instant, families_of_masters) {
            self.kernel.help_to_hear(order);
        }
    }

    /// Until the tap is shut, or open again.
    async fn live_until_free(&mut self, free: bool) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while taps() == free {
            assert!(
                tokio::time::Instant::now() < end,
                "free: {free}, {:#?}",
                self.ports
            );
            self.live(Duration::from_millis(50)).await;
        }
    }

    /// Both advertisements of the peer are heard, each once, and so are those of one that has no
    /// virtual MAC.
    async fn hears(&mut self, lab: &Lab, mark: u8) {
        self.heard.clear();
        let mut frames = vec![frame(GROUP_V6, 0x86dd, &ipv6(112, mark)), carp(mark)];
        for frame in frames.clone() {
            let own_mac = [&frame[..6], &[2, 0, 0, 0, 0, 7], &frame[12..]].concat();
            frames.push(own_mac);
        }
        for frame in &frames {
            lab.send_from_peer(frame);
        }
        self.live(Duration::from_millis(300)).await;
        self.heard.sort();
        frames.sort();
        assert_eq!(self.heard, frames, "{mark}");
    }
}

/// Whether there is a packet socket for everything on eth0.
fn taps() -> bool {
    let index = index_of("eth0").to_string();
    run("cat /proc/net/packet").lines().any(|line| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        words[3] == "0003" && words[4] == index
    })
}

#[test]
fn a_master_hears_everything_once_with_and_without_its_tap() {
    on_a_cable(async |lab| {
        set("ipv4/conf/all/rp_filter", 1);
        run("nft add table inet filter");
        run(
            "nft 'add chain inet filter early { type filter hook prerouting priority -300; policy drop; }'",
        );
        let mut host = Master::start(&Family::ALL);
        host.hears(&lab, 1).await;
        host.live_until_free(true).await;
        host.hears(&lab, 2).await;
        // Nothing of what the ear hears goes any further, nor are there probes on the wire.
        let capture = lab.capture("ether src 02:63:61:72:00:00 or ether[6:4] = 0x02636172");
        host.live(Duration::from_millis(2500)).await;
        assert_eq!(capture.stop(), Vec::<String>::new());
        assert!(!taps());

        // While the device is deaf to the master's own MAC, too.
        run("ip link set carp0 type macvlan mode source");
        host.hears(&lab, 3).await;
    });
}

#[test]
fn what_waits_in_the_tap_when_the_ear_opens_was_not_missed_by_the_ear() {
    on_a_cable(async |lab| {
        let mut host = Master::start(&Family::ALL);
        host.obey();
        loop {
            if let Some(News::Ear { device, ear }) = host.news.recv().await {
                assert!(ear.is_some());
                // The runtime does not know of it before it waits for the next time.
                lab.send_from_peer(&carp(1));
                host.ports.ear_is(device, ear, Clock.now().instant);
                break;
            }
        }
        host.live_until_free(true).await;
        assert_eq!(host.heard, [carp(1)]);
    });
}

#[test]
fn a_chain_at_the_ingress_hook_brings_the_tap_back_for_its_family() {
    on_a_cable(async |lab| {
        let mut host = Master::start(&Family::ALL);
        for rule in ["ip protocol 112 drop", "ip6 nexthdr 112 drop"] {
            host.live_until_free(true).await;
            run("nft add table netdev first");
            run(
                "nft 'add chain netdev first in { type filter hook ingress device eth0 priority -500; }'",
            );
            run(&format!("nft add rule netdev first in {rule}"));
            host.live_until_free(false).await;
            host.hears(&lab, 1).await;
            run("nft flush ruleset");
            host.use_families(&[]);
            host.live(Duration::from_millis(300)).await;
            // It is believed again after a while.
            host.use_families(&Family::ALL);
            host.live(Duration::from_secs(10)).await;
        }
    });
}

#[test]
fn nothing_is_lost_while_the_tap_is_opened_and_shut() {
    on_a_cable(async |lab| {
        let eth0 = index_of("eth0");
        let mut host = Master::start(&[Family::V4]);
        host.live_until_free(true).await;
        let mut sent = Vec::new();
        for round in 0..60_u8 {
            let (number, now) = (round + 1, Clock.now().instant);
            match round % 3 {
                0 => host.use_families(&[]),
                1 => host.use_families(&[Family::V4]),
                _ => host.ports.changed(eth0, now),
            }
            lab.send_from_peer(&carp(number));
            sent.push(carp(number));
            host.live(Duration::from_millis(25 * u64::from(round % 4)))
                .await;
        }
        host.live(Duration::from_millis(300)).await;
        assert_eq!(host.heard, sent);
    });
}

#[test]
fn nothing_is_lost_when_a_receive_is_cancelled() {
    on_a_cable(async |lab| {
        let eth0 = index_of("eth0");
        let mut ports = Ports::open().unwrap();
        ports.attach(eth0).unwrap();
        let mut batch = Batch::new(16);
        assert!(
            timeout(Duration::from_millis(50), ports.recv(&mut batch, Clock))
                .await
                .is_err()
        );
        lab.send_from_peer(&carp(1));
        lab.send_from_peer(&carp(2));
        assert_eq!(hear_until(&mut ports, 2).await.len(), 2);
    });
}

#[test]
fn an_interface_may_go_down_and_come_back() {
    on_a_cable(async |lab| {
        let eth0 = index_of("eth0");
        let mut ports = Ports::open().unwrap();
        ports.attach(eth0).unwrap();
        run("ip link set eth0 down");
        let sent = ports.send_all(&[(eth0, &carp(1))]);
        assert_eq!(sent, [Err(SendFailure::Refused)]);
        let mut batch = Batch::new(16);
        assert!(
            timeout(Duration::from_millis(50), ports.recv(&mut batch, Clock))
                .await
                .is_err()
        );
        run("ip link set eth0 up");
        lab::eventually("the cable works", || {
            run("ip -o link show dev eth0").contains("LOWER_UP")
        });
        hears(&lab, &mut ports, 11).await;
    });
}

#[test]
fn an_interface_may_go_away() {
    on_a_cable(async |_lab| {
        let eth0 = index_of("eth0");
        let mut ports = Ports::open().unwrap();
        ports.attach(eth0).unwrap();
        run("ip link delete eth0");
        let mut batch = Batch::new(16);
        assert!(
            timeout(Duration::from_millis(50), ports.recv(&mut batch, Clock))
                .await
                .is_err()
        );
        let sent = ports.send_all(&[(eth0, &carp(1))]);
        assert_eq!(sent, [Err(SendFailure::Refused)]);
        ports.detach(eth0);
        assert!(ports.attach(eth0).is_err());
    });
}

#[test]
fn the_groups_are_joined_on_the_physical_interface_while_it_is_attached() {
    on_a_cable(async |_lab| {
        let eth0 = index_of("eth0");
        let joined = || {
            let groups = run("ip maddress show dev eth0");
            [
                groups.contains("inet  224.0.0.18"),
                groups.contains("inet6 ff02::12"),
            ]
        };
        let mut ports = Ports::open().unwrap();
        ports.attach(eth0).unwrap();
        ports.attach(eth0).unwrap();
        assert_eq!(joined(), [true, true]);
        ports.detach(eth0);
        // Another test's child may have the sockets until it executes something.
        lab::eventually("both groups are left", || joined() == [false, false]);
    });
}
