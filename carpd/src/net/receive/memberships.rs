//! Real multicast memberships on a physical interface, so that snooping switches forward to it.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::{fs, io};

use carp_proto::IfIndex;
use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};
use tracing::{debug, warn};

pub(super) const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
pub(super) const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// Memberships in 224.0.0.18 and `ff02::12`, held until this is dropped.
///
/// The sockets are bound to no port and receive nothing. Each interface has its own, because
/// `net.ipv4.igmp_max_memberships` counts by socket.
#[derive(Debug)]
pub(super) struct Memberships {
    _v4: Option<Socket>,
    v6: Option<Socket>,
}

impl Memberships {
    /// Joins both groups on `device`. One that cannot be joined is logged: frames are heard
    /// anyway wherever no switch in between snoops.
    pub(super) fn join(device: IfIndex) -> Self {
        let v4 = join_v4(device)
            .inspect_err(|error| {
                if crate::net::socket::is_gone(error) {
                    debug!(%device, "cannot join {GROUP_V4}: {error}");
                } else {
                    warn!(%device, "cannot join {GROUP_V4}: {error}");
                }
            })
            .ok();
        let v6 = join_v6(device)
            .inspect_err(|error| debug!(%device, "cannot join {GROUP_V6}: {error}"))
            .ok();
        Self { _v4: v4, v6 }
    }

    /// Joins `ff02::12` again if the interface has lost it: below an MTU of 1280 it has no IPv6
    /// (RFC 8200 §5), and forgets all memberships.
    pub(super) fn renew(&mut self, device: IfIndex) {
        if is_joined_v6(device) {
            return;
        }
        // First out, or leaving would undo the joining.
        self.v6 = None;
        self.v6 = join_v6(device)
            .inspect_err(|error| debug!(%device, "cannot join {GROUP_V6}: {error}"))
            .ok();
    }
}

/// Whether `device` is in `ff02::12`. What cannot be read is taken as it should be.
fn is_joined_v6(device: IfIndex) -> bool {
    let Ok(table) = fs::read_to_string("/proc/thread-self/net/igmp6") else {
        return true;
    };
    let group = format!("{:032x}", GROUP_V6.to_bits());
    let index = device.to_string();
    table.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next() == Some(&index) && words.nth(1) == Some(&group)
    })
}

fn join_v4(device: IfIndex) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(device.0))?;
    Ok(socket)
}

fn join_v6(device: IfIndex) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
    socket.join_multicast_v6(&GROUP_V6, device.0)?;
    Ok(socket)
}
