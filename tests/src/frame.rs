//! Captured frames, with a parser that is independent of carpd's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const CARP: u8 = 112;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

/// Ethernet frame with the time of its capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Microseconds since the epoch.
    pub time: u64,
    /// Bytes from the destination MAC address on.
    pub bytes: Vec<u8>,
}

/// IP version of an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, to 224.0.0.18.
    V4,
    /// IPv6, to `ff02::12`.
    V6,
}

/// Advertisement: the fields of its header as on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// IP version.
    pub family: Family,
    /// Address of the sender.
    pub source: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// vhid, 1 to 255.
    pub vhid: u8,
    /// advskew, in 1/256 s.
    pub advskew: u8,
    /// Demotion byte.
    pub demotion: u8,
    /// advbase, in seconds.
    pub advbase: u8,
    /// Counter, sealed by carpd; it grows from one advertisement to the next.
    pub counter: u64,
}

impl Advertisement {
    /// Returns whether it is a bow-out: 255 in both fields.
    #[must_use]
    pub fn is_bow_out(&self) -> bool {
        self.advbase == 255 && self.advskew == 255
    }
}

/// ARP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 for a request, 2 for a reply.
    pub operation: u8,
    /// MAC address of the sender in the packet.
    pub sender_mac: String,
    /// Address of the sender.
    pub sender: Ipv4Addr,
    /// MAC address of the target in the packet.
    pub target_mac: String,
    /// Address of the target.
    pub target: Ipv4Addr,
}

/// Neighbour solicitation (135) or advertisement (136).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighbourMessage {
    /// Type: 135 or 136.
    pub kind: u8,
    /// Source address.
    pub source: Ipv6Addr,
    /// Target address.
    pub target: Ipv6Addr,
    /// Override flag of an advertisement.
    pub overrides: bool,
    /// MAC address in the link-layer address option.
    pub lladdr: Option<String>,
}

/// Echo request or reply of IPv4 or IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// It is a request.
    pub request: bool,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Identifier and sequence number.
    pub number: [u8; 4],
}

impl Frame {
    /// Returns the Ethernet source, such as `00:00:5e:00:01:01`.
    #[must_use]
    pub fn source(&self) -> String {
        self.mac(6).unwrap_or_default()
    }

    /// Returns the Ethernet destination.
    #[must_use]
    pub fn destination(&self) -> String {
        self.mac(0).unwrap_or_default()
    }

    /// Parses it as an ARP packet.
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

    /// Parses it as a CARP advertisement: protocol 112, version 2, type 1, 36 bytes.
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

    /// Parses it as a neighbour solicitation or advertisement.
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
            // Linux and carpd send at most one option: 1 (source) or 2 (target), eight bytes long.
            lladdr: match self.at(ip.payload + 24) {
                Some([1 | 2, 1]) => self.mac(ip.payload + 26),
                _ => None,
            },
        })
    }

    /// Parses it as an echo request or reply.
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

    /// Returns whether it is a Report or a Done message of multicast listener discovery (RFC 2710,
    /// RFC 3810) after a hop-by-hop header.
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
    fn gratuitous_arp_reply_is_parsed() {
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
    fn truncated_frame_is_not_parsed() {
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
