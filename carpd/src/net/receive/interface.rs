//! One physical interface that carries carp interfaces, with the sockets that hear it.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::io;
use std::task::{Context, Poll};

use carp_proto::{Family, IfIndex, Instant, Mac};
use tracing::{debug, info, warn};

use super::path::{self, Ears, Why};
use super::filter;
use super::pairing::Side;
use super::memberships::{GROUP_V4, GROUP_V6, Memberships};
use super::{Batch, Order};
use super::probe::{self, Secret};
use crate::net::socket::{Receiver, Sender};

/// How many frames one socket may deliver before the next has its turn.
const TURN: usize = 8;

#[derive(Debug)]
pub(super) struct Port {
    pub(super) device: IfIndex,
    ears: Ears,
    tap: Option<Receiver>,
    /// For frames from virtual MACs, and for those from all others.
    ear: Option<[Receiver; 2]>,
    /// The devices of the ear, while there are some.
    ear_devices: Option<[IfIndex; 2]>,
    /// Families that are in use.
    families: BTreeSet<Family>,
    secret: Secret,
    /// That the tap cannot be opened was logged.
    is_reported: bool,
    arp: Option<Receiver>,
    memberships: Memberships,
}

impl Port {
    /// Starts to receive advertisements on `device`.
    ///
    /// # Errors
    /// Those of the system calls, such as `ENODEV`.
    pub(super) fn open(device: IfIndex) -> io::Result<Self> {
        Ok(Self {
            device,
            ears: Ears::new(),
            tap: Some(Receiver::open(device, &filter::carp())?),
            ear: None,
            ear_devices: None,
            families: BTreeSet::new(),
            secret: Secret::new(),
            is_reported: false,
            arp: None,
            memberships: Memberships::join(device),
        })
    }

    pub(super) fn changed(&mut self, now: Instant) {
        self.memberships.renew(self.device);
        self.ears.doubt(now);
        self.follow(now);
    }

    pub(super) fn listen_arp(&mut self, on: bool) -> io::Result<()> {
        if !on {
            self.arp = None;
        } else if self.arp.is_none() {
            self.arp = Some(Receiver::open(self.device, &filter::ARP_REQUESTS)?);
        }
        Ok(())
    }

    pub(super) fn masters(&mut self, families: BTreeSet<Family>, now: Instant) {
        self.families.clone_from(&families);
        self.ears.want(families, now);
        self.follow(now);
    }

    pub(super) fn ear_is(&mut self, devices: Option<[IfIndex; 2]>, now: Instant) {
        self.ear_devices = devices;
        for part in self.ear.take().into_iter().flatten() {
            part.close();
        }
        if devices.is_some() {
            self.ears.ear_is_there(now);
        } else {
            self.ears.ear_is_gone(now);
        }
        self.follow(now);
    }

    pub(super) fn probe_sent(&mut self, number: u64, now: Instant) {
        self.ears.probe_sent(number, now);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ears.deadline()
    }

    pub(super) fn tick(&mut self, sender: &Sender, now: Instant, orders: &mut Vec<Order>) {
        let device = self.device;
        let mut parts = self.ear.iter().flatten();
        if let Some(error) = parts.find_map(Receiver::take_error) {
            self.lose_ear(&error, now);
        }
        for order in self.ears.tick(now) {
            match order {
                path::Order::Listen(on) => orders.push(Order::Listen { device, on }),
                path::Order::Probe(number) => {
                    let frames = self.families.iter();
                    let frames = frames
                        .map(|family| probe::build(device, self.secret, number, *family))
                        .collect();
                    orders.push(Order::Probe {
                        device,
                        number,
                        frames,
                    });
                }
                path::Order::Explain(why) => explain(&sender.name_of(device), why),
            }
        }
        self.follow(now);
    }

    /// Reads from each socket as much as it may, if `certain` also what the runtime has not been told
    /// of; gives how many frames that were.
    pub(super) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        batch: &mut Batch,
        now: Instant,
        certain: bool,
    ) -> usize {
        let before = batch.read();
        for side in [Side::Tap, Side::Ear] {
            self.poll_side(side, cx, buffer, batch, now, certain);
        }
        if let Some(socket) = &self.arp {
            for _ in 0..TURN {
                if batch.is_full() {
                    break;
                }
                match socket.poll_recv(cx, buffer, false) {
                    Poll::Ready(Ok(length)) => {
                        batch.push(self.device, buffer.get(..length).unwrap_or_default());
                    }
                    Poll::Ready(Err(error)) => debug!(device = %self.device, "receive: {error}"),
                    Poll::Pending => break,
                }
            }
        }
        self.follow(now);
        batch.read() - before
    }

    fn poll_side(
        &mut self,
        side: Side,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        batch: &mut Batch,
        now: Instant,
        certain: bool,
    ) {
        for _ in 0..TURN {
            if batch.is_full() {
                return;
            }
            let asked = self.ears.asks(side);
            let certain = certain || asked;
            let read = match side {
                Side::Tap => self
                    .tap
                    .as_ref()
                    .map(|tap| tap.poll_recv(cx, buffer, certain)),
                Side::Ear => self
                    .ear
                    .as_ref()
                    .map(|ear| poll_either(ear, cx, buffer, certain)),
            };
            match read {
                None => return,
                Some(Poll::Ready(Ok(length))) => {
                    let frame = buffer.get(..length).unwrap_or_default();
                    if self.hears(side, frame, now) {
                        batch.push(self.device, frame);
                    } else {
                        batch.pass_over();
                    }
                }
                Some(Poll::Ready(Err(error))) => match side {
                    Side::Tap => debug!(device = %self.device, "receive: {error}"),
                    Side::Ear => self.lose_ear(&error, now),
                },
                Some(Poll::Pending) => {
                    if asked {
                        self.ears.is_empty(side, now);
                    }
                    return;
                }
            }
        }
    }

    fn lose_ear(&mut self, error: &io::Error, now: Instant) {
        debug!(device = %self.device, "the ear is broken: {error}");
        self.ear_is(None, now);
    }

    fn hears(&mut self, side: Side, frame: &[u8], now: Instant) -> bool {
        if side == Side::Ear && probe::is_from_ear(frame) {
            if let Some((number, family)) = probe::read(frame, self.secret) {
                self.ears.probe_heard(number, family);
            }
            return false;
        }
        self.ears.hears(side, frame, now)
    }

    /// Opens and shuts sockets as it has to be: the one that is needed more is opened first.
    fn follow(&mut self, now: Instant) {
        if self.ears.opens(Side::Ear)
            && self.ear.is_none()
            && let Some(devices) = self.ear_devices
        {
            match open_ear(devices) {
                Ok(ear) => self.ear = Some(ear),
                Err(error) => {
                    debug!(device = %self.device, "cannot open the ear: {error}");
                    self.ear_devices = None;
                    self.ears.ear_is_gone(now);
                }
            }
        }
        if self.ears.opens(Side::Tap) && self.tap.is_none() {
            match Receiver::open(self.device, &filter::carp()) {
                Ok(tap) => {
                    self.tap = Some(tap);
                    self.is_reported = false;
                }
                Err(error) if self.is_reported => {
                    debug!(device = %self.device, "cannot open the tap: {error}");
                }
                Err(error) => {
                    crate::net::socket::report(self.device, &error);
                    self.is_reported = true;
                }
            }
        }
        // Whatever cannot be opened for want of memory or descriptors, something goes on hearing.
        let (has_tap, has_ear) = (self.tap.is_some(), self.ear.is_some());
        let tap = self.tap.take_if(|_| has_ear && !self.ears.opens(Side::Tap));
        let ear = self.ear.take_if(|_| has_tap && !self.ears.opens(Side::Ear));
        for socket in tap.into_iter().chain(ear.into_iter().flatten()) {
            socket.close();
        }
    }
}

fn open_ear([virtual_macs, others]: [IfIndex; 2]) -> io::Result<[Receiver; 2]> {
    let ear = [
        Receiver::open(virtual_macs, &filter::carp_and_probes())?,
        Receiver::open(others, &filter::carp_from_others())?,
    ];
    let groups = [IpAddr::V4(GROUP_V4), IpAddr::V6(GROUP_V6)].map(Mac::multicast_of);
    let [_, second] = &ear;
    second.join(others, &groups)?;
    Ok(ear)
}

/// Pending if both are.
fn poll_either(
    ear: &[Receiver; 2],
    cx: &mut Context<'_>,
    buffer: &mut [u8],
    certain: bool,
) -> Poll<io::Result<usize>> {
    let [first, second] = ear;
    match first.poll_recv(cx, buffer, certain) {
        Poll::Pending => second.poll_recv(cx, buffer, certain),
        ready @ Poll::Ready(_) => ready,
    }
}

fn explain(name: &str, why: Why) {
    const COST: &str = "each packet that comes in there goes on passing a socket of carpd's, \
                        which takes 0.1 microseconds or less";
    match why {
        Why::NoAnswer => warn!(
            "{name}: something at its ingress hook drops IP protocol 112; carpd hears it \
             nevertheless, but {COST}. Accept it there: see nft list hooks device {name} and \
             tc filter show dev {name} ingress"
        ),
        Why::Missed => warn!(
            "{name}: an advertisement did not come through its ingress hook; carpd heard it \
             nevertheless, but {COST}. Accept IP protocol 112 there: see nft list hooks device \
             {name} and tc filter show dev {name} ingress"
        ),
        Why::Unicast => info!("{name}: a peer there advertises to this host alone: {COST}"),
    }
}
