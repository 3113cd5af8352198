//! System calls that no safe crate has: packet sockets with time stamps, and the time that
//! children took. The only unsafe code of the benchmark.
#![expect(
    unsafe_code,
    reason = "sockaddr_ll, SCM_TIMESTAMPNS, sendmmsg and getrusage have no safe wrapper"
)]

use std::fs::File;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use carp_tests::Host;
use libc::{c_int, c_void, socklen_t};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{SockFilter, SockRef};

/// Bytes, as the kernel accounts for them: a second of a flood.
const RECEIVE_BUFFER: c_int = 128 << 20;

/// At most so many frames go out with one call of [`Wire::send_times`].
const BATCH: usize = 64;

/// Classic BPF: the whole frame if its type is `PACKET_OUTGOING`, else nothing.
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

/// Classic BPF: nothing, whatever it is.
const NOTHING: [SockFilter; 1] = [SockFilter::new(RETURN, 0, 0, 0)];

// linux/bpf_common.h: class, size or operation, and mode or source in one.
const LOAD_WORD: u16 = 0x20;
const IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Runs `work` on a thread inside of a host; sockets that it opens stay there.
pub(crate) fn within<T: Send>(host: &Host, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let path = Path::new("/run/netns").join(host.namespace());
    let namespace = File::open(&path).with_context(|| format!("{}", path.display()))?;
    let enter = || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        work()
    };
    thread::scope(|scope| scope.spawn(enter).join())
        .map_err(|_| anyhow!("a thread in {} panicked", host.name()))?
}

/// A packet socket on one interface of a host: whole frames out, whole frames in, but not what
/// this host sends itself.
#[derive(Debug)]
pub(crate) struct Wire(OwnedFd);

impl Wire {
    /// Opens it for everything that comes in; [`Wire::receive`] waits for so long, below a second.
    pub(crate) fn open(host: &Host, interface: &str, patience: Duration) -> Result<Self> {
        within(host, || {
            Ok(Self::here(interface, libc::ETH_P_ALL, patience)?)
        })
        .with_context(|| format!("a packet socket on {interface} of {}", host.name()))
    }

    /// Opens it for what this host itself sends, whatever it is flooded with.
    pub(crate) fn open_outgoing(host: &Host, interface: &str, patience: Duration) -> Result<Self> {
        within(host, || {
            let wire = Self::here(interface, libc::ETH_P_ALL, patience)?;
            wire.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &0_i32)?;
            SockRef::from(&wire.0).attach_filter(&OUTGOING)?;
            Ok(wire)
        })
        .with_context(|| format!("a packet socket on {interface} of {}", host.name()))
    }

    /// Opens it for sending alone.
    pub(crate) fn open_to_send(host: &Host, interface: &str) -> Result<Self> {
        within(host, || Ok(Self::here(interface, 0, Duration::ZERO)?))
            .with_context(|| format!("a packet socket on {interface} of {}", host.name()))
    }

    /// Opens it as one that sees every packet that comes in and wants none of them.
    pub(crate) fn open_idle(host: &Host, interface: &str) -> Result<Self> {
        within(host, || {
            let wire = Self::here(interface, 0, Duration::ZERO)?;
            SockRef::from(&wire.0).attach_filter(&NOTHING)?;
            wire.bind(interface, libc::ETH_P_ALL)?;
            Ok(wire)
        })
        .with_context(|| format!("a packet socket on {interface} of {}", host.name()))
    }

    fn here(interface: &str, protocol: c_int, patience: Duration) -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is new and nobody else's.
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
        let patience = libc::timeval {
            tv_sec: 0,
            tv_usec: patience.subsec_micros().into(),
        };
        wire.set(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &patience)?;
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
    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        rustix::net::send(&self.0, frame, rustix::net::SendFlags::empty())?;
        Ok(())
    }

    /// Sends `frame` so many times, [`BATCH`] at most, and says how often the kernel took it.
    pub(crate) fn send_times(&self, frame: &mut [u8], times: usize) -> io::Result<usize> {
        let mut part = libc::iovec {
            iov_base: frame.as_mut_ptr().cast(),
            iov_len: frame.len(),
        };
        // SAFETY: all zeroes are an mmsghdr: no address, no control data, no parts.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        for message in &mut messages {
            message.msg_hdr.msg_iov = &raw mut part;
            message.msg_hdr.msg_iovlen = 1;
        }
        let count = u32::try_from(times.min(BATCH)).unwrap_or(0);
        // SAFETY: `count` is no more than there are messages; each points to `part` and that to
        // `frame`, which outlive the call, and sending writes to neither.
        let sent = unsafe { libc::sendmmsg(self.0.as_raw_fd(), messages.as_mut_ptr(), count, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Waits a moment for a frame: the time the kernel stamped on it, since the epoch, and how
    /// much of `buffer` it fills. `None` if nothing came.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(Duration, usize)>> {
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

/// socket(7), `SO_TIMESTAMPNS`.
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

/// What all children that have ended took of the processors, user and system time together.
pub(crate) fn time_of_children() -> io::Result<Duration> {
    // SAFETY: all zeroes are an rusage, and the kernel writes one to where the pointer shows.
    let usage = unsafe {
        let mut usage: libc::rusage = zeroed();
        if libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) != 0 {
            return Err(io::Error::last_os_error());
        }
        usage
    };
    let span = |time: libc::timeval| {
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
            + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or_default())
    };
    Ok(span(usage.ru_utime) + span(usage.ru_stime))
}

fn length_of<T>() -> socklen_t {
    socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

fn narrow<T: TryFrom<c_int>>(number: c_int) -> io::Result<T> {
    T::try_from(number).map_err(|_| io::ErrorKind::InvalidInput.into())
}
