//! Warning about rules of nft(8) for the reverse path. They drop packets that arrive on a carp device if
//! replies leave by the physical interface, and nothing else shows that.
//!
//! carpd reads the number of the ruleset, and all rules if that has changed. Thousands of rules take
//! milliseconds, and a pause follows. carpd does not see rules of iptables-legacy(8).

use core::time::Duration;
use std::io;
use std::path::Path;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NlasIterator};
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{Socket, SocketAddr};
use tracing::{debug, warn};

use super::datagram::{self, HEADER, messages};

/// Pause after all rules were read, in multiples of the time that this took.
const PAUSE_FACTOR: u32 = 200;

/// The longest such pause.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Messages of linux/netfilter/nfnetlink.h, `NFNL_SUBSYS_NFTABLES`: a rule, all rules, the number of the
/// ruleset.
const NEW_RULE: u16 = (10 << 8) | 6;
const GET_RULE: u16 = (10 << 8) | 7;
const NEW_GENERATION: u16 = (10 << 8) | 15;
const GET_GENERATION: u16 = (10 << 8) | 16;

/// Size in bytes of `struct nfgenmsg`.
const FAMILY: usize = 4;

/// Packet filter of this network namespace.
#[derive(Debug, Default)]
pub(super) struct PacketFilter {
    socket: Option<Socket>,
    /// Number of the ruleset that was read last, and the earliest time for the next.
    read: Option<(u32, tokio::time::Instant)>,
    /// Set while the ruleset has a rule for the reverse path, which the log has named.
    is_strict: bool,
}

impl PacketFilter {
    /// Reads the rules if they have changed, and warns.
    pub(super) fn check(&mut self) {
        // A request would load the module.
        let exists = |path| Path::new(path).exists();
        if exists("/proc/sys/kernel/modprobe") && !exists("/sys/module/nf_tables") {
            return;
        }
        if let Err(error) = self.read_if_changed() {
            debug!("cannot read the rules of nft: {error}");
        }
    }

    fn read_if_changed(&mut self) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => connect()?,
        };
        let generation = generation(&socket)?;
        let start = tokio::time::Instant::now();
        let is_known = self
            .read
            .is_some_and(|(known, next)| known == generation || start < next);
        if !is_known {
            let is_strict = has_strict_rule(&socket)?;
            if is_strict && !self.is_strict {
                warn!(
                    "nft: a rule for the reverse path (fib saddr . iif) may drop all that comes in \
                     on carp devices: see carp(4)"
                );
            }
            self.is_strict = is_strict;
            let pause = start.elapsed().saturating_mul(PAUSE_FACTOR).min(MAX_PAUSE);
            self.read = Some((generation, start + pause));
        }
        self.socket = Some(socket);
        Ok(())
    }
}

fn connect() -> io::Result<Socket> {
    let socket = Socket::new(NETLINK_NETFILTER)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

fn generation(socket: &Socket) -> io::Result<u32> {
    const ID: u16 = 1;
    ask(socket, GET_GENERATION, 0)?;
    let mut found = None;
    receive(socket, |kind, body| {
        if kind == NEW_GENERATION {
            found = attribute(body, ID).and_then(number);
        }
        true
    })?;
    found.ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
}

fn has_strict_rule(socket: &Socket) -> io::Result<bool> {
    ask(socket, GET_RULE, NLM_F_DUMP)?;
    let mut found = false;
    receive(socket, |kind, body| {
        found |= kind == NEW_RULE && is_strict(body);
        kind != NEW_RULE
    })?;
    Ok(found)
}

/// Sends a request about all families.
fn ask(socket: &Socket, kind: u16, flags: u16) -> io::Result<()> {
    let length = u32::try_from(HEADER + FAMILY).unwrap_or_default();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    bytes.resize(HEADER + FAMILY, 0);
    socket.send(&bytes, 0).map(drop)
}

/// Reads messages until `is_last` returns true for one: its kind, and the part after `struct nfgenmsg`.
/// It never waits, because the kernel has answered when sendmsg(2) returns.
fn receive(socket: &Socket, mut is_last: impl FnMut(u16, &[u8]) -> bool) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(datagram::MAX_SIZE);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, libc::MSG_DONTWAIT)?;
        for message in messages(&buffer) {
            let kind = message.get(4..6).and_then(|kind| kind.try_into().ok());
            let kind = kind.map_or(0, u16::from_ne_bytes);
            let body = message.get(HEADER + FAMILY..).unwrap_or_default();
            if is_last(kind, body) {
                return Ok(());
            }
        }
    }
}

/// Returns true for a rule that requires a route to the source of a packet by the interface on which the
/// packet arrived: `fib saddr . iif oif`, or iptables' `rpfilter`.
fn is_strict(rule: &[u8]) -> bool {
    const EXPRESSIONS: u16 = 4;
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    const RESULT: u16 = 2;
    const FLAGS: u16 = 3;
    const MATCH_NAME: u16 = 1;
    // Number or name of the output interface.
    const INTERFACES: [u32; 2] = [1, 2];
    const SOURCE_AND_INPUT: u32 = 1 | 8;
    let expressions = attribute(rule, EXPRESSIONS).unwrap_or_default();
    let mut all = NlasIterator::new(expressions.as_slice()).filter_map(Result::ok);
    all.any(|expression| {
        let name = attribute(expression.value(), NAME).unwrap_or_default();
        let data = attribute(expression.value(), DATA).unwrap_or_default();
        match name.as_slice() {
            b"fib\0" => {
                let result = attribute(&data, RESULT).and_then(number);
                let flags = attribute(&data, FLAGS).and_then(number);
                result.is_some_and(|result| INTERFACES.contains(&result))
                    && flags.is_some_and(|flags| flags & SOURCE_AND_INPUT == SOURCE_AND_INPUT)
            }
            b"match\0" => attribute(&data, MATCH_NAME).is_some_and(|name| name == b"rpfilter\0"),
            _ => false,
        }
    })
}

/// Returns the value of the first attribute of this kind.
fn attribute(attributes: &[u8], kind: u16) -> Option<Vec<u8>> {
    let mut all = NlasIterator::new(attributes).filter_map(Result::ok);
    all.find(|found| found.kind() == kind)
        .map(|found| found.value().to_vec())
}

fn number(value: Vec<u8>) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tests::lab::{on_a_cable, run};
    use super::*;

    #[test]
    fn only_a_rule_for_the_reverse_path_is_strict() {
        on_a_cable(async |_lab| {
            let socket = connect().unwrap();
            let is_strict = || has_strict_rule(&socket).unwrap();
            assert!(!is_strict());
            let before = generation(&socket).unwrap();
            run("nft add table inet fw");
            run("nft 'add chain inet fw pre { type filter hook prerouting priority -150; }'");
            run("nft add rule inet fw pre fib saddr oif missing drop");
            run("nft add rule inet fw pre fib daddr . iif type != local counter");
            assert_ne!(generation(&socket).unwrap(), before);
            assert!(!is_strict());
            run(
                "nft add rule inet fw pre meta nfproto ipv6 fib saddr . mark . iif oif missing drop",
            );
            assert!(is_strict());
            run(
                "for port in $(seq 2000); do echo add rule inet fw pre tcp dport $port drop; done | nft -f -",
            );
            assert!(is_strict(), "among many");
            run("nft flush ruleset");
            assert!(!is_strict());
        });
    }
}
