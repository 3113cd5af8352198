//! Requests to the kernel's route netlink, and what its refusals mean.

use core::fmt;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use carp_proto::IfIndex;
use futures_util::StreamExt as _;
use netlink_packet_core::{
    DefaultNla, ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    NlaBuffer, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::Handle;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket as _, Socket, SocketAddr};
use tracing::debug;

/// How many changes are asked for with one system call; their refusals fit into [`ANSWERS`].
const TOGETHER: usize = 128;

/// Room for answers, in bytes as the kernel accounts for them.
const ANSWERS: usize = 1 << 20;

/// How many interfaces are asked for with one system call; their answers, which are larger, do so
/// too.
const LINKS_TOGETHER: usize = 32;

/// The most that the kernel puts into one datagram of a dump (`netlink_dump()`), in bytes.
pub(super) const DATAGRAM: usize = 32 << 10;

/// The length of a message's header, `struct nlmsghdr`, in bytes.
pub(super) const HEADER: usize = 16;

/// Connections for requests.
#[derive(Debug)]
pub(super) struct Netlink {
    handle: Handle,
    direct: Direct,
}

/// A request for a change, and its flags on top of `NLM_F_REQUEST`.
pub(super) type Change = (RouteNetlinkMessage, u16);

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
        Ok(Self {
            handle,
            direct: Direct::connect()?,
        })
    }

    /// Asks for several changes with as few system calls as can be, and returns when they are
    /// made: in their order, each whatever became of those before it. One answer for each.
    pub(super) fn change_all(&self, changes: Vec<Change>) -> Vec<Result<(), Refused>> {
        let mut answers = Vec::with_capacity(changes.len());
        let mut changes = changes.into_iter();
        loop {
            let part: Vec<Change> = changes.by_ref().take(TOGETHER).collect();
            if part.is_empty() {
                return answers;
            }
            self.direct.ask(part, &mut answers);
        }
    }

    /// Reads all interfaces, one after the other: thousands at once would fill megabytes.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) fn each_link(&self, mut see: impl FnMut(&LinkMessage)) -> Result<(), Refused> {
        self.direct.dump(get_link(0), |message| {
            if let RouteNetlinkMessage::NewLink(link) = message {
                see(link);
            }
        })
    }

    /// Reads the interfaces of these numbers, one after the other. What is gone is left out.
    ///
    /// # Errors
    /// What the kernel answers; it is not said about which.
    pub(super) fn links_numbered(
        &self,
        numbers: impl IntoIterator<Item = u32>,
        mut see: impl FnMut(&LinkMessage),
    ) -> Result<(), Refused> {
        let mut numbers = numbers.into_iter();
        loop {
            let part: Vec<_> = numbers.by_ref().take(LINKS_TOGETHER).collect();
            if part.is_empty() {
                return Ok(());
            }
            let requests = part.into_iter().map(|number| (get_link(number), 0));
            let mut refused = Ok(());
            self.direct
                .read(requests.collect(), |answer| match answer {
                    Ok(RouteNetlinkMessage::NewLink(link)) => see(link),
                    Err(error) if error.errno != libc::ENODEV => refused = Err(error),
                    Ok(_) | Err(_) => {}
                })?;
            refused?;
        }
    }

    /// Asks for several things with one system call, each of which is one answer, or a refusal.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) fn ask(
        &self,
        requests: Vec<RouteNetlinkMessage>,
        see: impl FnMut(Result<&RouteNetlinkMessage, Refused>),
    ) -> Result<(), Refused> {
        let requests = requests.into_iter().map(|request| (request, 0));
        self.direct.read(requests.collect(), see)
    }

    /// Reads all addresses of all interfaces, one after the other.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) fn each_address(&self, mut see: impl FnMut(&AddressMessage)) -> Result<(), Refused> {
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.direct.dump(message, |message| {
            if let RouteNetlinkMessage::NewAddress(address) = message {
                see(address);
            }
        })
    }

    /// [`change_all`](Self::change_all) for one.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) fn change_now(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), Refused> {
        self.change_all(vec![(message, flags)])
            .pop()
            .unwrap_or(Ok(()))
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
            .handle
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
        first(self.handle.link().get().match_name(name).execute()).await
    }

    /// The interface numbered `index`; `None` if there is none.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) async fn link_numbered(&self, index: u32) -> Result<Option<LinkMessage>, Refused> {
        first(self.handle.link().get().match_index(index).execute()).await
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
        all(self.handle.link().get().execute()).await
    }

    /// All addresses of all interfaces.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) async fn addresses(&self) -> Result<Vec<AddressMessage>, Refused> {
        all(self.handle.address().get().execute()).await
    }
}

/// A socket on which nothing is waited for: the kernel has done what it was asked for, and has
/// put its answers into the queue, when sendmsg(2) returns.
#[derive(Debug)]
struct Direct {
    socket: Socket,
    sequence: AtomicU32,
}

impl Direct {
    fn connect() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        socket.set_rx_buf_sz(libc::c_int::try_from(ANSWERS).unwrap_or(libc::c_int::MAX))?;
        Ok(Self {
            socket,
            sequence: AtomicU32::new(1),
        })
    }

    /// Appends an answer for each of `changes`.
    fn ask(&self, changes: Vec<Change>, answers: &mut Vec<Result<(), Refused>>) {
        let before = answers.len();
        let count = changes.len();
        // What is not refused is granted; only the last is acknowledged.
        answers.resize(before + count, Ok(()));
        let Some(fresh) = answers.get_mut(before..) else {
            return;
        };
        if let Err(error) = self.exchange(changes, fresh) {
            for answer in fresh {
                *answer = Err(Refused::lost(&error));
            }
        }
    }

    fn exchange(
        &self,
        changes: Vec<Change>,
        answers: &mut [Result<(), Refused>],
    ) -> io::Result<()> {
        let mut requests = changes;
        if let Some((_, flags)) = requests.last_mut() {
            *flags |= NLM_F_ACK;
        }
        let (first, count) = self.send(requests)?;
        self.receive(|message| {
            let number = message.header.sequence_number.wrapping_sub(first);
            if let NetlinkPayload::Error(error) = &message.payload {
                let index = usize::try_from(number).unwrap_or(usize::MAX);
                if let Some(answer) = answers.get_mut(index)
                    && error.raw_code() != 0
                {
                    *answer = Err(Refused::from(error));
                }
                number.wrapping_add(1) == count
            } else {
                false
            }
        })
    }

    /// Asks for things, each of which is one answer, or a refusal.
    fn read(
        &self,
        requests: Vec<Change>,
        mut see: impl FnMut(Result<&RouteNetlinkMessage, Refused>),
    ) -> Result<(), Refused> {
        let done = self.send(requests).and_then(|(first, count)| {
            self.receive(|message| {
                if let NetlinkPayload::InnerMessage(message) = &message.payload {
                    see(Ok(message));
                } else if let NetlinkPayload::Error(error) = &message.payload {
                    see(Err(Refused::from(error)));
                }
                message.header.sequence_number == first.wrapping_add(count - 1)
            })
        });
        done.map_err(|error| Refused::lost(&error))
    }

    /// Sends requests at once, with their flags. Gives the number of the first, and how many they
    /// are.
    fn send(&self, requests: Vec<Change>) -> io::Result<(u32, u32)> {
        let count = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        let first = self.sequence.fetch_add(count, Ordering::Relaxed);
        let mut bytes = Vec::new();
        for (number, (message, flags)) in (0..).zip(requests) {
            let mut request = NetlinkMessage::from(message);
            request.header.flags = NLM_F_REQUEST | flags;
            request.header.sequence_number = first.wrapping_add(number);
            request.finalize();
            let start = bytes.len();
            bytes.resize(start + request.buffer_len().next_multiple_of(4), 0);
            request.serialize(bytes.get_mut(start..).unwrap_or_default());
        }
        self.socket.send(&bytes, 0)?;
        Ok((first, count))
    }

    fn dump(
        &self,
        message: RouteNetlinkMessage,
        mut see: impl FnMut(&RouteNetlinkMessage),
    ) -> Result<(), Refused> {
        let number = self.sequence.fetch_add(1, Ordering::Relaxed);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        request.header.sequence_number = number;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        let mut refused = Ok(());
        let done = self.socket.send(&bytes, 0).and_then(|_| {
            self.receive(|message| {
                if message.header.sequence_number != number {
                    return false;
                }
                if let NetlinkPayload::InnerMessage(message) = &message.payload {
                    see(message);
                } else if let NetlinkPayload::Error(error) = &message.payload {
                    refused = Err(Refused::from(error));
                    return true;
                }
                matches!(message.payload, NetlinkPayload::Done(_))
            })
        });
        done.map_err(|error| Refused::lost(&error))?;
        refused
    }

    /// Reads messages until one is the `last`. Nothing is waited for: if that one is not there, it
    /// will not come.
    fn receive(
        &self,
        mut last: impl FnMut(&NetlinkMessage<RouteNetlinkMessage>) -> bool,
    ) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(DATAGRAM);
        loop {
            buffer.clear();
            self.socket.recv(&mut buffer, libc::MSG_DONTWAIT)?;
            for bytes in messages(&buffer) {
                match NetlinkMessage::deserialize(bytes) {
                    Ok(message) if last(&message) => return Ok(()),
                    Ok(_) => {}
                    Err(error) => debug!("a netlink message that nobody understands: {error}"),
                }
            }
        }
    }
}

/// A request for the interface of this number, or with 0 and in a dump for all.
fn get_link(number: u32) -> RouteNetlinkMessage {
    // linux/rtnetlink.h, RTEXT_FILTER_SKIP_STATS: statistics are half of an answer.
    let skip = DefaultNla::new(libc::IFLA_EXT_MASK, 8_u32.to_ne_bytes().to_vec());
    let mut message = LinkMessage::default();
    message.header.index = number;
    message.attributes.push(LinkAttribute::Other(skip));
    RouteNetlinkMessage::GetLink(message)
}

/// Each message of a datagram, by the length in its header: one that cannot be understood does not
/// hide those behind it (netlink(7)).
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = datagram;
    core::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*rest.first_chunk()?);
        let length = usize::try_from(length).ok()?;
        let message = rest.get(..length).filter(|_| length >= HEADER)?;
        let next = length.next_multiple_of(4);
        rest = rest.get(next..).unwrap_or_default();
        Some(message)
    })
}

impl Refused {
    fn lost(error: &io::Error) -> Self {
        Self {
            errno: 0,
            words: Some(format!("the netlink connection is broken: {error}")),
        }
    }

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

    fn message(length: u32, body: u8) -> Vec<u8> {
        let mut bytes = vec![body; usize::try_from(length).unwrap().next_multiple_of(4)];
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_datagram_is_taken_apart_by_the_lengths_in_it() {
        let datagram = [message(18, 1), message(16, 2), message(17, 3)].concat();
        let found: Vec<_> = messages(&datagram)
            .map(|each| (each.len(), each[4]))
            .collect();
        assert_eq!(found, [(18, 1), (16, 2), (17, 3)]);
        // The padding of the last may be missing.
        assert_eq!(messages(&datagram[..datagram.len() - 3]).count(), 3);
    }

    #[test]
    fn a_length_that_cannot_be_ends_a_datagram() {
        for length in [0, 15, 21, u32::MAX] {
            let mut datagram = message(20, 1);
            datagram[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(messages(&datagram).count(), 0, "{length}");
        }
        assert_eq!(messages(&[16, 0]).count(), 0);
    }

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
