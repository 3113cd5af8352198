//! Canonical form of a segment: all that determines its future. Two segments that differ only in their time
//! have the same form.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};

use carp_proto::{Instant, Now};

use super::{Happening, Segment, fates};

/// Fields that decide nothing, or contain digests, which differ in each advertisement.
const LEFT_OUT: [&str; 13] = [
    "counters: ",
    "known_from: ",
    "unattributed: ",
    "last_transition: ",
    "limiter: ",
    "digests: ",
    "accepted: ",
    "sent: ",
    "touched: ",
    "changes: ",
    "last_holder: ",
    "links: ",
    "since: ",
];

/// Counters are sealed with the time in 1/256 s above 24 bits: from the year 2000 on.
const LEAST_SEALED: u64 = 946_684_800 << 32;

impl Segment {
    /// Hash of the canonical form.
    pub(crate) fn canonical(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let after = |at: Instant| at.since(self.now).as_millis();
        for (index, host) in self.hosts.iter().enumerate() {
            let now = self.now(index);
            if let Some(engine) = &host.engine {
                relative(&format!("{engine:?}"), now).hash(&mut hasher);
            }
            if let Some(bsd) = &host.bsd {
                bsd.shown().hash(&mut hasher);
                after(bsd.deadline()).hash(&mut hasher);
            }
            let state = (host.mute, host.frozen, host.pulled_out, host.clock_offset);
            state.hash(&mut hasher);
            for link in host.links.values() {
                link.works().hash(&mut hasher);
            }
            for (addresses, end) in host.kernel.leases() {
                (addresses, after(end)).hash(&mut hasher);
            }
        }
        for ((at, _), (host, happening)) in &self.agenda {
            (after(*at), host).hash(&mut hasher);
            match happening {
                Happening::Arrives(_, frame) => {
                    let header = fates::advertisement(frame).map(|(family, header)| {
                        (family, header.advbase, header.advskew, header.demotion)
                    });
                    header.hash(&mut hasher);
                }
                Happening::Performs(work) => {
                    std::mem::discriminant(work).hash(&mut hasher);
                }
            }
        }
        (&self.cuts, &self.cut_ethertypes, &self.fates).hash(&mut hasher);
        hasher.finish()
    }
}

/// Debug output of an engine with times relative to `now`.
fn relative(text: &str, now: Now) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let instant = i128::from(now.instant.micros());
    let ticks = i128::from(now.unix.micros()) * 256 / 1_000_000;
    while let Some(first) = rest.chars().next() {
        if let Some(field) = LEFT_OUT.iter().find(|field| rest.starts_with(**field)) {
            rest = &rest[field.len()..];
            rest = &rest[value(rest)..];
        } else if let Some(after) = rest.strip_prefix("UnixTime(") {
            rest = after.trim_start_matches(|it: char| it.is_ascii_digit());
        } else if let Some(after) = rest.strip_prefix("Instant(") {
            let (number, after) = number(after);
            let _ = write!(out, "@{}", (i128::from(number) - instant) / 1000);
            rest = after;
        } else if first.is_ascii_digit() {
            let (number, after) = number(rest);
            if number > LEAST_SEALED {
                let ahead = i128::from(number >> 24) - ticks;
                let _ = write!(out, "#{}", ahead / 16);
            } else {
                let _ = write!(out, "{number}");
            }
            rest = after;
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

fn number(text: &str) -> (u64, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (text[..digits].parse().unwrap_or(u64::MAX), &text[digits..])
}

/// Length of the value of a field.
fn value(text: &str) -> usize {
    let mut depth = 0_i32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' if depth == 0 => return at,
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}
