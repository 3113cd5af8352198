//! Digests of advertisements: HMAC-SHA1.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use crate::key::Key;
use crate::numbers::Vhid;
use crate::wire::carp::{ADVERTISEMENT, VERSION};

/// Order of the virtual addresses in a digest: IPv4 in ascending order, then IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// IPv6 in ascending order without link-local addresses: sent by OpenBSD and carpd.
    Ours,
    /// IPv6 in ascending order: sent by FreeBSD and NetBSD.
    WithLinkLocal,
    /// IPv6 in configured order: sent by DragonFly.
    AsConfigured,
}

impl Form {
    const ALL: [Self; 3] = [Self::Ours, Self::WithLinkLocal, Self::AsConfigured];

    fn message(self, vhid: Vhid, addresses: &[IpAddr]) -> Vec<u8> {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for address in addresses {
            match address {
                IpAddr::V4(address) => v4.push(*address),
                IpAddr::V6(address) => v6.push(*address),
            }
        }
        v4.sort_unstable();
        match self {
            Self::Ours => {
                v6.retain(|address| !address.is_unicast_link_local());
                v6.sort_unstable();
            }
            Self::WithLinkLocal => v6.sort_unstable(),
            Self::AsConfigured => {}
        }
        let mut message = vec![VERSION, ADVERTISEMENT, vhid.get()];
        message.extend(v4.iter().flat_map(Ipv4Addr::octets));
        message.extend(v6.iter().flat_map(Ipv6Addr::octets));
        message
    }
}

/// Digests of one virtual host under its settings, with everything but the counter hashed.
#[derive(Clone, Debug)]
pub struct Digests {
    ours: Hmac<Sha1>,
    /// The forms that differ from ours.
    others: Vec<(Form, Hmac<Sha1>)>,
}

impl Digests {
    /// Hashes the part that all advertisements have in common. `addresses` are in configured order.
    #[must_use]
    pub fn new(key: &Key, vhid: Vhid, addresses: &[IpAddr]) -> Self {
        // HMAC uses a key of one block unchanged, so this cannot fail.
        let mut block = Zeroizing::new([0; 64]);
        for (byte, key) in block.iter_mut().zip(key.bytes()) {
            *byte = *key;
        }
        let keyed = Hmac::<Sha1>::new((&*block).into());
        let mut messages: Vec<Vec<u8>> = Vec::new();
        let mut others = Vec::new();
        let mut ours = keyed.clone();
        for form in Form::ALL {
            let message = form.message(vhid, addresses);
            if messages.contains(&message) {
                continue;
            }
            let digest = keyed.clone().chain_update(&message);
            match form {
                Form::Ours => ours = digest,
                Form::WithLinkLocal | Form::AsConfigured => others.push((form, digest)),
            }
            messages.push(message);
        }
        Self { ours, others }
    }

    /// Digest of our own advertisement.
    #[must_use]
    pub fn digest(&self, counter: u64) -> [u8; 20] {
        finish(&self.ours, counter)
    }

    /// Digest of an advertisement of another system.
    #[must_use]
    pub fn digest_as(&self, form: Form, counter: u64) -> [u8; 20] {
        // A form that is missing equals the one before it.
        let find = |sought| self.others.iter().find(|(form, _)| *form == sought);
        let other = match form {
            Form::Ours => None,
            Form::WithLinkLocal => find(Form::WithLinkLocal),
            Form::AsConfigured => find(Form::AsConfigured).or_else(|| find(Form::WithLinkLocal)),
        };
        finish(other.map_or(&self.ours, |(_, state)| state), counter)
    }

    /// Returns true if a host with our password and addresses made `digest`. Takes the same time for each
    /// wrong one.
    #[must_use]
    pub fn verify(&self, counter: u64, digest: &[u8; 20]) -> bool {
        core::iter::once(&self.ours)
            .chain(self.others.iter().map(|(_, state)| state))
            .any(|state| with_counter(state, counter).verify(digest.into()).is_ok())
    }
}

fn with_counter(state: &Hmac<Sha1>, counter: u64) -> Hmac<Sha1> {
    state.clone().chain_update(counter.to_be_bytes())
}

fn finish(state: &Hmac<Sha1>, counter: u64) -> [u8; 20] {
    with_counter(state, counter).finalize().into_bytes().into()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn vhid(number: u64) -> Vhid {
        Vhid::try_from(number).unwrap()
    }

    pub(crate) fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    pub(crate) fn digests(texts: &[&str]) -> Digests {
        Digests::new(
            &Key::password(b"secret").unwrap(),
            vhid(1),
            &addresses(texts),
        )
    }

    #[test]
    fn digest_equals_that_of_dragonfly() {
        let digest = digests(&["192.0.2.100"]).digest(1);
        assert_eq!(digest[..4], [0x85, 0xb5, 0x5f, 0xaa]);
        assert_eq!(digest[16..], [0x31, 0xd5, 0x55, 0x9c]);
    }

    #[test]
    fn digest_ignores_the_order_of_ipv4_addresses() {
        let one = digests(&["10.1.0.1", "9.255.0.2", "200.0.0.1"]);
        let other = digests(&["200.0.0.1", "10.1.0.1", "9.255.0.2"]);
        assert_eq!(one.digest(7), other.digest(7));
    }

    #[test]
    fn digest_verifies_in_each_form_and_with_no_other_counter() {
        let digests = digests(&["2001:db8::20", "fe80::1", "2001:db8::3", "10.0.0.1"]);
        let forms = Form::ALL.map(|form| digests.digest_as(form, 9));
        assert_eq!(forms[0], digests.digest(9));
        assert!(forms[0] != forms[1] && forms[1] != forms[2] && forms[0] != forms[2]);
        for digest in forms {
            assert!(digests.verify(9, &digest));
            assert!(!digests.verify(8, &digest));
        }
    }

    #[test]
    fn equal_forms_are_hashed_once() {
        assert_eq!(digests(&["10.0.0.1", "2001:db8::1"]).others.len(), 0);
        let unsorted = digests(&["2001:db8::20", "2001:db8::3"]);
        assert_eq!(unsorted.others.len(), 1);
        assert_ne!(
            unsorted.digest_as(Form::AsConfigured, 1),
            unsorted.digest(1)
        );
        assert_eq!(
            unsorted.digest_as(Form::WithLinkLocal, 1),
            unsorted.digest(1)
        );
        let sorted = digests(&["2001:db8::3", "fe80::1"]);
        assert_eq!(sorted.others.len(), 1);
        assert_eq!(
            sorted.digest_as(Form::AsConfigured, 1),
            sorted.digest_as(Form::WithLinkLocal, 1)
        );
    }

    #[test]
    fn debug_output_contains_no_key() {
        let key = Key::password(b"secret").unwrap();
        assert_eq!(format!("{key:?}"), "Key(redacted)");
        let digests = format!("{:?}", Digests::new(&key, vhid(1), &[]));
        assert!(!digests.contains("secret"), "{digests}");
        let error = Key::password(&[b'x'; 30]).unwrap_err();
        assert!(!format!("{error:?}").contains("xx"), "{error:?}");
    }
}
