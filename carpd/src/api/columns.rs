//! What `ListProperties` answers: of each property that is wanted an array with its values for all
//! interfaces. A dictionary of variants for each interface would be five times as long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use carp_dbus::dict::{AddressRow, Dictionary, MasterRow, TransitionRow};
use carp_proto::Status;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use zbus::{Signature, Type, as_variant};

use super::convert;
use super::hub::Hub;

/// Properties of all interfaces.
#[derive(Debug)]
pub(super) struct Columns {
    interfaces: Vec<Arc<Status>>,
    wanted: BTreeSet<String>,
}

impl Columns {
    /// Those with these names, as they are now; unknown ones are passed over.
    pub(super) async fn of(hub: &Hub, names: Vec<&str>) -> Self {
        let wanted: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
        // These may change without a signal.
        if ["Master", "Advertised", "Statistics"]
            .iter()
            .any(|name| wanted.contains(*name))
        {
            hub.refresh().await;
        }
        Self {
            interfaces: hub.board().all(),
            wanted,
        }
    }

    fn column<'a, T>(&'a self, value: impl Fn(&'a Status) -> T) -> Vec<T> {
        self.interfaces.iter().map(|status| value(status)).collect()
    }
}

impl Type for Columns {
    const SIGNATURE: &'static Signature = Dictionary::SIGNATURE;
}

impl Serialize for Columns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut columns = serializer.serialize_map(None)?;
        macro_rules! columns {
            ($($name:literal: $value:expr,)*) => {
                $(
                    if self.wanted.contains($name) {
                        let column = self.column($value);
                        columns.serialize_entry($name, &as_variant::Serialize(&column))?;
                    }
                )*
            };
        }
        columns! {
            "Name": |status| status.unit.to_string(),
            "State": |status| status.state.text(),
            "Up": |status| status.up,
            "Running": |status| status.running,
            "Reason": |status| convert::text_of(status.obstacle.as_ref()),
            "Vhid": |status| convert::vhid_number(status.vhid),
            "AdvBase": |status| status.advbase,
            "AdvSkew": |status| status.advskew,
            "EffectiveAdvSkew": |status| status.effective_advskew,
            "Demotion": |status| status.demotion,
            "Device": |status| convert::device_name(status.device.as_ref()),
            "LinkLayerAddress": |status| convert::text_of(status.mac),
            "LinkLayer": |status| convert::link_layer(status.lladdr),
            "Mtu": |status| status.mtu,
            "Description": |status| status.description.as_str(),
            "HasPassword": |status| status.has_password,
            "Addresses": |status| {
                let rows = status.addresses.iter().map(convert::address);
                rows.map(AddressRow::from).collect::<Vec<_>>()
            },
            "Master": |status| {
                let master = status.master.as_ref().map(convert::master_info);
                MasterRow::from(master.unwrap_or_default())
            },
            "LastTransition": |status| {
                let last = status.last_transition.as_ref().map(convert::transition);
                TransitionRow::from(last.unwrap_or_default())
            },
            "MasterDownTime": |status| status.master_down_micros,
            "Advertised": |status| convert::micros(status.advertised),
            "Statistics": |status| {
                let counters = convert::counters(&status.counters);
                counters.into_iter().collect::<BTreeMap<_, _>>()
            },
        }
        columns.end()
    }
}
