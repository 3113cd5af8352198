//! Announcements: gratuitous ARP and unsolicited neighbour advertisements.

use core::net::IpAddr;

use crate::link::{Link, link_layer_address};
use crate::settings::{LinkLayer, Settings};
use crate::wire::frames;

/// Frames that announce the virtual addresses, except those in `except`, on the segment.
pub(crate) fn announcement(settings: &Settings, link: &Link, except: &[IpAddr]) -> Vec<Vec<u8>> {
    let Some(mac) = link_layer_address(settings, Some(link)) else {
        return Vec::new();
    };
    let mut frames = Vec::new();
    for address in settings.addresses.iter().map(|each| each.address) {
        match address {
            _ if except.contains(&address) => {}
            IpAddr::V4(address) => {
                frames.push(frames::gratuitous_arp_reply(mac, address));
                match settings.lladdr {
                    // Here the MAC of the address really changes. Some stacks accept only requests.
                    LinkLayer::Parent => frames.push(frames::gratuitous_arp_request(mac, address)),
                    // A master that is leaving would answer a request, from the same virtual MAC.
                    LinkLayer::Virtual => {}
                }
            }
            IpAddr::V6(address) => frames.push(frames::neighbour_advertisement(mac, address)),
        }
    }
    frames
}
