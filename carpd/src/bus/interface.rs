//! `org.carpd1.Interface`: one carp interface.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use carp_dbus::proxy::VhRow;
use carp_dbus::{AddressInfo, Error, InterfaceInfo, MasterInfo, Setting, TransitionInfo};
use carp_proto::{Change, Request, Unit};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedVariant, interface};

use super::callers::Callers;
use super::carpreq;
use super::convert::View;
use super::polkit::{Action, Operation};
use crate::requests::{Requests, not_found};
use crate::settings;
use crate::snapshot::SharedSnapshot;

#[derive(Debug)]
pub(super) struct InterfaceObject {
    pub(super) snapshot: SharedSnapshot,
    pub(super) requests: Arc<Requests>,
    pub(super) callers: Callers,
    pub(super) unit: Unit,
}

impl InterfaceObject {
    /// Returns the interface as published.
    fn info(&self) -> Result<InterfaceInfo, Error> {
        let status = self.snapshot.lock().interfaces.get(&self.unit).cloned();
        status
            .map(|status| InterfaceInfo::of(&View(status)))
            .ok_or_else(|| not_found(self.unit))
    }

    /// Returns a property whose changes are announced.
    fn show<T>(&self, property: impl FnOnce(&InterfaceInfo) -> T) -> Result<T, Error> {
        self.info().map(|info| property(&info))
    }

    /// Returns a property whose changes are not announced, or not all of them.
    async fn show_fresh<T>(&self, property: impl FnOnce(&InterfaceInfo) -> T) -> Result<T, Error> {
        self.requests.refresh().await;
        self.show(property)
    }

    /// Returns if `caller` may do `action` to the interface.
    async fn authorise(&self, action: Action, caller: Caller<'_>) -> Result<(), Error> {
        let (connection, header) = caller;
        let operation = Operation {
            action,
            verb: "change",
            object: &self.unit.to_string(),
        };
        self.callers.authorise(connection, &header, operation).await
    }

    /// Applies settings if `caller` may do that.
    async fn apply(&self, caller: Caller<'_>, settings: Vec<Setting>) -> Result<(), Error> {
        let is_state = settings
            .iter()
            .all(|setting| matches!(setting, Setting::Up(_) | Setting::State(_)));
        let action = if is_state {
            Action::State
        } else {
            Action::Configure
        };
        self.authorise(action, caller).await?;
        let changes = settings::changes(&self.unit.to_string(), settings)?;
        self.change(changes).await
    }

    async fn change(&self, changes: Vec<Change>) -> Result<(), Error> {
        self.requests
            .request(Request::Configure {
                unit: self.unit,
                changes,
            })
            .await?;
        self.requests.settle(Some(self.unit)).await
    }
}

/// Origin of a call.
type Caller<'a> = (&'a Connection, Header<'a>);

#[interface(name = "org.carpd1.Interface", introspection_docs = false)]
impl InterfaceObject {
    async fn configure(
        &self,
        settings: HashMap<String, OwnedVariant>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let settings = settings::read(&self.unit.to_string(), settings)?;
        self.apply((connection, header), settings).await
    }

    async fn set_vhid(
        &self,
        vhid: u8,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.apply((connection, header), vec![Setting::Vhid(vhid)])
            .await
    }

    async fn set_advertisement(
        &self,
        advbase: u8,
        advskew: u8,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let settings = vec![Setting::AdvBase(advbase), Setting::AdvSkew(advskew)];
        self.apply((connection, header), settings).await
    }

    async fn set_password(
        &self,
        password: Vec<u8>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.apply((connection, header), vec![Setting::Password(password)])
            .await
    }

    async fn add_address(
        &self,
        address: String,
        prefixlen: u8,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let added = vec![Setting::AddAddresses(vec![(address, prefixlen)])];
        self.apply((connection, header), added).await
    }

    async fn remove_address(
        &self,
        address: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let removed = vec![Setting::RemoveAddresses(vec![address])];
        self.apply((connection, header), removed).await
    }

    async fn set_device(
        &self,
        device: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.apply((connection, header), vec![Setting::Device(device)])
            .await
    }

    async fn up(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.apply((connection, header), vec![Setting::Up(true)])
            .await
    }

    async fn down(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.apply((connection, header), vec![Setting::Up(false)])
            .await
    }

    async fn set_state(
        &self,
        state: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.apply((connection, header), vec![Setting::State(state)])
            .await
    }

    #[zbus(name = "SetVH")]
    async fn set_vh(
        &self,
        request: VhRow,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        self.authorise(Action::Configure, (connection, header))
            .await?;
        let changes = carpreq::changes(&self.info()?, request)?;
        self.change(changes).await
    }

    #[zbus(name = "GetVH", out_args("request"))]
    async fn get_vh(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(VhRow,), Error> {
        let info = self.info()?;
        let key = match self.callers.uid(connection, &header).await? {
            0 => self.requests.key(self.unit).await?.bytes().to_vec(),
            _ => Vec::new(),
        };
        Ok((carpreq::row(&info, key),))
    }

    #[zbus(signal)]
    async fn transitioned(
        emitter: &SignalEmitter<'_>,
        from: &str,
        to: &str,
        reason: &str,
    ) -> zbus::Result<()>;

    #[zbus(property)]
    fn name(&self) -> Result<String, Error> {
        self.show(|info| info.name.clone())
    }

    #[zbus(property)]
    fn state(&self) -> Result<String, Error> {
        self.show(|info| info.state.clone())
    }

    #[zbus(property, name = "Up")]
    fn is_up(&self) -> Result<bool, Error> {
        self.show(|info| info.up)
    }

    #[zbus(property)]
    fn running(&self) -> Result<bool, Error> {
        self.show(|info| info.running)
    }

    #[zbus(property)]
    fn reason(&self) -> Result<String, Error> {
        self.show(|info| info.reason.clone())
    }

    #[zbus(property)]
    fn warnings(&self) -> Result<Vec<String>, Error> {
        self.show(|info| info.warnings.clone())
    }

    #[zbus(property)]
    fn vhid(&self) -> Result<u8, Error> {
        self.show(|info| info.vhid)
    }

    #[zbus(property)]
    fn adv_base(&self) -> Result<u8, Error> {
        self.show(|info| info.advbase)
    }

    #[zbus(property)]
    fn adv_skew(&self) -> Result<u8, Error> {
        self.show(|info| info.advskew)
    }

    #[zbus(property)]
    fn effective_adv_skew(&self) -> Result<u8, Error> {
        self.show(|info| info.effective_advskew)
    }

    #[zbus(property)]
    fn demotion(&self) -> Result<u8, Error> {
        self.show(|info| info.demotion)
    }

    #[zbus(property)]
    fn device(&self) -> Result<String, Error> {
        self.show(|info| info.carpdev.clone())
    }

    #[zbus(property)]
    fn link_layer_address(&self) -> Result<String, Error> {
        self.show(|info| info.lladdr.clone())
    }

    #[zbus(property)]
    fn link_layer(&self) -> Result<String, Error> {
        self.show(|info| info.link_layer.clone())
    }

    #[zbus(property)]
    fn mtu(&self) -> Result<u32, Error> {
        self.show(|info| info.mtu)
    }

    #[zbus(property)]
    fn description(&self) -> Result<String, Error> {
        self.show(|info| info.description.clone())
    }

    #[zbus(property)]
    fn has_password(&self) -> Result<bool, Error> {
        self.show(|info| info.has_password)
    }

    #[zbus(property)]
    fn master_down_time(&self) -> Result<u64, Error> {
        self.show(|info| info.master_down_time)
    }

    #[zbus(property)]
    fn addresses(&self) -> Result<Vec<AddressInfo>, Error> {
        self.show(|info| info.addresses.clone())
    }

    #[zbus(property)]
    async fn master(&self) -> Result<MasterInfo, Error> {
        self.show_fresh(|info| info.master.clone().unwrap_or_default())
            .await
    }

    #[zbus(property)]
    fn last_transition(&self) -> Result<TransitionInfo, Error> {
        self.show(|info| info.last_transition.clone().unwrap_or_default())
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn advertised(&self) -> Result<u64, Error> {
        self.show_fresh(|info| info.advertised).await
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn statistics(&self) -> Result<BTreeMap<String, u64>, Error> {
        self.show_fresh(|info| info.statistics.clone()).await
    }
}
