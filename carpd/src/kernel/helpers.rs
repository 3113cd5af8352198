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

use std::collections::{BTreeMap, BTreeSet};

use carp_proto::{IfIndex, Mac};
use netlink_packet_route::link::{InfoMacVlan, MacVlanMacAddressMode, MacVlanMode};
use rtnetlink::{LinkMacVlan, LinkMessageBuilder};
use tracing::{debug, warn};

use super::chores::Chore;
use super::devices::{self, Found};
use super::holdings::Holdings;
use super::netlink::Netlink;
use super::netlink_error::NetlinkError;
use super::news::News;
use super::sysctl::Sysctl;
use crate::net::{helper_mac, virtual_macs};

/// The smallest MTU of an Ethernet device.
const MTU: u32 = 68;

/// Helper devices of all physical interfaces.
#[derive(Debug, Default)]
pub(super) struct Helpers {
    /// Numbers of the devices of each physical interface that has had any.
    devices: BTreeMap<IfIndex, [u32; 2]>,
    /// Physical interfaces whose devices could not be made, which the log has said.
    refused: BTreeSet<IfIndex>,
}

impl Helpers {
    /// Sets the helper devices of a physical interface up, or makes them, and reports their numbers; or
    /// sets them down later, because that holds the routing lock for milliseconds.
    pub(super) fn set_up(&mut self, interface: IfIndex, up: bool, holdings: &mut Holdings) {
        holdings.chores.cancel(Chore::SetHelpersDown(interface));
        let known = self.devices.get(&interface).copied();
        if !up {
            if known.is_some() {
                holdings.chores.put_off(Chore::SetHelpersDown(interface));
            }
            return;
        }
        let netlink = &holdings.netlink;
        let is_up = |pair: &[u32; 2]| set_pair_up(netlink, *pair).is_ok();
        let devices = match known.filter(is_up) {
            Some(pair) => Some(pair),
            None => self.make(interface, netlink),
        };
        match devices {
            Some(pair) => self.devices.insert(interface, pair),
            None => self.devices.remove(&interface),
        };
        let devices = devices.map(|pair| pair.map(IfIndex));
        holdings.tell(News::HelperDevices { interface, devices });
    }

    /// Sets the helper devices of a physical interface down, if it has any.
    ///
    /// # Errors
    /// The refusal of the kernel.
    pub(super) fn set_down(
        &self,
        interface: IfIndex,
        netlink: &Netlink,
    ) -> Result<(), NetlinkError> {
        let devices = self.devices.get(&interface).into_iter().flatten();
        let results: Vec<_> = devices
            .map(|index| devices::set_down(netlink, *index))
            .collect();
        results.into_iter().collect()
    }

    /// Has the helper devices of a physical interface removed, if it has any.
    pub(super) fn remove(&mut self, interface: IfIndex, holdings: &mut Holdings) {
        holdings.chores.cancel(Chore::SetHelpersDown(interface));
        self.refused.remove(&interface);
        for index in self.devices.remove(&interface).into_iter().flatten() {
            holdings.chores.put_off(Chore::DeleteHelper(index));
        }
    }

    fn make(&mut self, interface: IfIndex, netlink: &Netlink) -> Option<[u32; 2]> {
        match make_pair(interface, netlink) {
            Ok(pair) => {
                self.refused.remove(&interface);
                Some(pair)
            }
            Err(error) => {
                if self.refused.insert(interface) {
                    warn!(
                        "cannot make {}, so each packet that arrives still passes a socket of carpd: \
                         {error}",
                        names_of(interface).join(" and ")
                    );
                }
                None
            }
        }
    }
}

impl Holdings {
    /// Sends `frames` from the device of a MASTER to itself. The kernel receives them on the physical
    /// interface, and they go nowhere else: they would reach the wire if the device were deaf, but only
    /// this thread makes it so.
    pub(super) fn probe(&self, interface: IfIndex, number: u64, frames: Vec<Vec<u8>>) {
        let master = self.interfaces.values().find_map(|held| {
            let device = held.device.as_ref()?;
            (device.parent == interface && held.hears()).then_some(device)
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
}

fn make_pair(interface: IfIndex, netlink: &Netlink) -> Result<[u32; 2], String> {
    let macs = virtual_macs().chain([helper_mac(interface)]);
    let macs = macs.map(|Mac(bytes)| InfoMacVlan::MacAddr(bytes)).collect();
    let [first, second] = names_of(interface);
    let for_virtual_macs = LinkMacVlan::new(&first, interface.0, MacVlanMode::Source)
        .append_info_data(InfoMacVlan::MacAddrMode(MacVlanMacAddressMode::Set))
        .append_info_data(InfoMacVlan::MacAddrData(macs))
        .address(helper_mac(interface).0.to_vec());
    let for_others = LinkMacVlan::new(&second, interface.0, MacVlanMode::Vepa);
    let pair = [
        make_device(&first, for_virtual_macs, netlink)?,
        make_device(&second, for_others, netlink)?,
    ];
    set_pair_up(netlink, pair).map_err(|error| error.to_string())?;
    Ok(pair)
}

fn make_device(
    name: &str,
    device: LinkMessageBuilder<LinkMacVlan>,
    netlink: &Netlink,
) -> Result<u32, String> {
    let words = |error: NetlinkError| error.to_string();
    match devices::find(netlink, name).map_err(words)? {
        Found::Nothing => {}
        // Left by the previous instance, or when the other one could not be made.
        Found::Ours(old) => devices::delete(netlink, old.index).map_err(words)?,
        Found::Foreign => return Err(format!("{name} is there, and carpd has not made it")),
    }
    let change = devices::create_in_group(device.mtu(MTU));
    netlink.change(change).map_err(words)?;
    match devices::find(netlink, name).map_err(words)? {
        Found::Ours(made) => Ok(made.index),
        Found::Nothing | Found::Foreign => Err(format!("another program has removed {name}")),
    }
}

fn set_pair_up(netlink: &Netlink, pair: [u32; 2]) -> Result<(), NetlinkError> {
    let sysctls: Vec<_> = Sysctl::of_helper_device().collect();
    for index in pair {
        // They are silent before they are up.
        let changes = vec![devices::mute(index), devices::configure(index, &sysctls)];
        let mut answers = netlink.change_all(changes).into_iter();
        if let Some(Err(error)) = answers.next() {
            debug!("cannot keep other programs from sending from interface {index}: {error}");
        }
        answers.collect::<Result<(), _>>()?;
    }
    let answers = netlink.change_all(pair.map(devices::up).into());
    answers.into_iter().collect()
}

fn names_of(interface: IfIndex) -> [String; 2] {
    [format!("carpear{interface}"), format!("carpany{interface}")]
}
