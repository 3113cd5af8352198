//! Settings of a carp interface, and their changes. Each value is checked once, here.

use core::fmt;
use core::net::IpAddr;

use crate::family::Family;
use crate::key::Key;
use crate::name::Unit;
use crate::numbers::{Advbase, Advskew, Vhid};
use crate::refusal::{Refusal, RefusalKind};

/// Maximum length of a description, and of the name and the reason of a holder, in bytes.
const TEXT_LIMIT: usize = 255;

/// Address that the group shares, with its prefix length in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualAddress {
    /// The address.
    pub address: IpAddr,
    /// 0 to 32 for IPv4, 0 to 128 for IPv6.
    pub prefix: u8,
}

/// Name of a network interface: 1 to 127 bytes, no `/`, no `:`, no white space, not `.` or `..`.
///
/// A name has at most 15 bytes (`IFNAMSIZ`), an alternative name 127 (`ALTIFNAMSIZ`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName(String);

impl DeviceName {
    /// Checks a name by the rule of the kernel (`dev_valid_name()`).
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=127).contains(&name.len()) && name != "." && name != "..";
        let clean = !name.bytes().any(|byte| {
            byte == b'/' || byte == b':' || byte == 0 || byte.is_ascii_whitespace() || byte == 0x0b
        });
        (fits && clean).then(|| Self(name.to_owned()))
    }

    /// The name.
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
    /// The MAC of the physical interface, for networks that allow no second one.
    Parent,
}

impl LinkLayer {
    /// Word of `lladdr`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Virtual => "virtual",
            Self::Parent => "parent",
        }
    }

    /// Finds the value of a word.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        [Self::Virtual, Self::Parent]
            .into_iter()
            .find(|lladdr| lladdr.word() == word)
    }
}

/// State that `ifconfig carpN state …` requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForcedState {
    /// Become BACKUP.
    Backup,
    /// Become MASTER.
    Master,
}

/// All settings of a carp interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Virtual host ID. Without one the virtual host stays in INIT.
    pub vhid: Option<Vhid>,
    /// Seconds.
    pub advbase: Advbase,
    /// 1/256 seconds.
    pub advskew: Advskew,
    /// The password; empty by default.
    pub key: Key,
    /// A second password that is accepted but never sent.
    pub accept_key: Option<Key>,
    /// Virtual addresses in the order in which they were added, without duplicates.
    pub addresses: Vec<VirtualAddress>,
    /// Physical interface named by `carpdev`. Without one it is chosen by subnet.
    pub carpdev: Option<DeviceName>,
    /// Administratively up.
    pub up: bool,
    /// Free text.
    pub description: String,
    /// Link-layer address of the virtual addresses.
    pub lladdr: LinkLayer,
}

impl Default for Settings {
    /// Settings of a new interface. [`Change::AddAddress`] marks it up, as BSD's ifconfig does.
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

/// One change of a command line, whose changes are made together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `advbase N`
    Advbase(Advbase),
    /// `advskew N`
    Advskew(Advskew),
    /// `accept_pass TEXT`, or `None` for `-accept_pass`.
    AcceptKey(Option<Key>),
    /// `inet ADDR/LEN`, `inet6 ADDR/LEN`. Also marks the interface up, unless the same line contains
    /// `down`. An address that it has already is refused.
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
    /// Settings of a new carp interface after all of `changes`.
    ///
    /// # Errors
    /// [`RefusalKind::InvalidArgument`] for an invalid value, and for a state, which is not a setting;
    /// [`RefusalKind::Exists`] for an address that is given twice.
    pub fn configured(unit: Unit, changes: &[Change]) -> Result<Self, Refusal> {
        let mut settings = Self::default();
        match settings.apply(unit, changes)? {
            None => Ok(settings),
            Some(_) => Err(Refusal::invalid(format!(
                "{unit}: a state cannot be configured"
            ))),
        }
    }

    /// Makes all of `changes`, and returns the state that they request. After an error, some of them are
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
                Change::Up(is_up) => up = Some(*is_up),
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

/// Reason why no host can have `address` with a prefix of this length, which is at least 1.
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

/// Refuses a text that is too long or has control characters. `subject` begins the message.
pub(crate) fn check_text(subject: &str, text: &str) -> Result<(), Refusal> {
    if text.len() > TEXT_LIMIT {
        return Err(Refusal::invalid(format!(
            "{subject} is {} bytes long, {TEXT_LIMIT} at most",
            text.len()
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::invalid(format!(
            "{subject} contains a control character"
        )));
    }
    Ok(())
}
