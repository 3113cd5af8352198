//! Times as text.

use jiff::{Timestamp, tz::TimeZone};

/// Formats `micros`, microseconds since the epoch, as local time: `2026-11-23 01:02:03.456`.
pub(crate) fn local(micros: u64) -> String {
    in_zone(micros, TimeZone::system())
}

fn in_zone(micros: u64, zone: TimeZone) -> String {
    let time = i64::try_from(micros)
        .ok()
        .and_then(|micros| Timestamp::from_microsecond(micros).ok());
    match time {
        Some(time) => time
            .to_zoned(zone)
            .strftime("%Y-%m-%d %H:%M:%S%.3f")
            .to_string(),
        None => format!("{micros} us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_shown_with_milliseconds() {
        assert_eq!(
            in_zone(1_795_395_723_456_789, TimeZone::UTC),
            "2026-11-23 01:02:03.456"
        );
        assert_eq!(in_zone(u64::MAX, TimeZone::UTC), "18446744073709551615 us");
    }
}
