//! Helper devices: two macvlan devices for each physical interface on which all virtual hosts are
//! MASTER, which receive copies of advertisements.
//!
//! The first, in mode `source`, receives a copy of every frame from a MAC in its list. The kernel makes
//! the copy before it decides where the frame goes (`macvlan_handle_frame()`), so other macvlan devices
//! and the host's packet filter do not affect it. The second, in mode `vepa`, receives frames from other
//! MACs that are for a group it has joined. No other packet takes longer for that.
//!
//! The devices send nothing, and the kernel drops what they receive: below an MTU of 1280 they have no
//! IPv6, and they have no IPv4 address, without which the kernel drops every packet if `rp_filter` is on
//! (`fib_validate_source()`).

use carp_proto::{IfIndex, Mac};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoMacVlan, MacVlanMacAddressMode, MacVlanMode};
use rtnetlink::{LinkMacVlan, LinkMessageBuilder};
use tracing::{debug, warn};

use super::News;
use super::devices::{self, GROUP};
use super::netlink::Netlink;
use super::netlink_error::NetlinkError;
use super::sysctls::{ARP_IGNORE_ALL, Sysctl};
use super::worker::{Chore, Worker};
use crate::net::{helper_mac, virtual_macs};

/// The smallest MTU of an Ethernet device.
const MTU: u32 = 68;

const SETTINGS: [(Sysctl, i32); 2] = [
    (Sysctl::v4("rp_filter"), 1),
    (Sysctl::v4("arp_ignore"), ARP_IGNORE_ALL),
];

impl Worker {
    /// Sets the helper devices of a physical interface up, or makes them, and reports their numbers; or
    /// sets them down later, because that holds the routing lock for milliseconds.
    pub(super) fn set_up_helpers(&mut self, interface: IfIndex, up: bool) {
        self.cancel(Chore::SetHelpersDown(interface));
        if !up {
            if self.helpers.contains_key(&interface) {
                self.put_off(Chore::SetHelpersDown(interface));
            }
            return;
        }
        let known = self.helpers.get(&interface).copied();
        let devices = match known.map(|pair| self.set_up(pair)) {
            Some(Ok(())) => known,
            Some(Err(_)) | None => match self.make_helpers(interface) {
                Ok(pair) => Some(pair),
                Err(error) => {
                    if self.without_helpers.insert(interface) {
                        warn!(
                            "cannot make {}, so each packet that arrives still passes a socket of \
                             carpd: {error}",
                            names_of(interface).join(" and ")
                        );
                    }
                    None
                }
            },
        };
        match devices {
            Some(pair) => {
                self.without_helpers.remove(&interface);
                self.helpers.insert(interface, pair)
            }
            None => self.helpers.remove(&interface),
        };
        let devices = devices.map(|pair| pair.map(IfIndex));
        self.tell(News::HelperDevices { interface, devices });
    }

    /// Sends `frames` from the device of a MASTER to itself. The kernel receives them on the physical
    /// interface, and they go nowhere else: they would reach the wire if the device were deaf, but only
    /// this thread makes it so.
    pub(super) fn probe(&self, interface: IfIndex, number: u64, frames: Vec<Vec<u8>>) {
        let master = self.units.iter().find_map(|(unit, state)| {
            let own = state.device.as_ref()?;
            (own.parent == interface && self.hears(*unit)).then_some(own)
        });
        let Some(master) = master else { return };
        let frames: Vec<_> = frames
            .into_iter()
            .map(|mut frame| {
                for (byte, of_mac) in frame.iter_mut().zip(master.mac.0) {
                    *byte = of_mac;
                }
                frame
            })
            .collect();
        self.send(IfIndex(master.index), &frames);
        self.tell(News::ProbeSent(interface, number));
    }

    /// Removes the helper devices of a physical interface, if it has any.
    pub(super) fn drop_helpers(&mut self, interface: IfIndex) {
        self.cancel(Chore::SetHelpersDown(interface));
        self.without_helpers.remove(&interface);
        for index in self.helpers.remove(&interface).into_iter().flatten() {
            self.put_off(Chore::DeleteHelper(index));
        }
    }

    fn make_helpers(&mut self, interface: IfIndex) -> Result<[u32; 2], String> {
        let words = |error: NetlinkError| error.to_string();
        let macs = virtual_macs().chain([helper_mac(interface)]);
        let macs = macs.map(|Mac(bytes)| InfoMacVlan::MacAddr(bytes)).collect();
        let [first, second] = names_of(interface);
        let of_virtual_macs = LinkMacVlan::new(&first, interface.0, MacVlanMode::Source)
            .append_info_data(InfoMacVlan::MacAddrMode(MacVlanMacAddressMode::Set))
            .append_info_data(InfoMacVlan::MacAddrData(macs))
            .address(helper_mac(interface).0.to_vec());
        let of_others = LinkMacVlan::new(&second, interface.0, MacVlanMode::Vepa);
        let pair = [
            self.make_helper(&first, of_virtual_macs)?,
            self.make_helper(&second, of_others)?,
        ];
        self.set_up(pair).map_err(words)?;
        Ok(pair)
    }

    fn make_helper(
        &self,
        name: &str,
        message: LinkMessageBuilder<LinkMacVlan>,
    ) -> Result<u32, String> {
        let words = |error: NetlinkError| error.to_string();
        match find(&self.netlink, name).map_err(words)? {
            Found::Nothing => {}
            // Left by the previous instance, or by a failure to make the other one.
            Found::Ours(device) => devices::delete(&self.netlink, device).map_err(words)?,
            Found::Foreign => return Err(format!("{name} is there, and carpd has not made it")),
        }
        let message = RouteNetlinkMessage::NewLink(message.mtu(MTU).link_group(GROUP).build());
        let made = self.netlink.change((message, NLM_F_CREATE | NLM_F_EXCL));
        made.map_err(words)?;
        match find(&self.netlink, name).map_err(words)? {
            Found::Ours(device) => Ok(device),
            Found::Nothing | Found::Foreign => Err(format!("another program has removed {name}")),
        }
    }

    fn set_up(&self, pair: [u32; 2]) -> Result<(), NetlinkError> {
        for index in pair {
            // They are silent before they are up.
            let changes = vec![devices::mute(index), devices::configure(index, &SETTINGS)];
            let mut answers = self.netlink.change_all(changes).into_iter();
            if let Some(Err(error)) = answers.next() {
                debug!("cannot keep other programs from sending from interface {index}: {error}");
            }
            answers.collect::<Result<(), _>>()?;
        }
        let changes = pair.map(devices::up);
        let answers = self.netlink.change_all(changes.into());
        answers.into_iter().collect()
    }
}

enum Found {
    Nothing,
    Ours(u32),
    Foreign,
}

fn find(netlink: &Netlink, name: &str) -> Result<Found, NetlinkError> {
    Ok(match netlink.link_named(name)? {
        None => Found::Nothing,
        Some(link) if devices::is_ours(&link) => Found::Ours(link.header.index),
        Some(_) => Found::Foreign,
    })
}

fn names_of(interface: IfIndex) -> [String; 2] {
    [format!("carpear{interface}"), format!("carpany{interface}")]
}
