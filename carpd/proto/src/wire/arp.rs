//! ARP for IPv4 over Ethernet, RFC 826.

use core::net::Ipv4Addr;

use super::malformed::Malformed;
use crate::mac::Mac;

const LENGTH: usize = 28;
/// Hardware Ethernet, protocol IPv4, their addresses 6 and 4 bytes long.
const ETHERNET_IPV4: [u8; 6] = [0x00, 0x01, 0x08, 0x00, 6, 4];

/// A request or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Request or reply.
    pub operation: Operation,
    /// Link-layer address of the sender.
    pub sender_mac: Mac,
    /// Address of the sender.
    pub sender: Ipv4Addr,
    /// Link-layer address of the target; ignored in a request.
    pub target_mac: Mac,
    /// Address of the target.
    pub target: Ipv4Addr,
}

/// Operation of an ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Asks for the MAC of the target.
    Request,
    /// Gives the MAC of the sender.
    Reply,
}

impl Packet {
    /// Reads a packet. Bytes after the first 28 are padding of Ethernet.
    ///
    /// # Errors
    /// The packet is too short, not IPv4 over Ethernet, or neither request nor reply.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        #[rustfmt::skip]
        let &[
            h0, h1, p0, p1, hardware_length, protocol_length,
            operation_high, operation_low,
            sm0, sm1, sm2, sm3, sm4, sm5,
            s0, s1, s2, s3,
            tm0, tm1, tm2, tm3, tm4, tm5,
            t0, t1, t2, t3,
        ] = bytes.first_chunk::<LENGTH>().ok_or(Malformed)?;
        if [h0, h1, p0, p1, hardware_length, protocol_length] != ETHERNET_IPV4 {
            return Err(Malformed);
        }
        let operation = match u16::from_be_bytes([operation_high, operation_low]) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Err(Malformed),
        };
        Ok(Self {
            operation,
            sender_mac: Mac([sm0, sm1, sm2, sm3, sm4, sm5]),
            sender: Ipv4Addr::new(s0, s1, s2, s3),
            target_mac: Mac([tm0, tm1, tm2, tm3, tm4, tm5]),
            target: Ipv4Addr::new(t0, t1, t2, t3),
        })
    }

    /// The bytes of the packet.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let operation: [u8; 2] = match self.operation {
            Operation::Request => [0, 1],
            Operation::Reply => [0, 2],
        };
        [
            ETHERNET_IPV4.as_slice(),
            &operation,
            &self.sender_mac.0,
            &self.sender.octets(),
            &self.target_mac.0,
            &self.target.octets(),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [u8; LENGTH] = [
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, // Ethernet, IPv4, request
        0x02, 0x00, 0x00, 0x00, 0x00, 0x09, 0xc0, 0x00, 0x02, 0x09, // 192.0.2.9
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc0, 0x00, 0x02, 0x64, // 192.0.2.100
    ];

    #[test]
    fn request_is_read_and_written() {
        let packet = Packet::parse(&REQUEST).unwrap();
        assert_eq!(packet.operation, Operation::Request);
        assert_eq!(packet.sender_mac, Mac([2, 0, 0, 0, 0, 9]));
        assert_eq!(packet.sender, Ipv4Addr::new(192, 0, 2, 9));
        assert_eq!(packet.target_mac, Mac([0; 6]));
        assert_eq!(packet.target, Ipv4Addr::new(192, 0, 2, 100));
        assert_eq!(packet.emit(), REQUEST);
    }

    #[test]
    fn padding_is_ignored() {
        let padded = [&REQUEST[..], &[0; 18]].concat();
        assert_eq!(Packet::parse(&padded), Packet::parse(&REQUEST));
    }

    #[test]
    fn packet_other_than_ipv4_over_ethernet_is_malformed() {
        assert_eq!(Packet::parse(&REQUEST[..27]), Err(Malformed));
        for at in 0..8 {
            let mut other = REQUEST;
            other[at] ^= 0x80;
            assert_eq!(Packet::parse(&other), Err(Malformed), "byte {at}");
        }
    }
}
