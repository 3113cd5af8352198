//! `org.carpd1.Sysctl`: the tree `net.inet.carp`.

use std::sync::Arc;

use carp_dbus::names::{STATS, SYSCTL_PREFIX};
use carp_dbus::{Error, number, one_line};
use carp_proto::{Sysctl, Sysctls};
use zbus::message::Header;
use zbus::{Connection, OwnedVariant, Variant, interface};

use super::callers::Callers;
use super::convert;
use super::polkit::{Action, Operation};
use crate::requests::Requests;
use crate::snapshot::SharedSnapshot;

/// Returns the property that shows `sysctl`: its getter below, with the name that it has on the bus.
pub(super) const fn property(sysctl: Sysctl) -> &'static str {
    match sysctl {
        Sysctl::Allow => "Allow",
        Sysctl::ArpBalance => "ArpBalance",
        Sysctl::Log => "Log",
        Sysctl::Preempt => "Preempt",
        Sysctl::Replay => "Replay",
        Sysctl::ReplayWindow => "ReplayWindow",
        Sysctl::SuppressPreempt => "SuppressPreempt",
    }
}

/// Returns the value of `sysctl` as the bus shows it, where `u32::MAX` stands for any greater one.
pub(super) fn value(sysctls: &Sysctls, sysctl: Sysctl) -> u32 {
    u32::try_from(sysctls.get(sysctl)).unwrap_or(u32::MAX)
}

#[derive(Debug)]
pub(super) struct SysctlObject {
    pub(super) snapshot: SharedSnapshot,
    pub(super) requests: Arc<Requests>,
    pub(super) callers: Callers,
}

impl SysctlObject {
    fn value(&self, sysctl: Sysctl) -> u32 {
        value(&self.snapshot.lock().sysctls, sysctl)
    }
}

#[interface(name = "org.carpd1.Sysctl", introspection_docs = false)]
impl SysctlObject {
    #[zbus(out_args("value"))]
    async fn get(&self, name: &str) -> Result<OwnedVariant, Error> {
        if name == STATS {
            self.requests.refresh().await;
            let statistics = convert::statistics(&self.snapshot.lock().totals);
            return Ok(Variant::from(statistics).try_into_owned()?);
        }
        Ok(self.value(find(name)?).into())
    }

    #[zbus(out_args("old"))]
    async fn set(
        &self,
        name: &str,
        value: Variant<'_>,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedVariant, Error> {
        let sysctl = if name == STATS {
            None
        } else {
            Some(find(name)?)
        };
        let Some(sysctl) = sysctl.filter(|sysctl| sysctl.range().is_some()) else {
            return Err(Error::ReadOnly(format!("oid '{name}' is read only")));
        };
        let operation = Operation {
            action: Action::Sysctl,
            verb: "set",
            object: name,
        };
        self.callers
            .authorise(connection, &header, operation)
            .await?;
        let number = number(&value)
            .ok_or_else(|| format!("{name} is a number, not {value}"))
            .map_err(|problem| Error::InvalidArgument(one_line(problem)))?;
        let old = self.requests.set(sysctl, number).await?;
        Ok(u32::try_from(old).unwrap_or(u32::MAX).into())
    }

    #[zbus(out_args("sysctls"))]
    fn list(&self) -> Vec<(String, OwnedVariant, String, bool)> {
        Sysctl::ALL
            .into_iter()
            .map(|sysctl| {
                let name = format!("{SYSCTL_PREFIX}{}", sysctl.name());
                let value = self.value(sysctl).into();
                (
                    name,
                    value,
                    sysctl.description().to_owned(),
                    sysctl.range().is_some(),
                )
            })
            .collect()
    }

    #[zbus(property)]
    fn allow(&self) -> u32 {
        self.value(Sysctl::Allow)
    }

    #[zbus(property)]
    fn arp_balance(&self) -> u32 {
        self.value(Sysctl::ArpBalance)
    }

    #[zbus(property)]
    fn log(&self) -> u32 {
        self.value(Sysctl::Log)
    }

    #[zbus(property)]
    fn preempt(&self) -> u32 {
        self.value(Sysctl::Preempt)
    }

    #[zbus(property)]
    fn replay(&self) -> u32 {
        self.value(Sysctl::Replay)
    }

    #[zbus(property)]
    fn replay_window(&self) -> u32 {
        self.value(Sysctl::ReplayWindow)
    }

    #[zbus(property)]
    fn suppress_preempt(&self) -> u32 {
        self.value(Sysctl::SuppressPreempt)
    }
}

fn find(name: &str) -> Result<Sysctl, Error> {
    name.strip_prefix(SYSCTL_PREFIX)
        .and_then(Sysctl::find)
        .ok_or_else(|| Error::NotFound(one_line(format!("unknown oid '{name}'"))))
}
