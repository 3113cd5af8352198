//! Messages of a netlink datagram.

/// Size in bytes of the largest datagram that the kernel sends for a dump (`netlink_dump()`).
pub(super) const MAX_SIZE: usize = 32 << 10;

/// Size in bytes of the header of a message, `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;

/// Splits a datagram by the length in the header of each message: a message of an unknown form does not
/// hide those that follow it (netlink(7)).
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = datagram;
    core::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*rest.first_chunk()?);
        let length = usize::try_from(length).ok()?;
        let message = rest.get(..length).filter(|_| length >= HEADER)?;
        let next = length.next_multiple_of(4);
        rest = rest.get(next..).unwrap_or_default();
        Some(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32, body: u8) -> Vec<u8> {
        let mut bytes = vec![body; usize::try_from(length).unwrap().next_multiple_of(4)];
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    #[test]
    fn datagram_is_split_by_the_lengths_in_it() {
        let datagram = [message(18, 1), message(16, 2), message(17, 3)].concat();
        let found: Vec<_> = messages(&datagram)
            .map(|each| (each.len(), each[4]))
            .collect();
        assert_eq!(found, [(18, 1), (16, 2), (17, 3)]);
        // The padding of the last message may be missing.
        assert_eq!(messages(&datagram[..datagram.len() - 3]).count(), 3);
    }

    #[test]
    fn invalid_length_ends_a_datagram() {
        for length in [0, 15, 21, u32::MAX] {
            let mut datagram = message(20, 1);
            datagram[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(messages(&datagram).count(), 0, "{length}");
        }
        assert_eq!(messages(&[16, 0]).count(), 0);
    }
}
