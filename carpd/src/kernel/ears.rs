//! Macvlan devices that get copies of advertisements: two for each physical interface on which all
//! virtual hosts are MASTER.
//!
//! One in mode `source` gets a copy of every frame from one of the MACs in its list, before the
//! kernel looks where the frame goes (`macvlan_handle_frame()`), so that neither other macvlan
//! devices nor the host's own packet filter are in between. One in mode `vepa` gets those from all
//! other MACs that are for a group it is in. No other packet is slower for it. Nothing is ever
//! sent from them, and nothing that they get goes any further: they have neither IPv6, below an
//! MTU of 1280, nor an IPv4 address, without which the kernel drops whatever comes in if
//! `rp_filter` is on (`fib_validate_source()`).

use carp_proto::{IfIndex, Mac};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoMacVlan, MacVlanMacAddressMode, MacVlanMode};
use rtnetlink::{LinkMacVlan, LinkMessageBuilder};
use tracing::{debug, warn};

use super::News;
use super::devices::{self, GROUP};
use super::netlink::{Netlink, Refused};
use super::sysctls::{ARP_IGNORE_ALL, Sysctl};
use super::worker::{Chore, Worker};
use crate::net::probe::{ear_mac, heard_from};

/// The least there is.
const MTU: u32 = 68;

const SETTINGS: [(Sysctl, i32); 2] = [
    (Sysctl::v4("rp_filter"), 1),
    (Sysctl::v4("arp_ignore"), ARP_IGNORE_ALL),
];

impl Worker {
    /// Makes the ear of `device` or sets it up, and tells which it is; or sets it down later,
    /// since that takes milliseconds under the routing lock.
    pub(super) async fn listen(&mut self, device: IfIndex, on: bool) {
        self.cancel(Chore::Hush(device));
        if !on {
            if self.ears.contains_key(&device) {
                self.put_off(Chore::Hush(device));
            }
            return;
        }
        let known = self.ears.get(&device).copied();
        let ear = match known.map(|pair| self.set_up(pair)) {
            Some(Ok(())) => known,
            Some(Err(_)) | None => match self.make_ear(device).await {
                Ok(pair) => Some(pair),
                Err(error) => {
                    if self.earless.insert(device) {
                        warn!(
                            "cannot make {}, so that each packet that comes in goes on passing a \
                             socket of carpd's: {error}",
                            names_of(device).join(" and ")
                        );
                    }
                    None
                }
            },
        };
        match ear {
            Some(ear) => {
                self.earless.remove(&device);
                self.ears.insert(device, ear)
            }
            None => self.ears.remove(&device),
        };
        let ear = ear.map(|pair| pair.map(IfIndex));
        self.tell(News::Ear { device, ear });
    }

    /// Sends `frames` from the device of a MASTER to itself: the kernel has them come in on the
    /// physical interface, `device`, and go nowhere else. Only this thread makes a device deaf,
    /// after which they would go to the wire.
    pub(super) fn probe(&self, device: IfIndex, number: u64, frames: Vec<Vec<u8>>) {
        let master = self.units.iter().find_map(|(unit, state)| {
            let own = state.device.as_ref()?;
            (own.parent == device && self.hears(*unit)).then_some(own)
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
        self.tell(News::Probed(device, number));
    }

    /// Removes the ear of `device`, if it has one.
    pub(super) fn drop_ear(&mut self, device: IfIndex) {
        self.cancel(Chore::Hush(device));
        self.earless.remove(&device);
        if let Some(ear) = self.ears.remove(&device) {
            for index in ear {
                self.put_off(Chore::Delete(index));
            }
        }
    }

    async fn make_ear(&self, device: IfIndex) -> Result<[u32; 2], String> {
        let words = |error: Refused| error.to_string();
        let macs = heard_from().chain([ear_mac(device)]);
        let macs = macs.map(|Mac(bytes)| InfoMacVlan::MacAddr(bytes)).collect();
        let [first, second] = names_of(device);
        let of_virtual_macs = LinkMacVlan::new(&first, device.0, MacVlanMode::Source)
            .append_info_data(InfoMacVlan::MacAddrMode(MacVlanMacAddressMode::Set))
            .append_info_data(InfoMacVlan::MacAddrData(macs))
            .address(ear_mac(device).0.to_vec());
        let of_others = LinkMacVlan::new(&second, device.0, MacVlanMode::Vepa);
        let pair = [
            self.make_part(&first, of_virtual_macs).await?,
            self.make_part(&second, of_others).await?,
        ];
        self.set_up(pair).map_err(words)?;
        Ok(pair)
    }

    async fn make_part(
        &self,
        name: &str,
        message: LinkMessageBuilder<LinkMacVlan>,
    ) -> Result<u32, String> {
        let words = |error: Refused| error.to_string();
        match find(&self.netlink, name).await.map_err(words)? {
            Found::Nothing => {}
            // Of a carpd before, or what is left of a pair.
            Found::Ours(part) => devices::delete(&self.netlink, part).await.map_err(words)?,
            Found::Foreign => return Err(format!("{name} is there, and carpd has not made it")),
        }
        let message = RouteNetlinkMessage::NewLink(message.mtu(MTU).link_group(GROUP).build());
        let made = self.netlink.change(message, NLM_F_CREATE | NLM_F_EXCL);
        made.await.map_err(words)?;
        match find(&self.netlink, name).await.map_err(words)? {
            Found::Ours(part) => Ok(part),
            Found::Nothing | Found::Foreign => Err(format!("somebody has removed {name}")),
        }
    }

    fn set_up(&self, pair: [u32; 2]) -> Result<(), Refused> {
        for index in pair {
            // Silent before they are up.
            let changes = vec![devices::mute(index), devices::configure(index, &SETTINGS)];
            let mut answers = self.netlink.change_all(changes).into_iter();
            if let Some(Err(error)) = answers.next() {
                debug!("cannot keep others from sending from interface {index}: {error}");
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

async fn find(netlink: &Netlink, name: &str) -> Result<Found, Refused> {
    Ok(match netlink.link_named(name).await? {
        None => Found::Nothing,
        Some(link) if devices::is_ours(&link) => Found::Ours(link.header.index),
        Some(_) => Found::Foreign,
    })
}

fn names_of(device: IfIndex) -> [String; 2] {
    [format!("carpear{device}"), format!("carpany{device}")]
}
