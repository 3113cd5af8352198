//! All physical interfaces that carry carp interfaces, read fairly and in bounded portions.

mod filter;
mod interface;
mod memberships;
mod pairing;
mod path;
pub(crate) mod probe;
#[cfg(test)]
mod tests;

use core::ops::Range;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker};

use carp_proto::{Family, IfIndex, Instant, SendFailure};

use self::interface::Port;
use crate::clock::Clock;
use crate::net::socket::Sender;

/// Longer than any frame a device hands up.
const FRAME_MAX: usize = 65536 + 14;

/// The sockets of the protocol loop.
#[derive(Debug)]
pub(crate) struct Ports {
    attached: Vec<Port>,
    sender: Sender,
    /// Index of the port that is read first, which changes so that a flood on one port cannot starve the
    /// others.
    first: usize,
    /// Time to ask the engine again which interfaces have only masters; `None` while no role has changed.
    roles: Option<Instant>,
    buffer: Vec<u8>,
}

/// What others have to do so that everything is heard for as little as can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The devices of the ear of a physical interface are needed, or not any more.
    Listen {
        /// The physical interface.
        device: IfIndex,
        /// Whether it is needed.
        on: bool,
    },
    /// A probe is to be sent from a virtual host's device to itself.
    Probe {
        /// The physical interface.
        device: IfIndex,
        /// Which probe it is.
        number: u64,
        /// Ethernet frames that lack the destination.
        frames: Vec<Vec<u8>>,
    },
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
            roles: None,
            buffer: vec![0; FRAME_MAX],
        })
    }

    /// Starts to receive advertisements on `device`; nothing if it does already.
    ///
    /// # Errors
    /// Those of the system calls, such as `ENODEV`.
    pub(crate) fn attach(&mut self, device: IfIndex) -> io::Result<()> {
        if self.port(device).is_none() {
            self.attached.push(Port::open(device)?);
        }
        Ok(())
    }

    /// Something about `device` has changed: nothing if it is not attached.
    pub(crate) fn changed(&mut self, device: IfIndex, now: Instant) {
        if let Some(port) = self.port(device) {
            port.changed(now);
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
        self.port(device).map_or(Ok(()), |port| port.listen_arp(on))
    }

    /// Asks the engine at `at` whether all virtual hosts of an interface are MASTER, which decides how the
    /// interface is heard.
    pub(crate) fn roles_may_change(&mut self, at: Instant) {
        self.roles = Some(self.roles.map_or(at, |earlier| earlier.min(at)));
    }

    /// The devices of the ear of `device` are up, or not there.
    pub(crate) fn ear_is(&mut self, device: IfIndex, ear: Option<[IfIndex; 2]>, now: Instant) {
        if let Some(port) = self.port(device) {
            port.ear_is(ear, now);
        }
    }

    /// The probe of this number was sent.
    pub(crate) fn probe_sent(&mut self, device: IfIndex, number: u64, now: Instant) {
        if let Some(port) = self.port(device) {
            port.probe_sent(number, now);
        }
    }

    /// Returns the time of the next [`tick`](Self::tick).
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let ports = self.attached.iter().filter_map(Port::deadline);
        ports.chain(self.roles).min()
    }

    /// Does what is due, and returns orders for the kernel thread. `families_of_masters` returns the
    /// address families in use on an interface whose virtual hosts are all MASTER, and none for any other.
    pub(crate) fn tick(
        &mut self,
        now: Instant,
        families_of_masters: impl Fn(IfIndex) -> BTreeSet<Family>,
    ) -> Vec<Order> {
        if self.roles.take_if(|at| *at <= now).is_some() {
            for port in &mut self.attached {
                port.masters(families_of_masters(port.device), now);
            }
        }
        let mut orders = Vec::new();
        for port in &mut self.attached {
            if port.deadline().is_some_and(|due| due <= now) {
                port.tick(&self.sender, now, &mut orders);
            }
        }
        orders
    }

    /// Fills `batch` with what has come in, at least one frame and at most its budget.
    ///
    /// Cancel safe: a future that is dropped before it is ready has read nothing.
    pub(crate) async fn recv(&mut self, batch: &mut Batch, clock: Clock) {
        poll_fn(|cx| self.poll_recv(cx, batch, clock.now().instant, false)).await;
    }

    /// Fills `batch` with what has come in, also with what the runtime has not been told of yet:
    /// while the loop was busy, other queues may have been filled later. At most its budget; `false`
    /// if there is nothing.
    ///
    /// [`recv`](Self::recv) has to be asked afterwards, or nobody is told of what comes in.
    pub(crate) fn recv_now(&mut self, batch: &mut Batch, clock: Clock) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_recv(&mut cx, batch, clock.now().instant, true)
            .is_ready()
    }

    /// Hands whole Ethernet frames, source addresses included, to the kernel by as few system calls
    /// as can be, and gives what became of each. Never waits.
    ///
    /// # Errors
    /// [`SendFailure::NoMemory`] if queues are full, [`SendFailure::Refused`] for the rest.
    pub(crate) fn send_all(&self, frames: &[(IfIndex, &[u8])]) -> Vec<Result<(), SendFailure>> {
        self.sender.send_all(frames)
    }

    fn port(&mut self, device: IfIndex) -> Option<&mut Port> {
        self.attached.iter_mut().find(|port| port.device == device)
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut Batch,
        now: Instant,
        certain: bool,
    ) -> Poll<()> {
        batch.clear();
        self.first = (self.first + 1) % self.attached.len().max(1);
        let (later, sooner) = self.attached.split_at_mut(self.first);
        loop {
            let mut read = 0;
            for port in sooner.iter_mut().chain(later.iter_mut()) {
                read += port.poll_turn(cx, &mut self.buffer, batch, now, certain);
            }
            if read == 0 || batch.is_full() {
                break;
            }
        }
        if !batch.frames.is_empty() {
            return Poll::Ready(());
        }
        // Nobody has said yet that there is nothing more.
        if batch.is_full() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Frames read in one go; it keeps its memory from one use to the next.
#[derive(Debug)]
pub(crate) struct Batch {
    budget: usize,
    /// Frames that were read and are not here.
    passed_over: usize,
    bytes: Vec<u8>,
    frames: Vec<(IfIndex, Range<usize>)>,
}

impl Batch {
    /// An empty batch for at most `budget` frames.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            budget,
            passed_over: 0,
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
        self.read() >= self.budget
    }

    pub(super) fn read(&self) -> usize {
        self.frames.len() + self.passed_over
    }

    pub(super) fn pass_over(&mut self) {
        self.passed_over += 1;
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        self.passed_over = 0;
    }

    pub(super) fn push(&mut self, device: IfIndex, frame: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(frame);
        self.frames.push((device, start..self.bytes.len()));
    }
}
