//! The tree `net.inet.carp`: a sysctl is a row of the table below.

use core::time::Duration;

use crate::refusal::{Refusal, RefusalKind};

/// Prefix of each name.
const PREFIX: &str = "net.inet.carp.";

/// Defines [`Sysctl`] and [`Sysctls`] by rows `Name field: Type { … }`.
macro_rules! sysctls {
    ($(
        $sysctl:ident $field:ident: $type:ty {
            name: $name:literal,
            default: $default:literal,
            range: $range:expr,
            description: $description:literal,
        }
    )*) => {
        /// A name below `net.inet.carp`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Sysctl {
            $(#[doc = $description] $sysctl,)*
        }

        impl Sysctl {
            /// Every sysctl in alphabetical order of its name.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$sysctl),*];

            const fn row(self) -> Row {
                match self {
                    $(Self::$sysctl => Row {
                        name: $name,
                        range: $range,
                        description: $description,
                    },)*
                }
            }
        }

        /// The values of all sysctls.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Sysctls {
            $(#[doc = concat!("`net.inet.carp.", $name, "`")] pub $field: $type,)*
        }

        impl Default for Sysctls {
            fn default() -> Self {
                Self {
                    $($field: Value::from_number($default),)*
                }
            }
        }

        impl Sysctls {
            /// The value of `sysctl`.
            #[must_use]
            pub fn get(&self, sysctl: Sysctl) -> u64 {
                match sysctl {
                    $(Sysctl::$sysctl => self.$field.number(),)*
                }
            }

            /// Gives `sysctl` a value of its range.
            ///
            /// # Errors
            /// [`RefusalKind::ReadOnly`] for one that cannot be set,
            /// [`RefusalKind::InvalidArgument`] for a value outside of its range.
            pub fn set(&mut self, sysctl: Sysctl, value: u64) -> Result<(), Refusal> {
                sysctl.check(value)?;
                match sysctl {
                    $(Sysctl::$sysctl => self.$field = Value::from_number(value),)*
                }
                Ok(())
            }
        }
    };
}

sysctls! {
    Allow allow: bool {
        name: "allow",
        default: 1,
        range: Some((0, 1)),
        description: "Accept incoming CARP packets",
    }
    ArpBalance arpbalance: bool {
        name: "arpbalance",
        default: 0,
        range: Some((0, 1)),
        description: "Balance local traffic using ARP",
    }
    Log log: u8 {
        name: "log",
        default: 1,
        range: Some((0, 255)),
        description: "0: log nothing, 1: bad packets, 2 and above: state changes too",
    }
    Preempt preempt: bool {
        name: "preempt",
        default: 0,
        range: Some((0, 1)),
        description: "Virtual hosts preempt slower masters, and fail over together as a group",
    }
    Replay replay: u8 {
        name: "replay",
        default: 1,
        range: Some((0, 2)),
        description: "0: no check, 1: drop exact repetitions, 2: strict, for groups of carpd hosts alone",
    }
    ReplayWindow replay_window: Duration {
        name: "replay_window",
        default: 60,
        range: Some((1, 86400)),
        description: "Seconds a peer's clock may be off when replay is 2",
    }
    SuppressPreempt suppress_preempt: u64 {
        name: "suppress_preempt",
        default: 0,
        range: None,
        description: "Number of problems that suppress preemption now",
    }
}

struct Row {
    name: &'static str,
    range: Option<(u64, u64)>,
    description: &'static str,
}

impl Sysctl {
    /// Finds the sysctl `name`, as in `preempt`.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sysctl| sysctl.name() == name)
    }

    /// All sysctls that can be set.
    pub fn writable() -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(|sysctl| sysctl.range().is_some())
    }

    /// The last part of its name, as in `preempt`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Description for `sysctl -d`.
    #[must_use]
    pub const fn description(self) -> &'static str {
        self.row().description
    }

    /// Least and greatest value; `None` for a read-only sysctl.
    #[must_use]
    pub const fn range(self) -> Option<(u64, u64)> {
        self.row().range
    }

    fn check(self, value: u64) -> Result<(), Refusal> {
        let name = self.name();
        let (kind, message) = match self.range() {
            Some((least, most)) if (least..=most).contains(&value) => return Ok(()),
            Some((least, most)) => (
                RefusalKind::InvalidArgument,
                format!("{PREFIX}{name} is {least} to {most}, not {value}"),
            ),
            None => (
                RefusalKind::ReadOnly,
                format!("{PREFIX}{name} is read only"),
            ),
        };
        Err(Refusal::new(kind, message))
    }
}

/// Conversion between the type of a field and the number that an administrator sees. The number is
/// within the range of the row.
trait Value {
    fn from_number(number: u64) -> Self;

    fn number(&self) -> u64;
}

impl Value for bool {
    fn from_number(number: u64) -> Self {
        number != 0
    }

    fn number(&self) -> u64 {
        u64::from(*self)
    }
}

impl Value for u8 {
    fn from_number(number: u64) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }

    fn number(&self) -> u64 {
        u64::from(*self)
    }
}

impl Value for u64 {
    fn from_number(number: u64) -> Self {
        number
    }

    fn number(&self) -> u64 {
        *self
    }
}

/// Seconds.
impl Value for Duration {
    fn from_number(number: u64) -> Self {
        Self::from_secs(number)
    }

    fn number(&self) -> u64 {
        self.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_defaults_are_in_range() {
        assert!(Sysctl::ALL.is_sorted_by_key(|sysctl| sysctl.name()));
        for sysctl in Sysctl::ALL {
            let default = Sysctls::default().get(sysctl);
            let (least, most) = sysctl.range().unwrap_or_default();
            assert!((least..=most).contains(&default), "{}", sysctl.name());
        }
    }

    #[test]
    fn set_accepts_the_values_of_the_range_and_no_others() {
        for sysctl in Sysctl::writable() {
            let (least, most) = sysctl.range().unwrap();
            let mut values = Sysctls::default();
            for value in [least, most, least.midpoint(most)] {
                values.set(sysctl, value).unwrap();
                assert_eq!(values.get(sysctl), value);
            }
            let before = values;
            for value in [most + 1, u64::MAX] {
                let refusal = values.set(sysctl, value).unwrap_err();
                assert_eq!(refusal.kind, RefusalKind::InvalidArgument);
            }
            assert_eq!(values, before);
        }
    }

    #[test]
    fn set_refuses_a_read_only_sysctl() {
        let mut values = Sysctls::default();
        let refusal = values.set(Sysctl::SuppressPreempt, 1).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::ReadOnly);
        assert_eq!(values, Sysctls::default());
    }
}
