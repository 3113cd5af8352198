//! Frames that the bench sends, and a parser for those that arrive.

use std::net::Ipv4Addr;

use crate::addresses::Mac;

/// Contents of a frame, as far as the bench needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A CARP or VRRP advertisement, protocol 112.
    Advertisement {
        /// Virtual host or virtual router.
        vhid: u8,
        /// The sender.
        source: Ipv4Addr,
    },
    /// An ARP packet with the MAC of `sender`.
    Arp {
        /// The address.
        sender: Ipv4Addr,
        /// An announcement: sender and target are the same.
        gratuitous: bool,
    },
    /// The reply to an echo request of [`echo_request`].
    EchoReply {
        /// The request's number.
        number: u64,
    },
}

/// Parses a frame; returns `None` for frames of other kinds.
pub(crate) fn read(frame: &[u8]) -> Option<Content> {
    match bytes(frame, 12)? {
        [0x08, 0x06] => {
            let (sender, target) = (address(frame, 28)?, address(frame, 38)?);
            Some(Content::Arp {
                sender,
                gratuitous: sender == target,
            })
        }
        [0x08, 0x00] => {
            let [length] = bytes(frame, 14)?;
            let payload = 14 + usize::from(length & 0x0f) * 4;
            let [protocol] = bytes(frame, 23)?;
            let kind: [u8; 2] = bytes(frame, payload)?;
            match (protocol, kind) {
                (112, [_, vhid]) => Some(Content::Advertisement {
                    vhid,
                    source: address(frame, 26)?,
                }),
                (1, [0, 0]) => Some(Content::EchoReply {
                    number: u64::from_be_bytes(bytes(frame, payload + 8)?),
                }),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Returns an ARP request for `target`, sent only to `mac`.
pub(crate) fn arp_request(own: Mac, sender: Ipv4Addr, mac: Mac, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = header(mac, own, [0x08, 0x06]);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(own);
    frame.extend(sender.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

/// Returns the ICMP part of an echo request with a number of 64 bits.
pub(crate) fn echo_request(number: u64) -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 0xca, 0x59, 0, 0];
    message.extend(number.to_be_bytes());
    seal(&mut message, 2);
    message
}

/// Returns a well-formed CARP advertisement of a virtual host with a wrong digest.
pub(crate) fn forged_carp(source: Ipv4Addr, vhid: u8) -> Vec<u8> {
    let mut message = vec![0x21, vhid, 0, 7, 0, 1, 0, 0];
    message.extend([0x5a; 28]);
    seal(&mut message, 6);
    advertisement(source, vhid, &message)
}

/// Returns a VRRP version 2 advertisement of a virtual router with a wrong checksum.
pub(crate) fn forged_vrrp(source: Ipv4Addr, vhid: u8, address: Ipv4Addr) -> Vec<u8> {
    let mut message = vec![0x21, vhid, 200, 1, 0, 1, 0, 0];
    message.extend(address.octets());
    message.extend([0; 8]);
    seal(&mut message, 6);
    if let Some(sum) = message.get_mut(6) {
        *sum = !*sum;
    }
    advertisement(source, vhid, &message)
}

/// Returns a UDP datagram for the router at `mac` to forward.
pub(crate) fn datagram(own: Mac, mac: Mac, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    // Ports 9 (discard), 26 bytes of payload, no checksum: a frame of minimum size.
    let mut udp = vec![0, 9, 0, 9, 0, 26, 0, 0];
    udp.extend([0; 18]);
    let mut frame = header(mac, own, [0x08, 0x00]);
    frame.extend(packet(17, 64, source, destination, &udp));
    frame
}

fn advertisement(source: Ipv4Addr, vhid: u8, message: &[u8]) -> Vec<u8> {
    let group = Ipv4Addr::new(224, 0, 0, 18);
    let destination = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12];
    let own = [0x00, 0x00, 0x5e, 0x00, 0x02, vhid];
    let mut frame = header(destination, own, [0x08, 0x00]);
    frame.extend(packet(112, 255, source, group, message));
    frame
}

fn packet(
    protocol: u8,
    ttl: u8,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    payload: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, ttl, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    seal(&mut packet, 10);
    packet.extend(payload);
    packet
}

fn header(destination: Mac, source: Mac, ethertype: [u8; 2]) -> Vec<u8> {
    [&destination[..], &source, &ethertype].concat()
}

/// Writes the checksum (RFC 1071) of the whole `message` at `offset`, which must be zero before.
fn seal(message: &mut [u8], offset: usize) {
    let words = message.chunks(2).map(|word| match *word {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [.., high, low] = (!sum).to_be_bytes();
    if let Some(place) = message.get_mut(offset..offset + 2) {
        place.copy_from_slice(&[high, low]);
    }
}

fn address(frame: &[u8], offset: usize) -> Option<Ipv4Addr> {
    Some(bytes::<4>(frame, offset)?.into())
}

fn bytes<const N: usize>(frame: &[u8], offset: usize) -> Option<[u8; N]> {
    frame.get(offset..offset + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

    #[test]
    fn a_forged_advertisement_has_the_right_checksums_but_that_of_vrrp() {
        let carp = forged_carp(SOURCE, 7);
        assert_eq!(
            read(&carp),
            Some(Content::Advertisement {
                vhid: 7,
                source: SOURCE
            })
        );
        let sum = |part: &[u8]| {
            let mut copy = [part, &[0, 0]].concat();
            let end = part.len();
            seal(&mut copy, end);
            [copy[end], copy[end + 1]]
        };
        assert_eq!(sum(&carp[14..34]), [0, 0]);
        assert_eq!(sum(&carp[34..]), [0, 0]);
        let vrrp = forged_vrrp(SOURCE, 7, Ipv4Addr::new(10, 0, 1, 7));
        assert_eq!(sum(&vrrp[14..34]), [0, 0]);
        assert_ne!(sum(&vrrp[34..]), [0, 0]);
    }

    #[test]
    fn only_a_gratuitous_arp_has_the_same_address_twice() {
        let (own, other) = ([2; 6], Ipv4Addr::new(10, 0, 1, 1));
        let gratuitous = |target| match read(&arp_request(own, SOURCE, own, target)) {
            Some(Content::Arp { sender, gratuitous }) => (sender, gratuitous),
            _ => (other, false),
        };
        assert_eq!(gratuitous(other), (SOURCE, false));
        assert_eq!(gratuitous(SOURCE), (SOURCE, true));
    }

    #[test]
    fn a_truncated_frame_is_nothing() {
        let frame = forged_carp(SOURCE, 7);
        for length in 0..34 {
            assert_eq!(read(&frame[..length]), None);
        }
    }
}
