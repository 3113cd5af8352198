//! Filters of the receiving sockets: classic BPF programs on Ethernet frames.
//!
//! The kernel has taken a VLAN tag off before a packet socket sees the frame; a frame of VLAN 0
//! (priority-tagged) belongs to the interface itself, any other to a VLAN device above it.

use socket2::SockFilter;

use super::helpers::PREFIX;
use crate::bpf::{
    AND, IF_EQUAL, IF_GREATER, LOAD_BYTE, LOAD_HALF, LOAD_WORD, RETURN, ancillary, instruction,
};

const VLAN_TAG: u32 = ancillary(libc::SKF_AD_VLAN_TAG);
const PACKET_TYPE: u32 = ancillary(libc::SKF_AD_PKTTYPE);
const VLAN_ID: u32 = 0x0fff;
const SOURCE: u32 = 6;
/// First four bytes of a virtual MAC.
const VIRTUAL: u32 = 0x0000_5e00;
const ETHERTYPE: u32 = 12;
const IPV4_PROTOCOL: u32 = 14 + 9;
const IPV6_NEXT_HEADER: u32 = 14 + 6;
const ARP_OPERATION: u32 = 14 + 6;
const WHOLE_FRAME: u32 = u32::MAX;

/// Accepts IPv4 protocol 112 and IPv6 next header 112, for this host or for a group, including bad
/// packets, which are counted. Each packet that the host forwards passes this filter, so it refuses
/// other protocols first.
pub(super) fn carp() -> Vec<SockFilter> {
    let (accept, refuse) = (0, 1);
    let tail = [
        instruction(RETURN, 0, 0, WHOLE_FRAME),
        instruction(RETURN, 0, 0, 0),
    ];
    head(accept, refuse, refuse)
        .into_iter()
        .chain(tail)
        .collect()
}

/// Accepts what [`carp`] accepts, except frames from virtual MACs.
pub(super) fn carp_not_from_virtual_macs() -> Vec<SockFilter> {
    let (look_further, refuse) = (0, 6);
    let tail = [
        instruction(LOAD_WORD, 0, 0, SOURCE),
        instruction(IF_EQUAL, 0, 3, VIRTUAL),
        instruction(LOAD_BYTE, 0, 0, SOURCE + 4),
        instruction(IF_EQUAL, 2, 0, 1),
        instruction(IF_EQUAL, 1, 0, 2),
        instruction(RETURN, 0, 0, WHOLE_FRAME),
        instruction(RETURN, 0, 0, 0),
    ];
    head(look_further, refuse, refuse)
        .into_iter()
        .chain(tail)
        .collect()
}

/// Accepts what [`carp`] accepts, and probes, which are for another host by their destination.
pub(super) fn carp_and_probes() -> Vec<SockFilter> {
    let (look_further, refuse, accept) = (0, 2, 3);
    let tail = [
        instruction(LOAD_WORD, 0, 0, SOURCE),
        instruction(IF_EQUAL, 1, 0, u32::from_be_bytes(PREFIX)),
        instruction(RETURN, 0, 0, 0),
        instruction(RETURN, 0, 0, WHOLE_FRAME),
    ];
    head(accept, look_further, refuse)
        .into_iter()
        .chain(tail)
        .collect()
}

/// First instructions of each filter for CARP. The arguments are the numbers of instructions to skip
/// afterwards: for frames to this host or a group, for frames to other hosts, and for frames that are
/// not CARP or belong to a VLAN.
const fn head(to_us: u8, to_others: u8, neither: u8) -> [SockFilter; 12] {
    [
        instruction(LOAD_HALF, 0, 0, ETHERTYPE),
        instruction(IF_EQUAL, 0, 2, libc::ETH_P_IP as u32),
        instruction(LOAD_BYTE, 0, 0, IPV4_PROTOCOL),
        instruction(IF_EQUAL, 3, 8 + neither, 112),
        instruction(IF_EQUAL, 0, 7 + neither, libc::ETH_P_IPV6 as u32),
        instruction(LOAD_BYTE, 0, 0, IPV6_NEXT_HEADER),
        instruction(IF_EQUAL, 0, 5 + neither, 112),
        instruction(LOAD_WORD, 0, 0, PACKET_TYPE),
        instruction(IF_GREATER, 3 + to_others, 0, libc::PACKET_MULTICAST as u32),
        instruction(LOAD_WORD, 0, 0, VLAN_TAG),
        instruction(AND, 0, 0, VLAN_ID),
        instruction(IF_EQUAL, to_us, neither, 0),
    ]
}

/// Accepts ARP requests, including those to a virtual MAC, which the kernel marks as another host's.
pub(super) const ARP_REQUESTS: [SockFilter; 9] = [
    instruction(LOAD_WORD, 0, 0, VLAN_TAG),
    instruction(AND, 0, 0, VLAN_ID),
    instruction(IF_EQUAL, 0, 5, 0),
    instruction(LOAD_HALF, 0, 0, ETHERTYPE),
    instruction(IF_EQUAL, 0, 3, libc::ETH_P_ARP as u32),
    instruction(LOAD_HALF, 0, 0, ARP_OPERATION),
    instruction(IF_EQUAL, 0, 1, 1),
    instruction(RETURN, 0, 0, WHOLE_FRAME),
    instruction(RETURN, 0, 0, 0),
];
