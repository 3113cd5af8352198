//! Receiving and sending, on a cable between two network namespaces.

use std::collections::BTreeSet;
use std::time::Duration;

use carp_proto::{Family, IfIndex, Mac, Place, SendFailure, Unit, VirtualAddress, Work};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::{Batch, Receivers};
use crate::clock::Clock;
use crate::kernel::tests::lab::{self, Lab, TIMEOUT, index_of, on_a_cable, run, set};
use crate::kernel::{self, News};
use crate::net::Sender;

const VIRTUAL_MAC: [u8; 6] = [0x00, 0x00, 0x5e, 0x00, 0x01, 0x01];
const BROADCAST: [u8; 6] = [0xff; 6];
const GROUP_V4: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12];
const GROUP_V6: [u8; 6] = [0x33, 0x33, 0x00, 0x00, 0x00, 0x12];

fn sender() -> Sender {
    Sender::open().unwrap()
}

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

/// Returns the frames received up to and including the batch with the frame that ends with `mark`.
async fn receive_until(receivers: &mut Receivers, mark: u8) -> Vec<(IfIndex, Vec<u8>)> {
    let mut batch = Batch::new(16);
    let mut received: Vec<(IfIndex, Vec<u8>)> = Vec::new();
    while !received.iter().any(|(_, frame)| frame.ends_with(&[mark])) {
        timeout(TIMEOUT, receivers.recv(&mut batch, Clock))
            .await
            .expect("the marked frame");
        received.extend(
            batch
                .frames()
                .map(|(device, frame)| (device, frame.to_vec())),
        );
    }
    received
}

/// Checks that two advertisements of the peer are received.
async fn receives(lab: &Lab, receivers: &mut Receivers, mark: u8) {
    lab.send_from_peer(&frame(GROUP_V6, 0x86dd, &ipv6(112, mark - 1)));
    lab.send_from_peer(&carp(mark));
    let received = receive_until(receivers, mark).await;
    assert_eq!(received.len(), 2);
    assert_eq!(received[1], (index_of("eth0"), carp(mark)));
}

#[test]
fn advertisements_are_received_in_every_mode_of_the_macvlan() {
    on_a_cable(async |lab| {
        let mut receivers = Receivers::new();
        receivers.attach(index_of("eth0")).unwrap();
        receives(&lab, &mut receivers, 11).await;
        run("ip link add carp0 link eth0 address 00:00:5e:00:01:01 type macvlan mode source");
        receives(&lab, &mut receivers, 21).await;
        run("ip link set carp0 up");
        for (mode, mark) in [
            ("source", 31),
            ("private", 41),
            ("vepa", 51),
            ("bridge", 61),
        ] {
            run(&format!("ip link set carp0 type macvlan mode {mode}"));
            receives(&lab, &mut receivers, mark).await;
        }
    });
}

#[test]
fn firewall_and_reverse_path_filter_drop_no_advertisement() {
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
        let mut receivers = Receivers::new();
        receivers.attach(index_of("eth0")).unwrap();
        receives(&lab, &mut receivers, 11).await;
        run("nft flush ruleset");
        run("nft add table netdev first");
        run(
            "nft 'add chain netdev first in { type filter hook ingress device eth0 priority -500; policy drop; }'",
        );
        receives(&lab, &mut receivers, 21).await;
    });
}

#[test]
fn advertisement_to_the_interface_itself_is_received() {
    on_a_cable(async |lab| {
        let mut receivers = Receivers::new();
        receivers.attach(index_of("eth0")).unwrap();
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
            receive_until(&mut receivers, 3).await,
            [(index_of("eth0"), unicast)]
        );
    });
}

#[test]
fn filter_refuses_other_frames() {
    on_a_cable(async |lab| {
        let mut receivers = Receivers::new();
        receivers.attach(index_of("eth0")).unwrap();
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
        // A tag of VLAN 0 is only a priority.
        lab.send_from_peer(&tagged(0));
        lab.send_from_peer(&carp(9));
        let received: Vec<Vec<u8>> = receive_until(&mut receivers, 9)
            .await
            .into_iter()
            .map(|(_, frame)| frame)
            .collect();
        assert_eq!(received, [carp(2), carp(9)]);
    });
}

#[test]
fn host_does_not_receive_its_own_advertisements() {
    on_a_cable(async |lab| {
        let eth0 = index_of("eth0");
        let mut receivers = Receivers::new();
        receivers.attach(eth0).unwrap();
        let capture = lab.capture("ip proto 112");
        assert_eq!(sender().send_all(&[(eth0, &carp(1))]), [Ok(())]);
        lab.send_from_peer(&carp(2));
        assert_eq!(receive_until(&mut receivers, 2).await, [(eth0, carp(2))]);
        let seen = capture.stop();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        assert!(
            seen[0].contains("00:00:5e:00:01:01 > 01:00:5e:00:00:12"),
            "{seen:#?}"
        );
    });
}

#[test]
fn arp_requests_are_received_while_requested() {
    on_a_cable(async |lab| {
        let eth0 = index_of("eth0");
        let mut receivers = Receivers::new();
        receivers.listen_arp(eth0, true).unwrap();
        receivers.attach(eth0).unwrap();
        run("ip link set eth0 promisc on");
        for (on, expected) in [(false, 0), (true, 2), (false, 0)] {
            receivers.listen_arp(eth0, on).unwrap();
            lab.send_from_peer(&arp(1, BROADCAST));
            lab.send_from_peer(&arp(1, VIRTUAL_MAC));
            lab.send_from_peer(&arp(2, BROADCAST));
            lab.send_from_peer(&carp(9));
            let mut received = receive_until(&mut receivers, 9).await;
            received.retain(|(_, frame)| frame[12..14] == [0x08, 0x06]);
            // They arrive at another socket, perhaps after the marked frame.
            let mut batch = Batch::new(16);
            while timeout(
                Duration::from_millis(200),
                receivers.recv(&mut batch, Clock),
            )
            .await
            .is_ok()
            {
                received.extend(
                    batch
                        .frames()
                        .map(|(device, frame)| (device, frame.to_vec())),
                );
            }
            assert_eq!(received.len(), expected, "listening: {on}");
        }
    });
}

#[test]
fn flood_on_one_interface_does_not_starve_another() {
    on_a_cable(async |lab| {
        run("ip link add quiet0 type veth peer name quiet1");
        run("ip link set quiet0 up && ip link set quiet1 up");
        let (eth0, quiet) = (index_of("eth0"), index_of("quiet0"));
        let mut receivers = Receivers::new();
        receivers.attach(eth0).unwrap();
        receivers.attach(quiet).unwrap();
        for _ in 0..200 {
            lab.send_from_peer(&carp(1));
        }
        let sent = sender().send_all(&[(index_of("quiet1"), &carp(2))]);
        assert_eq!(sent, [Ok(())]);

        let mut batch = Batch::new(16);
        let mut rounds = 0;
        let mut others = 0;
        while others == 0 {
            timeout(TIMEOUT, receivers.recv(&mut batch, Clock))
                .await
                .unwrap();
            assert!(batch.frames().count() <= 16, "the budget holds");
            others = batch
                .frames()
                .filter(|(device, _)| *device == quiet)
                .count();
            rounds += 1;
        }
        assert!(rounds <= 2, "received in batch {rounds}");
    });
}

/// Receivers and kernel thread of a host that is MASTER on `eth0`.
struct Master {
    receivers: Receivers,
    families: BTreeSet<Family>,
    kernel: kernel::Handle,
    news: UnboundedReceiver<News>,
    received: Vec<Vec<u8>>,
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
        let mut receivers = Receivers::new();
        receivers.attach(eth0).unwrap();
        let mut master = Self {
            receivers,
            families: BTreeSet::new(),
            kernel,
            news,
            received: Vec::new(),
            _run_dir: run_dir,
        };
        master.use_families(families);
        master
    }

    /// Uses these families; none means that a virtual host is not MASTER.
    fn use_families(&mut self, families: &[Family]) {
        self.families = families.iter().copied().collect();
        self.receivers.roles_may_change(Clock.now().instant);
        self.tick();
    }

    /// Runs for `time` as the protocol loop does.
    async fn run_for(&mut self, time: Duration) {
        let mut batch = Batch::new(16);
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            tokio::select! {
                () = self.receivers.recv(&mut batch, Clock) => {
                    self.received.extend(batch.frames().map(|(_, frame)| frame.to_vec()));
                }
                Some(news) = self.news.recv() => match news {
                    News::HelperDevices { interface, devices } => {
                        self.receivers.helpers_changed(interface, devices, Clock.now().instant);
                    }
                    News::ProbeSent(interface, number) => {
                        self.receivers.probe_sent(interface, number, Clock.now().instant);
                    }
                    News::Refused { error, .. } => panic!("{error}"),
                    News::Gateways(_) | News::Found(_) | News::Ready | News::Link(_) | News::LinkGone(_)
                    | News::Taken { .. } | News::Granted { .. } | News::Confirmed(_) => {}
                },
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
            self.tick();
        }
    }

    /// Passes the requests that are due to the kernel thread.
    fn tick(&mut self) {
        let families_of_masters = |_| self.families.clone();
        for request in self
            .receivers
            .tick(Clock.now().instant, families_of_masters)
        {
            self.kernel.help_to_receive(request);
        }
    }

    /// Runs until the direct socket is closed, or open again.
    async fn run_until_free(&mut self, free: bool) {
        let end = tokio::time::Instant::now() + TIMEOUT;
        while has_direct_socket() == free {
            assert!(
                tokio::time::Instant::now() < end,
                "free: {free}, {:#?}",
                self.receivers
            );
            self.run_for(Duration::from_millis(50)).await;
        }
    }

    /// Checks that advertisements of a peer with virtual MAC and of one without are received, each once.
    async fn receives(&mut self, lab: &Lab, mark: u8) {
        self.received.clear();
        let mut frames = vec![frame(GROUP_V6, 0x86dd, &ipv6(112, mark)), carp(mark)];
        for frame in frames.clone() {
            let own_mac = [&frame[..6], &[2, 0, 0, 0, 0, 7], &frame[12..]].concat();
            frames.push(own_mac);
        }
        for frame in &frames {
            lab.send_from_peer(frame);
        }
        self.run_for(Duration::from_millis(300)).await;
        self.received.sort();
        frames.sort();
        assert_eq!(self.received, frames, "{mark}");
    }
}

/// Returns true if a packet socket for all protocols is open on eth0.
fn has_direct_socket() -> bool {
    let index = index_of("eth0").to_string();
    run("cat /proc/net/packet").lines().any(|line| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        words[3] == "0003" && words[4] == index
    })
}

#[test]
fn master_receives_every_frame_once_in_every_phase() {
    on_a_cable(async |lab| {
        set("ipv4/conf/all/rp_filter", 1);
        run("nft add table inet filter");
        run(
            "nft 'add chain inet filter early { type filter hook prerouting priority -300; policy drop; }'",
        );
        let mut host = Master::start(&Family::ALL);
        host.receives(&lab, 1).await;
        host.run_until_free(true).await;
        host.receives(&lab, 2).await;
        // Helper devices send nothing, and no probe reaches the wire.
        let capture = lab.capture("ether src 02:63:61:72:00:00 or ether[6:4] = 0x02636172");
        host.run_for(Duration::from_millis(2500)).await;
        assert_eq!(capture.stop(), Vec::<String>::new());
        assert!(!has_direct_socket());

        // In this mode the device does not receive frames for the virtual MAC.
        run("ip link set carp0 type macvlan mode source");
        host.receives(&lab, 3).await;
    });
}

#[test]
fn frame_queued_before_the_helpers_are_open_is_not_lost() {
    on_a_cable(async |lab| {
        let mut host = Master::start(&Family::ALL);
        host.tick();
        loop {
            if let Some(News::HelperDevices { interface, devices }) = host.news.recv().await {
                assert!(devices.is_some());
                // The runtime learns of the frame when it waits for the next time.
                lab.send_from_peer(&carp(1));
                host.receivers
                    .helpers_changed(interface, devices, Clock.now().instant);
                break;
            }
        }
        host.run_until_free(true).await;
        assert_eq!(host.received, [carp(1)]);
    });
}

#[test]
fn ingress_rule_for_one_family_reopens_the_direct_socket() {
    on_a_cable(async |lab| {
        let mut host = Master::start(&Family::ALL);
        for rule in ["ip protocol 112 drop", "ip6 nexthdr 112 drop"] {
            host.run_until_free(true).await;
            run("nft add table netdev first");
            run(
                "nft 'add chain netdev first in { type filter hook ingress device eth0 priority -500; }'",
            );
            run(&format!("nft add rule netdev first in {rule}"));
            host.run_until_free(false).await;
            host.receives(&lab, 1).await;
            run("nft flush ruleset");
            host.use_families(&[]);
            host.run_for(Duration::from_millis(300)).await;
            // The helper devices are relied on again after a while.
            host.use_families(&Family::ALL);
            host.run_for(Duration::from_secs(10)).await;
        }
    });
}

#[test]
fn no_frame_is_lost_while_the_direct_socket_opens_and_closes() {
    on_a_cable(async |lab| {
        let eth0 = index_of("eth0");
        let mut host = Master::start(&[Family::V4]);
        host.run_until_free(true).await;
        let mut sent = Vec::new();
        for round in 0..60_u8 {
            let (number, now) = (round + 1, Clock.now().instant);
            match round % 3 {
                0 => host.use_families(&[]),
                1 => host.use_families(&[Family::V4]),
                _ => host.receivers.changed(eth0, now),
            }
            lab.send_from_peer(&carp(number));
            sent.push(carp(number));
            host.run_for(Duration::from_millis(25 * u64::from(round % 4)))
                .await;
        }
        host.run_for(Duration::from_millis(300)).await;
        assert_eq!(host.received, sent);
    });
}

#[test]
fn no_frame_is_lost_when_a_receive_is_cancelled() {
    on_a_cable(async |lab| {
        let eth0 = index_of("eth0");
        let mut receivers = Receivers::new();
        receivers.attach(eth0).unwrap();
        let mut batch = Batch::new(16);
        assert!(
            timeout(Duration::from_millis(50), receivers.recv(&mut batch, Clock))
                .await
                .is_err()
        );
        lab.send_from_peer(&carp(1));
        lab.send_from_peer(&carp(2));
        assert_eq!(receive_until(&mut receivers, 2).await.len(), 2);
    });
}

#[test]
fn receiving_continues_after_the_interface_was_down() {
    on_a_cable(async |lab| {
        let eth0 = index_of("eth0");
        let mut receivers = Receivers::new();
        receivers.attach(eth0).unwrap();
        run("ip link set eth0 down");
        let sent = sender().send_all(&[(eth0, &carp(1))]);
        assert_eq!(sent, [Err(SendFailure::Refused)]);
        let mut batch = Batch::new(16);
        assert!(
            timeout(Duration::from_millis(50), receivers.recv(&mut batch, Clock))
                .await
                .is_err()
        );
        run("ip link set eth0 up");
        lab::eventually("the cable works", || {
            run("ip -o link show dev eth0").contains("LOWER_UP")
        });
        receives(&lab, &mut receivers, 11).await;
    });
}

#[test]
fn interface_can_be_detached_after_it_was_deleted() {
    on_a_cable(async |_lab| {
        let eth0 = index_of("eth0");
        let mut receivers = Receivers::new();
        receivers.attach(eth0).unwrap();
        run("ip link delete eth0");
        let mut batch = Batch::new(16);
        assert!(
            timeout(Duration::from_millis(50), receivers.recv(&mut batch, Clock))
                .await
                .is_err()
        );
        let sent = sender().send_all(&[(eth0, &carp(1))]);
        assert_eq!(sent, [Err(SendFailure::Refused)]);
        receivers.detach(eth0);
        assert!(receivers.attach(eth0).is_err());
    });
}

#[test]
fn groups_are_joined_while_the_interface_is_attached() {
    on_a_cable(async |_lab| {
        let eth0 = index_of("eth0");
        let joined = || {
            let groups = run("ip maddress show dev eth0");
            [
                groups.contains("inet  224.0.0.18"),
                groups.contains("inet6 ff02::12"),
            ]
        };
        let mut receivers = Receivers::new();
        receivers.attach(eth0).unwrap();
        receivers.attach(eth0).unwrap();
        assert_eq!(joined(), [true, true]);
        receivers.detach(eth0);
        // A child process of another test can have inherited the sockets until it calls execve(2).
        lab::eventually("both groups are left", || joined() == [false, false]);
    });
}
