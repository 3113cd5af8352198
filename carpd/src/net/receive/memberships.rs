//! Multicast memberships of a physical interface, so that switches with IGMP or MLD snooping forward
//! advertisements to it.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::{fs, io};

use carp_proto::IfIndex;
use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};
use tracing::{debug, warn};

use crate::net::socket::is_gone;

pub(super) const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
pub(super) const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// Memberships in 224.0.0.18 and `ff02::12`, held until this is dropped.
///
/// The sockets have no port and receive nothing. Each interface has sockets of its own, because
/// `net.ipv4.igmp_max_memberships` is a limit for each socket.
#[derive(Debug)]
pub(super) struct Memberships {
    _v4: Option<Socket>,
    v6: Option<Socket>,
}

impl Memberships {
    /// Joins both groups on `interface`, and logs failures: without snooping, frames arrive anyway.
    pub(super) fn join(interface: IfIndex) -> Self {
        let v4 = join_v4(interface)
            .inspect_err(|error| {
                if is_gone(error) {
                    debug!(device = %interface, "cannot join {GROUP_V4}: {error}");
                } else {
                    warn!(device = %interface, "cannot join {GROUP_V4}: {error}");
                }
            })
            .ok();
        let v6 = join_v6(interface)
            .inspect_err(|error| debug!(device = %interface, "cannot join {GROUP_V6}: {error}"))
            .ok();
        Self { _v4: v4, v6 }
    }

    /// Joins `ff02::12` again if the interface has lost it: below an MTU of 1280 an interface has no
    /// IPv6 (RFC 8200 §5), and forgets its memberships.
    pub(super) fn renew(&mut self, interface: IfIndex) {
        if is_joined_v6(interface) {
            return;
        }
        // The old socket leaves first: otherwise its leaving would undo the joining.
        self.v6 = None;
        self.v6 = join_v6(interface)
            .inspect_err(|error| debug!(device = %interface, "cannot join {GROUP_V6}: {error}"))
            .ok();
    }
}

/// Returns true if `interface` is in `ff02::12`, or if the memberships cannot be read.
fn is_joined_v6(interface: IfIndex) -> bool {
    let Ok(table) = fs::read_to_string("/proc/thread-self/net/igmp6") else {
        return true;
    };
    let group = format!("{:032x}", GROUP_V6.to_bits());
    let index = interface.to_string();
    table.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next() == Some(&index) && words.nth(1) == Some(&group)
    })
}

fn join_v4(interface: IfIndex) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(interface.0))?;
    Ok(socket)
}

fn join_v6(interface: IfIndex) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
    socket.join_multicast_v6(&GROUP_V6, interface.0)?;
    Ok(socket)
}
