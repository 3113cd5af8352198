//! A peer that reacts to an advertisement within a tenth of a millisecond: carpd's own protocol on
//! one packet socket, with nothing of a kernel to wait for. As a BSD, it advertises once when it takes
//! over and then an interval later.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant as Clock, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use carp_proto::wire::carp::{GROUP_V4, GROUP_V6};
use carp_proto::wire::ethernet::{Frame, Mac};
use carp_proto::{
    Action, Change, DeviceAddress, DeviceName, Engine, ForcedState, IfIndex, Input, Instant, Link,
    Now, Request, RequestId, StateName, Sysctl, Unit, UnixTime, Work,
};

use crate::{Host, Wire, wait_until};

/// The peer's only interface.
const DEVICE: IfIndex = IfIndex(1);

/// How long the peer waits for a frame at most, and so how late one of its timers can be.
const TURN: Duration = Duration::from_millis(1);

/// A peer on a host's eth0. It answers nothing itself: the host has the virtual addresses all the
/// time, and the switch decides which host a client reaches.
#[derive(Debug)]
pub struct QuickPeer {
    orders: Sender<Order>,
    states: Receiver<StateName>,
    state: StateName,
    thread: Option<JoinHandle<Result<()>>>,
}

enum Order {
    /// Hands over, and ignores the new master's first rounds of advertisements, so many.
    HandOver(u32),
    End,
}

struct Loop {
    engine: Engine,
    wire: Wire,
    start: Clock,
    unit: Unit,
    /// Rounds of the master's advertisements that are still ignored.
    ignored: u32,
    /// The takeover that was performed, and the engine does not know it yet.
    taken: Option<u32>,
    /// The group of the family that counts rounds.
    counted: Mac,
    states: Sender<StateName>,
}

impl QuickPeer {
    /// Starts with these settings; `preempt` is the sysctl.
    pub fn start(host: &Host, changes: Vec<Change>, preempt: bool) -> Result<Self> {
        let wire = Wire::open(host, "eth0", TURN)?;
        let mac = parse_mac(&host.mac("eth0")?)?;
        let has_ipv6 = changes.iter().any(
            |change| matches!(change, Change::AddAddress(address) if address.address.is_ipv6()),
        );
        let (orders, receive_orders) = channel();
        let (send_states, states) = channel();
        let mut peer = Loop {
            engine: Engine::new(),
            wire,
            start: Clock::now(),
            unit: "carp0".parse()?,
            ignored: 0,
            taken: None,
            // The advertisement that ends a round.
            counted: Mac::multicast_of(if has_ipv6 {
                GROUP_V6.into()
            } else {
                GROUP_V4.into()
            }),
            states: send_states,
        };
        let addresses = host.addresses()?;
        peer.set_up(mac, &addresses, changes, preempt)?;
        let thread = std::thread::spawn(move || peer.run(&receive_orders));
        Ok(Self {
            orders,
            states,
            state: StateName::Init,
            thread: Some(thread),
        })
    }

    /// Waits until the peer has been in `state`, since the state that was waited for last.
    pub fn wait_for_state(&mut self, state: StateName, bound: Duration) -> Result<()> {
        wait_until(&format!("the peer is {}", state.text()), bound, || {
            while self.state != state {
                match self.states.try_recv() {
                    Ok(next) => self.state = next,
                    Err(_) => return Ok(None),
                }
            }
            Ok(Some(()))
        })
    }

    /// Hands over to the other host with a bow-out, and ignores the first `rounds` of its
    /// advertisements.
    pub fn hand_over(&mut self, rounds: u32) -> Result<()> {
        self.orders
            .send(Order::HandOver(rounds))
            .map_err(|_| anyhow!("the peer has ended"))
    }
}

impl Drop for QuickPeer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.orders.send(Order::End);
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the peer: {error:#}");
        }
    }
}

impl Loop {
    fn set_up(
        &mut self,
        mac: Mac,
        addresses: &str,
        changes: Vec<Change>,
        preempt: bool,
    ) -> Result<()> {
        let words = addresses.split_whitespace();
        let own = words.filter_map(|word| {
            let (address, prefix) = word.split_once('/')?;
            Some(DeviceAddress {
                address: address.parse().ok()?,
                prefix: prefix.parse().ok()?,
            })
        });
        let link = Link {
            index: DEVICE,
            name: DeviceName::new("eth0").context("a name")?,
            mac,
            mtu: 1500,
            capable: true,
            up: true,
            carrier: true,
            addresses: own.collect(),
        };
        self.handle(Input::Link(link))?;
        let set = Request::Set(Sysctl::Preempt, preempt.into());
        self.handle(Input::Request(RequestId(1), set))?;
        let create = Request::Create {
            unit: Some(self.unit),
            changes,
        };
        self.handle(Input::Request(RequestId(2), create))
    }

    fn run(mut self, orders: &Receiver<Order>) -> Result<()> {
        let mut buffer = [0; 2048];
        loop {
            if let Some((_, length)) = self.wire.receive(&mut buffer)? {
                let frame = buffer.get(..length).unwrap_or_default();
                if !self.is_ignored(frame) {
                    self.handle(Input::Packet {
                        device: DEVICE,
                        frame,
                    })?;
                }
            }
            let now = self.now()?.instant;
            if self.engine.deadline().is_some_and(|at| at <= now) {
                self.handle(Input::Deadline)?;
            }
            match orders.try_recv() {
                Ok(Order::HandOver(rounds)) => {
                    self.ignored = rounds;
                    let change = Change::State(ForcedState::Backup);
                    let request = Request::Configure {
                        unit: self.unit,
                        changes: vec![change],
                    };
                    self.handle(Input::Request(RequestId(3), request))?;
                }
                Ok(Order::End) => return Ok(()),
                Err(_) => {}
            }
        }
    }

    /// Whether a frame is an advertisement of a round that is ignored.
    fn is_ignored(&mut self, frame: &[u8]) -> bool {
        let groups = [GROUP_V4.into(), GROUP_V6.into()].map(Mac::multicast_of);
        let destination = Frame::parse(frame).map(|frame| frame.destination);
        let ignored = self.ignored > 0 && destination.is_some_and(|mac| groups.contains(&mac));
        if ignored && destination == Some(self.counted) {
            self.ignored -= 1;
        }
        ignored
    }

    fn now(&self) -> Result<Now> {
        let micros = |time: Duration| u64::try_from(time.as_micros());
        Ok(Now {
            instant: Instant::from_micros(micros(self.start.elapsed())?),
            unix: UnixTime::from_micros(micros(SystemTime::now().duration_since(UNIX_EPOCH)?)?),
        })
    }

    fn handle(&mut self, input: Input<'_>) -> Result<()> {
        let now = self.now()?;
        let mut frames = Vec::new();
        let mut after = Vec::new();
        // Not at once: the engine would advertise again 50 ms later, as no BSD does, and so lead the
        // switch back here.
        if let Some(number) = self.taken.take_if(|_| matches!(input, Input::Deadline)) {
            let unit = self.unit;
            after.push(Input::Taken { unit, number });
        }
        for action in self.engine.handle(input, now) {
            match action {
                Action::Transmit { unit, frame, .. } => {
                    frames.push(frame);
                    after.push(Input::Sent {
                        unit,
                        result: Ok(()),
                    });
                }
                Action::Resolve { frame, .. } => frames.push(frame),
                Action::Work(Work::Take { number, .. }) => self.taken = Some(number),
                Action::Work(Work::BowOut {
                    frames: bow_outs, ..
                }) => frames.extend(bow_outs),
                // Whoever asked may be gone.
                Action::Changed(transition) => drop(self.states.send(transition.to)),
                Action::Answer(_, answer) => {
                    answer?;
                }
                Action::Work(
                    Work::Ensure { .. }
                    | Work::Renew { .. }
                    | Work::Leave { .. }
                    | Work::Down { .. }
                    | Work::Remove { .. },
                )
                | Action::Attach(_)
                | Action::Detach(_)
                | Action::ListenArp { .. }
                | Action::Created(_)
                | Action::Updated(_)
                | Action::Destroyed(_)
                | Action::SysctlsChanged
                | Action::Notice(_) => {}
            }
        }
        self.wire.send_all(&frames)?;
        after.into_iter().try_for_each(|input| self.handle(input))
    }
}

fn parse_mac(text: &str) -> Result<Mac> {
    let bytes: Vec<u8> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect::<Result<_, _>>()?;
    Ok(Mac(bytes.try_into().map_err(|_| anyhow!("{text}"))?))
}
