//! Stories of groups: the transitions of the hosts, with times and reasons.

mod announcing;
mod balancing;
mod election;
mod families;
mod installed;
mod settings;
mod suppression;
mod trouble;

use std::time::Duration;

use carp_proto::wire::carp::Header;
use carp_proto::wire::ethernet::Frame;
use carp_proto::wire::ipv4;

use crate::segment::Segment;

const A: &str = "carp0 vhid 1 pass mekmitasdigoat 192.0.2.100/24";
const B: &str = "carp0 vhid 1 advskew 100 pass mekmitasdigoat 192.0.2.100/24";

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// First example of carp(4), ten seconds after its start.
fn pair() -> Segment {
    let mut segment = Segment::new(["a", "b"]);
    segment.ifconfig("a", A).unwrap();
    segment.ifconfig("b", B).unwrap();
    segment.run(seconds(10));
    assert_eq!(
        segment.log(),
        [
            "   0.000s a carp0: INIT -> BACKUP (initialization complete)",
            "   0.000s b carp0: INIT -> BACKUP (initialization complete)",
            "   3.000s a carp0: BACKUP -> MASTER (master timed out)",
        ]
    );
    segment
}

fn headers(segment: &Segment, host: usize) -> impl Iterator<Item = Header> {
    let from = segment.sent.iter().filter(move |(from, _)| *from == host);
    from.filter_map(|(_, frame)| {
        let frame = Frame::parse(frame)?;
        let packet = ipv4::Packet::parse(frame.payload).ok()?;
        Header::parse(packet.payload).ok()
    })
}
