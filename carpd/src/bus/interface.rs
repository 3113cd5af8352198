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
use super::hub::{Hub, not_found};
use super::polkit::{Action, Deed};
use crate::settings;

#[derive(Debug)]
pub(super) struct InterfaceObject {
    hub: Arc<Hub>,
    callers: Callers,
    unit: Unit,
}

impl InterfaceObject {
    pub(super) const fn new(hub: Arc<Hub>, callers: Callers, unit: Unit) -> Self {
        Self { hub, callers, unit }
    }

    /// The interface as it is now.
    fn info(&self) -> Result<InterfaceInfo, Error> {
        let status = self.hub.board().interfaces.get(&self.unit).cloned();
        status
            .map(|status| InterfaceInfo::of(&View(status)))
            .ok_or_else(|| not_found(self.unit))
    }

    /// One of its properties that clients are told of when they change.
    fn show<T>(&self, what: impl FnOnce(&InterfaceInfo) -> T) -> Result<T, Error> {
        self.info().map(|info| what(&info))
    }

    /// One that they are not told of, or not of all of it.
    async fn show_fresh<T>(&self, what: impl FnOnce(&InterfaceInfo) -> T) -> Result<T, Error> {
        self.hub.refresh().await;
        self.show(what)
    }

    /// Lets pass who may do `action` to it.
    async fn allow(&self, action: Action, caller: Caller<'_>) -> Result<(), Error> {
        let (connection, header) = caller;
        let deed = Deed {
            action,
            verb: "change",
            object: &self.unit.to_string(),
        };
        self.callers
            .must_be_allowed(connection, &header, deed)
            .await
    }

    /// Applies settings on behalf of `caller`, if it may do that.
    async fn apply(&self, caller: Caller<'_>, settings: Vec<Setting>) -> Result<(), Error> {
        let state_alone = settings
            .iter()
            .all(|setting| matches!(setting, Setting::Up(_) | Setting::State(_)));
        let action = if state_alone {
            Action::State
        } else {
            Action::Configure
        };
        self.allow(action, caller).await?;
        let changes = settings::changes(&self.unit.to_string(), settings)?;
        self.change(changes).await
    }

    async fn change(&self, changes: Vec<Change>) -> Result<(), Error> {
        self.hub
            .request(Request::Configure {
                unit: self.unit,
                changes,
            })
            .await?;
        self.hub.settle(Some(self.unit)).await
    }
}

/// Where a call came from.
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
        self.allow(Action::Configure, (connection, header)).await?;
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
            0 => self.hub.key(self.unit).await?.bytes().to_vec(),
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
