//! Obstacles: reasons why virtual hosts stay in INIT.

use super::Engine;
use super::choice::{deciding, holding};
use crate::action::{Action, Notice};
use crate::link::Link;
use crate::name::Unit;
use crate::obstacle::{Impediment, Obstacle};
use crate::settings::{Settings, VirtualAddress};
use crate::status::StateName;
use crate::vhost::Vhost;

impl Engine {
    /// Obstacle that keeps a virtual host in INIT; `None` in the other states.
    pub(super) fn obstacle(&self, vhost: &Vhost) -> Option<Obstacle> {
        if vhost.state() != StateName::Init {
            return None;
        }
        let settings = &vhost.settings;
        let link = vhost.device.and_then(|device| self.links.get(&device));
        let (vhid, address) = match (settings.vhid, settings.addresses.first()) {
            _ if !settings.up => return Some(Obstacle::AdministrativelyDown),
            (None, _) => return Some(Obstacle::NoVhid),
            (_, None) => return Some(Obstacle::NoAddress),
            (Some(vhid), Some(address)) => (vhid, address),
        };
        let name = |link: &Link| link.name.clone();
        match (link, &settings.carpdev) {
            (None, None) => Some(self.no_choice(settings, *address)),
            (None, Some(named)) => {
                let is_there = self.links.values().any(|link| link.is_named(named));
                Some(if is_there {
                    Obstacle::UnfitDevice(named.clone())
                } else {
                    Obstacle::NoDevice(named.clone())
                })
            }
            (Some(link), _) if !link.up => Some(Obstacle::DeviceDown(name(link))),
            (Some(link), _) if !link.carrier => Some(Obstacle::NoCarrier(name(link))),
            (Some(link), _) => match &vhost.impediment {
                None => None,
                Some(Impediment::DeviceRefused(error)) => {
                    Some(Obstacle::DeviceRefused(error.clone()))
                }
                Some(Impediment::VhidTaken) => {
                    let by = self.bound.get(&(link.index, vhid)).copied();
                    by.map(|by| Obstacle::VhidTaken {
                        vhid,
                        by,
                        device: name(link),
                    })
                }
            },
        }
    }

    /// Obstacle of a virtual host for which no physical interface was chosen.
    fn no_choice(&self, settings: &Settings, first: VirtualAddress) -> Obstacle {
        let choices = deciding(settings).map(|address| (address, holding(&self.links, address)));
        let several = choices
            .map(|(address, links)| (address, links.map(|link| link.name.clone()).collect()))
            .find(|(_, devices): &(_, Vec<_>)| devices.len() > 1);
        match several {
            Some((address, devices)) => Obstacle::SeveralDevices { address, devices },
            None => Obstacle::NoSubnet(first),
        }
    }

    /// Reports the obstacle of a virtual host that its administrator may expect to run, once, unless a
    /// cause of suppression reports it.
    pub(super) fn report_obstacle(&mut self, unit: Unit, out: &mut Vec<Action>) {
        let Some(vhost) = self.vhosts.get(&unit) else {
            return;
        };
        let obstacle = self.obstacle(vhost).filter(|obstacle| match obstacle {
            Obstacle::NoSubnet(_)
            | Obstacle::SeveralDevices { .. }
            | Obstacle::UnfitDevice(_)
            | Obstacle::NoDevice(_)
            | Obstacle::VhidTaken { .. } => true,
            Obstacle::AdministrativelyDown
            | Obstacle::NoVhid
            | Obstacle::NoAddress
            | Obstacle::DeviceDown(_)
            | Obstacle::NoCarrier(_)
            | Obstacle::DeviceRefused(_) => false,
        });
        if let Some(vhost) = self.vhosts.get_mut(&unit)
            && vhost.reported_obstacle != obstacle
        {
            vhost.reported_obstacle.clone_from(&obstacle);
            if let Some(obstacle) = obstacle {
                out.push(Action::Notice(Notice::NotRunning { unit, obstacle }));
            }
        }
    }
}
