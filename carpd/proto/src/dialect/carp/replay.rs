//! Repeated advertisements (`net.inet.carp.replay`).
//!
//! **Invariant:** mode 1 accepts a host that advertises at its own interval, whatever its counters are.
//! OpenBSD never changes its counter. NetBSD and DragonFly send the last one heard plus one, and so may
//! repeat their own.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::VecDeque;

use super::seal::Sealed;
use super::spent::Spent;
use crate::time::{Instant, Now};
use crate::wire::carp::Header;

/// Advertisements that one virtual host accepted lately for one address family.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Senders, the last one first.
    sources: VecDeque<Source>,
    /// In mode 2, counters that were accepted, heard outside of the window, or sent.
    spent: Spent,
    accepted_at: Instant,
}

/// Reason to refuse an advertisement with a good digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayRefusal {
    /// Mode 1.
    #[error("repeats an advertisement heard before (a network loop?)")]
    Repeated,
    /// Mode 2: advbase, advskew or demotion differ from the sealed ones.
    #[error("advbase, advskew or demotion were changed on the way, or the sender is not carpd")]
    NotAsSealed,
    /// Mode 2: sealed outside of the window.
    #[error("sent {} s {} our time", .off.as_secs(), if *.early { "before" } else { "after" })]
    OtherTime {
        /// Difference of the times.
        off: Duration,
        /// True if it was sealed before our time.
        early: bool,
    },
    /// Mode 2.
    #[error("its counter is not greater than the last one accepted, or was used before")]
    NotNewer,
}

impl Replay {
    const MOST_SOURCES: usize = 8;

    /// Continues after a restart: each counter up to `last` is spent, and so are those in `spent`.
    pub fn resume(&mut self, last: u64, spent: &[u64], at: Instant) {
        self.spent.resume(last, spent);
        self.accepted_at = at;
    }

    /// In mode 2, the record to which this host adds the counters that it seals. An attacker that sends them
    /// again from another address is no rival.
    pub fn sealing(&mut self, mode: u8) -> Option<&mut Spent> {
        if mode != 2 {
            self.spent = Spent::default();
            return None;
        }
        Some(&mut self.spent)
    }

    /// On the first call in mode 2, spends each counter up to `last`.
    pub fn begin(&mut self, last: u64) {
        self.spent.begin(last);
    }

    /// Spent counters, in mode 2.
    #[must_use]
    pub const fn spent(&self) -> &Spent {
        &self.spent
    }

    /// Time of the last advertisement that was accepted in mode 2.
    #[must_use]
    pub const fn accepted_at(&self) -> Instant {
        self.accepted_at
    }

    /// Follows a clock that was set back: see [`Spent::follow_clock`].
    pub fn follow_clock(&mut self, now: Now, window: Duration) {
        self.spent.follow_clock(now, window);
    }

    /// Checks an advertisement with a good digest, and remembers it if it is accepted. `mode` is
    /// `net.inet.carp.replay` (0 to 2), and `window` the permitted difference of the clocks in mode 2.
    ///
    /// # Errors
    /// The reason to refuse it.
    pub fn check(
        &mut self,
        mode: u8,
        window: Duration,
        now: Now,
        source: IpAddr,
        header: &Header,
    ) -> Result<(), ReplayRefusal> {
        match mode {
            0 => Ok(()),
            1 => self.check_repetition(now.instant, source, header),
            _ => self.check_sealed(window, now, header),
        }
    }

    /// Checks each source by itself, because a BSD backup that takes over sends the counter of its master.
    fn check_repetition(
        &mut self,
        now: Instant,
        address: IpAddr,
        header: &Header,
    ) -> Result<(), ReplayRefusal> {
        let known = self
            .sources
            .iter()
            .position(|source| source.address == address);
        let mut source = known
            .and_then(|position| self.sources.remove(position))
            .unwrap_or_else(|| Source::new(address));
        let result = source.check(now, header);
        self.sources.push_front(source);
        self.sources.truncate(Self::MOST_SOURCES);
        result
    }

    fn check_sealed(
        &mut self,
        window: Duration,
        now: Now,
        header: &Header,
    ) -> Result<(), ReplayRefusal> {
        let sealed = Sealed::open(header.counter);
        let fields = (sealed.advbase, sealed.advskew, sealed.demotion);
        if fields != (header.advbase, header.advskew, header.demotion) {
            return Err(ReplayRefusal::NotAsSealed);
        }
        let (sent, ours) = (sealed.unix().micros(), now.unix.micros());
        let off = Duration::from_micros(sent.abs_diff(ours));
        if off > window {
            // After a clock is set it may be within the window, and then it would be a repetition.
            self.spent.add(header.counter, now, window);
            return Err(ReplayRefusal::OtherTime {
                off,
                early: sent < ours,
            });
        }
        if self.spent.has(header.counter) {
            return Err(ReplayRefusal::NotNewer);
        }
        self.spent.accept(header.counter, now, window);
        self.accepted_at = now.instant;
        Ok(())
    }
}

/// First bytes of a good digest, which identify an advertisement. The digest covers the counter. Both in
/// full would take four times the memory and the search.
type Fingerprint = u64;

fn fingerprint(header: &Header) -> Fingerprint {
    let beginning = header.digest.first_chunk();
    beginning.map_or(0, |bytes| Fingerprint::from_be_bytes(*bytes))
}

/// Advertisements that were accepted from one source.
#[derive(Clone, Debug)]
struct Source {
    address: IpAddr,
    /// The last one first.
    accepted: VecDeque<Fingerprint>,
    at: Instant,
    interval: Duration,
    repeats_itself: bool,
}

impl Source {
    const MOST_REMEMBERED: usize = 16;

    const fn new(address: IpAddr) -> Self {
        Self {
            address,
            accepted: VecDeque::new(),
            at: Instant::ZERO,
            interval: Duration::ZERO,
            repeats_itself: false,
        }
    }

    fn check(&mut self, now: Instant, header: &Header) -> Result<(), ReplayRefusal> {
        let this = fingerprint(header);
        let interval = interval_of(header);
        let since = now.since(self.at);
        match self.accepted.iter().position(|accepted| *accepted == this) {
            None => {
                self.repeats_itself = false;
                self.accepted.push_front(this);
                self.accepted.truncate(Self::MOST_REMEMBERED);
            }
            Some(0) if self.repeats_itself || since >= self.interval.min(interval) / 2 => {
                self.repeats_itself = true;
            }
            // Nothing newer came in time, so the sender went back over its counters.
            Some(1..) if since >= self.interval.min(interval) * 3 / 4 => {
                self.accepted.clear();
                self.accepted.push_front(this);
            }
            Some(_) => return Err(ReplayRefusal::Repeated),
        }
        self.at = now;
        self.interval = interval;
        Ok(())
    }
}

/// Interval until the next advertisement. After a bow-out it is short, so that a host that returns soon is
/// heard soon.
fn interval_of(header: &Header) -> Duration {
    if header.is_bow_out() {
        return Duration::from_secs(1);
    }
    let ticks = u32::from(header.advbase) * 256 + u32::from(header.advskew);
    Duration::from_micros(u64::from(ticks.max(1)) * 15625 / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::carp::seal::Seal;
    use crate::time::UnixTime;
    use crate::wire::carp::{ADVERTISEMENT, AUTHLEN, VERSION};

    fn header(counter: u64) -> Header {
        let [.., low] = counter.to_be_bytes();
        Header {
            version: VERSION,
            kind: ADVERTISEMENT,
            vhid: 1,
            advskew: 0,
            authlen: AUTHLEN,
            demotion: 0,
            advbase: 1,
            counter,
            digest: [low; 20],
        }
    }

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn at(millis: u64) -> Now {
        let micros = millis * 1000;
        Now {
            instant: Instant::from_micros(micros),
            unix: UnixTime::from_micros(1_700_000_000_000_000 + micros),
        }
    }

    /// Results of mode 1 for counters of one host, at the given milliseconds.
    fn heard(replay: &mut Replay, counters: &[(u64, u64)]) -> Vec<bool> {
        counters
            .iter()
            .map(|(millis, counter)| {
                let header = header(*counter);
                replay
                    .check(1, Duration::ZERO, at(*millis), peer(1), &header)
                    .is_ok()
            })
            .collect()
    }

    #[test]
    fn mode_1_refuses_advertisements_that_loop() {
        let mut replay = Replay::default();
        let echoes = [
            (0, 1),
            (1, 1),
            (2, 1),
            (1000, 2),
            (1001, 2),
            (1100, 1),
            (2000, 3),
        ];
        let accepted = [true, false, false, true, false, false, true];
        assert_eq!(heard(&mut replay, &echoes), accepted);
    }

    #[test]
    fn mode_1_accepts_a_constant_counter() {
        let mut replay = Replay::default();
        let constant = [(0, 9), (1000, 9), (2000, 9), (2010, 9), (3000, 9)];
        assert_eq!(heard(&mut replay, &constant), [true; 5]);
    }

    #[test]
    fn mode_1_accepts_a_bow_out_with_a_constant_counter_at_once() {
        let mut replay = Replay::default();
        assert_eq!(heard(&mut replay, &[(0, 9), (1000, 9)]), [true; 2]);
        let bow_out = Header {
            advbase: 255,
            advskew: 255,
            ..header(9)
        };
        assert!(
            replay
                .check(1, Duration::ZERO, at(1010), peer(1), &bow_out)
                .is_ok()
        );
        assert_eq!(heard(&mut replay, &[(1600, 9)]), [true]);
    }

    #[test]
    fn mode_1_accepts_random_and_growing_counters() {
        let mut replay = Replay::default();
        assert_eq!(
            heard(&mut replay, &[(0, 5), (10, 3), (20, 4), (30, 5000)]),
            [true; 4]
        );
    }

    #[test]
    fn mode_1_accepts_the_same_counter_of_another_host() {
        let mut replay = Replay::default();
        let (window, header) = (Duration::ZERO, header(7));
        assert_eq!(replay.check(1, window, at(0), peer(1), &header), Ok(()));
        assert_eq!(replay.check(1, window, at(1), peer(2), &header), Ok(()));
        assert_eq!(
            replay.check(1, window, at(2), peer(1), &header),
            Err(ReplayRefusal::Repeated)
        );
    }

    #[test]
    fn mode_1_accepts_a_host_that_goes_back_over_its_counters() {
        let mut replay = Replay::default();
        let first: Vec<_> = (0..10).map(|n| (n * 1000, 100 + n)).collect();
        assert_eq!(heard(&mut replay, &first), [true; 10]);
        let again: Vec<_> = (0..10).map(|n| (10_000 + n * 1000, 103 + n)).collect();
        assert_eq!(heard(&mut replay, &again), [true; 10]);
        let echoes = [(19_100, 110), (19_700, 111), (19_710, 112)];
        assert_eq!(heard(&mut replay, &echoes), [false, false, true]);
    }

    #[test]
    fn number_of_remembered_advertisements_is_limited() {
        let mut replay = Replay::default();
        // Miri is slow.
        let sources = if cfg!(miri) { 2 * 8 } else { 255 };
        for n in 0..=sources {
            for counter in 0..64 {
                let _ = replay.check(1, Duration::ZERO, at(0), peer(n), &header(counter));
            }
        }
        assert_eq!(replay.sources.len(), Replay::MOST_SOURCES);
        assert!(
            replay
                .sources
                .iter()
                .all(|s| s.accepted.len() <= Source::MOST_REMEMBERED)
        );
    }

    #[test]
    fn mode_0_accepts_everything() {
        let mut replay = Replay::default();
        for _ in 0..3 {
            assert_eq!(
                replay.check(0, Duration::ZERO, at(0), peer(1), &header(1)),
                Ok(())
            );
        }
    }

    fn sealed(seal: &mut Seal, now: Now) -> Header {
        Header {
            counter: seal.next(now.unix, 1, 0, 0),
            ..header(0)
        }
    }

    #[test]
    fn mode_2_accepts_a_sealed_counter_once() {
        let (mut seal, mut replay, window) =
            (Seal::default(), Replay::default(), Duration::from_secs(60));
        let first = sealed(&mut seal, at(0));
        let second = sealed(&mut seal, at(1000));
        assert_eq!(replay.check(2, window, at(1000), peer(1), &second), Ok(()));
        let refusal = Err(ReplayRefusal::NotNewer);
        assert_eq!(replay.check(2, window, at(1000), peer(1), &second), refusal);
        assert_eq!(replay.check(2, window, at(1000), peer(2), &first), refusal);
        let mut restarted = Replay::default();
        restarted.resume(replay.spent().floor(), &[], at(1000).instant);
        assert_eq!(
            restarted.check(2, window, at(1000), peer(1), &second),
            refusal
        );
    }

    #[test]
    fn mode_2_refuses_fields_other_than_the_sealed_ones() {
        let header = sealed(&mut Seal::default(), at(0));
        let changed = [
            Header {
                advbase: 2,
                ..header
            },
            Header {
                advskew: 1,
                ..header
            },
            Header {
                demotion: 1,
                ..header
            },
        ];
        for header in changed {
            let result =
                Replay::default().check(2, Duration::from_secs(60), at(0), peer(1), &header);
            assert_eq!(result, Err(ReplayRefusal::NotAsSealed));
        }
    }

    #[test]
    fn mode_2_refuses_a_time_outside_of_the_window() {
        let window = Duration::from_secs(60);
        let check = |sent: u64, received: u64| {
            let header = sealed(&mut Seal::default(), at(sent));
            Replay::default().check(2, window, at(received), peer(1), &header)
        };
        assert_eq!(check(0, 60_000), Ok(()));
        assert_eq!(check(60_000, 0), Ok(()));
        let refusal = check(0, 61_000).unwrap_err();
        assert_eq!(refusal.to_string(), "sent 61 s before our time");
        let refusal = check(75_000, 0).unwrap_err();
        assert_eq!(refusal.to_string(), "sent 75 s after our time");
    }
}
