//! Requests to the kernel's route netlink, one at a time, and what its refusals mean.

use core::fmt;
use std::io;

use carp_proto::IfIndex;
use futures_util::StreamExt as _;
use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, NlaBuffer, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::Handle;
use rtnetlink::sys::AsyncSocket as _;

/// A connection for requests.
#[derive(Clone, Debug)]
pub(super) struct Netlink(Handle);

/// The kernel said no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// errno(3), positive; 0 if the connection broke.
    pub(super) errno: i32,
    /// The kernel's own explanation, if it gave one.
    words: Option<String>,
}

impl Netlink {
    /// Connects, on the runtime of the caller.
    ///
    /// # Errors
    /// Those of the system calls.
    pub(super) fn connect() -> io::Result<Self> {
        let (mut connection, handle, _unsolicited) = rtnetlink::new_connection()?;
        let socket = connection.socket_mut().socket_ref();
        // Refusals come with words, and without a copy of the request before them.
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// Asks for a change and waits until it is made. `flags` come on top of `NLM_F_REQUEST` and
    /// `NLM_F_ACK`.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) async fn change(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), Refused> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut answers = self
            .0
            .clone()
            .request(request)
            .map_err(|_| Refused::broken())?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload {
                return Err(Refused::from(&error));
            }
        }
        Ok(())
    }

    /// The interface called `name`; `None` if there is none.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) async fn link_named(&self, name: &str) -> Result<Option<LinkMessage>, Refused> {
        first(self.0.link().get().match_name(name).execute()).await
    }

    /// The interface numbered `index`; `None` if there is none.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) async fn link_numbered(&self, index: u32) -> Result<Option<LinkMessage>, Refused> {
        first(self.0.link().get().match_index(index).execute()).await
    }

    /// The name of `device`; `None` if it is gone.
    pub(super) async fn name_of(&self, device: IfIndex) -> Option<String> {
        let link = self.link_numbered(device.0).await.ok()??;
        link.attributes.into_iter().find_map(|attribute| {
            if let LinkAttribute::IfName(name) = attribute {
                Some(name)
            } else {
                None
            }
        })
    }

    /// All interfaces.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) async fn links(&self) -> Result<Vec<LinkMessage>, Refused> {
        all(self.0.link().get().execute()).await
    }

    /// All addresses of all interfaces.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) async fn addresses(&self) -> Result<Vec<AddressMessage>, Refused> {
        all(self.0.address().get().execute()).await
    }
}

impl Refused {
    /// There is no connection any more.
    pub(super) fn broken() -> Self {
        Self {
            errno: 0,
            words: Some("the netlink connection is broken".to_owned()),
        }
    }
}

impl From<&ErrorMessage> for Refused {
    fn from(error: &ErrorMessage) -> Self {
        Self {
            errno: error.raw_code().wrapping_abs(),
            words: extended_words(&error.header),
        }
    }
}

impl From<rtnetlink::Error> for Refused {
    fn from(error: rtnetlink::Error) -> Self {
        if let rtnetlink::Error::NetlinkError(error) = &error {
            Self::from(error)
        } else {
            Self {
                errno: 0,
                words: Some(error.to_string()),
            }
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.words {
            Some(words) => f.write_str(words.trim_end_matches('.')),
            None => write!(f, "{}", io::Error::from_raw_os_error(self.errno)),
        }
    }
}

/// `NLMSGERR_ATTR_MSG`, which follows the header of the refused request.
fn extended_words(payload: &[u8]) -> Option<String> {
    const HEADER: usize = 16;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    NlasIterator::new(payload.get(HEADER..)?)
        .filter_map(Result::ok)
        .find(|attribute: &NlaBuffer<&[u8]>| attribute.kind() == NLMSGERR_ATTR_MSG)
        .and_then(|attribute| String::from_utf8(attribute.value().to_vec()).ok())
        .map(|words| words.trim_end_matches('\0').to_owned())
        .filter(|words| !words.is_empty())
}

async fn first<T>(
    answers: impl futures_util::Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<Option<T>, Refused> {
    match core::pin::pin!(answers).next().await.transpose() {
        Ok(found) => Ok(found),
        Err(error) => match Refused::from(error) {
            Refused {
                errno: libc::ENODEV,
                ..
            } => Ok(None),
            refused => Err(refused),
        },
    }
}

async fn all<T>(
    answers: impl futures_util::Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<Vec<T>, Refused> {
    let mut answers = core::pin::pin!(answers);
    let mut found = Vec::new();
    while let Some(answer) = answers.next().await.transpose()? {
        found.push(answer);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_speaks_in_the_kernels_words_where_it_has_some() {
        let mut header = vec![0; 16];
        header.extend([17, 0, 1, 0]);
        header.extend(b"No way here.\0\0\0\0");
        assert_eq!(extended_words(&header).as_deref(), Some("No way here."));
        assert_eq!(extended_words(&header[..16]), None);
        assert_eq!(extended_words(&[]), None);

        let plain = Refused {
            errno: libc::EBUSY,
            words: None,
        };
        assert!(plain.to_string().contains("busy"), "{plain}");
    }
}
