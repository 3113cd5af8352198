//! Addresses, prefix lengths and netmasks as ifconfig(8) reads and writes them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Address family, as `inet` or `inet6` select it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `inet`.
    Inet,
    /// `inet6`.
    Inet6,
}

impl Family {
    /// Returns the family of `address`.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Inet,
            IpAddr::V6(_) => Self::Inet6,
        }
    }

    /// Returns the greatest prefix length.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Inet => 32,
            Self::Inet6 => 128,
        }
    }

    /// Returns the word on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Inet6 => "inet6",
        }
    }
}

/// Reads `ADDR` or `ADDR/LEN`.
///
/// # Errors
/// One line with the fault in `text`.
pub(super) fn parse(text: &str) -> Result<(IpAddr, Option<u8>), String> {
    let (host, length) = match text.split_once('/') {
        Some((host, length)) => (host, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = host.parse().map_err(|_| format!("{text}: bad address"))?;
    if unusable(address) {
        return Err(format!("{text}: not an address that hosts can share"));
    }
    let Some(length) = length else {
        return Ok((address, None));
    };
    let most = Family::of(address).bits();
    match prefix(length) {
        Some(prefix) if (1..=most).contains(&prefix) => Ok((address, Some(prefix))),
        Some(_) | None => Err(format!("{text}: bad prefix length, must be 1 to {most}")),
    }
}

/// Reads a prefix length of either family.
pub(super) fn prefix(text: &str) -> Option<u8> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|prefix| digits && *prefix <= Family::Inet6.bits())
}

/// Reads an IPv4 netmask, `255.255.255.0` or `0xffffff00`, as a prefix length.
pub(super) fn netmask(text: &str) -> Option<u8> {
    let bits = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u32::from_str_radix(hex, 16).ok()?
        }
        Some(_) => return None,
        None => text.parse::<Ipv4Addr>().ok()?.to_bits(),
    };
    let length = bits.leading_ones();
    (bits.count_ones() == length)
        .then(|| u8::try_from(length).ok())
        .flatten()
}

/// Returns the prefix length of an address without one: BSD's class for IPv4 (`af_inet.c`,
/// `in_setdefaultmask_nl()`), 64 for IPv6.
pub(super) const fn default_prefix(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) => match address.octets() {
            [0..=127, ..] => 8,
            [128..=191, ..] => 16,
            [192..=255, ..] => 24,
        },
        IpAddr::V6(_) => 64,
    }
}

/// Returns the text after an address: ` netmask 0xffffff00 broadcast 192.0.2.255`, or
/// ` prefixlen 64`.
#[must_use]
pub fn mask_text(address: &str, prefix: u8) -> String {
    let Ok(address) = address.parse::<Ipv4Addr>() else {
        return format!(" prefixlen {prefix}");
    };
    let mask = mask(prefix);
    let broadcast = match prefix {
        // `in.c`, `in_aifaddr_ioctl()`: RFC 3021 leaves a /31 no broadcast address of its own.
        31 => Some(Ipv4Addr::BROADCAST),
        0 => None,
        _ => Some(Ipv4Addr::from_bits(address.to_bits() | !mask)),
    };
    match broadcast {
        Some(broadcast) => format!(" netmask {mask:#x} broadcast {broadcast}"),
        None => format!(" netmask {mask:#x}"),
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0)
}

fn unusable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4.is_loopback()
        }
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || v6 == Ipv6Addr::LOCALHOST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_parsed_with_or_without_a_prefix_length() {
        assert_eq!(parse("192.0.2.1"), Ok((IpAddr::from([192, 0, 2, 1]), None)));
        assert_eq!(
            parse("192.0.2.1/24"),
            Ok((IpAddr::from([192, 0, 2, 1]), Some(24)))
        );
        assert_eq!(
            parse("2001:db8::1/64").map(|(_, prefix)| prefix),
            Ok(Some(64))
        );
    }

    #[test]
    fn invalid_address_is_named() {
        for (text, message) in [
            ("192.0.2", "192.0.2: bad address"),
            ("192.0.2.256/24", "192.0.2.256/24: bad address"),
            (
                "192.0.2.1/33",
                "192.0.2.1/33: bad prefix length, must be 1 to 32",
            ),
            (
                "192.0.2.1/",
                "192.0.2.1/: bad prefix length, must be 1 to 32",
            ),
            (
                "192.0.2.1/0",
                "192.0.2.1/0: bad prefix length, must be 1 to 32",
            ),
            (
                "192.0.2.1/+4",
                "192.0.2.1/+4: bad prefix length, must be 1 to 32",
            ),
            (
                "2001:db8::1/129",
                "2001:db8::1/129: bad prefix length, must be 1 to 128",
            ),
            ("fe80::1%eth0", "fe80::1%eth0: bad address"),
            (
                "224.0.0.18",
                "224.0.0.18: not an address that hosts can share",
            ),
            ("::", "::: not an address that hosts can share"),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()));
        }
    }

    #[test]
    fn netmask_is_dotted_or_hexadecimal_and_has_no_gaps() {
        assert_eq!(netmask("255.255.255.0"), Some(24));
        assert_eq!(netmask("0xffffff00"), Some(24));
        assert_eq!(netmask("0.0.0.0"), Some(0));
        assert_eq!(netmask("255.255.255.255"), Some(32));
        for bad in [
            "255.0.255.0",
            "0xffffff01",
            "0x",
            "0x+ff",
            "24",
            "",
            "0x1ffffffff",
        ] {
            assert_eq!(netmask(bad), None, "{bad}");
        }
    }

    #[test]
    fn bare_address_gets_the_prefix_length_of_its_class() {
        for (address, prefix) in [
            ("10.0.0.1", 8),
            ("172.16.0.1", 16),
            ("192.168.1.1", 24),
            ("2001:db8::1", 64),
        ] {
            assert_eq!(default_prefix(address.parse().unwrap()), prefix);
        }
    }

    #[test]
    fn broadcast_address_is_the_last_of_the_subnet() {
        for (prefix, text) in [
            (24, " netmask 0xffffff00 broadcast 192.0.2.255"),
            (26, " netmask 0xffffffc0 broadcast 192.0.2.63"),
            (31, " netmask 0xfffffffe broadcast 255.255.255.255"),
            (32, " netmask 0xffffffff broadcast 192.0.2.1"),
            (0, " netmask 0x0"),
        ] {
            assert_eq!(mask_text("192.0.2.1", prefix), text);
        }
        assert_eq!(mask_text("2001:db8::1", 64), " prefixlen 64");
    }
}
