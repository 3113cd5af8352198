//! A router that forwards as many packets as it can: with carpd as MASTER on 16 carp interfaces,
//! with the same devices and addresses made by hand, and with packet sockets beside these.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use carp_tests::{Carpd, Host, Lab, Wire, wait_until};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::Value;

use crate::engine::Engine;
use crate::figures::Id;
use crate::frames::datagram;
use crate::scenario::{Outcome, Size};

/// Pairs of one repetition.
const PAIRS: u8 = 3;

/// Time for which packets are sent in each part of a pair, in slices that take turns, so that a
/// busy machine affects all parts alike.
const SENDING_TIME: Duration = Duration::from_millis(1500);
const SLICES: u8 = 10;

/// Carp interfaces on each of the router's two interfaces.
const EACH: u8 = 8;

/// Time until the helper devices of a MASTER have proved that they receive.
const PROVING_TIMEOUT: Duration = Duration::from_secs(20);

const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// A router between a host that sends and one that counts.
struct Path {
    wire: Wire,
    sink: Host,
    frame: Vec<u8>,
    _full: UdpSocket,
}

pub(crate) fn run(_: Engine, size: Size, out: &mut Outcome) -> Result<()> {
    let lab = Lab::new()?;
    let [one, other] = [1, 2].map(|number| Path::lay(&lab, number));
    let ((routed, carpd_path), (made, bare_path)) = (one?, other?);
    let mut rc_conf = String::from("cloned_interfaces=\"");
    for (number, ..) in devices(1) {
        write!(rc_conf, "carp{number} ")?;
    }
    rc_conf.push_str("\"\n");
    for (number, vhid, address, _) in devices(1) {
        writeln!(
            rc_conf,
            "ifconfig_carp{number}=\"vhid {vhid} pass x {address}/24\""
        )?;
    }
    let carpd = Carpd::start_configured(&routed, &rc_conf, "")?;
    for (number, ..) in devices(1) {
        carpd.wait_for_state(&format!("carp{number}"), "MASTER", TAKEOVER_TIMEOUT)?;
    }
    for interface in ["eth0", "eth1"] {
        wait_until("its helper devices are proved", PROVING_TIMEOUT, || {
            Ok((!carpd.has_direct_socket(interface)?).then_some(()))
        })?;
    }
    make_by_hand(&made)?;

    // The sender, and with it everything that forwards, stays on one processor.
    let mut processors = CpuSet::new();
    processors.set(thread::available_parallelism()?.get() - 1);
    thread::scope(|scope| {
        let measured = scope.spawn(|| -> Result<()> {
            sched_setaffinity(None, &processors)?;
            let slice = size.time(SENDING_TIME) / u32::from(SLICES);
            let with = || carpd_path.rate(slice);
            let without = || bare_path.rate(slice);
            let tapped = || {
                let _taps = [
                    Wire::open_idle(&made, "eth0")?,
                    Wire::open_idle(&made, "eth1")?,
                ];
                bare_path.rate(slice)
            };
            for _ in 0..size.count(PAIRS) {
                let [mut ours, mut theirs, mut captures] = [0.0; 3];
                for number in 0..SLICES {
                    if number % 2 == 0 {
                        ours += with()?;
                        theirs += without()?;
                        captures += tapped()?;
                    } else {
                        captures += tapped()?;
                        theirs += without()?;
                        ours += with()?;
                    }
                }
                out.add(Id::ForwardRatio, ours / theirs);
                out.add(Id::ForwardTap, captures / theirs);
                out.add(Id::ForwardRate, ours / f64::from(SLICES));
            }
            Ok(())
        });
        measured.join().ok().context("the sender panicked")?
    })
}

/// Returns number, vhid, virtual address and physical interface of each carp interface of a router.
fn devices(router: u8) -> impl Iterator<Item = (u8, u8, Ipv4Addr, &'static str)> {
    ["eth0", "eth1"]
        .into_iter()
        .zip(0..)
        .flat_map(move |(eth, side)| {
            (0..EACH).map(move |number| {
                let address = Ipv4Addr::new(10, router, side, 101 + number);
                (side * EACH + number, number + 1, address, eth)
            })
        })
}

/// Makes carpd's devices without carpd.
fn make_by_hand(router: &Host) -> Result<()> {
    for (number, vhid, address, eth) in devices(2) {
        router.run(&format!(
            "ip link add link {eth} name carp{number} address 00:00:5e:00:01:{vhid:02x} \
             type macvlan mode bridge"
        ))?;
        router.run(&format!(
            "sysctl -qw net.ipv6.conf.carp{number}.disable_ipv6=1"
        ))?;
        router.run(&format!("ip link set carp{number} up"))?;
        router.run(&format!(
            "ip address add {address}/24 dev carp{number} noprefixroute"
        ))?;
    }
    Ok(())
}

impl Path {
    /// Makes the router's host and the path through it.
    fn lay(lab: &Lab, number: u8) -> Result<(Host, Self)> {
        let segments = [0, 1].map(|side| format!("path{number}{side}"));
        let at = |side: u8, last: u8| format!("10.{number}.{side}.{last}/24");
        let [near, far] = &segments;
        let sender = lab.host(&format!("sender{number}"), &[(near, &at(0, 2))])?;
        let router = lab.host(
            &format!("router{number}"),
            &[(near, &at(0, 1)), (far, &at(1, 1))],
        )?;
        let sink = lab.host(&format!("sink{number}"), &[(far, &at(1, 2))])?;
        router.run("sysctl -qw net.ipv4.ip_forward=1")?;
        sender.run(&format!("ip route add default via 10.{number}.0.1"))?;
        sink.run(&format!("ip route add default via 10.{number}.1.1"))?;
        // Both neighbours are known from now on.
        sender.run(&format!("ping -n -q -c 1 10.{number}.1.2"))?;
        let full = sink.within(|| {
            let socket = UdpSocket::bind(("0.0.0.0", 9))?;
            // It is full at once, so that counting a packet is the only cost of its arrival.
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 1)?;
            Ok(socket)
        })?;
        let [own, gateway] = [mac(&sender)?, mac(&router)?];
        let path = Self {
            wire: Wire::open_to_send(&sender, "eth0")?,
            frame: datagram(
                own,
                gateway,
                Ipv4Addr::new(10, number, 0, 2),
                Ipv4Addr::new(10, number, 1, 2),
            ),
            sink,
            _full: full,
        };
        Ok((router, path))
    }

    /// Sends for this time and returns the packets per second that arrived.
    fn rate(&self, span: Duration) -> Result<f64> {
        let frames = [&self.frame; 64];
        let (before, begin) = (self.arrived()?, Instant::now());
        while begin.elapsed() < span {
            self.wire.send_all(&frames)?;
        }
        let took = begin.elapsed();
        Ok((self.arrived()? - before) / took.as_secs_f64())
    }

    fn arrived(&self) -> Result<f64> {
        let text = self.sink.run("ip -j -s link show dev eth0")?;
        let links: Value = serde_json::from_str(&text)?;
        let packets = links.pointer("/0/stats64/rx/packets");
        packets
            .and_then(Value::as_f64)
            .context("no counter of packets")
    }
}

fn mac(host: &Host) -> Result<[u8; 6]> {
    let mut mac = [0; 6];
    for (byte, text) in mac.iter_mut().zip(host.mac("eth0")?.split(':')) {
        *byte = u8::from_str_radix(text, 16)?;
    }
    Ok(mac)
}
