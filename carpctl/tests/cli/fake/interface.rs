//! D-Bus object of one carp interface.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use carp_dbus::{AddressInfo, Error, InterfaceInfo, MasterInfo, TransitionInfo};
use zbus::{OwnedVariant, interface};

use super::State;

/// Carp interface.
pub(super) struct Interface(pub(super) InterfaceInfo, pub(super) Arc<Mutex<State>>);

#[interface(name = "org.carpd1.Interface")]
impl Interface {
    fn configure(&self, settings: HashMap<String, OwnedVariant>) -> Result<(), Error> {
        let mut state = self.1.lock().unwrap();
        state.refuse(&self.0.name, &settings)?;
        state.call(&format!("Configure {}", self.0.name), &settings);
        Ok(())
    }

    #[zbus(name = "GetVH")]
    fn get_vh(&self) -> ((i32, i32, i32, i32, Vec<u8>),) {
        // As if root had called: the password of carp0 alone is visible.
        let is_visible = self.0.name == "carp0";
        let key = if is_visible {
            b"mekmitasdigoat".to_vec()
        } else {
            Vec::new()
        };
        ((2, 1, 0, 1, key),)
    }

    #[zbus(property)]
    fn name(&self) -> String {
        self.0.name.clone()
    }

    #[zbus(property)]
    fn state(&self) -> String {
        self.0.state.clone()
    }

    #[zbus(property, name = "Up")]
    fn is_up(&self) -> bool {
        self.0.up
    }

    #[zbus(property)]
    fn running(&self) -> bool {
        self.0.running
    }

    #[zbus(property)]
    fn reason(&self) -> String {
        self.0.reason.clone()
    }

    #[zbus(property)]
    fn warnings(&self) -> Vec<String> {
        self.0.warnings.clone()
    }

    #[zbus(property)]
    fn vhid(&self) -> u8 {
        self.0.vhid
    }

    #[zbus(property)]
    fn adv_base(&self) -> u8 {
        self.0.advbase
    }

    #[zbus(property)]
    fn adv_skew(&self) -> u8 {
        self.0.advskew
    }

    #[zbus(property)]
    fn effective_adv_skew(&self) -> u8 {
        self.0.effective_advskew
    }

    #[zbus(property)]
    fn demotion(&self) -> u8 {
        self.0.demotion
    }

    #[zbus(property)]
    fn device(&self) -> String {
        self.0.carpdev.clone()
    }

    #[zbus(property)]
    fn link_layer_address(&self) -> String {
        self.0.lladdr.clone()
    }

    #[zbus(property)]
    fn link_layer(&self) -> String {
        self.0.link_layer.clone()
    }

    #[zbus(property)]
    fn mtu(&self) -> u32 {
        self.0.mtu
    }

    #[zbus(property)]
    fn description(&self) -> String {
        self.0.description.clone()
    }

    #[zbus(property)]
    fn has_password(&self) -> bool {
        self.0.has_password
    }

    #[zbus(property)]
    fn master_down_time(&self) -> u64 {
        self.0.master_down_time
    }

    #[zbus(property)]
    fn advertised(&self) -> u64 {
        self.0.advertised
    }

    #[zbus(property)]
    fn statistics(&self) -> BTreeMap<String, u64> {
        self.0.statistics.clone()
    }

    #[zbus(property)]
    fn addresses(&self) -> Vec<AddressInfo> {
        self.0.addresses.clone()
    }

    #[zbus(property)]
    fn master(&self) -> MasterInfo {
        self.0.master.clone().unwrap_or_default()
    }

    #[zbus(property)]
    fn last_transition(&self) -> TransitionInfo {
        self.0.last_transition.clone().unwrap_or_default()
    }
}
