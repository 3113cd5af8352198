//! The Internet checksum of RFC 1071.

/// Checksum of `parts` as one run of bytes. Each part but the last has an even length. Bytes that include
/// their own correct checksum give 0.
#[must_use]
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let sum: u64 = parts.iter().map(|part| sum(part)).sum();
    !fold(sum)
}

fn sum(bytes: &[u8]) -> u64 {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let even: u64 = pairs
        .iter()
        .map(|pair| u64::from(u16::from_be_bytes(*pair)))
        .sum();
    even + odd.first().map_or(0, |byte| u64::from(*byte) << 8)
}

fn fold(sum: u64) -> u16 {
    match u16::try_from(sum) {
        Ok(folded) => folded,
        Err(_) => fold((sum >> 16) + (sum & 0xffff)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_equals_the_example_of_rfc_1071_section_3() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&[&bytes]), !0xddf2);
    }

    #[test]
    fn odd_byte_is_the_high_half_of_a_word() {
        assert_eq!(
            checksum(&[&[0x12, 0x34, 0x56]]),
            checksum(&[&[0x12, 0x34, 0x56, 0x00]])
        );
    }

    #[test]
    fn parts_are_one_run_of_bytes() {
        let whole = [0xff; 64];
        assert_eq!(checksum(&[&whole[..20], &whole[20..]]), checksum(&[&whole]));
    }

    #[test]
    fn bytes_with_their_own_checksum_give_zero() {
        let mut bytes = [0x45, 0x10, 0x00, 0x38, 0x00, 0x00];
        let sum = checksum(&[&bytes]);
        bytes[4..].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(&[&bytes]), 0);
    }
}
