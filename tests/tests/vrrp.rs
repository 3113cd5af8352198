//! keepalived with a VRRP group of the same number on the same wire changes nothing.
//!
//! keepalived takes our advertisements for malformed ones of its own, and each delays its next one:
//! while we advertise once a second, it advertises only once.

use anyhow::{Context as _, Result};
use carp_tests::{Carpd, Keepalived, MARGIN, Pair, wait_until};

/// Asserts that keepalived raises `counter` by at least `count` on both hosts and changes nothing
/// else.
fn only_a_counter_moves(settings: &str, addresses: u8, counter: &str, count: u64) -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    let hosts = [&pair.a, &pair.b];
    let before = hosts.map(|carpd| carpd.interface("carp0"));
    let noisy = pair.lab.host("noisy", &[("lan", "192.168.1.50/24")])?;
    let addresses: Vec<_> = (1..=addresses)
        .map(|number| format!("192.168.1.20{number}/24"))
        .collect();
    let mut keepalived = Keepalived::start(&noisy, 1, settings, &addresses)?;
    keepalived.wait_until_master()?;

    for carpd in hosts {
        let what = format!("{counter} on {}", carpd.host().name());
        wait_until(&what, MARGIN, || {
            Ok((total(carpd, counter)? >= count).then_some(()))
        })?;
    }
    pair.b.wait_for_counter("carp0", "ipackets", 4)?;
    for (carpd, before) in hosts.into_iter().zip(before) {
        let (before, after) = (before?, carpd.interface("carp0")?);
        assert_eq!(after.state, before.state);
        assert_eq!(after.last_transition, before.last_transition);
        // The log names the sender.
        carpd.wait_for_log("192.168.1.50")?;
    }
    pair.client_reaches("192.168.1.1")
}

/// Returns a counter of the whole host: packets that are too short belong to no interface.
fn total(carpd: &Carpd, counter: &str) -> Result<u64> {
    let totals: serde_json::Value = serde_json::from_str(&carpd.carpctl("netstat --json")?)?;
    let value = totals.get(counter).and_then(serde_json::Value::as_u64);
    value.with_context(|| format!("no counter {counter}"))
}

#[test]
fn short_vrrp_2_advertisements_count_as_badlen() -> Result<()> {
    // 8 bytes, 4 for each address, and 8 of authentication
    only_a_counter_moves("advert_int 1", 1, "badlen", 1)
}

#[test]
fn vrrp_2_advertisements_of_carp_length_count_as_badauth() -> Result<()> {
    only_a_counter_moves("advert_int 1", 5, "badauth", 1)
}

#[test]
fn vrrp_3_advertisements_count_as_badlen() -> Result<()> {
    only_a_counter_moves("version 3\n advert_int 0.1", 2, "badlen", 8)
}
