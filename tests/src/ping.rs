//! Availability for a client: a hundred echo requests per second, and the gaps between replies.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Host, MARGIN, Process, wait_until};

/// Running ping.
#[derive(Debug)]
pub struct Ping {
    process: Process,
    address: String,
}

impl Ping {
    /// Starts to send a hundred echo requests per second to `address`, and waits for the first
    /// reply.
    pub fn start(host: &Host, address: &str) -> Result<Self> {
        Self::start_every(host, address, Duration::from_millis(10))
    }

    /// As [`Ping::start`], with one request per `interval`.
    pub fn start_every(host: &Host, address: &str, interval: Duration) -> Result<Self> {
        let mut command = host.command("ping");
        let interval = interval.as_secs_f64().to_string();
        command.args(["-n", "-D", "-i", &interval, address]);
        let ping = Self {
            process: host.spawn("ping", command)?,
            address: address.to_owned(),
        };
        ping.wait_for_reply_after(UNIX_EPOCH, MARGIN)?;
        Ok(ping)
    }

    /// Waits for a reply after `moment`. Returns its time.
    pub fn wait_for_reply_after(&self, moment: SystemTime, bound: Duration) -> Result<SystemTime> {
        wait_until(&format!("{} answers", self.address), bound, || {
            Ok(self.replies()?.into_iter().find(|reply| *reply > moment))
        })
    }

    /// Returns the longest gap between replies that ended after `moment`.
    pub fn outage_since(&self, moment: SystemTime) -> Result<Duration> {
        let replies = self.replies()?;
        let gaps = replies
            .iter()
            .zip(replies.iter().skip(1))
            .filter(|(_, end)| **end > moment);
        gaps.filter_map(|(start, end)| end.duration_since(*start).ok())
            .max()
            .with_context(|| format!("{} has not answered since", self.address))
    }

    /// Returns the longest gap because of `event`, measured after `settled` has returned and
    /// another reply has arrived.
    pub fn outage_of(
        &self,
        event: impl FnOnce() -> Result<()>,
        settled: impl FnOnce() -> Result<()>,
    ) -> Result<Duration> {
        let begin = SystemTime::now();
        event()?;
        settled()?;
        self.wait_for_reply_after(SystemTime::now(), MARGIN)?;
        self.outage_since(begin)
    }

    /// Returns the number of requests without a reply before the last reply.
    pub fn lost(&self) -> Result<usize> {
        let log = self.process.log()?;
        let mut answered: Vec<u64> = log.lines().filter_map(reply_number).collect();
        answered.sort_unstable();
        answered.dedup();
        let (Some(first), Some(last)) = (answered.first(), answered.last()) else {
            bail!("{} never answered", self.address);
        };
        Ok(usize::try_from(last - first)? + 1 - answered.len())
    }

    /// Returns the times of all replies.
    fn replies(&self) -> Result<Vec<SystemTime>> {
        let log = self.process.log()?;
        Ok(log.lines().filter_map(reply_time).collect())
    }
}

/// Sends `count` echo requests, ten per second. Fails unless each has a reply.
pub fn ping(host: &Host, address: &str, count: u32) -> Result<()> {
    let output = host.run(&format!("ping -n -i 0.1 -W 1 -c {count} {address}"))?;
    ensure!(
        output.contains(" 0% packet loss"),
        "{address} did not always answer:\n{output}"
    );
    Ok(())
}

/// Parses the time of a reply: `[1700000000.123456] 64 bytes from …`.
fn reply_time(line: &str) -> Option<SystemTime> {
    let (time, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let (seconds, microseconds) = time.split_once('.')?;
    let time = Duration::from_secs(seconds.parse().ok()?)
        + Duration::from_micros(microseconds.parse().ok()?);
    rest.contains("bytes from").then_some(UNIX_EPOCH + time)
}

/// Parses the number of a reply: `… icmp_seq=17 …`.
fn reply_number(line: &str) -> Option<u64> {
    reply_time(line)?;
    let (_, rest) = line.split_once("icmp_seq=")?;
    rest.split_once(' ')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_a_reply_is_parsed() {
        let line = "[12.000034] 64 bytes from 10.0.0.1: icmp_seq=17 ttl=64 time=0.1 ms";
        assert_eq!(reply_number(line), Some(17));
        assert_eq!(reply_number("no answer yet for icmp_seq=3"), None);
    }

    #[test]
    fn time_is_parsed_in_replies_only() {
        let at = |line| reply_time(line)?.duration_since(UNIX_EPOCH).ok();
        assert_eq!(
            at("[12.000034] 64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=0.1 ms"),
            Some(Duration::from_micros(12_000_034))
        );
        assert_eq!(
            at("[12.000034] From 10.0.0.9 icmp_seq=1 Destination Host Unreachable"),
            None
        );
        assert_eq!(at("PING 10.0.0.1 (10.0.0.1) 56(84) bytes of data."), None);
    }
}
