//! ARP balancing among virtual hosts that share an address.

use std::net::Ipv4Addr;

use carp_proto::wire::arp::{Operation, Packet};
use carp_proto::wire::ethernet::{ETHERTYPE_ARP, Frame};
use carp_proto::{Mac, Sysctl};

use super::seconds;
use crate::segment::Segment;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

/// Host that is MASTER of vhid 1 and 2, with two more command lines.
fn host([first, second]: [&str; 2]) -> Segment {
    let mut segment = Segment::new(["a"]);
    segment.sysctl("a", Sysctl::ArpBalance, 1);
    for (unit, vhid, line) in [(0, 1, first), (1, 2, second)] {
        let line = format!("carp{unit} vhid {vhid} pass secret {ADDRESS}/24 {line}");
        segment.ifconfig("a", line.trim()).unwrap();
    }
    segment.run(seconds(10));
    for unit in ["carp0", "carp1"] {
        assert_eq!(segment.masters(unit), ["a"]);
    }
    segment.sent.clear();
    segment
}

/// MACs that answer a request of the client with this last byte.
fn answers(segment: &mut Segment, client: u8) -> Vec<Mac> {
    let request = Packet {
        operation: Operation::Request,
        sender_mac: Mac([2, 0, 0, 0, 9, client]),
        sender: Ipv4Addr::new(192, 0, 2, client),
        target_mac: Mac([0; 6]),
        target: ADDRESS,
    };
    let frame = Frame {
        destination: Mac::BROADCAST,
        source: request.sender_mac,
        ethertype: ETHERTYPE_ARP,
        payload: &request.emit(),
    };
    segment.sent.clear();
    segment.inject("a", &frame.emit());
    let sent = segment.sent.iter().filter_map(|(_, bytes)| {
        let frame = Frame::parse(bytes)?;
        let reply = Packet::parse(frame.payload).ok()?;
        (frame.ethertype == ETHERTYPE_ARP).then_some(reply.sender_mac)
    });
    sent.collect()
}

#[test]
fn source_address_modulo_the_number_of_virtual_hosts_decides() {
    let mut segment = host(["", ""]);
    assert_eq!(answers(&mut segment, 10), [Mac([0, 0, 0x5e, 0, 1, 1])]);
    assert_eq!(answers(&mut segment, 11), [Mac([0, 0, 0x5e, 0, 1, 2])]);
    segment.sysctl("a", Sysctl::ArpBalance, 0);
    assert_eq!(answers(&mut segment, 11), [Mac([0, 0, 0x5e, 0, 1, 1])]);
}

#[test]
fn virtual_host_that_is_down_keeps_its_share_of_the_clients() {
    let mut segment = host(["", ""]);
    let line = format!("carp2 vhid 3 pass secret {ADDRESS}/24");
    segment.ifconfig("a", &line).unwrap();
    segment.run(seconds(10));
    segment.ifconfig("a", "carp1 down").unwrap();
    // 192.0.2.x mod 3 is (192 + 0 + 2 + x) mod 3, because 256 mod 3 is 1.
    assert_eq!(answers(&mut segment, 10), [Mac([0, 0, 0x5e, 0, 1, 1])]);
    assert_eq!(answers(&mut segment, 11), []);
    assert_eq!(answers(&mut segment, 12), [Mac([0, 0, 0x5e, 0, 1, 3])]);
}

#[test]
fn kernel_answers_alone_with_lladdr_parent() {
    for lines in [
        ["lladdr parent", "lladdr parent"],
        ["lladdr parent", ""],
        ["", "lladdr parent"],
    ] {
        let mut segment = host(lines);
        for client in [10, 11] {
            assert_eq!(answers(&mut segment, client), [], "{lines:?}");
        }
    }
}
