//! Packet sockets on tokio.
#![expect(
    unsafe_code,
    reason = "no safe crate has sockaddr_ll or a sound AsyncFd constructor"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "the sizes and constants of system calls are small"
)]

use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::task::{Context, Poll};
use std::thread;

use carp_proto::{IfIndex, Mac, SendFailure};
use rustix::net::netdevice::index_to_name;
use socket2::{Domain, SockAddr, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::{debug, warn};

/// Bytes, as the kernel accounts for them: room for some 20,000 advertisements, so that a burst of
/// bad ones does not push out the good, nor does a flood while others have the processor.
const RECEIVE_BUFFER: usize = 16 << 20;

/// `TC_PRIO_CONTROL`: before all other traffic in the default queueing discipline.
const PRIORITY: u32 = 7;

/// Bytes of a thread that only closes a socket.
const STACK: usize = 64 << 10;

/// Logs that `device` cannot be received on. Of one that is gone the protocol says so.
pub(crate) fn report(device: IfIndex, error: &io::Error) {
    if is_gone(error) {
        debug!(%device, "cannot receive: {error}");
    } else {
        warn!("cannot receive on interface {device}: {error}");
    }
}

/// Whether there is no such interface (any more).
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}

/// Frames that came in on one interface and passed a filter.
#[derive(Debug)]
pub(super) struct Receiver(AsyncFd<Socket>);

impl Receiver {
    /// Listens on `device` for what `filter` accepts.
    ///
    /// # Errors
    /// Those of the system calls: `EPERM` without `CAP_NET_RAW`, `ENODEV` if there is no such
    /// interface.
    pub(super) fn open(device: IfIndex, filter: &[SockFilter]) -> io::Result<Self> {
        // Protocol 0 receives nothing, so no frame comes in before the filter is in place.
        let socket = Socket::new_raw(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?;
        socket.attach_filter(filter)?;
        ignore_outgoing(&socket)?;
        if let Err(error) =
            rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER)
        {
            debug!(%device, "cannot enlarge the receive buffer: {error}");
        }
        socket.bind(&link_layer(device, libc::ETH_P_ALL)?)?;
        // SAFETY: `AsyncFd` asks that the descriptor stay the same, open one until it is
        // deregistered. The `Socket` moves into the `AsyncFd`, nobody else can close or replace
        // its descriptor, and `AsyncFd` deregisters before it drops what it holds.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        Ok(Self(socket))
    }

    /// Has the interface get frames for these groups, for as long as this is open.
    ///
    /// # Errors
    /// Those of the system calls.
    pub(super) fn join(&self, device: IfIndex, groups: &[Mac]) -> io::Result<()> {
        let index = libc::c_int::try_from(device.0)
            .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        for Mac([a, b, c, d, e, f]) in groups {
            let membership = libc::packet_mreq {
                mr_ifindex: index,
                mr_type: libc::PACKET_MR_MULTICAST as libc::c_ushort,
                mr_alen: 6,
                mr_address: [*a, *b, *c, *d, *e, *f, 0, 0],
            };
            set_option(self.0.get_ref(), libc::PACKET_ADD_MEMBERSHIP, &membership)?;
        }
        Ok(())
    }

    /// Closes the socket, elsewhere.
    pub(super) fn close(self) {
        close(self.0.into_inner());
    }

    /// What became of the socket while nothing came in, such as `ENETDOWN`, once: of an error alone
    /// nobody who waits for frames is told.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.0.get_ref().take_error().unwrap_or_else(Some)
    }

    /// Reads one frame into `buffer` and says how long it is; a longer one is cut.
    ///
    /// Pending, if the runtime has not been told of a frame; if `certain`, there is none.
    ///
    /// # Errors
    /// `ENETDOWN`, once, when the interface goes down or away.
    pub(super) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        certain: bool,
    ) -> Poll<io::Result<usize>> {
        while let Poll::Ready(ready) = self.0.poll_read_ready(cx) {
            if let Ok(result) = ready?.try_io(|socket| socket.get_ref().read(buffer)) {
                return Poll::Ready(result);
            }
        }
        if certain {
            match self.0.get_ref().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
        Poll::Pending
    }
}

/// Sends whole Ethernet frames, source address included, on any interface; never waits.
#[derive(Debug)]
pub(crate) struct Sender(Socket);

impl Sender {
    /// Opens the socket; it receives nothing.
    ///
    /// # Errors
    /// Those of the system calls: `EPERM` without `CAP_NET_RAW`.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = Socket::new_raw(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?;
        if let Err(error) = socket.set_priority(PRIORITY) {
            debug!("cannot raise the priority of advertisements: {error}");
        }
        Ok(Self(socket))
    }

    /// Closes the socket, elsewhere.
    pub(crate) fn close(self) {
        close(self.0);
    }

    /// The name of an interface, or its number if it is gone.
    pub(super) fn name_of(&self, device: IfIndex) -> String {
        index_to_name(&self.0, device.0).unwrap_or_else(|_| device.to_string())
    }

    /// Hands frames to the kernel in their order and gives what became of each. They leave by one
    /// system call: a peer that reacts to the first within microseconds still comes behind the last.
    ///
    /// # Errors
    /// [`SendFailure::NoMemory`] if queues are full, [`SendFailure::Refused`] for the rest.
    pub(crate) fn send_all(&self, frames: &[(IfIndex, &[u8])]) -> Vec<Result<(), SendFailure>> {
        let mut results = Vec::with_capacity(frames.len());
        while let Some(rest) = frames.get(results.len()..).filter(|rest| !rest.is_empty()) {
            match self.send_some(rest) {
                Ok(sent) => results.extend((0..sent).map(|_| Ok(()))),
                Err(error) => {
                    let device = rest.first().map_or(IfIndex(0), |(device, _)| *device);
                    results.push(Err(failure(device, &error)));
                }
            }
        }
        results
    }

    /// Sends frames until one cannot be sent, and gives their number.
    ///
    /// # Errors
    /// The first one cannot be sent.
    fn send_some(&self, frames: &[(IfIndex, &[u8])]) -> io::Result<usize> {
        let sendable = frames.iter().take(AT_ONCE);
        let addresses: Vec<SockAddr> = sendable
            .map_while(|(device, _)| link_layer(*device, 0).ok())
            .collect();
        if addresses.is_empty() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let mut buffers: Vec<libc::iovec> = frames
            .iter()
            .map(|(_, frame)| libc::iovec {
                iov_base: frame.as_ptr().cast_mut().cast(),
                iov_len: frame.len(),
            })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = addresses
            .iter()
            .zip(&mut buffers)
            .map(|(address, buffer)| {
                // SAFETY: both are plain structures of the C library, for which zeroes are valid.
                let mut message: libc::mmsghdr = unsafe { core::mem::zeroed() };
                message.msg_hdr.msg_name = address.as_ptr().cast_mut().cast();
                message.msg_hdr.msg_namelen = address.len();
                message.msg_hdr.msg_iov = buffer;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        // SAFETY: each message points to an address and a buffer that outlive the call, and the
        // kernel reads both; `messages` has as many as the call is told.
        let sent = unsafe {
            libc::sendmmsg(
                self.0.as_raw_fd(),
                messages.as_mut_ptr(),
                messages.len() as libc::c_uint,
                0,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// At most so many frames leave by one system call.
const AT_ONCE: usize = 64;

/// What a failure to send on `device` is to the protocol.
fn failure(device: IfIndex, error: &io::Error) -> SendFailure {
    debug!(%device, "cannot send: {error}");
    match error.raw_os_error() {
        Some(libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN) => SendFailure::NoMemory,
        Some(_) | None => SendFailure::Refused,
    }
}

/// Closes a packet socket on a thread of its own: the kernel waits for all processors before it lets
/// one go (`packet_release()`), for milliseconds.
fn close(socket: Socket) {
    let closing = thread::Builder::new()
        .name("close".to_owned())
        .stack_size(STACK)
        .spawn(move || drop(socket));
    if let Err(error) = closing {
        debug!("closed here, for want of a thread: {error}");
    }
}

/// packet(7), `PACKET_IGNORE_OUTGOING`: what this host sends is not looped back to us.
fn ignore_outgoing(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    set_option(socket, libc::PACKET_IGNORE_OUTGOING, &on)
}

/// packet(7): `T` is what the option `name` takes, a plain structure of the C library's.
fn set_option<T: Copy>(socket: &Socket, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            name,
            core::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// packet(7), `struct sockaddr_ll`.
fn link_layer(device: IfIndex, protocol: libc::c_int) -> io::Result<SockAddr> {
    let invalid = |_| io::Error::from_raw_os_error(libc::EINVAL);
    let index = libc::c_int::try_from(device.0).map_err(invalid)?;
    let protocol = u16::try_from(protocol).map_err(invalid)?.to_be();
    // SAFETY: the storage is zeroed, larger than a `sockaddr_ll` and aligned for every socket
    // address; all fields that are not set below are valid as zeroes, and the length is set.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let address = &mut *storage.cast::<libc::sockaddr_ll>();
            address.sll_family = libc::AF_PACKET as libc::sa_family_t;
            address.sll_protocol = protocol;
            address.sll_ifindex = index;
            *length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    }?;
    Ok(address)
}
