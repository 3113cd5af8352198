//! IPv6 headers, RFC 8200.

use core::net::Ipv6Addr;

use super::malformed::Malformed;

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Source address.
    pub source: Ipv6Addr,
    /// Destination address.
    pub destination: Ipv6Addr,
    /// 255 only if the packet was sent on this segment.
    pub hop_limit: u8,
    /// Type of the payload. Extension headers are not read, because advertisements have none.
    pub next_header: u8,
    /// Payload, as long as the header says, so without the padding of Ethernet.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet.
    ///
    /// # Errors
    /// The packet is not IPv6, or is shorter than its header says.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (start, rest) = bytes.split_first_chunk::<8>().ok_or(Malformed)?;
        let (source, rest) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
        let (destination, rest) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
        let &[
            version,
            _,
            _,
            _,
            length_high,
            length_low,
            next_header,
            hop_limit,
        ] = start;
        if version >> 4 != 6 {
            return Err(Malformed);
        }
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        Ok(Self {
            source: (*source).into(),
            destination: (*destination).into(),
            hop_limit,
            next_header,
            payload: rest.get(..length).ok_or(Malformed)?,
        })
    }

    /// Bytes of the packet without traffic class and flow label, as BSD sends advertisements. The payload
    /// is at most 65535 bytes.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let length = u16::try_from(self.payload.len()).unwrap_or(u16::MAX);
        let [length_high, length_low] = length.to_be_bytes();
        let start = [
            0x60,
            0,
            0,
            0,
            length_high,
            length_low,
            self.next_header,
            self.hop_limit,
        ];
        let (source, destination) = (self.source.octets(), self.destination.octets());
        [start.as_slice(), &source, &destination, self.payload].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: usize = 40;
    const PACKET: [u8; HEADER + 3] = [
        0x60, 0, 0, 0, 0x00, 0x03, 0x70, 0xff, // 3 bytes, next header 112, hop limit 255
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, // fe80::2
        0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, // ff02::12
        0x01, 0x02, 0x03,
    ];

    #[test]
    fn packet_is_read_and_written() {
        let packet = Packet::parse(&PACKET).unwrap();
        assert_eq!(packet.source.to_string(), "fe80::2");
        assert_eq!(packet.destination.to_string(), "ff02::12");
        assert_eq!((packet.hop_limit, packet.next_header), (255, 112));
        assert_eq!(packet.payload, [1, 2, 3]);
        assert_eq!(packet.emit(), PACKET);
    }

    #[test]
    fn padding_after_the_length_of_the_header_is_cut_off() {
        let padded = [&PACKET[..], &[0; 22]].concat();
        assert_eq!(Packet::parse(&padded), Packet::parse(&PACKET));
    }

    #[test]
    fn packet_that_contradicts_itself_is_malformed() {
        assert_eq!(Packet::parse(&PACKET[..HEADER - 1]), Err(Malformed));
        assert_eq!(Packet::parse(&PACKET[..HEADER + 2]), Err(Malformed));
        let mut other = PACKET;
        other[0] = 0x40;
        assert_eq!(Packet::parse(&other), Err(Malformed));
    }
}
