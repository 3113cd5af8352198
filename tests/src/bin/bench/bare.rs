//! The kernel's time for the system calls alone that a MASTER of many virtual hosts needs every
//! second: a lower limit for every program that advertises and renews leases.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Host, Wire};
use rustix::net::netdevice::name_to_index;
use socket2::{Domain, Socket, Type};

use crate::addresses::{Group, Place};
use crate::frames::forged_carp;

/// Number of portions in which a second's work is done, as in carpd.
const PORTIONS: usize = 64;
const PORTION: Duration = Duration::from_micros(15_625);

/// `<linux/rtnetlink.h>`, `<linux/netlink.h>`, `<linux/if_addr.h>`.
const RTM_NEWADDR: u16 = 20;
const NLM_F_REQUEST_REPLACE: u16 = 0x1 | 0x100;
const IFA_LOCAL: u16 = 2;
const IFA_CACHEINFO: u16 = 6;

/// Lease of an address, in seconds.
const LEASE: u32 = 3;

/// Sends a frame for each of `groups` every second, with as few calls as possible; returns the
/// share of one processor.
pub(crate) fn advertise(host: &Host, groups: &[Group], span: Duration) -> Result<f64> {
    let mut portions = Vec::new();
    for portion in portions_of(groups) {
        for on_one in portion.chunk_by(|one, other| one.interface == other.interface) {
            let interface = on_one.first().map_or(0, |group| group.interface);
            let wire = Wire::open_to_send(host, &format!("eth{interface}"))?;
            let frame = |group: &Group| forged_carp(Place::A.address(interface), group.vhid);
            let frames: Vec<Vec<u8>> = on_one.iter().map(frame).collect();
            portions.push((wire, frames));
        }
    }
    let each = PORTION * u32::try_from(PORTIONS)? / u32::try_from(portions.len())?;
    host.within(|| {
        paced(span, each, &portions, |(wire, frames)| {
            let sent = wire.send_all(frames)?;
            ensure!(sent == frames.len(), "{sent} of {} sent", frames.len());
            Ok(())
        })
    })
}

/// Renews the address of each of `groups` every second, one call a portion; returns the share of
/// one processor. `carpN` has the address of the Nth.
pub(crate) fn renew(host: &Host, groups: &[Group], span: Duration) -> Result<f64> {
    host.within(|| {
        let netlink = Socket::new(
            Domain::from(libc::AF_NETLINK),
            Type::RAW.nonblocking(),
            None,
        )?;
        let mut messages = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let index = name_to_index(&netlink, &format!("carp{number}"))?;
            messages.push(renewal(index, group.address()));
        }
        let portions: Vec<Vec<u8>> = portions_of(&messages).map(<[Vec<u8>]>::concat).collect();
        let share = paced(span, PORTION, &portions, |portion| {
            let sent = netlink.send(portion)?;
            ensure!(sent == portion.len(), "{sent} of {} bytes", portion.len());
            Ok(())
        })?;
        // The kernel answers only with errors.
        let answer = (&netlink).read(&mut [0; 64]);
        ensure!(
            answer
                .as_ref()
                .is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
            "the kernel refused a renewal: {answer:?}"
        );
        Ok(share)
    })
}

fn portions_of<T>(all: &[T]) -> impl Iterator<Item = &[T]> {
    all.chunks(all.len().div_ceil(PORTIONS).max(1))
}

/// Returns an `RTM_NEWADDR` for an existing address with 16 bits of prefix.
fn renewal(index: u32, address: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![2, 16, 0, 0];
    body.extend(index.to_ne_bytes());
    body.extend([8_u16, IFA_LOCAL].map(u16::to_ne_bytes).concat());
    body.extend(address.octets());
    body.extend([20_u16, IFA_CACHEINFO].map(u16::to_ne_bytes).concat());
    body.extend([LEASE, LEASE, 0, 0].map(u32::to_ne_bytes).concat());
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(
        [RTM_NEWADDR, NLM_F_REQUEST_REPLACE]
            .map(u16::to_ne_bytes)
            .concat(),
    );
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// Does the portions in turn, one every `each`; returns the share of one processor that this thread
/// took.
fn paced<T>(
    span: Duration,
    each: Duration,
    portions: &[T],
    work: impl Fn(&T) -> Result<()>,
) -> Result<f64> {
    let (begin, before) = (Instant::now(), own_time()?);
    let mut due = begin;
    for portion in portions.iter().cycle() {
        if begin.elapsed() >= span {
            break;
        }
        work(portion)?;
        due += each;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let took = own_time()?.saturating_sub(before);
    Ok(took.as_secs_f64() / begin.elapsed().as_secs_f64())
}

/// Returns the run time of this thread.
fn own_time() -> Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let run = text.split(' ').next().context("an empty schedstat")?;
    Ok(Duration::from_nanos(run.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_is_as_long_as_it_says() {
        let message = renewal(7, Ipv4Addr::new(10, 1, 1, 2));
        assert_eq!(message.len(), 52);
        assert_eq!(message.first_chunk(), Some(&52_u32.to_ne_bytes()));
        assert_eq!(message.get(28..32), Some(&[10, 1, 1, 2][..]));
    }

    #[test]
    fn all_are_done_in_a_second() {
        let all: Vec<u16> = (0..4080).collect();
        assert_eq!(portions_of(&all).count(), PORTIONS);
        assert_eq!(portions_of(&all).flatten().count(), all.len());
        assert_eq!(portions_of(&[1, 2]).count(), 2);
    }
}
