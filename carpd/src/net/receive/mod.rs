//! Receiving on all physical interfaces that carry carp interfaces, fairly and in bounded portions.
//!
//! A *direct socket* is a packet socket on the physical interface. It receives before netfilter,
//! reverse-path filtering and macvlan devices can take a frame away, and every packet that the host
//! forwards passes it. While this host is MASTER of everything on the interface, two *helper devices*
//! can receive in its place, at no cost for other traffic. Only this folder knows which of them does.

mod batch;
mod filter;
mod helpers;
mod interface;
mod memberships;
mod pairing;
mod path;
mod probe;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker};

use carp_proto::{Family, IfIndex, Instant};

pub(crate) use self::batch::Batch;
pub(crate) use self::helpers::{HelperRequest, helper_mac, virtual_macs};
use self::interface::Interface;
use crate::clock::Clock;

/// Buffer size in bytes: more than the longest frame of any interface.
const MAX_FRAME: usize = 65536 + 14;

/// Physical interfaces on which carpd receives.
#[derive(Debug)]
pub(crate) struct Receivers {
    attached: Vec<Interface>,
    /// Position of the interface that is read first. It changes with every read, so that a flood on
    /// one interface cannot starve the others.
    first: usize,
    /// Time to ask the engine again which interfaces have only masters; `None` while no role has changed.
    roles: Option<Instant>,
    buffer: Vec<u8>,
}

impl Receivers {
    /// Receives on no interface yet.
    pub(crate) fn new() -> Self {
        Self {
            attached: Vec::new(),
            first: 0,
            roles: None,
            buffer: vec![0; MAX_FRAME],
        }
    }

    /// Starts to receive advertisements on `interface`, unless it does already.
    ///
    /// # Errors
    /// Those of the system calls: `EPERM` without `CAP_NET_RAW`, `ENODEV` if there is no such
    /// interface.
    pub(crate) fn attach(&mut self, interface: IfIndex) -> io::Result<()> {
        if self.attached(interface).is_none() {
            self.attached.push(Interface::open(interface)?);
        }
        Ok(())
    }

    /// Renews multicast memberships after a change of `interface`, which may have lost them, and
    /// checks again what the helper devices receive.
    pub(crate) fn changed(&mut self, interface: IfIndex, now: Instant) {
        if let Some(attached) = self.attached(interface) {
            attached.changed(now);
        }
    }

    /// Stops receiving on `interface`, which may be gone already.
    pub(crate) fn detach(&mut self, interface: IfIndex) {
        self.attached.retain(|attached| attached.index != interface);
    }

    /// Starts or stops receiving ARP requests on `interface`, if it is attached.
    ///
    /// # Errors
    /// Those of the system calls, such as `ENODEV`.
    pub(crate) fn listen_arp(&mut self, interface: IfIndex, on: bool) -> io::Result<()> {
        self.attached(interface)
            .map_or(Ok(()), |attached| attached.listen_arp(on))
    }

    /// Asks the engine at `at` whether all virtual hosts of an interface are MASTER, which decides how
    /// the interface is received on.
    pub(crate) fn roles_may_change(&mut self, at: Instant) {
        self.roles = Some(self.roles.map_or(at, |earlier| earlier.min(at)));
    }

    /// Uses these helper devices of `interface`, which are up; with `None` there are none.
    pub(crate) fn helpers_changed(
        &mut self,
        interface: IfIndex,
        devices: Option<[IfIndex; 2]>,
        now: Instant,
    ) {
        if let Some(attached) = self.attached(interface) {
            attached.helpers_changed(devices, now);
        }
    }

    /// Expects the probe with this number, which was just sent.
    pub(crate) fn probe_sent(&mut self, interface: IfIndex, number: u64, now: Instant) {
        if let Some(attached) = self.attached(interface) {
            attached.probe_sent(number, now);
        }
    }

    /// Returns the time of the next [`tick`](Self::tick).
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let deadlines = self.attached.iter().filter_map(Interface::deadline);
        deadlines.chain(self.roles).min()
    }

    /// Does what is due, and returns requests for the kernel thread. `families_of_masters` returns the
    /// address families in use on an interface whose virtual hosts are all MASTER, and none for any other.
    pub(crate) fn tick(
        &mut self,
        now: Instant,
        families_of_masters: impl Fn(IfIndex) -> BTreeSet<Family>,
    ) -> Vec<HelperRequest> {
        if self.roles.take_if(|at| *at <= now).is_some() {
            for attached in &mut self.attached {
                attached.use_families(families_of_masters(attached.index), now);
            }
        }
        let mut requests = Vec::new();
        for attached in &mut self.attached {
            if attached.deadline().is_some_and(|due| due <= now) {
                attached.tick(now, &mut requests);
            }
        }
        requests
    }

    /// Fills `batch` with received frames: at least one, and at most its budget.
    ///
    /// Cancel safe: a future that is dropped before it is ready has read nothing.
    pub(crate) async fn recv(&mut self, batch: &mut Batch, clock: Clock) {
        poll_fn(|cx| self.poll_recv(cx, batch, clock.now().instant, false)).await;
    }

    /// Fills `batch` with received frames, including those that the runtime does not know of yet:
    /// while the loop was busy, other queues may have been filled later. Returns false if there are
    /// none.
    ///
    /// Call [`recv`](Self::recv) afterwards: only that registers for frames to come.
    pub(crate) fn recv_now(&mut self, batch: &mut Batch, clock: Clock) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_recv(&mut cx, batch, clock.now().instant, true)
            .is_ready()
    }

    fn attached(&mut self, interface: IfIndex) -> Option<&mut Interface> {
        self.attached
            .iter_mut()
            .find(|attached| attached.index == interface)
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
            let before = batch.read();
            for attached in sooner.iter_mut().chain(later.iter_mut()) {
                attached.poll_turn(cx, &mut self.buffer, batch, now, certain);
            }
            if batch.read() == before || batch.is_full() {
                break;
            }
        }
        if !batch.is_empty() {
            return Poll::Ready(());
        }
        // Sockets may have more frames: no read has come to an end.
        if batch.is_full() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
