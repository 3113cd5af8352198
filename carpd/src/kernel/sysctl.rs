//! Sysctls of network devices: one row each in the table below.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use netlink_packet_route::link::{Inet6DevConf, InetDevConf};

/// Value of `arp_ignore`: the device answers ARP requests only for its own addresses.
pub(super) const ARP_IGNORE_OTHERS: i32 = 1;

/// Value of `arp_ignore`: the device answers no ARP request.
pub(super) const ARP_IGNORE_ALL: i32 = 8;

/// Value of `arp_announce`: the device sends ARP requests only from its own addresses.
const ARP_ANNOUNCE_OWN: i32 = 2;

/// Makes [`Sysctl`] of rows `Name: row`.
macro_rules! sysctls {
    ($($sysctl:ident: $row:expr;)*) => {
        /// `net.<family>.conf.<device>.<key>`
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Sysctl {
            $($sysctl,)*
        }

        impl Sysctl {
            /// Every sysctl, in the order in which a new device gets them.
            const ALL: [Self; [$(stringify!($sysctl)),*].len()] = [$(Self::$sysctl),*];

            const fn row(self) -> Row {
                match self {
                    $(Self::$sysctl => $row,)*
                }
            }
        }
    };
}

sysctls! {
    // A device says nothing by itself: no address, no solicitation, no multicast listener report. A
    // frame from a BACKUP with the virtual MAC would make switches send it the MASTER's traffic.
    DisableIpv6: v6("disable_ipv6", |conf| conf.disable_ipv6).on_carp_device(1);
    AddrGenMode: v6("addr_gen_mode", |conf| conf.addr_gen_mode).on_carp_device(1);
    AcceptRa: v6("accept_ra", |conf| conf.accept_ra).on_carp_device(0);
    Autoconf: v6("autoconf", |conf| conf.autoconf).on_carp_device(0);
    RouterSolicitations: v6("router_solicitations", |conf| conf.rtr_solicits).on_carp_device(0);
    // When a lease ends, the kernel reports that it leaves the address's group, twice, the second time
    // up to this many milliseconds later: not after a backup has taken over. The kernel rounds times,
    // so they cannot be compared with what was set.
    Mldv1Interval: unreported_v6("mldv1_unsolicited_report_interval").on_carp_device(1);
    Mldv2Interval: unreported_v6("mldv2_unsolicited_report_interval").on_carp_device(1);
    // Replies leave by the physical interface: strict filtering would drop requests to the device.
    RpFilter: v4("rp_filter", 8, |conf| conf.rp_filter).on_carp_device(2).on_helper_device(1);
    // Otherwise the first address of a subnet takes the others with it when it is deleted.
    PromoteSecondaries: v4("promote_secondaries", 20, |conf| conf.promote_secondaries).on_carp_device(1);
    // A device answers for its own addresses alone: with a medium of -1 it is no ARP proxy, whatever
    // `all.proxy_arp` is (`arp_fwd_proxy()`).
    ProxyArp: v4("proxy_arp", 3, |conf| conf.proxy_arp).on_carp_device(0);
    ProxyArpPvlan: v4("proxy_arp_pvlan", 25, |conf| conf.proxy_arp_pvlan).on_carp_device(0);
    MediumId: v4("medium_id", 14, |conf| conf.medium_id).on_carp_device(-1);
    ProxyNdp: v6("proxy_ndp", |conf| conf.proxy_ndp).on_carp_device(0);
    // And it answers for those, although the way back is the physical interface.
    ArpFilter: v4("arp_filter", 13, |conf| conf.arpfilter).on_carp_device(0).at_most_in_all(0);
    ArpNotify: v4("arp_notify", 22, |conf| conf.arp_notify).on_carp_device(0);
    // A physical interface neither answers ARP requests for virtual addresses nor sends requests from
    // them (the "weak host model" of RFC 1122 §3.3.4.2). The value 3 is about scopes: with it, the
    // interface answers for addresses of any other.
    ArpIgnore: v4("arp_ignore", 19, |conf| conf.arp_ignore)
        .on_carp_device(ARP_IGNORE_OTHERS)
        .on_helper_device(ARP_IGNORE_ALL)
        .on_physical_interface(ARP_IGNORE_OTHERS, |theirs| {
            matches!(theirs, ARP_IGNORE_OTHERS | 2 | ARP_IGNORE_ALL)
        })
        .at_most_in_all(2);
    ArpAnnounce: v4("arp_announce", 18, |conf| conf.arp_announce)
        .on_carp_device(ARP_ANNOUNCE_OWN)
        .on_physical_interface(ARP_ANNOUNCE_OWN, |theirs| theirs >= ARP_ANNOUNCE_OWN);
    // A carp device forwards exactly if its physical interface does.
    ForwardingV4: v4("forwarding", 1, |conf| conf.forwarding);
    ForwardingV6: v6("forwarding", |conf| conf.forwarding);
    // Means nothing to the kernel: carpd keeps the old values of a physical interface in it.
    Tag: v4("tag", 12, |conf| conf.tag);
}

/// Row of the table.
#[derive(Clone, Copy)]
struct Row {
    family: &'static str,
    key: &'static str,
    /// linux/ip.h, `IPV4_DEVCONF_*`: number with which netlink sets it; `None` if netlink cannot.
    number: Option<u16>,
    reported: Reported,
    on_carp_device: Option<i32>,
    on_helper_device: Option<i32>,
    on_physical_interface: Option<Requirement>,
    at_most_in_all: Option<i32>,
}

/// Place of a value in the kernel's report of a device.
#[derive(Clone, Copy)]
enum Reported {
    V4(fn(&InetDevConf) -> i32),
    V6(fn(&Inet6DevConf) -> i32),
    Not,
}

/// Requirement on a physical interface that carries carp interfaces.
#[derive(Clone, Copy)]
pub(super) struct Requirement {
    /// Value that carpd sets. The value before is put back afterwards.
    pub(super) value: i32,
    /// Returns true for values of the administrator that are as good.
    pub(super) is_met_by: fn(i32) -> bool,
}

const fn v4(key: &'static str, number: u16, value: fn(&InetDevConf) -> i32) -> Row {
    Row {
        number: Some(number),
        ..row("ipv4", key, Reported::V4(value))
    }
}

const fn v6(key: &'static str, value: fn(&Inet6DevConf) -> i32) -> Row {
    row("ipv6", key, Reported::V6(value))
}

const fn unreported_v6(key: &'static str) -> Row {
    row("ipv6", key, Reported::Not)
}

const fn row(family: &'static str, key: &'static str, reported: Reported) -> Row {
    Row {
        family,
        key,
        number: None,
        reported,
        on_carp_device: None,
        on_helper_device: None,
        on_physical_interface: None,
        at_most_in_all: None,
    }
}

impl Row {
    /// Sets `value` on a new carp device.
    const fn on_carp_device(self, value: i32) -> Self {
        Self {
            on_carp_device: Some(value),
            ..self
        }
    }

    /// Sets `value` on a helper device.
    const fn on_helper_device(self, value: i32) -> Self {
        Self {
            on_helper_device: Some(value),
            ..self
        }
    }

    /// Sets `value` on a physical interface while it carries carp interfaces, unless its value is as
    /// good.
    const fn on_physical_interface(self, value: i32, is_met_by: fn(i32) -> bool) -> Self {
        Self {
            on_physical_interface: Some(Requirement { value, is_met_by }),
            ..self
        }
    }

    /// Warns of a greater value for `all`: devices cannot undo it, and may answer no ARP request
    /// (linux/inetdevice.h, `IN_DEV_ORCONF()` and `IN_DEV_MAXCONF()`).
    const fn at_most_in_all(self, value: i32) -> Self {
        Self {
            at_most_in_all: Some(value),
            ..self
        }
    }
}

impl Sysctl {
    /// Returns the sysctls of a new carp device, with their values.
    pub(super) fn of_carp_device() -> impl Iterator<Item = (Self, i32)> {
        Self::ALL
            .into_iter()
            .filter_map(|sysctl| Some((sysctl, sysctl.row().on_carp_device?)))
    }

    /// Returns the sysctls of a helper device, with their values.
    pub(super) fn of_helper_device() -> impl Iterator<Item = (Self, i32)> {
        Self::ALL
            .into_iter()
            .filter_map(|sysctl| Some((sysctl, sysctl.row().on_helper_device?)))
    }

    /// Returns the sysctls of a physical interface, with the requirements on them.
    pub(super) fn of_physical_interface() -> impl Iterator<Item = (Self, Requirement)> {
        Self::ALL
            .into_iter()
            .filter_map(|sysctl| Some((sysctl, sysctl.on_physical_interface()?)))
    }

    /// Returns the requirement on a physical interface; `None` if carpd does not set it there.
    pub(super) const fn on_physical_interface(self) -> Option<Requirement> {
        self.row().on_physical_interface
    }

    /// Returns those with a value for `all` that may keep every device from answering.
    pub(super) fn silencing() -> impl Iterator<Item = (Self, i32)> {
        Self::ALL.into_iter().filter_map(|sysctl| {
            let greatest = sysctl.row().at_most_in_all?;
            let value = sysctl.read("all").ok()?;
            (value > greatest).then_some((sysctl, value))
        })
    }

    /// Returns the last part of the name.
    pub(super) const fn key(self) -> &'static str {
        self.row().key
    }

    /// Returns the whole name for a device.
    pub(super) fn name(self, device: &str) -> String {
        let Row { family, key, .. } = self.row();
        format!("net.{family}.conf.{device}.{key}")
    }

    /// Returns the number with which netlink sets it; `None` if netlink cannot.
    pub(super) const fn number(self) -> Option<u16> {
        self.row().number
    }

    /// Returns the value in the kernel's report of a device; `None` if it is not reported, or if the
    /// device has no IPv6.
    pub(super) fn reported(
        self,
        v4: Option<&InetDevConf>,
        v6: Option<&Inet6DevConf>,
    ) -> Option<i32> {
        match self.row().reported {
            Reported::V4(value) => v4.map(value),
            Reported::V6(value) => v6.map(value),
            Reported::Not => None,
        }
    }

    /// Reads the value on `device`, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// `NotFound` if there is no such device, or if it has no IPv6.
    pub(super) fn read(self, device: &str) -> io::Result<i32> {
        let text = fs::read_to_string(self.path(device))?;
        text.trim()
            .parse()
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// Sets the value on `device`.
    ///
    /// # Errors
    /// `NotFound` as for [`read`](Self::read), `PermissionDenied` or `EROFS` where carpd cannot write to
    /// /proc/sys.
    pub(super) fn write(self, device: &str, value: i32) -> io::Result<()> {
        // One write(2), as proc(5) asks for.
        fs::OpenOptions::new()
            .write(true)
            .open(self.path(device))?
            .write_all(value.to_string().as_bytes())
    }

    fn path(self, device: &str) -> PathBuf {
        let Row { family, key, .. } = self.row();
        // Not with dots between the parts: the name of a device can contain dots.
        Path::new("/proc/sys/net")
            .join(family)
            .join("conf")
            .join(device)
            .join(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_that_is_set_is_reported_except_times() {
        let (v4, v6) = (InetDevConf::default(), Inet6DevConf::default());
        for (sysctl, _) in Sysctl::of_carp_device() {
            let is_time = sysctl.key().ends_with("_interval");
            let reported = sysctl.reported(Some(&v4), Some(&v6));
            assert_eq!(reported.is_none(), is_time, "{sysctl:?}");
        }
        for (sysctl, _) in Sysctl::of_physical_interface() {
            assert!(sysctl.reported(Some(&v4), None).is_some(), "{sysctl:?}");
        }
    }

    #[test]
    fn device_without_ipv6_reports_none_of_its_values() {
        assert_eq!(Sysctl::DisableIpv6.reported(None, None), None);
    }
}
