//! All physical interfaces that carry carp interfaces, read fairly and in bounded portions.

use core::ops::Range;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use carp_proto::{IfIndex, SendFailure};
use tracing::debug;

use super::filter;
use super::memberships::Memberships;
use super::socket::{Receiver, Sender};

/// Longer than any frame a device hands up.
const FRAME_MAX: usize = 65536 + 14;

/// How many frames one socket may deliver before the next has its turn.
const TURN: usize = 8;

/// The sockets of the protocol loop.
#[derive(Debug)]
pub(crate) struct Ports {
    attached: Vec<Port>,
    sender: Sender,
    /// Which port is read first, so that no flood on one starves the others.
    first: usize,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Port {
    device: IfIndex,
    carp: Receiver,
    arp: Option<Receiver>,
    memberships: Memberships,
}

impl Ports {
    /// No interface yet.
    ///
    /// # Errors
    /// If no packet socket can be opened, for want of `CAP_NET_RAW`.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self {
            attached: Vec::new(),
            sender: Sender::open()?,
            first: 0,
            buffer: vec![0; FRAME_MAX],
        })
    }

    /// Starts to receive advertisements on `device`; nothing if it does already.
    ///
    /// # Errors
    /// Those of the system calls, such as `ENODEV`.
    pub(crate) fn attach(&mut self, device: IfIndex) -> io::Result<()> {
        if !self.attached.iter().any(|port| port.device == device) {
            let carp = Receiver::open(device, &filter::CARP)?;
            let memberships = Memberships::join(device);
            self.attached.push(Port {
                device,
                carp,
                arp: None,
                memberships,
            });
        }
        Ok(())
    }

    /// Something about `device` has changed: nothing if it is not attached.
    pub(crate) fn changed(&mut self, device: IfIndex) {
        if let Some(port) = self.attached.iter_mut().find(|port| port.device == device) {
            port.memberships.renew(device);
        }
    }

    /// Stops to receive on `device`, which may be gone already.
    pub(crate) fn detach(&mut self, device: IfIndex) {
        self.attached.retain(|port| port.device != device);
    }

    /// Starts or stops to receive ARP requests on `device`; nothing if it is not attached.
    ///
    /// # Errors
    /// Those of the system calls, such as `ENODEV`.
    pub(crate) fn listen_arp(&mut self, device: IfIndex, on: bool) -> io::Result<()> {
        if let Some(port) = self.attached.iter_mut().find(|port| port.device == device) {
            if !on {
                port.arp = None;
            } else if port.arp.is_none() {
                port.arp = Some(Receiver::open(device, &filter::ARP_REQUESTS)?);
            }
        }
        Ok(())
    }

    /// Fills `batch` with what has come in, at least one frame and at most its budget.
    ///
    /// Cancel safe: a future that is dropped before it is ready has read nothing.
    pub(crate) async fn recv(&mut self, batch: &mut Batch) {
        poll_fn(|cx| self.poll_recv(cx, batch)).await;
    }

    /// Hands a whole Ethernet frame to the kernel; never waits.
    ///
    /// # Errors
    /// [`SendFailure::NoMemory`] if queues are full, [`SendFailure::Refused`] for the rest.
    pub(crate) fn send(&self, device: IfIndex, frame: &[u8]) -> Result<(), SendFailure> {
        self.sender.send(device, frame)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<()> {
        batch.clear();
        self.first = (self.first + 1) % self.attached.len().max(1);
        let (later, sooner) = self.attached.split_at(self.first);
        loop {
            let before = batch.frames.len();
            for port in sooner.iter().chain(later) {
                port.poll_turn(cx, &mut self.buffer, batch);
            }
            if batch.frames.len() == before || batch.is_full() {
                break;
            }
        }
        if batch.frames.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

impl Port {
    fn poll_turn(&self, cx: &mut Context<'_>, buffer: &mut [u8], batch: &mut Batch) {
        for socket in [Some(&self.carp), self.arp.as_ref()].into_iter().flatten() {
            for _ in 0..TURN {
                if batch.is_full() {
                    return;
                }
                match socket.poll_recv(cx, buffer) {
                    Poll::Ready(Ok(length)) => {
                        batch.push(self.device, buffer.get(..length).unwrap_or_default());
                    }
                    Poll::Ready(Err(error)) => debug!(device = %self.device, "receive: {error}"),
                    Poll::Pending => break,
                }
            }
        }
    }
}

/// Frames read in one go; it keeps its memory from one use to the next.
#[derive(Debug)]
pub(crate) struct Batch {
    budget: usize,
    bytes: Vec<u8>,
    frames: Vec<(IfIndex, Range<usize>)>,
}

impl Batch {
    /// An empty batch for at most `budget` frames.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            budget,
            bytes: Vec::new(),
            frames: Vec::with_capacity(budget),
        }
    }

    /// The frames in the order in which they were read, and where each came in.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (IfIndex, &[u8])> {
        self.frames.iter().filter_map(|(device, range)| {
            self.bytes.get(range.clone()).map(|bytes| (*device, bytes))
        })
    }

    /// Whether there may be more to read at once.
    pub(crate) fn is_full(&self) -> bool {
        self.frames.len() >= self.budget
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
    }

    fn push(&mut self, device: IfIndex, frame: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(frame);
        self.frames.push((device, start..self.bytes.len()));
    }
}
