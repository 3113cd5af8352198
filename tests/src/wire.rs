//! Packet socket at a host's end of a cable.
#![expect(
    unsafe_code,
    reason = "sockaddr_ll, SCM_TIMESTAMPNS and sendmmsg have no safe wrapper"
)]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, Result};
use libc::{c_int, c_void, socklen_t};
use socket2::{SockFilter, SockRef};

use crate::Host;

/// Receive buffer in bytes, as the kernel counts them: one second of a flood.
const RECEIVE_BUFFER: c_int = 128 << 20;

/// Classic BPF program that accepts only frames of type `PACKET_OUTGOING`.
const OUTGOING: [SockFilter; 4] = [
    SockFilter::new(
        LOAD_WORD,
        0,
        0,
        (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE).cast_unsigned(),
    ),
    SockFilter::new(IF_EQUAL, 0, 1, libc::PACKET_OUTGOING as u32),
    SockFilter::new(RETURN, 0, 0, u32::MAX),
    SockFilter::new(RETURN, 0, 0, 0),
];

/// Classic BPF program that accepts no frame.
const NOTHING: [SockFilter; 1] = [SockFilter::new(RETURN, 0, 0, 0)];

// linux/bpf_common.h: class, size or operation, and mode or source combined.
const LOAD_WORD: u16 = 0x20;
const IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Packet socket on one interface of a host. It sends Ethernet frames, and receives them unless the
/// host itself has sent them.
#[derive(Debug)]
pub struct Wire(OwnedFd);

impl Wire {
    /// Opens it for everything that arrives; [`Wire::receive`] waits for `timeout`, less than a
    /// second.
    pub fn open(host: &Host, interface: &str, timeout: Duration) -> Result<Self> {
        host.within(|| Ok(Self::here(interface, libc::ETH_P_ALL, timeout)?))
            .with_context(|| format!("a packet socket on {interface} of {}", host.name()))
    }

    /// Opens it for frames that this host sends; frames that arrive cost nothing.
    pub fn open_outgoing(host: &Host, interface: &str, timeout: Duration) -> Result<Self> {
        host.within(|| {
            let wire = Self::here(interface, libc::ETH_P_ALL, timeout)?;
            wire.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &0_i32)?;
            SockRef::from(&wire.0).attach_filter(&OUTGOING)?;
            Ok(wire)
        })
        .with_context(|| format!("a packet socket on {interface} of {}", host.name()))
    }

    /// Opens it for sending only.
    pub fn open_to_send(host: &Host, interface: &str) -> Result<Self> {
        host.within(|| Ok(Self::here(interface, 0, Duration::ZERO)?))
            .with_context(|| format!("a packet socket on {interface} of {}", host.name()))
    }

    /// Opens it for every frame that arrives, with a filter that accepts none.
    pub fn open_idle(host: &Host, interface: &str) -> Result<Self> {
        host.within(|| {
            let wire = Self::here(interface, 0, Duration::ZERO)?;
            SockRef::from(&wire.0).attach_filter(&NOTHING)?;
            wire.bind(interface, libc::ETH_P_ALL)?;
            Ok(wire)
        })
        .with_context(|| format!("a packet socket on {interface} of {}", host.name()))
    }

    fn here(interface: &str, protocol: c_int, timeout: Duration) -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is new and has no other owner.
        let socket = unsafe {
            let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let wire = Self(socket);
        wire.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32)?;
        wire.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &RECEIVE_BUFFER)?;
        wire.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1_i32)?;
        let timeout = libc::timeval {
            tv_sec: 0,
            tv_usec: timeout.subsec_micros().into(),
        };
        wire.set(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeout)?;
        wire.bind(interface, protocol)?;
        Ok(wire)
    }

    fn bind(&self, interface: &str, protocol: c_int) -> io::Result<()> {
        let index = rustix::net::netdevice::name_to_index(&self.0, interface)?;
        // SAFETY: all zeroes are a sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = narrow(libc::AF_PACKET)?;
        address.sll_protocol = narrow::<u16>(protocol)?.to_be();
        address.sll_ifindex = index.cast_signed();
        // SAFETY: the pointer and the length are those of `address`, which outlives the call.
        let bound = unsafe {
            libc::bind(
                self.0.as_raw_fd(),
                (&raw const address).cast(),
                length_of::<libc::sockaddr_ll>(),
            )
        };
        if bound == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    fn set<T>(&self, level: c_int, name: c_int, value: &T) -> io::Result<()> {
        let value: *const T = value;
        // SAFETY: the pointer and the length are those of `value`, which outlives the call; the
        // kernel takes any bytes.
        let result = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                level,
                name,
                value.cast(),
                length_of::<T>(),
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Sends one frame.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        rustix::net::send(&self.0, frame, rustix::net::SendFlags::empty())?;
        Ok(())
    }

    /// Sends at most 1,024 frames with one call. Returns the number that the kernel accepted.
    pub fn send_all<T: AsRef<[u8]>>(&self, frames: &[T]) -> io::Result<usize> {
        let part = |frame: &T| libc::iovec {
            iov_base: frame.as_ref().as_ptr().cast_mut().cast(),
            iov_len: frame.as_ref().len(),
        };
        let mut parts: Vec<libc::iovec> = frames.iter().map(part).collect();
        let message = |part: &mut libc::iovec| {
            // SAFETY: all zeroes are an mmsghdr: no address, no control data, no parts.
            let mut message: libc::mmsghdr = unsafe { zeroed() };
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message
        };
        let mut messages: Vec<libc::mmsghdr> = parts.iter_mut().map(message).collect();
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        // SAFETY: there are `count` messages; each points to one of `parts` and that to one of
        // `frames`, all of which outlive the call, and sending writes to none of them.
        let sent = unsafe { libc::sendmmsg(self.0.as_raw_fd(), messages.as_mut_ptr(), count, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Waits for a frame. Returns the kernel's time stamp, since the epoch, and the length of the
    /// frame in `buffer`, or `None` after the timeout.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(Duration, usize)>> {
        let mut part = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        let mut control = [0_u64; 16];
        // SAFETY: all zeroes are a msghdr.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast::<c_void>();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: `message` points to `part`, `buffer` and `control` with their true lengths, all
        // of which outlive the call.
        let received = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, 0) };
        let Ok(length) = usize::try_from(received) else {
            let error = io::Error::last_os_error();
            let nothing = matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            );
            return if nothing { Ok(None) } else { Err(error) };
        };
        Ok(Some((stamp(&message)?, length.min(buffer.len()))))
    }
}

/// Returns the time stamp of a message (socket(7), `SO_TIMESTAMPNS`).
fn stamp(message: &libc::msghdr) -> io::Result<Duration> {
    // SAFETY: `message` is as the kernel filled it in, and its control buffer, aligned for a
    // header, is still there; a header of this kind is followed by a whole timespec.
    let time = unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        if header.is_null() || (*header).cmsg_type != libc::SCM_TIMESTAMPNS {
            return Err(io::Error::other("a frame without a time"));
        }
        libc::CMSG_DATA(header)
            .cast::<libc::timespec>()
            .read_unaligned()
    };
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Ok(Duration::new(seconds, nanoseconds))
}

fn length_of<T>() -> socklen_t {
    socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

fn narrow<T: TryFrom<c_int>>(number: c_int) -> io::Result<T> {
    T::try_from(number).map_err(|_| io::ErrorKind::InvalidInput.into())
}
