//! Inspection of sysctls, queues, routes and packet filter in turn: the kernel reports no change of most
//! sysctls, and changes of queues and routes only together with all of a router's.

use core::ops::Bound;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use carp_proto::Unit;
use tokio::time::{Interval, MissedTickBehavior};
use tracing::{debug, warn};

use super::device_report::DeviceReport;
use super::devices;

use super::held::Held;
use super::holdings::Holdings;
use super::packet_filter::PacketFilter;
use super::sysctl::Sysctl;

/// Interval of rounds.
const ROUND_INTERVAL: Duration = Duration::from_secs(2);

/// Number of carp interfaces in a round. All physical interfaces are in every round.
const INTERFACES_PER_ROUND: usize = 8;

/// State of the inspection.
#[derive(Debug)]
pub(super) struct Inspection {
    rounds: Interval,
    /// Last carp interface of the previous round.
    last: Option<Unit>,
    /// Values for `all` that no device can undo, which the log has named.
    silencing: BTreeSet<(Sysctl, i32)>,
    filter: PacketFilter,
}

impl Inspection {
    /// Starts on the runtime of the caller.
    pub(super) fn new() -> Self {
        let mut rounds = tokio::time::interval(ROUND_INTERVAL);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            rounds,
            last: None,
            silencing: BTreeSet::new(),
            filter: PacketFilter::default(),
        }
    }

    /// Waits for the next round. Cancel safe.
    pub(super) async fn due(&mut self) {
        self.rounds.tick().await;
    }

    /// Inspects all physical interfaces and some carp interfaces, and sets back what other programs have
    /// changed. Returns the carp interfaces that may have lost addresses.
    pub(super) fn inspect(&mut self, holdings: &mut Holdings) -> Vec<Unit> {
        let units = self.next_units(holdings);
        let mut numbers: BTreeSet<u32> = holdings.attached.all().map(|index| index.0).collect();
        for device in units.iter().filter_map(|unit| holdings.device(*unit)) {
            numbers.extend([device.index, device.parent.0]);
        }
        let mut reports = BTreeMap::new();
        let read = holdings.netlink.links_numbered(numbers, |link| {
            reports.insert(link.header.index, DeviceReport::of(link));
        });
        if let Err(error) = read {
            debug!("cannot read sysctls: {error}");
        }
        for set_back in holdings.attached.set_back(&reports, &holdings.netlink) {
            holdings.log.warn(&set_back.name, set_back.key(), &set_back);
        }
        let mut suspects = Vec::new();
        for unit in units {
            if holdings.inspect_sysctls(unit, &reports) {
                suspects.push(unit);
            }
            holdings.inspect_queue(unit);
            holdings.settle_routes(unit);
        }
        if !holdings.interfaces.is_empty() {
            self.warn_of_silencing();
        }
        if holdings.interfaces.values().any(Held::is_master_on_device) {
            self.filter.check();
        }
        suspects
    }

    fn next_units(&mut self, holdings: &Holdings) -> Vec<Unit> {
        let start = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = holdings.interfaces.range((start, Bound::Unbounded));
        let units: Vec<Unit> = behind
            .map(|(unit, _)| *unit)
            .take(INTERFACES_PER_ROUND)
            .collect();
        self.last = match units.as_slice() {
            [.., last] if units.len() == INTERFACES_PER_ROUND => Some(*last),
            _ => None,
        };
        units
    }

    /// Warns of values for `all` that no device can undo, once while they are so.
    fn warn_of_silencing(&mut self) {
        let now: BTreeSet<_> = Sysctl::silencing().collect();
        for (sysctl, value) in now.difference(&self.silencing) {
            warn!(
                "{} is {value}: carp devices may not answer ARP requests: set it to 0",
                sysctl.name("all")
            );
        }
        self.silencing = now;
    }
}

impl Holdings {
    /// Returns true if the device was without IPv6 although it is to have IPv6 addresses.
    fn inspect_sysctls(&mut self, unit: Unit, reports: &BTreeMap<u32, DeviceReport>) -> bool {
        let Some(held) = self.held(unit) else {
            return false;
        };
        // Nothing is known of a device that no work has asked for yet.
        let Some(device) = held.device.as_ref().filter(|_| !held.is_leftover) else {
            return false;
        };
        let name = unit.to_string();
        // A device with another name gets its own back first.
        let Some(report) = reports
            .get(&device.index)
            .filter(|report| report.name == name)
        else {
            return false;
        };
        let below = reports.get(&device.parent.0);
        let below = below.filter(|_| held.leased.is_some());
        let sysctls = held.sysctls();
        if let Some(below) = below {
            self.follow_forwarding(report, below);
        }
        let mut may_lack_addresses = false;
        for (sysctl, value) in sysctls {
            if report.sysctl(sysctl).is_some_and(|found| found != value) {
                self.set_sysctl_back(report.index, &name, sysctl, value);
                may_lack_addresses |= sysctl == Sysctl::DisableIpv6;
            }
        }
        may_lack_addresses
    }

    /// Lets frames leave the device, or not, as its state requires.
    fn inspect_queue(&self, unit: Unit) {
        let Some(held) = self.held(unit) else { return };
        let Some(device) = &held.device else { return };
        let change = if held.hears() {
            devices::unmute(device.index)
        } else {
            devices::mute(device.index)
        };
        if let Err(error) = self.netlink.change(change) {
            debug!("{unit}: the queue of the device is not ours: {error}");
        }
    }
}
