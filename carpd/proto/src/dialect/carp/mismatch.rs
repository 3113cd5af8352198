//! Mismatches: the probable reasons of wrong digests.

use core::fmt;
use core::net::IpAddr;

use super::digest::Digests;
use crate::key::Key;
use crate::numbers::Vhid;

/// Probable reason why a digest is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// A different password, or a list of addresses that is not part of ours.
    Unknown,
    /// The peer has our password, and lacks these of our addresses.
    PeerLacks(Vec<IpAddr>),
}

impl Mismatch {
    /// With more addresses than this, single ones are not tried.
    const MOST_TRIED: usize = 32;

    /// Tries our password with parts of our list of addresses: one family, all but one address, one
    /// address, none. That takes up to 67 digests, too many for each packet.
    #[must_use]
    pub fn explain(
        key: &Key,
        vhid: Vhid,
        addresses: &[IpAddr],
        counter: u64,
        digest: &[u8; 20],
    ) -> Self {
        let family = |v4: bool| {
            addresses
                .iter()
                .copied()
                .filter(|a| a.is_ipv4() == v4)
                .collect()
        };
        let singles = if addresses.len() <= Self::MOST_TRIED {
            addresses
        } else {
            &[]
        };
        let without_one = singles.iter().map(|left_out| {
            addresses
                .iter()
                .copied()
                .filter(|address| address != left_out)
                .collect()
        });
        let one_alone = singles.iter().map(|address| vec![*address]);
        let lists: [Vec<IpAddr>; 3] = [family(true), family(false), Vec::new()];
        lists
            .into_iter()
            .chain(without_one)
            .chain(one_alone)
            .filter(|list| list.len() < addresses.len())
            .find(|list| Digests::new(key, vhid, list).verify(counter, digest))
            .map_or(Self::Unknown, |theirs| {
                let lacks = addresses
                    .iter()
                    .copied()
                    .filter(|address| !theirs.contains(address));
                Self::PeerLacks(lacks.collect())
            })
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the password or the addresses differ from ours"),
            Self::PeerLacks(addresses) => {
                f.write_str("the password is ours, but the sender lacks the address")?;
                f.write_str(if addresses.len() == 1 { " " } else { "es " })?;
                for (position, address) in addresses.iter().enumerate() {
                    let separator = if position == 0 { "" } else { ", " };
                    write!(f, "{separator}{address}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::carp::digest::tests::{addresses, digests, vhid};

    #[test]
    fn mismatch_names_the_addresses_that_the_peer_lacks() {
        let key = Key::password(b"secret").unwrap();
        let ours = addresses(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1"]);
        let explain = |theirs: &[&str]| {
            let digest = digests(theirs).digest(5);
            Mismatch::explain(&key, vhid(1), &ours, 5, &digest)
        };
        let lacks = |texts: &[&str]| Mismatch::PeerLacks(addresses(texts));
        assert_eq!(
            explain(&["10.0.0.1", "10.0.0.3", "2001:db8::1"]),
            lacks(&["10.0.0.2"])
        );
        assert_eq!(
            explain(&["10.0.0.2", "10.0.0.1", "10.0.0.3"]),
            lacks(&["2001:db8::1"])
        );
        assert_eq!(
            explain(&["2001:db8::1"]),
            lacks(&["10.0.0.1", "10.0.0.2", "10.0.0.3"])
        );
        assert_eq!(
            explain(&["10.0.0.2"]),
            lacks(&["10.0.0.1", "10.0.0.3", "2001:db8::1"])
        );
        assert_eq!(explain(&["10.0.0.9"]), Mismatch::Unknown);
        assert_eq!(
            lacks(&["10.0.0.1", "10.0.0.3"]).to_string(),
            "the password is ours, but the sender lacks the addresses 10.0.0.1, 10.0.0.3"
        );
    }

    #[test]
    fn mismatch_of_a_different_password_is_unknown() {
        let key = Key::password(b"other").unwrap();
        let digest = digests(&["10.0.0.1"]).digest(5);
        let mismatch = Mismatch::explain(&key, vhid(1), &addresses(&["10.0.0.1"]), 5, &digest);
        assert_eq!(mismatch, Mismatch::Unknown);
    }
}
