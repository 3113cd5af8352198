//! Senders of advertisements: a source address, and a MAC where several hosts share the address.

use core::net::IpAddr;

use crate::family::Family;
use crate::link::{Link, is_link_local};
use crate::mac::Mac;
use crate::settings::Settings;

/// Sender of an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) source: IpAddr,
    /// MAC of the sender's physical interface. Present if the source is a virtual address, which all
    /// hosts of the group have.
    pub(crate) host: Option<Mac>,
}

impl Sender {
    /// This host as a sender on `link`; `None` without a virtual address of `family`.
    pub(crate) fn own(family: Family, settings: &Settings, link: &Link) -> Option<Self> {
        let source = source(family, settings, link)?;
        let is_virtual = settings.addresses.iter().any(|each| each.address == source);
        Some(Self {
            source,
            host: is_virtual.then_some(link.mac),
        })
    }
}

/// Source of our advertisements. For IPv4 it is the address of the physical interface whose subnet
/// holds a virtual address, for IPv6 the link-local one. Otherwise it is any address of the physical
/// interface, and without one the first virtual address.
fn source(family: Family, settings: &Settings, link: &Link) -> Option<IpAddr> {
    let virtuals = || {
        settings
            .addresses
            .iter()
            .map(|each| each.address)
            .filter(|each| Family::of(*each) == family)
    };
    let own = || {
        link.addresses
            .iter()
            .map(|own| own.address)
            .filter(|own| Family::of(*own) == family)
    };
    let preferred = match family {
        Family::V4 => virtuals().find_map(|address| link.backing(address)),
        Family::V6 => own().find(is_link_local),
    };
    preferred
        .or_else(|| own().next())
        .or_else(|| virtuals().next())
}
