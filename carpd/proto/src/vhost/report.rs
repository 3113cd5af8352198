//! Status of a virtual host.

use super::mastership::Mastership;
use super::{Env, State, Vhost};
use crate::link::link_layer_address;
use crate::obstacle::Obstacle;
use crate::status::{AddressStatus, StateName, Status};

impl Vhost {
    /// A snapshot, without the password.
    pub(crate) fn status(&self, obstacle: Option<Obstacle>, env: &Env<'_>) -> Status {
        let settings = &self.settings;
        let claim = self.claim(env);
        let (live, advertised, master) = match self.state {
            State::Init => (false, None, None),
            State::Backup(_) => (false, None, self.peer),
            State::Master(Mastership {
                is_live,
                advertised,
                ..
            }) => (is_live, Some(advertised), None),
        };
        let addresses = settings.addresses.iter().map(|address| AddressStatus {
            address: *address,
            backing: env.link.and_then(|link| link.backing(address.address)),
            owner: env.link.is_some_and(|link| link.has(address.address)),
            active: live && !self.refused_addresses.contains_key(&address.address),
        });
        Status {
            unit: self.unit,
            state: self.state(),
            up: settings.up,
            running: self.state() != StateName::Init,
            obstacle,
            warnings: self.warnings.clone(),
            vhid: settings.vhid,
            advbase: settings.advbase.get(),
            advskew: settings.advskew.get(),
            effective_advskew: claim.advskew,
            demotion: claim.demotion,
            device: env.link.map(|link| (link.index, link.name.clone())),
            carpdev: settings.carpdev.clone(),
            lladdr: settings.lladdr,
            mac: link_layer_address(settings, env.link),
            mtu: env.link.map_or(1500, |link| link.mtu),
            addresses: addresses.collect(),
            has_password: !settings.key.is_empty(),
            description: settings.description.clone(),
            master,
            advertised,
            master_down_micros: u64::try_from(self.own_wait(env).master_down_time().as_micros())
                .unwrap_or(u64::MAX),
            last_transition: self.last_transition.clone(),
            counters: self.counters,
        }
    }
}
