//! Hot path of the protocol thread: the work for each advertisement that is received or sent.
#![expect(clippy::unwrap_used, reason = "an unexpected value ends the benchmark")]

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Duration;

use carp_proto::wire::carp::{ADVERTISEMENT, AUTHLEN, Header, VERSION};
use carp_proto::wire::ethernet::Frame;
use carp_proto::wire::{frames, ipv4};
use carp_proto::{
    Change, Counter, DeviceAddress, DeviceName, Digests, Engine, IfIndex, Input, Instant, Key,
    Link, Mac, Now, Request, RequestId, Seal, Unit, UnixTime, VirtualAddress,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const DEVICE: IfIndex = IfIndex(1);

/// Maximum number of virtual hosts of one physical interface.
const HOSTS: u16 = 255;

/// Start of the benchmark in microseconds of Unix time.
const START: u64 = 1_700_000_000_000_000;

/// Microseconds between two advertisements of a master with `advbase 1`.
const SECOND: u64 = 1_000_000;

fn at(micros: u64) -> Now {
    Now {
        instant: Instant::from_micros(micros),
        unix: UnixTime::from_micros(START + micros),
    }
}

fn key() -> Key {
    Key::password(b"mekmitasdigoat").unwrap()
}

fn address(number: u16) -> IpAddr {
    let [_, low] = number.to_be_bytes();
    IpAddr::from([10, 0, 1, low])
}

/// Host with `hosts` virtual hosts of one address each, all of them BACKUP.
fn backup(hosts: u16) -> Engine {
    let mut engine = Engine::new();
    let link = Link {
        index: DEVICE,
        name: DeviceName::new("eth0").unwrap(),
        other_names: Vec::new(),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        capable: true,
        up: true,
        carrier: true,
        addresses: vec![DeviceAddress {
            address: IpAddr::from([10, 0, 0, 1]),
            prefix: 16,
        }],
    };
    drop(engine.handle(Input::Link(link), at(0)));
    for number in 1..=hosts {
        let create = Request::Create {
            unit: Some(Unit::try_from(number).unwrap()),
            changes: vec![
                Change::Vhid(u64::from(number).try_into().unwrap()),
                Change::Advskew(100.try_into().unwrap()),
                Change::Key(key()),
                Change::AddAddress(VirtualAddress {
                    address: address(number),
                    prefix: 16,
                }),
            ],
        };
        drop(engine.handle(Input::Request(RequestId(number.into()), create), at(0)));
    }
    engine
}

/// Advertisements of a peer, one a second, with sealed counters.
struct Master {
    vhid: u8,
    digests: Digests,
    seal: Seal,
    micros: u64,
}

impl Master {
    fn new(vhid: u8) -> Self {
        let digests = Digests::new(
            &key(),
            u64::from(vhid).try_into().unwrap(),
            &[address(vhid.into())],
        );
        Self {
            vhid,
            digests,
            seal: Seal::default(),
            micros: 0,
        }
    }

    fn header(&self, counter: u64) -> Header {
        Header {
            version: VERSION,
            kind: ADVERTISEMENT,
            vhid: self.vhid,
            advskew: 0,
            authlen: AUTHLEN,
            demotion: 0,
            advbase: 1,
            counter,
            digest: self.digests.digest(counter),
        }
    }

    /// Returns the next advertisement and its time.
    fn advertisement(&mut self) -> (Vec<u8>, Now) {
        self.micros += SECOND;
        let now = at(self.micros);
        let counter = self.seal.next(now.unix, 1, 0, 0);
        (self.frame(&self.header(counter)), now)
    }

    /// Returns an advertisement with a different password.
    fn forgery(&mut self) -> (Vec<u8>, Now) {
        self.micros += 10;
        let header = Header {
            digest: [7; 20],
            ..self.header(self.micros)
        };
        (self.frame(&header), at(self.micros))
    }

    fn frame(&self, header: &Header) -> Vec<u8> {
        let mac = Mac([0x00, 0x00, 0x5e, 0x00, 0x01, self.vhid]);
        frames::advertisement(mac, IpAddr::from([10, 0, 0, 2]), header)
    }
}

/// Measures parsing, checks and election for an advertisement of the master.
fn handle(criterion: &mut Criterion) {
    for hosts in [1, HOSTS] {
        let mut engine = backup(hosts);
        let mut master = Master::new(1);
        criterion.bench_function(&format!("handle_advertisement_of_{hosts}"), |bencher| {
            bencher.iter_batched_ref(
                || master.advertisement(),
                |(frame, now)| {
                    let packet = Input::Packet {
                        device: DEVICE,
                        frame,
                    };
                    engine.handle(packet, *now)
                },
                BatchSize::SmallInput,
            );
        });
        assert_eq!(engine.totals().of(Counter::Badauth), 0, "all were good");
    }
}

/// Measures a packet of a flood: all checks, of which the last one fails.
fn refuse(criterion: &mut Criterion) {
    let mut engine = backup(HOSTS);
    let mut attacker = Master::new(1);
    criterion.bench_function("handle_forgery", |bencher| {
        bencher.iter_batched_ref(
            || attacker.forgery(),
            |(frame, now)| {
                let packet = Input::Packet {
                    device: DEVICE,
                    frame,
                };
                engine.handle(packet, *now)
            },
            BatchSize::SmallInput,
        );
    });
    assert!(engine.totals().of(Counter::Badauth) > 0, "all were bad");
}

/// Measures a deadline at which all 255 masters advertise.
fn advertise(criterion: &mut Criterion) {
    let mut engine = backup(HOSTS);
    while engine.deadline().is_some_and(|deadline| {
        drop(engine.handle(Input::Deadline, at(deadline.micros())));
        deadline.since(Instant::ZERO) < Duration::from_secs(10)
    }) {}
    criterion.bench_function("advertise_255", |bencher| {
        bencher.iter(|| {
            let deadline = engine.deadline().unwrap();
            engine.handle(Input::Deadline, at(deadline.micros()))
        });
    });
}

fn digest(criterion: &mut Criterion) {
    let digests = Master::new(1).digests;
    let right = digests.digest(9);
    criterion.bench_function("digest", |bencher| {
        bencher.iter(|| digests.digest(black_box(9)));
    });
    criterion.bench_function("verify_digest", |bencher| {
        bencher.iter(|| digests.verify(black_box(9), black_box(&right)));
    });
    criterion.bench_function("prepare_digests", |bencher| {
        let vhid = 1_u64.try_into().unwrap();
        bencher.iter(|| Digests::new(&key(), vhid, black_box(&[address(1)])));
    });
}

fn wire(criterion: &mut Criterion) {
    let master = Master::new(1);
    let header = master.header(1);
    let bytes = master.frame(&header);
    criterion.bench_function("parse", |bencher| {
        bencher.iter(|| {
            let frame = Frame::parse(black_box(&bytes)).unwrap();
            let packet = ipv4::Packet::parse(frame.payload).unwrap();
            Header::parse(packet.payload).unwrap()
        });
    });
    criterion.bench_function("emit", |bencher| {
        bencher.iter(|| master.frame(black_box(&header)));
    });
}

criterion_group!(hot_path, handle, refuse, advertise, digest, wire);
criterion_main!(hot_path);
