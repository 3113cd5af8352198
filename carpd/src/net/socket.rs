//! Packet sockets.
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

/// Size in bytes, as the kernel counts them, of the receive buffer: some 20,000 advertisements, so that
/// neither a burst of bad ones nor a flood while carpd waits for the processor displaces good ones.
const RECEIVE_BUFFER: usize = 16 << 20;

/// `TC_PRIO_CONTROL`, which the default queueing discipline sends before all other traffic.
const PRIORITY: u32 = 7;

/// Stack size in bytes of a thread that only closes a socket.
const CLOSING_STACK: usize = 64 << 10;

/// Logs that carpd cannot receive on an interface. If the interface is gone, the protocol reports that.
pub(crate) fn report(device: IfIndex, error: &io::Error) {
    if is_gone(error) {
        debug!(%device, "cannot receive: {error}");
    } else {
        warn!("cannot receive on interface {device}: {error}");
    }
}

/// Returns true for an error that means that the interface does not exist, or not any more.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}

/// Receiver of the frames that arrive on one interface and pass a filter.
#[derive(Debug)]
pub(super) struct Receiver(AsyncFd<Socket>);

impl Receiver {
    /// Receives frames on `device` that `filter` accepts.
    ///
    /// # Errors
    /// Those of the system calls: `EPERM` without `CAP_NET_RAW`, `ENODEV` if there is no such
    /// interface.
    pub(super) fn open(device: IfIndex, filter: &[SockFilter]) -> io::Result<Self> {
        // With protocol 0 the socket receives nothing until the filter is in place.
        let socket = Socket::new_raw(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?;
        socket.attach_filter(filter)?;
        ignore_outgoing(&socket)?;
        if let Err(error) =
            rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER)
        {
            debug!(%device, "cannot enlarge the receive buffer: {error}");
        }
        socket.bind(&link_layer(device, libc::ETH_P_ALL)?)?;
        // SAFETY: `AsyncFd` requires that the descriptor stays the same, open one until it is
        // deregistered. The `Socket` moves into the `AsyncFd`, no other code can close or replace
        // its descriptor, and `AsyncFd` deregisters the descriptor before it drops the `Socket`.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        Ok(Self(socket))
    }

    /// Has the interface receive frames for these groups while the socket is open.
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

    /// Returns the name of an interface; `None` if it is gone.
    pub(super) fn name_of(&self, device: IfIndex) -> Option<String> {
        index_to_name(self.0.get_ref(), device.0).ok()
    }

    /// Closes the socket on a thread of its own.
    pub(super) fn close(self) {
        close(self.0.into_inner());
    }

    /// Returns an error of the socket, such as `ENETDOWN`, once: an error alone does not wake a task that
    /// waits for frames.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.0.get_ref().take_error().unwrap_or_else(Some)
    }

    /// Reads one frame into `buffer`, which cuts a longer one, and returns its length.
    ///
    /// Pending means that the runtime does not know of a frame; if `certain`, that there is none.
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

/// Sender of whole Ethernet frames, with their source address, on any interface. It never waits.
#[derive(Debug)]
pub(crate) struct Sender(Socket);

impl Sender {
    /// Opens the socket, which receives nothing.
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

    /// Closes the socket on a thread of its own.
    pub(crate) fn close(self) {
        close(self.0);
    }

    /// Hands frames to the kernel in their order, and returns the result of each. One system call sends
    /// them, so that the reply of a peer to the first, within microseconds, follows the last.
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

    /// Sends frames until one cannot be sent, and returns their number.
    ///
    /// # Errors
    /// The first frame cannot be sent.
    fn send_some(&self, frames: &[(IfIndex, &[u8])]) -> io::Result<usize> {
        let sendable = frames.iter().take(MAX_FRAMES_PER_CALL);
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

/// Limit of frames that one system call sends.
const MAX_FRAMES_PER_CALL: usize = 64;

/// Converts an error to what the protocol counts.
fn failure(device: IfIndex, error: &io::Error) -> SendFailure {
    debug!(%device, "cannot send: {error}");
    match error.raw_os_error() {
        Some(libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN) => SendFailure::NoMemory,
        Some(_) | None => SendFailure::Refused,
    }
}

/// Closes a packet socket on a thread of its own, because that takes milliseconds: the kernel waits for
/// all processors (`packet_release()`).
fn close(socket: Socket) {
    let closing = thread::Builder::new()
        .name("close".to_owned())
        .stack_size(CLOSING_STACK)
        .spawn(move || drop(socket));
    if let Err(error) = closing {
        debug!("cannot start a thread to close a socket: {error}");
    }
}

/// packet(7), `PACKET_IGNORE_OUTGOING`: the socket does not receive what this host sends.
fn ignore_outgoing(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    set_option(socket, libc::PACKET_IGNORE_OUTGOING, &on)
}

/// Sets an option of packet(7). `T` is the plain structure of the C library that the option takes.
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
