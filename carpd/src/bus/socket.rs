//! UNIX socket of a connection. Its reader adds the objects that a call needs, between reading the call
//! and handling it (see [`objects`](super::objects)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use carp_dbus::names::{INTERFACES_PATH, interface_of};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::SetOnce;
use zbus::Message;
use zbus::connection::socket::{BoxedSplit, ReadHalf, Split, WriteHalf};
use zbus::export::async_trait::async_trait;
use zbus::fdo::ConnectionCredentials;
use zbus::message::Type;

use super::objects::{Needed, Objects};

/// Maximum number of descriptors of one message: `SCM_MAX_FD` of the kernel.
const DESCRIPTORS: usize = 253;

/// Maximum size of short messages that one system call sends together, in bytes.
const CHUNK: usize = 16 * 1024;

/// Objects of the connection that reads from the socket, once it is open.
pub(super) type Owner = Arc<SetOnce<Weak<Objects>>>;

/// Returns the objects that `message` needs besides `/org/carpd1`, which always exists.
fn needed(message: &Message) -> Option<Needed> {
    if message.message_type() != Type::MethodCall {
        return None;
    }
    let header = message.header();
    let path = header.path()?.as_str();
    if let Some(name) = interface_of(path) {
        return name.parse().ok().map(Needed::One);
    }
    let is_above = path == "/" || INTERFACES_PATH.strip_prefix(path)?.starts_with('/');
    let is_introspected = is_above && header.member()?.as_str() == "Introspect";
    (is_introspected || path == INTERFACES_PATH).then_some(Needed::All)
}

/// Returns the two halves of a connection over `stream`, and the cell for its objects.
pub(super) fn split(stream: UnixStream) -> (BoxedSplit, Owner) {
    let owner = Owner::default();
    let stream = Arc::new(stream);
    let reader = Reader {
        bytes: Bytes {
            stream: Arc::clone(&stream),
            descriptors: 0,
        },
        owner: Arc::clone(&owner),
    };
    let halves = Split::new(Box::new(reader) as _, Box::new(Writer(stream)) as _);
    (halves, owner)
}

/// Reader of messages.
#[derive(Debug)]
struct Reader {
    bytes: Bytes,
    owner: Owner,
}

#[async_trait]
impl ReadHalf for Reader {
    async fn receive_message(
        &mut self,
        number: u64,
        early_bytes: &mut Vec<u8>,
        early_descriptors: &mut Vec<OwnedFd>,
    ) -> zbus::Result<Message> {
        self.bytes.descriptors = 0;
        let message = self
            .bytes
            .receive_message(number, early_bytes, early_descriptors)
            .await?;
        if let Some(needed) = needed(&message)
            && let Some(objects) = self.owner.wait().await.upgrade()
        {
            objects.provide(needed).await;
        }
        Ok(message)
    }

    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        self.bytes.recvmsg(buffer).await
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        let credentials = self.bytes.stream.peer_cred()?;
        Ok(ConnectionCredentials::default().set_unix_user_id(credentials.uid()))
    }
}

/// Reader of bytes, from which zbus makes messages.
#[derive(Debug)]
struct Bytes {
    stream: Arc<UnixStream>,
    /// Number of descriptors received with the current message.
    descriptors: usize,
}

#[async_trait]
impl ReadHalf for Bytes {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let received = self
            .stream
            .async_io(Interest::READABLE, || receive(&self.stream, buffer));
        let (length, descriptors) = received.await?;
        self.descriptors += descriptors.len();
        if self.descriptors > DESCRIPTORS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "too many descriptors with one message",
            ));
        }
        Ok((length, descriptors))
    }
}

/// Writer of messages.
#[derive(Debug)]
struct Writer(Arc<UnixStream>);

impl Writer {
    async fn write_all(&mut self, mut bytes: &[u8]) -> zbus::Result<()> {
        while !bytes.is_empty() {
            let sent = self.sendmsg(bytes, &[]).await?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }
}

#[async_trait]
impl WriteHalf for Writer {
    async fn send_messages(&mut self, messages: &[Message]) -> zbus::Result<()> {
        let mut waiting = Vec::new();
        for message in messages {
            let data = message.data();
            let alone = !data.fds().is_empty() || data.len() >= CHUNK;
            if alone || waiting.len() + data.len() > CHUNK {
                self.write_all(&waiting).await?;
                waiting.clear();
            }
            if alone {
                self.send_message(message).await?;
            } else {
                waiting.extend_from_slice(data);
            }
        }
        self.write_all(&waiting).await
    }

    async fn sendmsg(
        &mut self,
        buffer: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<usize> {
        let sent = self
            .0
            .async_io(Interest::WRITABLE, || send(&self.0, buffer, descriptors));
        sent.await
    }

    async fn close(&mut self) -> io::Result<()> {
        SockRef::from(&*self.0).shutdown(Shutdown::Both)
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = part {
            descriptors.extend(some);
        }
    }
    Ok((message.bytes, descriptors))
}

fn send(socket: impl AsFd, buffer: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "too many descriptors for one message",
        ));
    }
    let slices = [IoSlice::new(buffer)];
    Ok(sendmsg(socket, &slices, &mut control, SendFlags::NOSIGNAL)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_needs_its_own_object_and_introspection_those_below() {
        let needed_by = |path: &str, member: &str| {
            needed(&Message::method_call(path, member).build(&()).unwrap())
        };
        let carp7 = Needed::One("carp7".parse().unwrap());
        assert_eq!(needed_by("/org/carpd1/interface/carp7", "Up"), Some(carp7));
        assert_eq!(needed_by("/org/carpd1/interface/carp7/x", "Up"), None);
        assert_eq!(needed_by("/org/carpd1/interface/eth0", "Up"), None);
        for above in ["/", "/org", "/org/carpd1"] {
            assert_eq!(needed_by(above, "Introspect"), Some(Needed::All), "{above}");
            assert_eq!(needed_by(above, "GetAll"), None, "{above}");
        }
        assert_eq!(
            needed_by("/org/carpd1/interface", "GetAll"),
            Some(Needed::All)
        );
        assert_eq!(needed_by("/or", "Introspect"), None);
        assert_eq!(needed_by("/net", "Introspect"), None);
        let signal = Message::signal("/", "org.carpd1.X", "Introspect").build(&());
        assert_eq!(needed(&signal.unwrap()), None);
    }
}
