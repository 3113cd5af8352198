//! What an administrator sets on a carp interface, checked once, here.

use core::fmt;
use core::net::IpAddr;

use crate::auth::Key;

/// A virtual host ID: 1 to 255, unique on one physical interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vhid(u8);

/// The base of the advertisement interval: 0 to 254 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Advbase(u8);

/// The skew added to the advertisement interval: 0 to 254 in 1/256 of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Advskew(u8);

/// A number outside of what its parameter allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter} is {least} to {most}, not {value}")]
pub struct OutOfRange {
    /// The parameter, as ifconfig(8) spells it.
    pub parameter: &'static str,
    /// What was given.
    pub value: u64,
    /// The least value allowed.
    pub least: u64,
    /// The greatest value allowed.
    pub most: u64,
}

macro_rules! bounded {
    ($name:ident, $parameter:literal, $least:literal ..= $most:literal) => {
        impl $name {
            /// The number itself.
            #[must_use]
            pub const fn get(self) -> u8 {
                self.0
            }
        }

        impl TryFrom<u64> for $name {
            type Error = OutOfRange;

            fn try_from(value: u64) -> Result<Self, OutOfRange> {
                match u8::try_from(value) {
                    Ok(small) if ($least..=$most).contains(&value) => Ok(Self(small)),
                    Ok(_) | Err(_) => Err(OutOfRange {
                        parameter: $parameter,
                        value,
                        least: $least,
                        most: $most,
                    }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

bounded!(Vhid, "vhid", 1..=255);

impl Vhid {
    /// The least vhid.
    pub const LEAST: Self = Self(1);
    /// The greatest vhid.
    pub const MOST: Self = Self(255);
}

bounded!(Advbase, "advbase", 0..=254);
bounded!(Advskew, "advskew", 0..=254);

impl Default for Advbase {
    fn default() -> Self {
        Self(1)
    }
}

/// An address shared by the group, with the prefix length it is given in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualAddress {
    /// The address.
    pub address: IpAddr,
    /// 0 to 32 for IPv4, 0 to 128 for IPv6.
    pub prefix: u8,
}

/// The name of a network interface: 1 to 15 bytes, no `/`, no white space, not `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName(String);

impl DeviceName {
    /// Checks a name against the kernel's rule (`dev_valid_name()`); `None` if it cannot be one.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=15).contains(&name.len()) && name != "." && name != "..";
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

/// Whose link-layer address the virtual addresses have (`ifconfig carpN lladdr …`).
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
