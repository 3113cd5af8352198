//! Passwords.
//!
//! **Invariant:** no `Debug` output contains a password, and a dropped key is wiped.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Key of a group: 0 to 20 bytes (`CARP_KEY_LEN`). The digest pads a shorter one with NUL.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Key {
    /// On the heap, because a move of the bytes would leave a copy behind.
    bytes: Box<[u8]>,
}

/// Error of bytes that are not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// More than 20 bytes.
    #[error("a key is at most 20 bytes, not {0}")]
    KeyTooLong(usize),
    /// More than the 19 bytes that BSD's ifconfig(8) copies (`carp_setpass()`, `strlcpy`).
    #[error(
        "a password is at most 19 bytes; a BSD host keeps only the first 19 of this one: \"{}\"",
        .kept.bytes().escape_ascii()
    )]
    PasswordTooLong {
        /// The bytes that a BSD host keeps.
        kept: Key,
    },
    /// A password with a NUL byte, at which a BSD host ends it.
    #[error("a password cannot contain a NUL byte")]
    Nul,
}

impl Key {
    const LENGTH: usize = 20;
    const PASSWORD_LENGTH: usize = 19;

    /// Key of up to 20 bytes, as the digest uses it.
    ///
    /// # Errors
    /// More than 20 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > Self::LENGTH {
            return Err(KeyError::KeyTooLong(bytes.len()));
        }
        Ok(Self {
            bytes: bytes.into(),
        })
    }

    /// Password as ifconfig(8) accepts it: up to 19 bytes, none of them NUL.
    ///
    /// # Errors
    /// BSD's ifconfig would silently make a different key, and the group would have two masters.
    pub fn password(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.contains(&0) {
            return Err(KeyError::Nul);
        }
        match bytes.split_at_checked(Self::PASSWORD_LENGTH) {
            Some((kept, [_, ..])) => Err(KeyError::PasswordTooLong {
                kept: Self::new(kept)?,
            }),
            Some((_, [])) | None => Self::new(bytes),
        }
    }

    /// Returns true for the key of a group without a password.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The key without its padding.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() {
            "Key(empty)"
        } else {
            "Key(redacted)"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_of_more_than_19_bytes_is_refused() {
        assert_eq!(Key::password(b"").unwrap(), Key::default());
        assert_eq!(
            Key::password(b"1234567890123456789").unwrap().bytes(),
            b"1234567890123456789"
        );
        let error = Key::password(b"12345678901234567890SECRET")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("first 19 of this one: \"1234567890123456789\""),
            "{error}"
        );
        assert!(
            !error.contains("SECRET") && !error.contains("90123456789\u{30}"),
            "{error}"
        );
        assert_eq!(Key::password(b"a\0b"), Err(KeyError::Nul));
    }

    #[test]
    fn key_of_more_than_20_bytes_is_refused() {
        assert_eq!(Key::new(&[7; 20]).unwrap().bytes(), [7; 20]);
        assert_eq!(Key::new(&[7; 21]), Err(KeyError::KeyTooLong(21)));
    }
}
