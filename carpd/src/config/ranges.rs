//! Ranges of addresses, `192.0.2.5-9/24`: the aliases of FreeBSD's `rc.conf(5)`.

use std::ffi::OsString;

/// Maximum of addresses in one range.
const MOST: u32 = 256;

/// Replaces each range among `words` by its addresses. As in FreeBSD's `network.subr`,
/// `ifalias_expand_addr()`, the first one keeps the prefix length, and the others are hosts (/32 or
/// /128).
///
/// # Errors
/// One line: a range ends before it begins, or has too many addresses.
pub(super) fn expand(words: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let mut expanded = Vec::with_capacity(words.len());
    for word in words {
        match word.to_str().and_then(Range::parse) {
            Some(range) => expanded.extend(range.addresses()?),
            None => expanded.push(word),
        }
    }
    Ok(expanded)
}

/// One number of an address, from `first` to `last`, and the text around it.
struct Range<'a> {
    word: &'a str,
    before: &'a str,
    first: u32,
    last: u32,
    after: &'a str,
    length: Option<&'a str>,
    is_ipv6: bool,
}

impl<'a> Range<'a> {
    /// Parses a word that is an address except for one `-` between two numbers. Addresses have dots
    /// or colons besides, unlike passwords and names.
    fn parse(word: &'a str) -> Option<Self> {
        let (address, length) = match word.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (word, None),
        };
        let is_ipv6 = address.contains(':');
        let separator = if is_ipv6 { ':' } else { '.' };
        let (head, tail) = address.split_once('-')?;
        let start = head.rfind(separator).map_or(0, |at| at + 1);
        let (before, first) = head.split_at_checked(start)?;
        let end = tail.find(separator).unwrap_or(tail.len());
        let (last, after) = tail.split_at_checked(end)?;
        let number = |text| u32::from_str_radix(text, if is_ipv6 { 16 } else { 10 }).ok();
        let (first, last) = (number(first)?, number(last)?);
        let range = Self {
            word,
            before,
            first,
            last,
            after,
            length,
            is_ipv6,
        };
        let is_address = range.address(first).parse::<std::net::IpAddr>().is_ok();
        is_address.then_some(range)
    }

    fn address(&self, number: u32) -> String {
        let Self { before, after, .. } = self;
        if self.is_ipv6 {
            format!("{before}{number:x}{after}")
        } else {
            format!("{before}{number}{after}")
        }
    }

    fn addresses(&self) -> Result<Vec<OsString>, String> {
        let Self {
            word, first, last, ..
        } = *self;
        if last < first {
            return Err(format!("{word}: the range ends before it begins"));
        }
        if last - first >= MOST {
            return Err(format!("{word}: a range has {MOST} addresses at most"));
        }
        let host = if self.is_ipv6 { "128" } else { "32" };
        let addresses = (first..=last).map(|number| {
            let address = self.address(number);
            OsString::from(match self.length {
                Some(length) if number == first => format!("{address}/{length}"),
                Some(_) => format!("{address}/{host}"),
                None => address,
            })
        });
        Ok(addresses.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(line: &str) -> Result<String, String> {
        let words = expand(line.split(' ').map(OsString::from).collect())?;
        let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
        Ok(words.join(" "))
    }

    #[test]
    fn range_is_expanded_to_its_addresses() {
        for (line, addresses) in [
            (
                "inet 192.0.2.5-7/24",
                "inet 192.0.2.5/24 192.0.2.6/32 192.0.2.7/32",
            ),
            ("192.0.2.5-5/24", "192.0.2.5/24"),
            ("192.0.2-3.1/24", "192.0.2.1/24 192.0.3.1/32"),
            ("192.0.2.1-2", "192.0.2.1 192.0.2.2"),
            (
                "inet6 2001:db8::9-b/64",
                "inet6 2001:db8::9/64 2001:db8::a/128 2001:db8::b/128",
            ),
        ] {
            assert_eq!(expanded(line).as_deref(), Ok(addresses), "{line}");
        }
    }

    #[test]
    fn word_that_is_not_a_range_is_unchanged() {
        for word in [
            "vhid", "pass", "1-2", "a-b", "1.2-3", "-alias", "fw-a.lan", "::-", "-",
        ] {
            assert_eq!(expanded(word).as_deref(), Ok(word));
        }
    }

    #[test]
    fn reversed_or_large_range_is_refused() {
        assert_eq!(
            expanded("192.0.2.9-5/24"),
            Err("192.0.2.9-5/24: the range ends before it begins".to_owned())
        );
        assert_eq!(
            expanded("2001:db8::0-ffff/64"),
            Err("2001:db8::0-ffff/64: a range has 256 addresses at most".to_owned())
        );
    }
}
