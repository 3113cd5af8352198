//! Numbers that an administrator sets. Each is checked once, here.

use core::fmt;

/// A virtual host ID: 1 to 255, unique on one physical interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vhid(u8);

/// The base of the advertisement interval: 0 to 254 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Advbase(u8);

/// The skew added to the advertisement interval: 0 to 254 in 1/256 of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Advskew(u8);

/// Error of a number outside of the range of its parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter} is {least} to {most}, not {value}")]
pub struct OutOfRange {
    /// The parameter, as ifconfig(8) spells it.
    pub parameter: &'static str,
    /// The number.
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
