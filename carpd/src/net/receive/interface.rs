//! Sockets of one physical interface that carries carp interfaces.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::io;
use std::task::{Context, Poll};

use carp_proto::{Family, IfIndex, Instant, Mac};
use tracing::{debug, info, warn};

use super::batch::Batch;
use super::filter;
use super::helpers::HelperRequest;
use super::memberships::{GROUP_V4, GROUP_V6, Memberships};
use super::pairing::Source;
use super::path::{DirectReason, ReceivePath, Step};
use super::probe::{self, Secret};
use crate::net::socket::{self, Receiver};

/// Number of frames that one socket may deliver before the turn of the next.
const TURN: usize = 8;

/// One attached physical interface.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) index: IfIndex,
    path: ReceivePath,
    direct: Option<Receiver>,
    /// Sockets on the helper devices: one for frames from virtual MACs, one for all others.
    helpers: Option<[Receiver; 2]>,
    /// Numbers of the helper devices while they are up.
    helper_devices: Option<[IfIndex; 2]>,
    /// Address families in use.
    families: BTreeSet<Family>,
    secret: Secret,
    /// Set once the log has said that the direct socket cannot be opened.
    is_reported: bool,
    arp: Option<Receiver>,
    memberships: Memberships,
}

impl Interface {
    /// Starts to receive advertisements.
    ///
    /// # Errors
    /// Those of the system calls, such as `ENODEV`.
    pub(super) fn open(index: IfIndex) -> io::Result<Self> {
        Ok(Self {
            index,
            path: ReceivePath::new(),
            direct: Some(Receiver::open(index, &filter::carp())?),
            helpers: None,
            helper_devices: None,
            families: BTreeSet::new(),
            secret: Secret::new(),
            is_reported: false,
            arp: None,
            memberships: Memberships::join(index),
        })
    }

    pub(super) fn changed(&mut self, now: Instant) {
        self.memberships.renew(self.index);
        self.path.check_again(now);
        self.open_and_close(now);
    }

    pub(super) fn listen_arp(&mut self, on: bool) -> io::Result<()> {
        if !on {
            self.arp = None;
        } else if self.arp.is_none() {
            self.arp = Some(Receiver::open(self.index, &filter::ARP_REQUESTS)?);
        }
        Ok(())
    }

    pub(super) fn use_families(&mut self, families: BTreeSet<Family>, now: Instant) {
        self.families.clone_from(&families);
        self.path.use_families(families, now);
        self.open_and_close(now);
    }

    pub(super) fn helpers_changed(&mut self, devices: Option<[IfIndex; 2]>, now: Instant) {
        self.helper_devices = devices;
        for socket in self.helpers.take().into_iter().flatten() {
            socket.close();
        }
        if devices.is_some() {
            self.path.helpers_are_up(now);
        } else {
            self.path.helpers_are_lost(now);
        }
        self.open_and_close(now);
    }

    pub(super) fn probe_sent(&mut self, number: u64, now: Instant) {
        self.path.probe_sent(number, now);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.path.deadline()
    }

    pub(super) fn tick(&mut self, now: Instant, requests: &mut Vec<HelperRequest>) {
        let interface = self.index;
        let mut sockets = self.helpers.iter().flatten();
        if let Some(error) = sockets.find_map(Receiver::take_error) {
            self.lose_helpers(&error, now);
        }
        for step in self.path.tick(now) {
            match step {
                Step::UseHelpers(up) => requests.push(HelperRequest::SetUp { interface, up }),
                Step::Probe(number) => {
                    let families = self.families.iter();
                    let frames = families
                        .map(|family| probe::build(interface, self.secret, number, *family))
                        .collect();
                    requests.push(HelperRequest::Probe {
                        interface,
                        number,
                        frames,
                    });
                }
                Step::Explain(reason) => explain(&self.name(), reason),
            }
        }
        self.open_and_close(now);
    }

    /// Reads from each socket up to its share; if `certain`, including frames that the runtime does
    /// not know of yet.
    pub(super) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        batch: &mut Batch,
        now: Instant,
        certain: bool,
    ) {
        for source in [Source::Direct, Source::Helpers] {
            self.poll_source(source, cx, buffer, batch, now, certain);
        }
        if let Some(socket) = &self.arp {
            for _ in 0..TURN {
                if batch.is_full() {
                    break;
                }
                match socket.poll_recv(cx, buffer, false) {
                    Poll::Ready(Ok(length)) => {
                        batch.push(self.index, buffer.get(..length).unwrap_or_default());
                    }
                    Poll::Ready(Err(error)) => debug!(device = %self.index, "receive: {error}"),
                    Poll::Pending => break,
                }
            }
        }
        self.open_and_close(now);
    }

    fn poll_source(
        &mut self,
        source: Source,
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
            let drains = self.path.is_to_be_drained(source);
            let certain = certain || drains;
            let read = match source {
                Source::Direct => self
                    .direct
                    .as_ref()
                    .map(|socket| socket.poll_recv(cx, buffer, certain)),
                Source::Helpers => self
                    .helpers
                    .as_ref()
                    .map(|sockets| poll_either(sockets, cx, buffer, certain)),
            };
            match read {
                None => return,
                Some(Poll::Ready(Ok(length))) => {
                    let frame = buffer.get(..length).unwrap_or_default();
                    if self.is_new(source, frame, now) {
                        batch.push(self.index, frame);
                    } else {
                        batch.skip();
                    }
                }
                Some(Poll::Ready(Err(error))) => match source {
                    Source::Direct => debug!(device = %self.index, "receive: {error}"),
                    Source::Helpers => self.lose_helpers(&error, now),
                },
                Some(Poll::Pending) => {
                    if drains {
                        self.path.drained(source, now);
                    }
                    return;
                }
            }
        }
    }

    fn lose_helpers(&mut self, error: &io::Error, now: Instant) {
        debug!(device = %self.index, "cannot receive on the helper devices: {error}");
        self.helpers_changed(None, now);
    }

    /// Returns true for a frame that is to be handed on: no probe, and not received before by the
    /// other source.
    fn is_new(&mut self, source: Source, frame: &[u8], now: Instant) -> bool {
        if source == Source::Helpers && probe::is_from_helper(frame) {
            if let Some((number, family)) = probe::read(frame, self.secret) {
                self.path.probe_received(number, family);
            }
            return false;
        }
        self.path.is_new(source, frame, now)
    }

    /// Opens and closes sockets as the path requires. A socket closes only while the other source has
    /// one, so that carpd goes on receiving if memory or descriptors are exhausted.
    fn open_and_close(&mut self, now: Instant) {
        if self.path.uses(Source::Helpers)
            && self.helpers.is_none()
            && let Some(devices) = self.helper_devices
        {
            match open_helpers(devices) {
                Ok(sockets) => self.helpers = Some(sockets),
                Err(error) => {
                    debug!(device = %self.index, "cannot open the helper devices: {error}");
                    self.helper_devices = None;
                    self.path.helpers_are_lost(now);
                }
            }
        }
        if self.path.uses(Source::Direct) && self.direct.is_none() {
            match Receiver::open(self.index, &filter::carp()) {
                Ok(socket) => {
                    self.direct = Some(socket);
                    self.is_reported = false;
                }
                Err(error) if self.is_reported => {
                    debug!(device = %self.index, "cannot open the direct socket: {error}");
                }
                Err(error) => {
                    socket::report(self.index, &error);
                    self.is_reported = true;
                }
            }
        }
        let (has_direct, has_helpers) = (self.direct.is_some(), self.helpers.is_some());
        let direct = self
            .direct
            .take_if(|_| has_helpers && !self.path.uses(Source::Direct));
        let helpers = self
            .helpers
            .take_if(|_| has_direct && !self.path.uses(Source::Helpers));
        for socket in direct.into_iter().chain(helpers.into_iter().flatten()) {
            socket.close();
        }
    }

    /// Returns the interface's name, or its number if it is gone.
    fn name(&self) -> String {
        let name = self
            .direct
            .as_ref()
            .and_then(|socket| socket.name_of(self.index));
        name.unwrap_or_else(|| self.index.to_string())
    }
}

fn open_helpers([virtual_macs, others]: [IfIndex; 2]) -> io::Result<[Receiver; 2]> {
    let sockets = [
        Receiver::open(virtual_macs, &filter::carp_and_probes())?,
        Receiver::open(others, &filter::carp_not_from_virtual_macs())?,
    ];
    let groups = [IpAddr::V4(GROUP_V4), IpAddr::V6(GROUP_V6)].map(Mac::multicast_of);
    let [_, second] = &sockets;
    second.join(others, &groups)?;
    Ok(sockets)
}

/// Pending if both are.
fn poll_either(
    sockets: &[Receiver; 2],
    cx: &mut Context<'_>,
    buffer: &mut [u8],
    certain: bool,
) -> Poll<io::Result<usize>> {
    let [first, second] = sockets;
    match first.poll_recv(cx, buffer, certain) {
        Poll::Pending => second.poll_recv(cx, buffer, certain),
        ready @ Poll::Ready(_) => ready,
    }
}

/// Logs why the direct socket stays open.
fn explain(name: &str, reason: DirectReason) {
    const COST: &str = "each packet that arrives there still passes a socket of carpd, which takes \
                        0.1 microseconds or less";
    match reason {
        DirectReason::ProbeLost => warn!(
            "{name}: something at its ingress hook drops IP protocol 112; carpd receives it \
             nevertheless, but {COST}. Accept it there: see nft list hooks device {name} and \
             tc filter show dev {name} ingress"
        ),
        DirectReason::AdvertisementLost => warn!(
            "{name}: an advertisement did not pass its ingress hook; carpd received it \
             nevertheless, but {COST}. Accept IP protocol 112 there: see nft list hooks device \
             {name} and tc filter show dev {name} ingress"
        ),
        DirectReason::UnicastPeer => {
            info!("{name}: a peer there advertises to this host alone: {COST}");
        }
    }
}
