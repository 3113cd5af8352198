//! Times and durations as text.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;

const SECOND: u64 = 1_000_000;

/// Returns the current time in microseconds since the epoch. carpd's time stamps are from the same
/// clock, because it runs on the same machine.
pub(crate) fn now() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Formats `micros`, microseconds since the epoch, as local time of day, `12:03:51`. The date
/// precedes it if it is not the day of `now`.
pub(crate) fn clock(micros: u64, now: u64, zone: &TimeZone) -> String {
    let (Some(time), Some(today)) = (zoned(micros, zone), zoned(now, zone)) else {
        return "-".to_owned();
    };
    let format = if time.date() == today.date() {
        "%H:%M:%S"
    } else {
        "%m-%d %H:%M:%S"
    };
    time.strftime(format).to_string()
}

/// Formats `micros`, microseconds since the epoch, as local time of day without seconds.
pub(crate) fn minute(micros: u64, zone: &TimeZone) -> String {
    zoned(micros, zone).map_or_else(String::new, |time| time.strftime("%H:%M").to_string())
}

/// Formats a duration in its two greatest units: `12d 3h`, `4m 10s`, `7s`.
pub(crate) fn span(micros: u64) -> String {
    let seconds = micros / SECOND;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (0, hours, minutes, _) => format!("{hours}h {minutes}m"),
        (days, hours, _, _) => format!("{days}d {hours}h"),
    }
}

/// Formats a duration in its greatest unit: `12d`, `4m`.
pub(crate) fn short(micros: u64) -> String {
    let span = span(micros);
    span.split(' ').next().unwrap_or_default().to_owned()
}

/// Formats a duration of less than 100 seconds with one decimal, `0.3s`, a longer one as [`short`]
/// does.
pub(crate) fn seconds(micros: u64) -> String {
    if micros < 100 * SECOND {
        let tenths = micros / 100_000;
        format!("{}.{}s", tenths / 10, tenths % 10)
    } else {
        short(micros)
    }
}

/// Formats microseconds as milliseconds with one decimal: `1.8 ms`.
pub(crate) fn milliseconds(micros: u32) -> String {
    let tenths = micros / 100;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

fn zoned(micros: u64, zone: &TimeZone) -> Option<jiff::Zoned> {
    let time = Timestamp::from_microsecond(i64::try_from(micros).ok()?).ok()?;
    Some(time.to_zoned(zone.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_has_its_two_greatest_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m 1s"),
            (3_600, "1h 0m"),
            (12 * 86_400 + 3 * 3_600, "12d 3h"),
        ] {
            assert_eq!(span(seconds * SECOND), text);
        }
        assert_eq!(short(3_700 * SECOND), "1h");
        assert_eq!(super::seconds(350_000), "0.3s");
        assert_eq!(milliseconds(1_840), "1.8 ms");
    }

    #[test]
    fn time_of_another_day_has_its_date() {
        let noon = 1_795_348_800 * SECOND;
        assert_eq!(clock(noon, noon + SECOND, &TimeZone::UTC), "12:00:00");
        assert_eq!(
            clock(noon, noon + 86_400 * SECOND, &TimeZone::UTC),
            "11-22 12:00:00"
        );
        assert_eq!(clock(u64::MAX, noon, &TimeZone::UTC), "-");
    }
}
