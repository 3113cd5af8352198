//! Peer that reacts to an advertisement within a tenth of a millisecond: carpd's protocol on a
//! packet socket, without kernel work to wait for. As a BSD does, it advertises once when it takes
//! over and again after an interval.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant as Clock, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use carp_proto::wire::carp::{GROUP_V4, GROUP_V6};
use carp_proto::wire::ethernet::Frame;
use carp_proto::{
    Action, Change, DeviceAddress, DeviceName, Engine, ForcedState, IfIndex, Input, Instant, Link,
    Mac, Now, Request, RequestId, StateName, Sysctl, Unit, UnixTime, Work,
};

use crate::{Host, Wire, wait_until};

/// Only interface of the peer.
const DEVICE: IfIndex = IfIndex(1);

/// Longest wait for a frame, and so the greatest delay of a timer.
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(1);

/// Peer on a host's eth0. It does not answer clients: the host always has the virtual addresses,
/// and the switch decides which host a client reaches.
#[derive(Debug)]
pub struct QuickPeer {
    commands: Sender<Command>,
    states: Receiver<StateName>,
    state: StateName,
    thread: Option<JoinHandle<Result<()>>>,
}

/// Command to the thread of the peer.
enum Command {
    /// Hand over, and ignore this number of rounds of the new master's advertisements.
    HandOver(u32),
    End,
}

/// State of the thread of the peer.
struct Loop {
    engine: Engine,
    wire: Wire,
    start: Clock,
    unit: Unit,
    /// Number of rounds of the master's advertisements still to be ignored.
    ignored: u32,
    /// Number of the takeover that was performed without notifying the engine.
    taken: Option<u32>,
    /// Destination of the advertisement that ends a round.
    last_of_round: Mac,
    states: Sender<StateName>,
}

impl QuickPeer {
    /// Starts a peer with these settings; `preempt` is the value of the sysctl.
    pub fn start(host: &Host, changes: Vec<Change>, preempt: bool) -> Result<Self> {
        let wire = Wire::open(host, "eth0", RECEIVE_TIMEOUT)?;
        let mac = parse_mac(&host.mac("eth0")?)?;
        let has_ipv6 = changes.iter().any(
            |change| matches!(change, Change::AddAddress(address) if address.address.is_ipv6()),
        );
        let (commands, receive_commands) = channel();
        let (send_states, states) = channel();
        let mut peer = Loop {
            engine: Engine::new(),
            wire,
            start: Clock::now(),
            unit: "carp0".parse()?,
            ignored: 0,
            taken: None,
            last_of_round: Mac::multicast_of(if has_ipv6 {
                GROUP_V6.into()
            } else {
                GROUP_V4.into()
            }),
            states: send_states,
        };
        let addresses = host.addresses()?;
        peer.set_up(mac, &addresses, changes, preempt)?;
        let thread = std::thread::spawn(move || peer.run(&receive_commands));
        Ok(Self {
            commands,
            states,
            state: StateName::Init,
            thread: Some(thread),
        })
    }

    /// Waits until the peer has entered `state` since the last wait.
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
        self.commands
            .send(Command::HandOver(rounds))
            .map_err(|_| anyhow!("the peer has ended"))
    }
}

impl Drop for QuickPeer {
    fn drop(&mut self) {
        // Fails if the thread has ended after an error.
        let _ = self.commands.send(Command::End);
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
            other_names: Vec::new(),
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

    fn run(mut self, commands: &Receiver<Command>) -> Result<()> {
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
            match commands.try_recv() {
                Ok(Command::HandOver(rounds)) => {
                    self.ignored = rounds;
                    let change = Change::State(ForcedState::Backup);
                    let request = Request::Configure {
                        unit: self.unit,
                        changes: vec![change],
                    };
                    self.handle(Input::Request(RequestId(3), request))?;
                }
                Ok(Command::End) => return Ok(()),
                Err(_) => {}
            }
        }
    }

    /// Returns whether a frame is an advertisement of a round to be ignored.
    fn is_ignored(&mut self, frame: &[u8]) -> bool {
        let groups = [GROUP_V4.into(), GROUP_V6.into()].map(Mac::multicast_of);
        let destination = Frame::parse(frame).map(|frame| frame.destination);
        let ignored = self.ignored > 0 && destination.is_some_and(|mac| groups.contains(&mac));
        if ignored && destination == Some(self.last_of_round) {
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
        // The engine is notified late: otherwise it would advertise again after 50 ms, which no BSD
        // does, and the switch would learn the virtual MAC address here again.
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
                // Fails if the handle has been dropped.
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
