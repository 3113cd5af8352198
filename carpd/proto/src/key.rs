//! Passwords.
//!
//! **Invariant:** a password appears in no `Debug` output, and leaves no copy in memory behind.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// The key of a group: 0 to 20 bytes, `CARP_KEY_LEN`. A shorter one is padded with NUL.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Key {
    /// Not beside other things: what is moved would leave a copy where it was.
    bytes: Box<[u8]>,
}

/// Why bytes are not a key.
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
    /// A password with a NUL byte in it, where a BSD host's password ends.
    #[error("a password cannot contain a NUL byte")]
    Nul,
}

impl Key {
    const LENGTH: usize = 20;
    const PASSWORD_LENGTH: usize = 19;

    /// A key of up to 20 bytes, as it is used on the wire.
    ///
    /// # Errors
    /// There are more.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > Self::LENGTH {
            return Err(KeyError::KeyTooLong(bytes.len()));
        }
        Ok(Self {
            bytes: bytes.into(),
        })
    }

    /// A password as ifconfig(8) takes it: up to 19 bytes, none of them NUL.
    ///
    /// # Errors
    /// BSD's ifconfig would make another key of it, which would not be noticed before the group
    /// has two masters.
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

    /// Whether it is the key of a group without a password.
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
    fn a_password_is_at_most_nineteen_bytes() {
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
    fn a_key_is_at_most_twenty_bytes() {
        assert_eq!(Key::new(&[7; 20]).unwrap().bytes(), [7; 20]);
        assert_eq!(Key::new(&[7; 21]), Err(KeyError::KeyTooLong(21)));
    }
}
