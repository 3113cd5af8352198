//! What was seen of one carp interface over time, in rings of bounded size.

use std::collections::VecDeque;

use carp_dbus::{EventInfo, InterfaceInfo, MasterInfo};

/// Advertisements are counted in stretches of this many microseconds.
pub(crate) const PERIOD: u64 = 5_000_000;

/// How many stretches are kept: five minutes.
const PERIODS: usize = 60;

/// How many intervals between advertisements are kept.
const INTERVALS: usize = 128;

/// How many changes of state are kept.
const TRANSITIONS: usize = 64;

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    /// Microseconds since the epoch.
    pub(crate) time: u64,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// Something wrong that an event told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incident {
    /// Microseconds since the epoch.
    pub(crate) time: u64,
    pub(crate) text: String,
}

/// What was seen of one carp interface.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The last look at the counters: when, advertisements sent and received, bad packets.
    last: Option<Counts>,
    /// Advertisements in each stretch, the present one last.
    periods: VecDeque<u16>,
    /// The number of the present stretch since the epoch. The one in which we began to look is
    /// cut and does not count.
    period: Option<u64>,
    /// By how many microseconds intervals between advertisements missed what was announced.
    deviations: VecDeque<u32>,
    /// How many advertisements came later than a quarter of the interval.
    pub(crate) late: u32,
    /// When the counters of bad packets last grew.
    pub(crate) bad_grew: Option<u64>,
    /// When another host's good advertisement was last seen while this one was MASTER.
    pub(crate) rival: Option<u64>,
    /// The last event about a bad packet.
    pub(crate) bad_packet: Option<Incident>,
    /// The last event about a second master.
    pub(crate) two_masters: Option<Incident>,
    /// The last event about what the kernel refused.
    pub(crate) refused: Option<Incident>,
    /// Whether advertisements cannot be sent, and since when.
    pub(crate) sending_fails: Option<Incident>,
    /// Changes of state, the newest last.
    pub(crate) transitions: VecDeque<Transition>,
    /// The master that was last heard.
    pub(crate) last_master: Option<MasterInfo>,
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    advertisements: u64,
    received: u64,
    heard: u64,
    bad: u64,
}

impl History {
    /// Takes a look at the counters at `now`.
    pub(crate) fn sample(&mut self, info: &InterfaceInfo, now: u64) {
        let count = |names: &[&str]| -> u64 {
            names
                .iter()
                .filter_map(|name| info.statistics.get(*name))
                .sum()
        };
        let received = count(&["ipackets", "ipackets6"]);
        let counts = Counts {
            advertisements: received + count(&["opackets", "opackets6"]),
            received,
            heard: info.master.as_ref().map_or(0, |master| master.heard),
            bad: bad_packets(info),
        };
        self.turn(now / PERIOD);
        if let Some(last) = self.last.replace(counts) {
            // A reset of the counters is no advertisement.
            let new = counts.advertisements.saturating_sub(last.advertisements);
            if let Some(period) = self.periods.back_mut() {
                *period = period.saturating_add(u16::try_from(new).unwrap_or(u16::MAX));
            }
            let bad = counts.bad.saturating_sub(last.bad);
            if bad > 0 {
                self.bad_grew = Some(now);
            }
            if info.state == "MASTER" && counts.received.saturating_sub(last.received) > bad {
                self.rival = Some(now);
            }
            if let Some(master) = &info.master
                && counts.received == last.received + 1
                && last.heard > 0
            {
                let announced = u64::from(master.advbase) * 1_000_000
                    + u64::from(master.advskew) * 1_000_000 / 256;
                self.interval(counts.heard.saturating_sub(last.heard), announced);
            }
        }
    }

    /// Remembers who is master, for the time when nobody is heard.
    pub(crate) fn remember_master(&mut self, info: &InterfaceInfo) {
        if let Some(master) = &info.master {
            self.last_master = Some(master.clone());
        }
    }

    /// Takes over an event about this interface.
    pub(crate) fn event(&mut self, event: &EventInfo) {
        let detail = |name: &str| event.details.get(name).cloned().unwrap_or_default();
        let told = Some(Incident {
            time: event.time,
            text: without_name(event),
        });
        match event.kind.as_str() {
            "transition" => {
                if self.transitions.len() == TRANSITIONS {
                    self.transitions.pop_front();
                }
                self.transitions.push_back(Transition {
                    time: event.time,
                    from: detail("from"),
                    to: detail("to"),
                });
            }
            "bad-packet" => self.bad_packet = told,
            "two-masters" => self.two_masters = told,
            "kernel-refused" => self.refused = told,
            "sending" if detail("works") == "false" => self.sending_fails = told,
            "sending" => self.sending_fails = None,
            _ => {}
        }
    }

    /// Advertisements in each complete stretch, the newest last.
    pub(crate) fn complete_periods(&self) -> impl DoubleEndedIterator<Item = u16> + '_ {
        let complete = self.periods.len().saturating_sub(1);
        self.periods.iter().copied().take(complete)
    }

    /// Advertisements in a second, over the last two complete stretches.
    pub(crate) fn rate(&self) -> Option<f64> {
        let last: Vec<u16> = self.complete_periods().rev().take(2).collect();
        let periods = u32::try_from(last.len()).ok().filter(|count| *count > 0)?;
        let sum: u32 = last.iter().copied().map(u32::from).sum();
        Some(f64::from(sum) / f64::from(periods) / 5.0)
    }

    /// By how many microseconds 99 of 100 intervals at most missed what was announced, and how
    /// many intervals that is about.
    pub(crate) fn jitter(&self) -> Option<(u32, usize)> {
        let mut sorted: Vec<u32> = self.deviations.iter().copied().collect();
        sorted.sort_unstable();
        let at = (sorted.len() * 99).div_ceil(100).checked_sub(1)?;
        sorted.get(at).map(|deviation| (*deviation, sorted.len()))
    }

    /// Begins as many stretches as have passed.
    fn turn(&mut self, period: u64) {
        let before = self.period.replace(period).unwrap_or(period);
        let passed = usize::try_from(period.saturating_sub(before)).unwrap_or(PERIODS);
        for _ in 0..passed.min(PERIODS) {
            if self.periods.len() == PERIODS {
                self.periods.pop_front();
            }
            self.periods.push_back(0);
        }
    }

    fn interval(&mut self, measured: u64, announced: u64) {
        let deviation = measured.abs_diff(announced);
        // Another master or a pause, not an uneven interval.
        if announced == 0 || measured == 0 || deviation > announced * 4 {
            return;
        }
        if measured > announced + announced / 4 {
            self.late = self.late.saturating_add(1);
        }
        if self.deviations.len() == INTERVALS {
            self.deviations.pop_front();
        }
        self.deviations
            .push_back(u32::try_from(deviation).unwrap_or(u32::MAX));
    }
}

/// How many packets were refused.
pub(crate) fn bad_packets(info: &InterfaceInfo) -> u64 {
    let bad = |name: &str| name.starts_with("bad") || name == "hdrops";
    // `badaddrs` counts packets that `badauth` counts, too.
    let counted = info
        .statistics
        .iter()
        .filter(|(name, _)| bad(name) && *name != "badaddrs");
    counted.map(|(_, value)| value).sum()
}

/// The text of an event without the interface's name before it.
pub(crate) fn without_name(event: &EventInfo) -> String {
    let text = event.text.strip_prefix(event.interface.as_str());
    text.and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(&event.text)
        .to_owned()
}

/// Why a transition happened, as the text of its event has it: the words in parentheses.
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
    fn one_advertisement_a_second_is_a_rate_of_one() {
        let mut history = History::default();
        for second in 0..60 {
            history.sample(&backup(second * SECOND, second), second * SECOND);
        }
        assert_eq!(history.rate(), Some(1.0));
        assert_eq!(history.jitter(), Some((0, 58)));
        assert_eq!(history.late, 0);
    }

    #[test]
    fn a_late_advertisement_is_counted_and_shows_in_the_jitter() {
        let mut history = History::default();
        history.sample(&backup(SECOND, 1), SECOND);
        history.sample(&backup(2 * SECOND, 2), 2 * SECOND);
        history.sample(&backup(3 * SECOND + 400_000, 3), 4 * SECOND);
        assert_eq!(history.late, 1);
        assert_eq!(history.jitter(), Some((400_000, 2)));
    }

    #[test]
    fn what_was_not_looked_at_in_time_is_no_interval() {
        let mut history = History::default();
        history.sample(&backup(SECOND, 1), SECOND);
        history.sample(&backup(3 * SECOND, 3), 3 * SECOND);
        assert_eq!(history.jitter(), None);
    }

    #[test]
    fn days_of_looking_do_not_grow_it() {
        let mut history = History::default();
        for second in 0..100_000 {
            history.sample(&backup(second * SECOND, second), second * SECOND);
        }
        assert_eq!(history.periods.len(), PERIODS);
        assert_eq!(history.deviations.len(), INTERVALS);
    }

    #[test]
    fn reset_counters_are_no_bad_packets() {
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
