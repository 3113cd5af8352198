//! Captured frames, read independently of carpd's own parser.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const CARP: u8 = 112;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

/// An Ethernet frame and when it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Microseconds since the epoch.
    pub time: u64,
    /// From the destination MAC on.
    pub bytes: Vec<u8>,
}

/// Which protocol carried an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// To 224.0.0.18
    V4,
    /// To `ff02::12`
    V6,
}

/// An advertisement: the fields of its header as they stand on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// IPv4 or IPv6.
    pub family: Family,
    /// The sender's address.
    pub source: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// 1 to 255.
    pub vhid: u8,
    /// 1/256 s.
    pub advskew: u8,
    /// The demotion byte.
    pub demotion: u8,
    /// Seconds.
    pub advbase: u8,
    /// Carpd seals it: it grows from one to the next.
    pub counter: u64,
}

impl Advertisement {
    /// Whether it says goodbye: 255 in both fields.
    #[must_use]
    pub fn is_bow_out(&self) -> bool {
        self.advbase == 255 && self.advskew == 255
    }
}

/// An ARP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 asks, 2 replies.
    pub operation: u8,
    /// The sender's MAC inside of the packet.
    pub sender_mac: String,
    /// The sender's address.
    pub sender: Ipv4Addr,
    /// The target's MAC inside of the packet.
    pub target_mac: String,
    /// The target's address.
    pub target: Ipv4Addr,
}

/// A neighbour solicitation (135) or advertisement (136).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighbourMessage {
    /// 135 or 136.
    pub kind: u8,
    /// The address it comes from.
    pub source: Ipv6Addr,
    /// The address it is about.
    pub target: Ipv6Addr,
    /// The override flag of an advertisement.
    pub overrides: bool,
    /// The MAC in its link-layer address option.
    pub lladdr: Option<String>,
}

/// An echo request or reply of IPv4 or IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Whether it asks.
    pub request: bool,
    /// The address it comes from.
    pub source: IpAddr,
    /// The address it goes to.
    pub destination: IpAddr,
    /// Identifier and sequence number.
    pub number: [u8; 4],
}

impl Frame {
    /// The Ethernet source, `00:00:5e:00:01:01`.
    #[must_use]
    pub fn source(&self) -> String {
        self.mac(6).unwrap_or_default()
    }

    /// The Ethernet destination.
    #[must_use]
    pub fn destination(&self) -> String {
        self.mac(0).unwrap_or_default()
    }

    /// The ARP packet in it.
    #[must_use]
    pub fn arp(&self) -> Option<Arp> {
        if self.at(12)? != [0x08, 0x06] {
            return None;
        }
        let [_, operation] = self.at(20)?;
        Some(Arp {
            operation,
            sender_mac: self.mac(22)?,
            sender: self.at::<4>(28)?.into(),
            target_mac: self.mac(32)?,
            target: self.at::<4>(38)?.into(),
        })
    }

    /// The CARP advertisement in it: protocol 112, version 2, type 1, 36 bytes.
    #[must_use]
    pub fn advertisement(&self) -> Option<Advertisement> {
        let ip = self.ip()?;
        let [0x21, vhid, advskew, 7, demotion, advbase] = self.at(ip.payload)? else {
            return None;
        };
        (ip.protocol == CARP).then_some(Advertisement {
            family: if ip.source.is_ipv4() {
                Family::V4
            } else {
                Family::V6
            },
            source: ip.source,
            ttl: ip.ttl,
            vhid,
            advskew,
            demotion,
            advbase,
            counter: u64::from_be_bytes(self.at(ip.payload + 8)?),
        })
    }

    /// The neighbour solicitation or advertisement in it.
    #[must_use]
    pub fn neighbour_message(&self) -> Option<NeighbourMessage> {
        let ip = self.ip()?;
        let [kind @ (135 | 136), 0, _, _, flags] = self.at(ip.payload)? else {
            return None;
        };
        let IpAddr::V6(source) = ip.source else {
            return None;
        };
        (ip.protocol == ICMP6).then_some(NeighbourMessage {
            kind,
            source,
            target: self.at::<16>(ip.payload + 8)?.into(),
            overrides: flags & 0x20 != 0,
            // One option at most is sent by Linux and by carpd: 1 (source) or 2 (target), one
            // unit of eight bytes.
            lladdr: match self.at(ip.payload + 24) {
                Some([1 | 2, 1]) => self.mac(ip.payload + 26),
                _ => None,
            },
        })
    }

    /// The echo request or reply in it.
    #[must_use]
    pub fn echo(&self) -> Option<Echo> {
        let ip = self.ip()?;
        let [kind, 0] = self.at(ip.payload)? else {
            return None;
        };
        let request = match (ip.protocol, kind) {
            (ICMP, 8) | (ICMP6, 128) => true,
            (ICMP, 0) | (ICMP6, 129) => false,
            _ => return None,
        };
        Some(Echo {
            request,
            source: ip.source,
            destination: ip.destination,
            number: self.at(ip.payload + 4)?,
        })
    }

    /// Whether it is a report or a done of multicast listener discovery (RFC 2710, RFC 3810), behind
    /// the hop-by-hop header that it has.
    #[must_use]
    pub fn is_listener_report(&self) -> bool {
        const HOP_BY_HOP: u8 = 0;
        let Some(ip) = self.ip().filter(|ip| ip.protocol == HOP_BY_HOP) else {
            return false;
        };
        let next = self.at(ip.payload);
        let kind = self.at(ip.payload + 8);
        next == Some([ICMP6, 0]) && matches!(kind, Some([131 | 132 | 143]))
    }

    fn ip(&self) -> Option<Ip> {
        match self.at(12)? {
            [0x08, 0x00] => {
                let [version_and_length] = self.at(14)?;
                let [ttl, protocol] = self.at(22)?;
                Some(Ip {
                    source: IpAddr::V4(self.at::<4>(26)?.into()),
                    destination: IpAddr::V4(self.at::<4>(30)?.into()),
                    ttl,
                    protocol,
                    payload: 14 + usize::from(version_and_length & 0x0f) * 4,
                })
            }
            [0x86, 0xdd] => {
                let [protocol, ttl] = self.at(20)?;
                Some(Ip {
                    source: IpAddr::V6(self.at::<16>(22)?.into()),
                    destination: IpAddr::V6(self.at::<16>(38)?.into()),
                    ttl,
                    protocol,
                    payload: 54,
                })
            }
            _ => None,
        }
    }

    fn mac(&self, offset: usize) -> Option<String> {
        let bytes = self.at::<6>(offset)?;
        Some(bytes.map(|byte| format!("{byte:02x}")).join(":"))
    }

    fn at<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.bytes.get(offset..offset + N)?.try_into().ok()
    }
}

struct Ip {
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    protocol: u8,
    payload: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gratuitous_reply_is_read() {
        let mut bytes = vec![0xff; 6];
        bytes.extend([0, 0, 0x5e, 0, 1, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
        bytes.extend([0, 0, 0x5e, 0, 1, 1, 192, 168, 1, 1]);
        bytes.extend([0, 0, 0x5e, 0, 1, 1, 192, 168, 1, 1]);
        let frame = Frame { time: 0, bytes };
        let arp = frame.arp().expect("an ARP packet");
        assert_eq!(
            (arp.operation, arp.sender),
            (2, Ipv4Addr::new(192, 168, 1, 1))
        );
        assert_eq!(arp.target_mac, "00:00:5e:00:01:01");
        assert_eq!(frame.source(), "00:00:5e:00:01:01");
        assert_eq!(frame.advertisement(), None);
    }

    #[test]
    fn a_truncated_frame_is_nothing() {
        for length in 0..60 {
            let frame = Frame {
                time: 0,
                bytes: [&[0; 12][..], &[8, 0, 0x45]].concat(),
            };
            let short = Frame {
                time: 0,
                bytes: frame.bytes.into_iter().take(length).collect(),
            };
            assert_eq!(short.advertisement(), None);
            assert_eq!(short.echo(), None);
        }
    }
}
