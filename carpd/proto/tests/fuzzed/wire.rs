//! Bytes through all parsers: a value that is read can be written, and reads as the same.

use std::net::Ipv6Addr;

use carp_proto::wire::carp::Header;
use carp_proto::wire::ethernet::Frame;
use carp_proto::wire::{arp, ipv4, ipv6, ndisc};

/// Reads `bytes` in each format, and their payload in the next one.
pub(crate) fn wire(bytes: &[u8]) {
    packet(bytes);
    if let Some(frame) = Frame::parse(bytes) {
        let again = frame.emit();
        assert_eq!(Frame::parse(&again), Some(frame));
        packet(frame.payload);
    }
}

fn packet(bytes: &[u8]) {
    if let Ok(packet) = ipv4::Packet::parse(bytes) {
        assert!(packet.payload.len() <= bytes.len());
        let again = packet.emit();
        assert_eq!(ipv4::Packet::parse(&again), Ok(packet));
        header(packet.payload);
    }
    if let Ok(packet) = ipv6::Packet::parse(bytes) {
        assert!(packet.payload.len() <= bytes.len());
        let again = packet.emit();
        assert_eq!(ipv6::Packet::parse(&again), Ok(packet));
        header(packet.payload);
        neighbour(packet.source, packet.payload);
    }
    if let Ok(packet) = arp::Packet::parse(bytes) {
        assert_eq!(arp::Packet::parse(&packet.emit()), Ok(packet));
    }
    header(bytes);
    neighbour(Ipv6Addr::LOCALHOST, bytes);
}

fn header(bytes: &[u8]) {
    if let Ok(header) = Header::parse(bytes) {
        assert!(bytes.len() >= 36);
        assert_eq!(Header::parse(&header.emit()), Ok(header));
    }
}

fn neighbour(source: Ipv6Addr, bytes: &[u8]) {
    if let Ok(message) = ndisc::Advertisement::parse(source, bytes) {
        let again = ndisc::Advertisement::parse(message.target, &message.emit());
        assert_eq!(again, Ok(message));
    }
}
