//! Settings of a carp interface, and their changes. Each value is checked once, here.

use core::fmt;
use core::net::IpAddr;

use crate::family::Family;
use crate::key::Key;
use crate::name::Unit;
use crate::numbers::{Advbase, Advskew, Vhid};
use crate::refusal::{Refusal, RefusalKind};

/// The most bytes of a description, and of a holder's words.
const TEXT_LIMIT: usize = 255;

/// An address shared by the group, with the prefix length it is given in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualAddress {
    /// The address.
    pub address: IpAddr,
    /// 0 to 32 for IPv4, 0 to 128 for IPv6.
    pub prefix: u8,
}

/// The name of a network interface: 1 to 127 bytes, no `/`, no white space, not `.` or `..`.
///
/// The kernel's own names have 15 bytes at most (`IFNAMSIZ`), alternative ones 127 (`ALTIFNAMSIZ`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName(String);

impl DeviceName {
    /// Checks a name against the kernel's rule (`dev_valid_name()`); `None` if it cannot be one.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=127).contains(&name.len()) && name != "." && name != "..";
        let clean = !name.bytes().any(|byte| {
            byte == b'/' || byte == b':' || byte == 0 || byte.is_ascii_whitespace() || byte == 0x0b
        });
        (fits && clean).then(|| Self(name.to_owned()))
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Link-layer address of the virtual addresses (`ifconfig carpN lladdr …`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkLayer {
    /// The virtual MAC `00:00:5e:00:01:VHID`, on a macvlan device of its own.
    #[default]
    Virtual,
    /// The physical interface's own: where the network allows no second MAC.
    Parent,
}

impl LinkLayer {
    /// As `lladdr` takes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Virtual => "virtual",
            Self::Parent => "parent",
        }
    }

    /// The one with this word, if there is one.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        [Self::Virtual, Self::Parent]
            .into_iter()
            .find(|lladdr| lladdr.word() == word)
    }
}

/// A state that `ifconfig carpN state …` may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForcedState {
    /// Become BACKUP.
    Backup,
    /// Become MASTER.
    Master,
}

/// Everything that is set on one carp interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Unset: INIT, nothing is sent.
    pub vhid: Option<Vhid>,
    /// Seconds.
    pub advbase: Advbase,
    /// 1/256 seconds.
    pub advskew: Advskew,
    /// The password; empty by default.
    pub key: Key,
    /// A second password that is accepted but never sent.
    pub accept_key: Option<Key>,
    /// The virtual addresses in the order they were added, none of them twice.
    pub addresses: Vec<VirtualAddress>,
    /// The physical interface named by `carpdev`; chosen by subnet if unset.
    pub carpdev: Option<DeviceName>,
    /// Administratively up.
    pub up: bool,
    /// Free text.
    pub description: String,
    /// Virtual or parent.
    pub lladdr: LinkLayer,
}

impl Default for Settings {
    /// A freshly created interface; BSD's ifconfig marks it up with its first address, and so
    /// does [`Change::AddAddress`].
    fn default() -> Self {
        Self {
            vhid: None,
            advbase: Advbase::default(),
            advskew: Advskew::default(),
            key: Key::default(),
            accept_key: None,
            addresses: Vec::new(),
            carpdev: None,
            up: false,
            description: String::new(),
            lladdr: LinkLayer::default(),
        }
    }
}

/// One change of a command line. A line is a list of them that is applied whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `advbase N`
    Advbase(Advbase),
    /// `advskew N`
    Advskew(Advskew),
    /// `accept_pass TEXT`, or `None` for `-accept_pass`.
    AcceptKey(Option<Key>),
    /// `inet ADDR/LEN`, `inet6 ADDR/LEN`: added, and the interface is marked up unless the same
    /// line says `down`. An address that is there already is refused.
    AddAddress(VirtualAddress),
    /// `carpdev IF`, or `None` for `-carpdev`.
    Carpdev(Option<DeviceName>),
    /// `description TEXT`; empty for `-description`.
    Description(String),
    /// `pass TEXT`
    Key(Key),
    /// `lladdr virtual|parent`
    Lladdr(LinkLayer),
    /// `-alias ADDR`, `delete ADDR`
    RemoveAddress(IpAddr),
    /// `state master|backup`
    State(ForcedState),
    /// `up`, `down`
    Up(bool),
    /// `vhid N`
    Vhid(Vhid),
}

impl Settings {
    /// A new carp interface after all of `changes`.
    ///
    /// # Errors
    /// [`RefusalKind::InvalidArgument`] for what cannot be set, and for a state, which is nothing
    /// that is configured; [`RefusalKind::Exists`] for an address that is given twice.
    pub fn configured(unit: Unit, changes: &[Change]) -> Result<Self, Refusal> {
        let mut settings = Self::default();
        match settings.apply(unit, changes)? {
            None => Ok(settings),
            Some(_) => Err(Refusal::invalid(format!(
                "{unit}: a state cannot be configured"
            ))),
        }
    }

    /// Makes all of `changes`, and returns the state they ask for. After an error some of them are
    /// made.
    pub(crate) fn apply(
        &mut self,
        unit: Unit,
        changes: &[Change],
    ) -> Result<Option<ForcedState>, Refusal> {
        let mut forced = None;
        let mut up = None;
        for change in changes {
            match change {
                Change::Advbase(advbase) => self.advbase = *advbase,
                Change::Advskew(advskew) => self.advskew = *advskew,
                Change::AcceptKey(key) => self.accept_key.clone_from(key),
                Change::AddAddress(address) => self.add_address(unit, *address)?,
                Change::Carpdev(device) => self.carpdev.clone_from(device),
                Change::Description(text) => {
                    check_text(&format!("{unit}: description"), text)?;
                    self.description.clone_from(text);
                }
                Change::Key(key) => self.key.clone_from(key),
                Change::Lladdr(lladdr) => self.lladdr = *lladdr,
                Change::RemoveAddress(address) => self.remove_address(unit, *address)?,
                Change::State(state) => forced = Some(*state),
                Change::Up(wanted) => up = Some(*wanted),
                Change::Vhid(vhid) => self.vhid = Some(*vhid),
            }
        }
        self.up = up.unwrap_or(self.up);
        Ok(forced)
    }

    /// The virtual addresses without prefix lengths.
    pub(crate) fn plain_addresses(&self) -> Vec<IpAddr> {
        self.addresses.iter().map(|each| each.address).collect()
    }

    /// Families of the virtual addresses, IPv4 first.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> + use<> {
        let has = |family| {
            let mut addresses = self.addresses.iter();
            addresses.any(|each| Family::of(each.address) == family)
        };
        let present = Family::ALL.map(|family| has(family).then_some(family));
        present.into_iter().flatten()
    }

    fn add_address(&mut self, unit: Unit, added: VirtualAddress) -> Result<(), Refusal> {
        check_address(unit, added)?;
        let address = added.address;
        if self.addresses.iter().any(|each| each.address == address) {
            let text = format!("{unit}: {address} is one of its addresses already");
            return Err(Refusal::new(RefusalKind::Exists, text));
        }
        self.addresses.push(added);
        self.up = true;
        Ok(())
    }

    fn remove_address(&mut self, unit: Unit, address: IpAddr) -> Result<(), Refusal> {
        let before = self.addresses.len();
        self.addresses.retain(|each| each.address != address);
        if self.addresses.len() == before {
            let text = format!("{unit}: {address} is not one of its addresses");
            return Err(Refusal::new(RefusalKind::AddressNotAvailable, text));
        }
        Ok(())
    }
}

fn check_address(unit: Unit, virtual_address: VirtualAddress) -> Result<(), Refusal> {
    let VirtualAddress { address, prefix } = virtual_address;
    let most: u8 = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    if !(1..=most).contains(&prefix) {
        return Err(Refusal::invalid(format!(
            "{unit}: the prefix length of {address} is 1 to {most}, not {prefix}"
        )));
    }
    match unusable(address, prefix) {
        None => Ok(()),
        Some(why) => Err(Refusal::invalid(format!(
            "{unit}: {address} cannot be shared: {why}"
        ))),
    }
}

/// Why no host can have `address` with a prefix of this length, which is at least 1.
fn unusable(address: IpAddr, prefix: u8) -> Option<String> {
    if address.is_multicast() || address.is_unspecified() || address.is_loopback() {
        return Some("it is not a unicast address of a network".to_owned());
    }
    match address {
        IpAddr::V4(address) => {
            let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or_default();
            let part = address.to_bits() & hosts;
            // RFC 3021: a /31 has two hosts and nothing else.
            let has_network_address = prefix < 31;
            match address.octets() {
                [0, ..] => Some("0.0.0.0/8 is reserved (RFC 1122 section 3.2.1.3)".to_owned()),
                [240..=255, ..] => Some("240.0.0.0/4 is reserved (RFC 1112 section 4)".to_owned()),
                _ if has_network_address && part == 0 => {
                    Some(format!("it is the network address of {address}/{prefix}"))
                }
                _ if has_network_address && part == hosts => {
                    Some(format!("it is the broadcast address of its /{prefix}"))
                }
                _ => None,
            }
        }
        IpAddr::V6(address) => {
            let hosts = u128::MAX.checked_shr(prefix.into()).unwrap_or_default();
            if address.to_ipv4_mapped().is_some() {
                Some("it is an IPv4 address mapped to IPv6: write the IPv4 address".to_owned())
            } else if prefix < 127 && address.to_bits() & hosts == 0 {
                // RFC 4291 section 2.6.1; RFC 6164 section 4 leaves a /127 two hosts.
                Some(format!(
                    "all routers of {address}/{prefix} have it (anycast)"
                ))
            } else {
                None
            }
        }
    }
}

/// Refuses a text that is too long or no line. `what` it is begins the refusal.
pub(crate) fn check_text(what: &str, text: &str) -> Result<(), Refusal> {
    if text.len() > TEXT_LIMIT {
        return Err(Refusal::invalid(format!(
            "{what} is {} bytes long, {TEXT_LIMIT} at most",
            text.len()
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::invalid(format!(
            "{what} contains a control character"
        )));
    }
    Ok(())
}
