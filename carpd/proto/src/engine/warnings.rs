//! Warnings about settings, found again after each change of an interface or a gateway.

use core::net::IpAddr;
use std::collections::BTreeSet;

use super::Engine;
use super::choice::{alternatives, deciding};
use crate::action::{Action, Notice};
use crate::link::{DeviceAddress, Gateway, Link, is_link_local};
use crate::name::Unit;
use crate::settings::DeviceName;
use crate::vhost::Vhost;
use crate::warning::Warning;

impl Engine {
    /// Replaces the gateways of the default routes of this host.
    pub(super) fn gateways_changed(&mut self, gateways: BTreeSet<Gateway>, out: &mut Vec<Action>) {
        let before = core::mem::replace(&mut self.gateways, gateways);
        let changed: Vec<Gateway> = before
            .symmetric_difference(&self.gateways)
            .copied()
            .collect();
        let concerned = self.vhosts.values().filter(|vhost| {
            let mut changed = changed.iter();
            changed.any(|gateway| vhost.holds(gateway.address))
        });
        let units: Vec<Unit> = concerned.map(|vhost| vhost.unit).collect();
        for unit in units {
            self.review(unit, out);
        }
    }

    /// Finds the warnings of a virtual host, and reports new ones.
    pub(super) fn review(&mut self, unit: Unit, out: &mut Vec<Action>) {
        let Some(vhost) = self.vhosts.get(&unit) else {
            return;
        };
        let warnings = self.warnings(vhost);
        let Some(vhost) = self.vhosts.get_mut(&unit) else {
            return;
        };
        if vhost.warnings == warnings {
            return;
        }
        let before = core::mem::replace(&mut vhost.warnings, warnings);
        let new = vhost
            .warnings
            .iter()
            .filter(|warning| !before.contains(warning));
        out.extend(new.map(|warning| {
            Action::Notice(Notice::Warning {
                unit,
                warning: warning.clone(),
            })
        }));
        out.push(Action::Updated(unit));
    }

    /// Reviews the virtual hosts for which an interface with these addresses can cause a warning.
    pub(super) fn review_near(&mut self, addresses: &[DeviceAddress], out: &mut Vec<Action>) {
        let near = self.vhosts.values().filter(|vhost| {
            let mut virtual_ones = vhost.settings.addresses.iter();
            virtual_ones.any(|each| addresses.iter().any(|own| own.holds(each.address)))
        });
        let units: Vec<Unit> = near.map(|vhost| vhost.unit).collect();
        for unit in units {
            self.review(unit, out);
        }
    }

    fn warnings(&self, vhost: &Vhost) -> Vec<Warning> {
        let settings = &vhost.settings;
        let mut warnings = Vec::new();
        let device = vhost.device.and_then(|device| self.links.get(&device));
        if let Some(link) = device
            && settings.carpdev.is_none()
        {
            warnings.extend(self.several_devices(vhost, link));
        }
        for each in &settings.addresses {
            let address = each.address;
            let elsewhere = || self.links.values().find(|link| link.has(address));
            match device {
                Some(link) if link.has(address) => warnings.push(Warning::Owner {
                    address,
                    device: link.name.clone(),
                }),
                Some(_) | None => warnings.extend(elsewhere().map(|link| Warning::Elsewhere {
                    address,
                    device: link.name.clone(),
                })),
            }
            if let Some(link) = device
                && !has_route(vhost, link, address)
            {
                warnings.push(Warning::NoRoute {
                    address: *each,
                    device: link.name.clone(),
                });
            }
            // A link-local address identifies a router on one network only.
            let is_gateway = |gateway: &Gateway| {
                let is_there = vhost.device == Some(gateway.device);
                gateway.address == address && (is_there || !is_link_local(&address))
            };
            if self.gateways.iter().any(is_gateway) {
                warnings.push(Warning::Gateway(address));
            }
        }
        warnings
    }

    /// Warns if other interfaces have the deciding address in an equally small subnet.
    fn several_devices(&self, vhost: &Vhost, chosen: &Link) -> Option<Warning> {
        let address = deciding(&vhost.settings).find(|address| chosen.holds(*address))?;
        let others: Vec<DeviceName> = alternatives(&self.links, address, chosen)
            .map(|link| link.name.clone())
            .collect();
        (!others.is_empty()).then(|| Warning::SeveralDevices {
            address,
            chosen: chosen.name.clone(),
            others,
        })
    }
}

/// Returns true if a route leads to the neighbours of a virtual address, through a subnet of the physical
/// interface or the prefix of a virtual address.
fn has_route(vhost: &Vhost, link: &Link, address: IpAddr) -> bool {
    let by_own = link
        .addresses
        .iter()
        .any(|own| !is_single_host(*own) && own.holds(address));
    let mut addresses = vhost.settings.addresses.iter().map(|each| DeviceAddress {
        address: each.address,
        prefix: each.prefix,
    });
    by_own || addresses.any(|each| !is_single_host(each) && each.holds(address))
}

/// Returns true if the prefix is that of a single host.
const fn is_single_host(address: DeviceAddress) -> bool {
    let most = match address.address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    address.prefix >= most
}
