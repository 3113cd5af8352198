//! Bytes of a fuzzer as the life of one host: frames, time, links, results and requests in any order.
//!
//! Frames begin as advertisements that the host accepts, and are damaged afterwards, so that the digest does
//! not keep the fuzzer out. After each step, [`judge`] checks the actions of the host.

#[path = "frames.rs"]
mod frames;
#[path = "judge.rs"]
mod judge;
#[path = "requests.rs"]
mod requests;

use std::net::IpAddr;
use std::time::Duration;

use carp_proto::{
    Action, Answer, DeviceAddress, DeviceName, Engine, HolderId, IfIndex, Input, Instant, Link,
    Mac, Now, RequestId, SendFailure, Unit, UnixTime,
};

use self::judge::Judge;
use crate::bytes::Bytes;

/// Maximum number of steps, more than any interesting life has.
const MOST_STEPS: usize = 300;

/// Runs the life in `bytes`.
pub(crate) fn engine(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let mut host = Host::new();
    for _ in 0..MOST_STEPS {
        if bytes.is_empty() {
            break;
        }
        host.step(&mut bytes);
    }
}

/// Host with two physical interfaces.
struct Host {
    engine: Engine,
    now: Now,
    judge: Judge,
    /// Last frames on the wire.
    wire: Vec<Vec<u8>>,
    holders: Vec<HolderId>,
    requests: u64,
}

impl Host {
    fn new() -> Self {
        let mut host = Self {
            engine: Engine::new(),
            now: Now {
                instant: Instant::from_micros(1_000_000),
                unix: UnixTime::from_micros(1_700_000_000_000_000),
            },
            judge: Judge::default(),
            wire: Vec::new(),
            holders: Vec::new(),
            requests: 0,
        };
        for index in [1, 2] {
            host.handle(&Input::Link(link(index)));
        }
        for request in requests::first() {
            host.request(request);
        }
        host
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.byte() % 20 {
            0..=2 => self.wait_for_deadline(bytes),
            3 => self.pass(Duration::from_millis(u64::from(bytes.byte()) * 16)),
            // Hours, as after a suspend of the machine.
            4 => self.pass(Duration::from_secs(u64::from(bytes.byte()) * 60)),
            5 => self.now.unix = UnixTime::from_micros(bytes.long() >> bytes.one_of(&[0, 8, 12])),
            6..=9 => {
                let frame = frames::advertisement(&self.engine, self.now, &self.wire, bytes);
                self.receive(&frame, bytes);
            }
            10 => {
                let frame = frames::arp_request(bytes);
                self.receive(&frame, bytes);
            }
            11 => {
                let frame = bytes.some(90);
                self.receive(frame, bytes);
            }
            12 => self.change_link(bytes),
            13 => self.handle(&Input::LinkGone(device(bytes))),
            14 => {
                let unit = requests::unit(bytes);
                let result = bytes.one_of(&[
                    Ok(()),
                    Err(SendFailure::NoMemory),
                    Err(SendFailure::Refused),
                ]);
                self.handle(&Input::Sent { unit, result });
            }
            15 => {
                let unit = requests::unit(bytes);
                let number = self.judge.takeover(unit);
                self.handle(&Input::Taken { unit, number });
            }
            16 => {
                let unit = requests::unit(bytes);
                let address = bytes.flag().then(|| requests::address(bytes));
                let error = "no room".to_owned();
                self.handle(&Input::Refused {
                    unit,
                    address,
                    error,
                });
            }
            _ => {
                let request = requests::request(bytes, &self.holders);
                self.request(request);
            }
        }
    }

    /// Handles the deadline, on time or late.
    fn wait_for_deadline(&mut self, bytes: &mut Bytes<'_>) {
        if let Some(deadline) = self.engine.deadline() {
            let late = Duration::from_micros(u64::from(bytes.byte()));
            self.pass((deadline + late).since(self.now.instant));
        }
        self.handle(&Input::Deadline);
    }

    fn pass(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap();
        self.now.instant = self.now.instant + time;
        self.now.unix = UnixTime::from_micros(self.now.unix.micros().saturating_add(micros));
    }

    fn receive(&mut self, frame: &[u8], bytes: &mut Bytes<'_>) {
        self.keep(frame);
        self.handle(&Input::Packet {
            device: device(bytes),
            frame,
        });
    }

    fn keep(&mut self, frame: &[u8]) {
        if self.wire.len() == 8 {
            self.wire.remove(0);
        }
        self.wire.push(frame.to_vec());
    }

    fn change_link(&mut self, bytes: &mut Bytes<'_>) {
        let mut changed = link(bytes.one_of(&[1, 2]));
        let flags = bytes.byte();
        changed.up = flags & 1 == 0;
        changed.carrier = flags & 2 == 0;
        changed.capable = flags & 4 == 0;
        if flags & 8 != 0 {
            changed.mac = Mac([2, 0, 0, 0, 9, bytes.byte()]);
        }
        if flags & 16 != 0 {
            changed.addresses.clear();
        }
        if flags & 32 != 0 {
            let (address, prefix) = (requests::address(bytes), bytes.byte());
            changed.addresses.push(DeviceAddress { address, prefix });
        }
        if flags & 64 != 0 {
            changed.name = DeviceName::new(bytes.one_of(&["lan", "eth0", "eth1"])).unwrap();
        }
        self.handle(&Input::Link(changed));
    }

    fn request(&mut self, request: carp_proto::Request) {
        self.requests += 1;
        self.handle(&Input::Request(RequestId(self.requests), request));
    }

    fn handle(&mut self, input: &Input<'_>) {
        self.judge.before(&self.engine, input, self.now);
        let actions = self.engine.handle(input.clone(), self.now);
        for action in &actions {
            match action {
                Action::Transmit { frame, .. } => self.keep(frame),
                Action::Answer(_, Ok(Answer::Held(holder))) => self.holders.push(*holder),
                _ => {}
            }
        }
        self.judge.after(&self.engine, input, &actions, self.now);
    }
}

/// Physical interface that works.
fn link(index: u32) -> Link {
    let number = u8::try_from(index).unwrap();
    let net = |address: [u8; 4], prefix| DeviceAddress {
        address: IpAddr::from(address),
        prefix,
    };
    Link {
        index: IfIndex(index),
        name: DeviceName::new(&format!("eth{}", index - 1)).unwrap(),
        other_names: Vec::new(),
        mac: Mac([2, 0, 0, 0, number, 1]),
        mtu: 1500,
        capable: true,
        up: true,
        carrier: true,
        addresses: vec![
            net([192, 0, 2, number], 24),
            net([198, 51, 100, number], 24),
            DeviceAddress {
                address: IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, u16::from(number)]),
                prefix: 64,
            },
        ],
    }
}

fn device(bytes: &mut Bytes<'_>) -> IfIndex {
    IfIndex(bytes.one_of(&[1, 1, 2, 3]))
}

/// Number of carp interfaces.
const UNITS: u16 = 4;

/// All carp interfaces.
fn units() -> impl Iterator<Item = Unit> {
    (0..UNITS).map(|number| Unit::try_from(number).unwrap())
}
