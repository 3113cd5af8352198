//! Settings that change while the group runs, and the requests of clients.

use carp_proto::wire::arp;
use carp_proto::wire::ethernet::{ETHERTYPE_ARP, Frame};
use carp_proto::{Change, Mac, Notice, RefusalKind, Request, Sysctl};

use super::{headers, millis, pair, seconds};
use crate::segment::Segment;

#[test]
fn arp_requests_are_balanced_by_their_source() {
    let mut segment = Segment::new(["a", "b", "client"]);
    for (name, one, two) in [("a", 0, 100), ("b", 100, 0)] {
        segment.sysctl(name, Sysctl::ArpBalance, 1);
        segment
            .ifconfig(name, &format!("carp0 vhid 1 advskew {one} 192.0.2.100/24"))
            .unwrap();
        segment
            .ifconfig(name, &format!("carp1 vhid 2 advskew {two} 192.0.2.100/24"))
            .unwrap();
    }
    segment.run(seconds(10));
    assert_eq!(segment.masters("carp0"), ["a"]);
    assert_eq!(segment.masters("carp1"), ["b"]);
    for last in [10, 11] {
        let client = [192, 0, 2, last].into();
        let request = arp::Packet {
            operation: arp::Operation::Request,
            sender_mac: Mac([2, 0, 0, 0, 0, last]),
            sender: client,
            target_mac: Mac([0; 6]),
            target: [192, 0, 2, 100].into(),
        };
        let frame = Frame {
            destination: Mac::BROADCAST,
            source: request.sender_mac,
            ethertype: ETHERTYPE_ARP,
            payload: &request.emit(),
        };
        segment.sent.clear();
        segment.inject("a", &frame.emit());
        segment.inject("b", &frame.emit());
        let replies: Vec<(usize, Mac)> = segment
            .sent
            .iter()
            .filter_map(|(host, frame)| {
                let packet = arp::Packet::parse(Frame::parse(frame)?.payload).ok()?;
                (packet.target == client).then_some((*host, packet.sender_mac))
            })
            .collect();
        let (host, vhid) = if last == 10 { (0, 1) } else { (1, 2) };
        assert_eq!(
            replies,
            [(host, Mac([0, 0, 0x5e, 0, 1, vhid]))],
            "client .{last}"
        );
    }
}

#[test]
fn changes_of_settings_postpone_no_takeover() {
    let mut segment = pair();
    segment.crash("a");
    for advskew in [101, 100, 101, 100] {
        segment.run(seconds(1));
        segment
            .ifconfig("b", &format!("carp0 advskew {advskew}"))
            .unwrap();
    }
    assert_eq!(
        segment.log(),
        ["  12.440s b carp0: BACKUP -> MASTER (master timed out)"]
    );
}

#[test]
fn shorter_wait_counts_from_the_last_advertisement() {
    let mut segment = pair();
    segment.ifconfig("b", "carp0 advbase 3").unwrap();
    segment.crash("a");
    segment.run(seconds(5));
    assert_eq!(segment.log(), [""; 0]);
    segment.ifconfig("b", "carp0 advbase 1").unwrap();
    segment.run(millis(1));
    assert_eq!(
        segment.log(),
        ["  15.000s b carp0: BACKUP -> MASTER (master timed out)"]
    );
}

#[test]
fn new_vhid_bows_out_with_the_old_one() {
    let mut segment = pair();
    segment.sent.clear();
    segment.ifconfig("a", "carp0 vhid 2").unwrap();
    segment.run(millis(1));
    let vhids: Vec<(u8, bool)> = headers(&segment, 0)
        .map(|it| (it.vhid, it.is_bow_out()))
        .collect();
    assert_eq!(vhids, [(1, true)]);
    assert_eq!(
        segment.log(),
        [
            "  10.000s a carp0: MASTER -> INIT (reconfigured)",
            "  10.000s a carp0: INIT -> BACKUP (initialization complete)",
            "  10.000s b carp0: BACKUP -> MASTER (master will time out)",
        ]
    );
    segment.run(seconds(5));
    assert_eq!(
        segment.holders("192.0.2.100"),
        ["a", "b"],
        "two groups of one host each"
    );
}

#[test]
fn group_changes_its_password_without_two_masters() {
    let mut segment = pair();
    segment.ifconfig_all("carp0 accept_pass new");
    segment.run(seconds(2));
    segment
        .ifconfig("a", "carp0 pass new accept_pass mekmitasdigoat")
        .unwrap();
    segment.run(seconds(10));
    segment.ifconfig("b", "carp0 pass new").unwrap();
    segment.run(seconds(10));
    segment.ifconfig_all("carp0 -accept_pass");
    segment.run(seconds(10));
    assert_eq!(segment.log(), [""; 0]);
    assert_eq!(segment.masters("carp0"), ["a"]);
}

#[test]
fn wrong_password_makes_two_masters_and_both_report_it() {
    let mut segment = pair();
    segment.ifconfig("b", "carp0 pass wrong").unwrap();
    segment.run(seconds(10));
    assert_eq!(segment.masters("carp0"), ["a", "b"]);
    for name in ["a", "b"] {
        let notices = segment.notices(name);
        let is_expected = |notice: &Notice| {
            matches!(notice, Notice::BadPacket { text, .. }
            if text == "the password or the addresses differ from ours")
        };
        assert!(notices.iter().any(is_expected), "{notices:?}");
    }
}

#[test]
fn peer_that_lacks_an_address_is_reported_with_the_address() {
    let mut segment = pair();
    segment.ifconfig("b", "carp0 192.0.2.101/24").unwrap();
    segment.run(seconds(10));
    let notices = segment.notices("b");
    let is_expected = |notice: &Notice| {
        matches!(notice, Notice::BadPacket { text, .. }
        if text == "the password is ours, but the sender lacks the address 192.0.2.101")
    };
    assert!(notices.iter().any(is_expected), "{notices:?}");
}

#[test]
fn address_that_no_host_can_have_is_refused() {
    let mut segment = Segment::new(["a"]);
    for (address, why) in [
        ("192.0.2.0/24", "network address of 192.0.2.0/24"),
        ("192.0.2.255/24", "broadcast address of its /24"),
        ("0.0.0.1/24", "reserved"),
        ("240.0.0.1/24", "reserved"),
        ("255.255.255.255/32", "reserved"),
        ("::ffff:192.0.2.1/128", "write the IPv4 address"),
        ("2001:db8::/64", "anycast"),
        ("192.0.2.1/0", "1 to 32, not 0"),
        ("2001:db8::1/0", "1 to 128, not 0"),
    ] {
        let refusal = segment.ifconfig("a", &format!("carp0 vhid 1 {address}"));
        let message = refusal.unwrap_err().message;
        assert!(message.contains(why), "{address}: {message}");
    }
    for address in [
        "192.0.2.0/31",
        "192.0.2.1/31",
        "192.0.2.0/32",
        "2001:db8::/127",
        "2001:db8::/128",
    ] {
        segment
            .ifconfig(
                "a",
                &format!(
                    "carp1 {address} -alias {}",
                    address.split_once('/').unwrap().0
                ),
            )
            .unwrap();
    }
}

#[test]
fn command_line_that_fails_changes_nothing() {
    let mut segment = Segment::new(["a"]);
    segment
        .ifconfig("a", "carp0 vhid 1 192.0.2.100/24")
        .unwrap();
    segment
        .ifconfig("a", "carp1 vhid 2 192.0.2.101/24")
        .unwrap();
    segment.run(seconds(5));
    segment.log();
    let lines = [
        ("carp1 advskew 5 pass other vhid 1", RefusalKind::Exists),
        (
            "carp1 advbase 7 192.0.2.102/24 192.0.2.101/24",
            RefusalKind::Exists,
        ),
        (
            "carp1 advskew 5 -alias 192.0.2.7",
            RefusalKind::AddressNotAvailable,
        ),
        ("carp1 advskew 5 carpdev eth7", RefusalKind::NoDevice),
        ("carp1 vhid 9 192.0.2.55/33", RefusalKind::InvalidArgument),
        ("carp1 vhid 9 224.0.0.1/24", RefusalKind::InvalidArgument),
        ("carp1 down state master", RefusalKind::Busy),
    ];
    segment.sent.clear();
    for (line, kind) in lines {
        let before = segment.status("a", "carp1");
        let refusal = segment.ifconfig("a", line).unwrap_err();
        assert_eq!(refusal.kind, kind, "{line}: {refusal}");
        assert_eq!(segment.status("a", "carp1"), before, "{line}");
    }
    let refusal = segment
        .ifconfig("a", "carp2 vhid 1 192.0.2.77/24")
        .unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Exists);
    assert_eq!(segment.engine("a").units().count(), 2, "not created either");
    assert_eq!(segment.sent.len(), 0);
    assert_eq!(segment.log(), [""; 0]);
    let all_of_it = "carp1 vhid 9 advskew 5 192.0.2.102/24 -alias 192.0.2.101";
    segment.ifconfig("a", all_of_it).unwrap();
    let status = segment.status("a", "carp1");
    assert_eq!(status.vhid.unwrap().get(), 9);
    assert_eq!(status.addresses.len(), 1);
}

#[test]
fn address_added_to_a_master_is_live_and_announced_at_once() {
    let mut segment = pair();
    segment.sent.clear();
    segment.ifconfig("a", "carp0 192.0.2.101/24").unwrap();
    segment.run(millis(1));
    assert_eq!(segment.holders("192.0.2.101"), ["a"]);
    let announced = segment.sent.iter().any(|(_, frame)| {
        let frame = Frame::parse(frame).unwrap();
        arp::Packet::parse(frame.payload).is_ok_and(|it| it.sender.octets()[3] == 101)
    });
    assert!(announced);
    segment.ifconfig("a", "carp0 -alias 192.0.2.100").unwrap();
    segment.run(millis(1));
    assert_eq!(segment.holders("192.0.2.100"), [""; 0]);
    assert_eq!(segment.holders("192.0.2.101"), ["a"]);
    assert_eq!(segment.log(), [""; 0]);
}

#[test]
fn changes_of_one_command_line_apply_together() {
    let mut segment = pair();
    let unit = "carp0".parse().unwrap();
    let changes = vec![
        Change::Advskew(30_u64.try_into().unwrap()),
        Change::Vhid(7_u64.try_into().unwrap()),
        Change::Description("outside".to_owned()),
    ];
    segment
        .request(0, &Request::Configure { unit, changes })
        .unwrap();
    let status = segment.status("a", "carp0");
    assert_eq!((status.advskew, status.vhid.unwrap().get()), (30, 7));
    assert_eq!(status.description, "outside");
}
