//! Refusals of the kernel, in its own words if it gives any.

use core::fmt;
use std::io;

use netlink_packet_core::{ErrorMessage, NlaBuffer, NlasIterator};

use super::datagram::HEADER;

/// Error of a netlink request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NetlinkError {
    /// errno(3), positive; 0 if the connection is broken.
    pub(super) errno: i32,
    /// Explanation of the kernel, if it gave one.
    words: Option<String>,
}

impl NetlinkError {
    /// The connection is broken.
    pub(super) fn broken(error: &io::Error) -> Self {
        Self {
            errno: 0,
            words: Some(format!("the netlink connection is broken: {error}")),
        }
    }

    /// Returns true if the interface does not exist.
    pub(super) const fn is_no_device(&self) -> bool {
        self.errno == libc::ENODEV
    }
}

impl From<&ErrorMessage> for NetlinkError {
    fn from(error: &ErrorMessage) -> Self {
        Self {
            errno: error.raw_code().wrapping_abs(),
            words: extended_words(&error.header),
        }
    }
}

impl fmt::Display for NetlinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.words {
            Some(words) => f.write_str(words.trim_end_matches('.')),
            None => write!(f, "{}", io::Error::from_raw_os_error(self.errno)),
        }
    }
}

/// Returns `NLMSGERR_ATTR_MSG`, which follows the header of the refused request.
fn extended_words(payload: &[u8]) -> Option<String> {
    const NLMSGERR_ATTR_MSG: u16 = 1;
    NlasIterator::new(payload.get(HEADER..)?)
        .filter_map(Result::ok)
        .find(|attribute: &NlaBuffer<&[u8]>| attribute.kind() == NLMSGERR_ATTR_MSG)
        .and_then(|attribute| String::from_utf8(attribute.value().to_vec()).ok())
        .map(|words| words.trim_end_matches('\0').to_owned())
        .filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_has_the_words_of_the_kernel_if_there_are_any() {
        let mut header = vec![0; 16];
        header.extend([17, 0, 1, 0]);
        header.extend(b"No way here.\0\0\0\0");
        assert_eq!(extended_words(&header).as_deref(), Some("No way here."));
        assert_eq!(extended_words(&header[..16]), None);
        assert_eq!(extended_words(&[]), None);

        let plain = NetlinkError {
            errno: libc::EBUSY,
            words: None,
        };
        assert!(plain.to_string().contains("busy"), "{plain}");
    }
}
