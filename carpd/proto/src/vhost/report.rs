//! What is shown of a virtual host.

use super::{Env, Mastership, State, Vhost};
use crate::advertiser;
use crate::mac::Mac;
use crate::obstacle::Obstacle;
use crate::settings::LinkLayer;
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
                live, advertised, ..
            }) => (live, Some(advertised), None),
        };
        let addresses = settings.addresses.iter().map(|address| AddressStatus {
            address: *address,
            backing: env
                .link
                .and_then(|link| advertiser::backing(address.address, link)),
            owner: env.link.is_some_and(|link| link.has(address.address)),
            active: live && !self.refused.contains_key(&address.address),
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
            mac: match settings.lladdr {
                LinkLayer::Virtual => settings.vhid.map(Mac::virtual_of),
                LinkLayer::Parent => env.link.map(|link| link.mac),
            },
            mtu: env.link.map_or(1500, |link| link.mtu),
            addresses: addresses.collect(),
            has_password: !settings.key.is_empty(),
            description: settings.description.clone(),
            master,
            advertised,
            master_down_micros: u64::try_from(self.patience(env).master_down_time().as_micros())
                .unwrap_or(u64::MAX),
            last_transition: self.last_transition.clone(),
            counters: self.counters,
        }
    }
}
