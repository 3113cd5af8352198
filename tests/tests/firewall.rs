//! Packet filters and reverse path filtering on the hosts themselves do not keep carpd from
//! hearing.

use anyhow::Result;
use carp_tests::{Capture, Carpd, Frame, Pair, REACTION_TIMEOUT, VIRTUAL_MAC, ping};

const RULES: &str = "
table inet firewall {
    chain input {
        type filter hook input priority 0; policy accept;
        meta l4proto 112 drop
    }
}
";

fn drop_carp(carpd: &Carpd) -> Result<()> {
    let rules = carpd.host().file("rules", "nft");
    std::fs::write(&rules, RULES)?;
    carpd
        .host()
        .run(&format!("nft -f {}", rules.display()))
        .map(drop)
}

#[test]
fn host_whose_firewall_drops_carp_still_hears_its_master() -> Result<()> {
    let pair = Pair::new()?;
    for carpd in [&pair.a, &pair.b] {
        drop_carp(carpd)?;
    }
    pair.form_group("192.168.1.1/24 inet6 2001:db8:1::1/64")?;
    let before = pair.b.interface("carp0")?.last_transition;
    pair.b.wait_for_counter("carp0", "ipackets", 5)?;
    pair.b.wait_for_counter("carp0", "ipackets6", 1)?;
    let after = pair.b.interface("carp0")?;
    assert_eq!(
        (after.state.as_str(), after.last_transition),
        ("BACKUP", before)
    );

    // The same while it is MASTER: A hears that B takes over, objects, and B yields.
    let heard = pair.a.counter("carp0", "ipackets")?;
    pair.b.carpctl("carp0 state master")?;
    pair.b.wait_for_state("carp0", "BACKUP", REACTION_TIMEOUT)?;
    pair.a.wait_for_more_than("carp0", "ipackets", heard)?;
    assert_eq!(pair.a.state("carp0")?, "MASTER");
    Ok(())
}

#[test]
fn strict_reverse_path_filtering_changes_nothing() -> Result<()> {
    let pair = Pair::new()?;
    for host in [pair.a.host(), pair.b.host(), &pair.client] {
        for interface in ["all", "default", "eth0"] {
            host.run(&format!("sysctl -qw net.ipv4.conf.{interface}.rp_filter=1"))?;
        }
    }
    pair.form_group("192.168.1.1/24")?;
    pair.b.wait_for_counter("carp0", "ipackets", 3)?;
    assert_eq!(pair.b.state("carp0")?, "BACKUP");
    pair.client_reaches("192.168.1.1")?;
    ping(&pair.client, "192.168.1.2", 3)?;
    pair.a.carpctl("carp0 down")?;
    pair.b.wait_for_state("carp0", "MASTER", REACTION_TIMEOUT)?;
    pair.client_reaches("192.168.1.1")
}

#[test]
fn hosts_hear_each_other_from_the_same_mac_in_every_state() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    let mut captures = [
        Capture::sent_by(pair.a.host(), "eth0")?,
        Capture::sent_by(pair.b.host(), "eth0")?,
    ];

    // BACKUP hears MASTER.
    pair.b.wait_for_counter("carp0", "ipackets", 2)?;
    // MASTER hears MASTER, on both sides: B claims the group, A objects, B yields.
    let heard = pair.a.counter("carp0", "ipackets")?;
    pair.b.carpctl("carp0 state master")?;
    pair.b.wait_for_state("carp0", "BACKUP", REACTION_TIMEOUT)?;
    // A as MASTER hears B.
    pair.a.wait_for_more_than("carp0", "ipackets", heard)?;
    // After the handover A, which was MASTER, hears B.
    pair.a.carpctl("carp0 state backup advskew 200")?;
    pair.b
        .wait_for_state("carp0", "MASTER", carp_tests::master_down(1, 100))?;
    pair.a.wait_for_counter("carp0", "ipackets", 2)?;
    assert_eq!(pair.a.state("carp0")?, "BACKUP");
    // In INIT it hears nothing; when it returns, it hears again.
    pair.a.carpctl("carp0 down")?;
    pair.a.carpctl("carp0 up")?;
    pair.a.wait_for_counter("carp0", "ipackets", 2)?;
    assert_eq!(pair.a.state("carp0")?, "BACKUP");

    for capture in &mut captures {
        let frames = capture.stop()?;
        let sources: Vec<_> = frames
            .iter()
            .filter(|frame| frame.advertisement().is_some())
            .map(Frame::source)
            .collect();
        assert!(!sources.is_empty());
        assert!(
            sources.iter().all(|source| source == VIRTUAL_MAC),
            "{sources:?}"
        );
    }
    Ok(())
}

#[test]
fn rule_for_eth0_does_not_match_traffic_to_a_virtual_address() -> Result<()> {
    let pair = Pair::with_group("192.168.1.1/24")?;
    let host = pair.a.host();
    for (interfaces, answered) in [("\"eth0\"", true), ("{ \"eth0\", \"carp*\" }", false)] {
        let rules = host.file("rules", "nft");
        std::fs::write(
            &rules,
            format!(
                "table inet firewall {{ chain input {{ type filter hook input priority 0; \
                 iifname {interfaces} icmp type echo-request drop; }}; }}"
            ),
        )?;
        host.run(&format!("nft -f {}", rules.display()))?;
        let outcome = ping(&pair.client, "192.168.1.1", 1);
        assert_eq!(outcome.is_ok(), answered, "{interfaces}");
        assert!(ping(&pair.client, "192.168.1.2", 1).is_err());
    }
    Ok(())
}
