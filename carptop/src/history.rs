//! History of one carp interface, of bounded size.

use std::collections::VecDeque;

use carp_dbus::{EventInfo, InterfaceInfo, MasterInfo};

/// Length of a counting period of advertisements, in microseconds.
pub(crate) const PERIOD: u64 = 5_000_000;

/// Number of kept periods: five minutes.
const KEPT_PERIODS: usize = 60;

/// Number of kept intervals between advertisements.
const KEPT_INTERVALS: usize = 128;

/// Number of kept changes of state.
const KEPT_TRANSITIONS: usize = 64;

/// Change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    /// Microseconds since the epoch.
    pub(crate) time: u64,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// Trouble that an event reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incident {
    /// Microseconds since the epoch.
    pub(crate) time: u64,
    pub(crate) text: String,
}

/// History of one carp interface.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Counters of the last sample.
    last: Option<Counts>,
    /// Advertisements in each period, the current one last.
    periods: VecDeque<u16>,
    /// Number of the current period since the epoch. The period of the first sample is incomplete
    /// and is not kept.
    period: Option<u64>,
    /// Differences between measured and advertised intervals, in microseconds.
    deviations: VecDeque<u32>,
    /// Number of advertisements that were late by more than a quarter of the interval.
    pub(crate) late: u32,
    /// Time when the counters of bad packets last grew.
    pub(crate) bad_grew: Option<u64>,
    /// Time of the last valid advertisement of another master while this host was MASTER.
    pub(crate) rival_heard: Option<u64>,
    /// Last event about a bad packet.
    pub(crate) bad_packet: Option<Incident>,
    /// Last event about a second master.
    pub(crate) two_masters: Option<Incident>,
    /// Last event about a refusal of the kernel.
    pub(crate) refused: Option<Incident>,
    /// Event since which advertisements cannot be sent.
    pub(crate) sending_fails: Option<Incident>,
    /// Changes of state, the newest last.
    pub(crate) transitions: VecDeque<Transition>,
    /// Master that was last heard.
    pub(crate) last_master: Option<MasterInfo>,
}

/// Counters of one sample.
#[derive(Clone, Copy, Debug)]
struct Counts {
    advertisements: u64,
    received: u64,
    heard: u64,
    bad: u64,
}

impl History {
    /// Adds a sample of the counters at `now`.
    pub(crate) fn sample(&mut self, info: &InterfaceInfo, now: u64) {
        let sum = |names: &[&str]| -> u64 {
            names
                .iter()
                .filter_map(|name| info.statistics.get(*name))
                .sum()
        };
        let received = sum(&["ipackets", "ipackets6"]);
        let counts = Counts {
            advertisements: received + sum(&["opackets", "opackets6"]),
            received,
            heard: info.master.as_ref().map_or(0, |master| master.heard),
            bad: bad_packets(info),
        };
        self.advance(now / PERIOD);
        if let Some(last) = self.last.replace(counts) {
            // Counters can be reset; then nothing was received.
            let new = counts.advertisements.saturating_sub(last.advertisements);
            if let Some(period) = self.periods.back_mut() {
                *period = period.saturating_add(u16::try_from(new).unwrap_or(u16::MAX));
            }
            let bad = counts.bad.saturating_sub(last.bad);
            if bad > 0 {
                self.bad_grew = Some(now);
            }
            if info.state == "MASTER" && counts.received.saturating_sub(last.received) > bad {
                self.rival_heard = Some(now);
            }
            if let Some(master) = &info.master
                && counts.received == last.received + 1
                && last.heard > 0
            {
                let announced = u64::from(master.advbase) * 1_000_000
                    + u64::from(master.advskew) * 1_000_000 / 256;
                self.add_interval(counts.heard.saturating_sub(last.heard), announced);
            }
        }
    }

    /// Keeps the master for the time when none is heard.
    pub(crate) fn remember_master(&mut self, info: &InterfaceInfo) {
        if let Some(master) = &info.master {
            self.last_master = Some(master.clone());
        }
    }

    /// Adds an event about this interface.
    pub(crate) fn add_event(&mut self, event: &EventInfo) {
        let detail = |name: &str| event.details.get(name).cloned().unwrap_or_default();
        let incident = Some(Incident {
            time: event.time,
            text: without_name(event),
        });
        match event.kind.as_str() {
            "transition" => {
                if self.transitions.len() == KEPT_TRANSITIONS {
                    self.transitions.pop_front();
                }
                self.transitions.push_back(Transition {
                    time: event.time,
                    from: detail("from"),
                    to: detail("to"),
                });
            }
            "bad-packet" => self.bad_packet = incident,
            "two-masters" => self.two_masters = incident,
            "kernel-refused" => self.refused = incident,
            "sending" if detail("works") == "false" => self.sending_fails = incident,
            "sending" => self.sending_fails = None,
            _ => {}
        }
    }

    /// Returns the advertisements in each complete period, the newest last.
    pub(crate) fn complete_periods(&self) -> impl DoubleEndedIterator<Item = u16> + '_ {
        let complete = self.periods.len().saturating_sub(1);
        self.periods.iter().copied().take(complete)
    }

    /// Returns the advertisements per second in the last two complete periods.
    pub(crate) fn rate(&self) -> Option<f64> {
        let last: Vec<u16> = self.complete_periods().rev().take(2).collect();
        let periods = u32::try_from(last.len()).ok().filter(|count| *count > 0)?;
        let sum: u32 = last.iter().copied().map(u32::from).sum();
        Some(f64::from(sum) / f64::from(periods) / 5.0)
    }

    /// Returns the 99th percentile of the differences between measured and advertised intervals, in
    /// microseconds, and the number of intervals.
    pub(crate) fn jitter(&self) -> Option<(u32, usize)> {
        let mut sorted: Vec<u32> = self.deviations.iter().copied().collect();
        sorted.sort_unstable();
        let at = (sorted.len() * 99).div_ceil(100).checked_sub(1)?;
        sorted.get(at).map(|deviation| (*deviation, sorted.len()))
    }

    /// Starts a new period for each one that has passed.
    fn advance(&mut self, period: u64) {
        let before = self.period.replace(period).unwrap_or(period);
        let passed = usize::try_from(period.saturating_sub(before)).unwrap_or(KEPT_PERIODS);
        for _ in 0..passed.min(KEPT_PERIODS) {
            if self.periods.len() == KEPT_PERIODS {
                self.periods.pop_front();
            }
            self.periods.push_back(0);
        }
    }

    /// Adds an interval between two advertisements.
    fn add_interval(&mut self, measured: u64, announced: u64) {
        let deviation = measured.abs_diff(announced);
        // A change of master or a pause, not jitter.
        if announced == 0 || measured == 0 || deviation > announced * 4 {
            return;
        }
        if measured > announced + announced / 4 {
            self.late = self.late.saturating_add(1);
        }
        if self.deviations.len() == KEPT_INTERVALS {
            self.deviations.pop_front();
        }
        self.deviations
            .push_back(u32::try_from(deviation).unwrap_or(u32::MAX));
    }
}

/// Returns the number of refused packets.
pub(crate) fn bad_packets(info: &InterfaceInfo) -> u64 {
    let bad = |name: &str| name.starts_with("bad") || name == "hdrops";
    // `badauth` counts the packets of `badaddrs` too.
    let counted = info
        .statistics
        .iter()
        .filter(|(name, _)| bad(name) && *name != "badaddrs");
    counted.map(|(_, value)| value).sum()
}

/// Returns the text of an event without the name of the interface at its beginning.
pub(crate) fn without_name(event: &EventInfo) -> String {
    let text = event.text.strip_prefix(event.interface.as_str());
    text.and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(&event.text)
        .to_owned()
}

/// Returns the reason of a transition: the words in parentheses in the text of its event.
pub(crate) fn reason(event: &EventInfo) -> String {
    let text = without_name(event);
    let reason = text.split_once(" (").map_or("", |(_, reason)| reason);
    reason.trim_end_matches(')').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn backup(heard: u64, received: u64) -> InterfaceInfo {
        InterfaceInfo {
            state: "BACKUP".to_owned(),
            master: Some(MasterInfo {
                source: "192.0.2.2".to_owned(),
                advbase: 1,
                advskew: 0,
                heard,
            }),
            statistics: [("ipackets".to_owned(), received)].into(),
            ..InterfaceInfo::default()
        }
    }

    #[test]
    fn one_advertisement_per_second_is_a_rate_of_one() {
        let mut history = History::default();
        for second in 0..60 {
            history.sample(&backup(second * SECOND, second), second * SECOND);
        }
        assert_eq!(history.rate(), Some(1.0));
        assert_eq!(history.jitter(), Some((0, 58)));
        assert_eq!(history.late, 0);
    }

    #[test]
    fn late_advertisement_counts_and_raises_the_jitter() {
        let mut history = History::default();
        history.sample(&backup(SECOND, 1), SECOND);
        history.sample(&backup(2 * SECOND, 2), 2 * SECOND);
        history.sample(&backup(3 * SECOND + 400_000, 3), 4 * SECOND);
        assert_eq!(history.late, 1);
        assert_eq!(history.jitter(), Some((400_000, 2)));
    }

    #[test]
    fn samples_that_miss_an_advertisement_give_no_interval() {
        let mut history = History::default();
        history.sample(&backup(SECOND, 1), SECOND);
        history.sample(&backup(3 * SECOND, 3), 3 * SECOND);
        assert_eq!(history.jitter(), None);
    }

    #[test]
    fn history_stays_bounded_after_many_samples() {
        let mut history = History::default();
        for second in 0..100_000 {
            history.sample(&backup(second * SECOND, second), second * SECOND);
        }
        assert_eq!(history.periods.len(), KEPT_PERIODS);
        assert_eq!(history.deviations.len(), KEPT_INTERVALS);
    }

    #[test]
    fn reset_counters_are_not_bad_packets() {
        let mut history = History::default();
        let bad = |count| InterfaceInfo {
            statistics: [
                ("badauth".to_owned(), count),
                ("badaddrs".to_owned(), count),
            ]
            .into(),
            ..InterfaceInfo::default()
        };
        assert_eq!(bad_packets(&bad(17)), 17);
        history.sample(&bad(17), SECOND);
        assert_eq!(history.bad_grew, None);
        history.sample(&bad(0), 2 * SECOND);
        assert_eq!(history.bad_grew, None);
        history.sample(&bad(1), 3 * SECOND);
        assert_eq!(history.bad_grew, Some(3 * SECOND));
    }
}
