//! keepalived with a VRRP group of the same number on the same wire: noise, no more.

use anyhow::{Result, ensure};
use carp_tests::{Carpd, Keepalived, MARGIN, Pair, wait_until};

/// With `addresses`, a `VRRPv2` advertisement is 16 bytes and four more for each.
fn a_vrrp_group_moves_only(counter: &str, addresses: &[&str]) -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    let before = [&pair.a, &pair.b].map(|carpd| carpd.interface("carp0"));
    let noisy = pair.lab.host("noisy", &[("lan", "192.168.1.50/24")])?;
    let mut keepalived = Keepalived::start(&noisy, 1, addresses)?;
    keepalived.wait_until_master()?;

    // Attributed to carp0 where the vhid can be known, else counted in the total alone.
    let total = |carpd: &Carpd| -> Result<u64> {
        let totals: serde_json::Value = serde_json::from_str(&carpd.carpctl("netstat --json")?)?;
        Ok(totals
            .get(counter)
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_default())
    };
    for (carpd, before) in [&pair.a, &pair.b].into_iter().zip(before) {
        let before = before?;
        wait_until(
            &format!("{counter} moves"),
            std::time::Duration::from_secs(4) + MARGIN,
            || Ok((total(carpd)? >= 4).then_some(())),
        )?;
        let after = carpd.interface("carp0")?;
        assert_eq!(
            (after.state, after.last_transition),
            (before.state, before.last_transition)
        );
    }
    ensure!(
        pair.b.counter("carp0", "ipackets")? > 4,
        "B hears A all the while"
    );
    pair.client_reaches("192.168.1.1")
}

#[test]
fn short_vrrp_advertisements_count_as_badlen_and_change_nothing() -> Result<()> {
    a_vrrp_group_moves_only("badlen", &["192.168.1.201/24"])
}

#[test]
fn vrrp_advertisements_as_long_as_carps_count_as_badauth_and_change_nothing() -> Result<()> {
    let addresses = ["192.168.1.201/24", "192.168.1.202/24", "192.168.1.203/24"];
    let more = ["192.168.1.204/24", "192.168.1.205/24"];
    a_vrrp_group_moves_only("badauth", &[&addresses[..], &more[..]].concat())
}
