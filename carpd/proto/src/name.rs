//! Names of carp interfaces: `carp` and a unit number.

use core::fmt;
use core::str::FromStr;

/// Unit number of a carp interface: 3 for `carp3`. 0 to 32767, as BSD's `if_unit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit(u16);

/// Error of a text that is no name of a carp interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// It does not start with `carp`.
    #[error("a carp interface is named carp and a number, such as carp0")]
    NotCarp,
    /// `carp` is not followed by a number from 0 to 32767 without leading zeros.
    #[error("the number of a carp interface is 0 to 32767")]
    BadNumber,
}

impl Unit {
    /// The highest unit.
    pub const MAX: u16 = 32767;

    /// The unit number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Unit {
    type Error = UnitError;

    fn try_from(number: u16) -> Result<Self, UnitError> {
        if number <= Self::MAX {
            Ok(Self(number))
        } else {
            Err(UnitError::BadNumber)
        }
    }
}

impl FromStr for Unit {
    type Err = UnitError;

    fn from_str(name: &str) -> Result<Self, UnitError> {
        let digits = name.strip_prefix("carp").ok_or(UnitError::NotCarp)?;
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !plain || (digits.len() > 1 && digits.starts_with('0')) {
            return Err(UnitError::BadNumber);
        }
        digits
            .parse::<u16>()
            .map_err(|_| UnitError::BadNumber)?
            .try_into()
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "carp{}", self.0)
    }
}
