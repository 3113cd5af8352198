//! D-Bus objects of the daemon as a whole and of its sysctls.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use carp_dbus::properties::{Dictionary, all};
use carp_dbus::row::Columns;
use carp_dbus::{Error, EventInfo, InterfaceInfo, SysctlInfo, names};
use zbus::object_server::SignalEmitter;
use zbus::{OwnedObjectPath, OwnedVariant, Variant, interface};

use super::State;
use super::facts::TIME;

/// Daemon as a whole.
pub(super) struct Manager(pub(super) Arc<Mutex<State>>);

#[interface(name = "org.carpd1.Manager")]
impl Manager {
    fn create_interface(
        &self,
        name: &str,
        settings: HashMap<String, OwnedVariant>,
    ) -> Result<OwnedObjectPath, Error> {
        let mut state = self.0.lock().unwrap();
        if state.find(name).is_ok() {
            return Err(Error::Exists(format!("interface {name} exists already")));
        }
        let name = if name == "carp" { "carp2" } else { name };
        state.refuse(name, &settings)?;
        state.call(&format!("CreateInterface {name}"), &settings);
        Ok(names::interface_path(name).try_into().unwrap())
    }

    fn destroy_interface(&self, name: &str) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        state.find(name)?;
        state.call(&format!("DestroyInterface {name}"), &HashMap::new());
        Ok(())
    }

    fn save(&self) {
        self.0.lock().unwrap().call("Save", &HashMap::new());
    }

    fn reload(&self) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        state.call("Reload", &HashMap::new());
        Err(Error::InvalidArgument(
            "/etc/carpd/rc.conf:3: ifconfig_carp0: vhid 0: must be a number from 1 to 255; \
             /etc/carpd/sysctl.conf:1: oid 'net.inet.carp.suppress_preempt' is read only"
                .to_owned(),
        ))
    }

    fn list_interfaces(&self) -> Vec<(OwnedObjectPath, Dictionary)> {
        let state = self.0.lock().unwrap();
        let row = |info: &InterfaceInfo| {
            (
                names::interface_path(&info.name).try_into().unwrap(),
                all(info),
            )
        };
        state.interfaces.iter().map(row).collect()
    }

    fn list_properties(&self, names: Vec<String>) -> (Columns<InterfaceInfo>,) {
        let interfaces = self.0.lock().unwrap().interfaces.clone();
        let wanted = names;
        (Columns { interfaces, wanted },)
    }

    fn get_statistics(&self) -> BTreeMap<String, u64> {
        let state = self.0.lock().unwrap();
        let mut totals = BTreeMap::new();
        for (name, value) in state.interfaces.iter().flat_map(|info| &info.statistics) {
            *totals.entry(name.clone()).or_default() += value;
        }
        totals
    }

    fn get_events(&self, after: u64, most: u32) -> Vec<Row> {
        let state = self.0.lock().unwrap();
        let later = state.events.iter().filter(|event| event.number > after);
        later
            .take(usize::try_from(most).unwrap())
            .cloned()
            .map(row)
            .collect()
    }

    fn suppress(&self, who: &str, why: &str) -> zbus::OwnedFd {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut state = self.0.lock().unwrap();
        state.call(&format!("Suppress {who}: {why}"), &HashMap::new());
        state
            .suppressions
            .push((who.to_owned(), why.to_owned(), ours));
        OwnedFd::from(theirs).into()
    }

    fn list_suppressions(&self) -> Vec<(String, String, u64)> {
        let mut state = self.0.lock().unwrap();
        let mut rows = vec![("eth1".to_owned(), "no carrier".to_owned(), TIME)];
        let row = |(who, why, _): &(String, String, _)| (who.clone(), why.clone(), TIME);
        rows.extend(state.open_suppressions().iter().map(row));
        rows
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        "0.1.0"
    }

    #[zbus(signal)]
    async fn event(
        emitter: &SignalEmitter<'_>,
        number: u64,
        time: u64,
        interface: &str,
        kind: &str,
        text: &str,
        details: HashMap<String, OwnedVariant>,
    ) -> zbus::Result<()>;
}

/// Tree `net.inet.carp`.
pub(super) struct Sysctl(pub(super) Arc<Mutex<State>>);

#[interface(name = "org.carpd1.Sysctl")]
impl Sysctl {
    fn list(&self) -> Vec<(String, Variant<'static>, String, bool)> {
        let state = self.0.lock().unwrap();
        let row = |oid: &SysctlInfo| {
            let value = u32::try_from(oid.value).unwrap();
            (
                oid.name.clone(),
                value.into(),
                oid.description.clone(),
                oid.writable,
            )
        };
        state.sysctls.iter().map(row).collect()
    }

    fn set(&self, name: &str, value: Variant<'_>) -> Result<Variant<'static>, Error> {
        let mut state = self.0.lock().unwrap();
        let value = u64::try_from(&value).unwrap();
        if value > 1 {
            return Err(Error::InvalidArgument(format!(
                "{name} is 0 to 1, not {value}"
            )));
        }
        state.call(&format!("Set {name} {value}"), &HashMap::new());
        let oid = state
            .sysctls
            .iter_mut()
            .find(|oid| oid.name == name)
            .unwrap();
        Ok(std::mem::replace(&mut oid.value, value).into())
    }
}

/// Sends `event` to the client of `emitter`.
pub(super) async fn send_event(emitter: &SignalEmitter<'_>, event: EventInfo) -> zbus::Result<()> {
    let (number, time, interface, kind, text, details) = row(event);
    Manager::event(emitter, number, time, &interface, &kind, &text, details).await
}

type Row = (
    u64,
    u64,
    String,
    String,
    String,
    HashMap<String, OwnedVariant>,
);

fn row(event: EventInfo) -> Row {
    let EventInfo {
        number,
        time,
        interface,
        kind,
        text,
        details,
    } = event;
    let details = details
        .into_iter()
        .map(|(name, value)| (name, Variant::from(value).try_into_owned().unwrap()))
        .collect();
    (number, time, interface, kind, text, details)
}
