//! Frames of peers and of attackers.

use std::net::{IpAddr, Ipv4Addr};

use carp_proto::wire::carp::{ADVERTISEMENT, AUTHLEN, BOW_OUT, Header, VERSION};
use carp_proto::wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame};
use carp_proto::wire::{arp, checksum, frames, ipv4, ipv6};
use carp_proto::{Digests, Engine, Form, Key, Mac, Now, Seal, Vhid};

use super::units;
use crate::bytes::Bytes;

const SOURCES: [&str; 6] = [
    "192.0.2.9",
    "192.0.2.0",
    "192.0.2.1",
    "fe80::9",
    "fe80::1",
    "2001:db8::9",
];

/// Advertisement of a peer with our settings, or one that was on the wire before: unchanged, rewritten with
/// a good checksum, or damaged.
pub(super) fn advertisement(
    engine: &Engine,
    now: Now,
    wire: &[Vec<u8>],
    bytes: &mut Bytes<'_>,
) -> Vec<u8> {
    let how = bytes.byte();
    let old = match wire {
        [] => None,
        _ if how.is_multiple_of(4) => Some(&wire[usize::from(bytes.byte()) % wire.len()]),
        _ => None,
    };
    let mut frame = match old {
        Some(frame) => frame.clone(),
        None => of_a_peer(engine, now, bytes),
    };
    if how & 0x0c == 0x0c {
        frame = rewritten(&frame, bytes).unwrap_or(frame);
    }
    if how & 0x30 == 0x30 {
        for _ in 0..=bytes.byte() % 4 {
            let at = usize::from(bytes.byte());
            let value = bytes.byte();
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
    }
    if how & 0xc0 == 0xc0 {
        frame.truncate(usize::from(bytes.byte()));
    }
    frame
}

/// Advertisement of a host with our password and our addresses.
fn of_a_peer(engine: &Engine, now: Now, bytes: &mut Bytes<'_>) -> Vec<u8> {
    let unit = units().nth(usize::from(bytes.byte() % 4)).unwrap();
    let settings = engine.settings(unit).cloned().unwrap_or_default();
    let vhid = settings.vhid.unwrap_or(Vhid::LEAST);
    let addresses: Vec<IpAddr> = settings.addresses.iter().map(|each| each.address).collect();
    let own = &settings.key;
    let key = match bytes.byte() % 4 {
        0 => settings.accept_key.as_ref().unwrap_or(own).clone(),
        1 => Key::password(b"wrong").unwrap(),
        _ => own.clone(),
    };
    let (advbase, advskew) = match bytes.byte() {
        0..16 => (BOW_OUT, BOW_OUT),
        16..200 => (1, bytes.byte()),
        _ => (bytes.byte(), bytes.byte()),
    };
    let demotion = bytes.one_of(&[0, 0, 0, 1, 255]);
    let counter = match bytes.byte() % 4 {
        0 => bytes.long(),
        1 => u64::MAX,
        _ => Seal::default().next(now.unix, advbase, advskew, demotion),
    };
    let form = bytes.one_of(&[Form::Ours, Form::WithLinkLocal, Form::AsConfigured]);
    let digest = Digests::new(&key, vhid, &addresses).digest_as(form, counter);
    let header = Header {
        version: VERSION,
        kind: ADVERTISEMENT,
        vhid: vhid.get(),
        advskew,
        authlen: AUTHLEN,
        demotion,
        advbase,
        counter,
        digest,
    };
    let source = bytes.one_of(&SOURCES).parse().unwrap();
    frames::advertisement(Mac::virtual_of(vhid), source, &header)
}

/// Frame with another header and good checksums.
fn rewritten(frame: &[u8], bytes: &mut Bytes<'_>) -> Option<Vec<u8>> {
    let frame = Frame::parse(frame)?;
    let (mut header, source, ttl): (Header, IpAddr, u8) = match frame.ethertype {
        ETHERTYPE_IPV4 => {
            let packet = ipv4::Packet::parse(frame.payload).ok()?;
            let header = Header::parse(packet.payload).ok()?;
            (header, packet.source.into(), packet.ttl)
        }
        ETHERTYPE_IPV6 => {
            let packet = ipv6::Packet::parse(frame.payload).ok()?;
            let header = Header::parse(packet.payload).ok()?;
            (header, packet.source.into(), packet.hop_limit)
        }
        _ => return None,
    };
    let value = bytes.byte();
    let mut ttl = ttl;
    match bytes.byte() % 10 {
        0 => header.version = value,
        1 => header.kind = value,
        2 => header.vhid = value,
        3 => header.advskew = value,
        4 => header.demotion = value,
        5 => header.advbase = value,
        6 => header.counter = header.counter.wrapping_add(value.into()),
        7 => header.digest[usize::from(value) % 20] ^= 1,
        8 => ttl = value,
        _ => header.authlen = value,
    }
    let mut bytes = frames::advertisement(frame.source, source, &header);
    if source.is_ipv4() {
        // TTL and checksum of the IP header.
        bytes[22] = ttl;
        bytes[24..26].fill(0);
        let sum = checksum::checksum(&[&bytes[14..34]]);
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    } else {
        bytes[21] = ttl;
    }
    Some(bytes)
}

/// ARP request for one of our addresses, or a similar packet.
pub(super) fn arp_request(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let operation = bytes.one_of(&[arp::Operation::Request, arp::Operation::Reply]);
    let host = |bytes: &mut Bytes<'_>| Ipv4Addr::new(192, 0, 2, bytes.one_of(&[100, 101, 9, 0]));
    let packet = arp::Packet {
        operation,
        sender_mac: Mac([2, 0, 0, 0, 0, 9]),
        sender: host(bytes),
        target_mac: Mac([0; 6]),
        target: host(bytes),
    };
    Frame {
        destination: Mac::BROADCAST,
        source: packet.sender_mac,
        ethertype: ETHERTYPE_ARP,
        payload: &packet.emit(),
    }
    .emit()
}
