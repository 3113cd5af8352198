//! What is shown, in its order; each step fails if it does not come out as it is told.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Carpd, Host, MARGIN, Pair, Ping, VIRTUAL_MAC, master_down, ping, program};

use crate::screen::{command, found, heading, say};

const ADDRESS: &str = "192.168.1.1";

const PICTURE: &str = "
       client .100
          │
  ════════╧══╤═════════════════╤══════   192.168.1.0/24   shared by A and B: 192.168.1.1
             │ .2              │ .3
        ┌────┴────┐       ┌────┴────┐
        │ host A  │       │ host B  │
        │  carpd  │       │  carpd  │
        └────┬────┘       └────┬────┘
             │ .2              │ .3
  ═══════════╧═════════════════╧══════   192.168.2.0/24   shared by A and B: 192.168.2.1
";

/// The whole show. The pair is still up afterwards.
pub(crate) fn play() -> Result<Pair> {
    heading("carpd: two hosts share addresses, and one of them loses its cable");
    println!("{PICTURE}");
    say("All of this is in network namespaces of its own: this machine's network is not touched.");
    let pair = Pair::new()?;
    form_the_group(&pair)?;
    elect(&pair)?;
    let client = use_the_address(&pair)?;
    pull_the_cable(&pair, &client)?;
    plug_it_back(&pair, &client)?;
    heading("Done: two failovers, and nothing was typed on either host.");
    Ok(pair)
}

fn form_the_group(pair: &Pair) -> Result<()> {
    heading("1. The group is formed: the first example of carp(4), ifconfig spelled carpctl");
    for (name, carpd, skew) in [("A", &pair.a, ""), ("B", &pair.b, "advskew 100 ")] {
        type_in(name, carpd, "sysctl net.inet.carp.preempt=1")?;
        for (interface, vhid, network) in [("carp0", 1, 1), ("carp1", 2, 2)] {
            type_in(name, carpd, &format!("{interface} create"))?;
            let address = format!("192.168.{network}.1/24");
            type_in(
                name,
                carpd,
                &format!("{interface} vhid {vhid} {skew}pass mekmitasdigoat {address}"),
            )?;
        }
    }
    Ok(())
}

fn elect(pair: &Pair) -> Result<()> {
    heading("2. The election");
    say(
        "Nobody is master yet. Each host listens for three advertisement intervals (3 s) and its\n\
         advskew (B: 100/256 s more); who hears nothing until then becomes MASTER and advertises.",
    );
    let begin = Instant::now();
    for interface in ["carp0", "carp1"] {
        pair.a
            .wait_for_state(interface, "MASTER", master_down(1, 0))?;
    }
    let elected = begin.elapsed();
    pair.wait_until_settled()?;
    found(&format!(
        "A is MASTER after {:.1} s; B hears it and stays BACKUP",
        elected.as_secs_f64()
    ));
    type_in("A", &pair.a, "carp0")?;
    type_in("B", &pair.b, "carp0")
}

fn use_the_address(pair: &Pair) -> Result<Ping> {
    heading("3. A client uses the address");
    ping(&pair.client, ADDRESS, 3)?;
    found(&format!("the client pings {ADDRESS}, and A answers"));
    show_neighbour(&pair.client)?;
    say(
        "The MAC belongs to the group (its last byte is the vhid), not to a host: it moves with\n\
         the address, so the client never notices who answers.",
    );
    Ping::start(&pair.client, ADDRESS)
}

fn pull_the_cable(pair: &Pair, client: &Ping) -> Result<()> {
    heading("4. Somebody pulls A's cable on 192.168.1.0/24");
    let silence = master_down(1, 100);
    say(&format!(
        "B hears no more of A and takes over 3·advbase + advskew/256 = {:.2} s after A's last\n\
         advertisement, which was up to a second before the cable went.",
        silence.as_secs_f64()
    ));
    let outage = client.outage_of(
        || pair.a.host().pull("eth0"),
        || pair.b.wait_for_state("carp0", "MASTER", silence),
    )?;
    ensure!(outage <= silence + MARGIN, "the outage lasted {outage:?}");
    found(&format!(
        "{}; the client was without answers for {:.2} s",
        last_transition("B", &pair.b, "carp0")?,
        outage.as_secs_f64()
    ));
    show_neighbour(&pair.client)?;
    pair.b
        .wait_for_state("carp1", "MASTER", master_down(1, 100))?;
    found(&format!(
        "{}, although its cable is fine:",
        last_transition("B", &pair.b, "carp1")?
    ));
    say(
        "    a router with one dead leg is no good, so with net.inet.carp.preempt=1 A's problem\n    \
         lets its advskew rise to 240 everywhere, and B takes all groups together.",
    );
    type_in("A", &pair.a, "carp0")?;
    type_in("A", &pair.a, "carp1")?;
    type_in("B", &pair.b, "carp0")
}

fn plug_it_back(pair: &Pair, client: &Ping) -> Result<()> {
    heading("5. The cable is plugged in again");
    let outage = client.outage_of(
        || pair.a.host().plug("eth0"),
        || {
            for interface in ["carp0", "carp1"] {
                pair.a
                    .wait_for_state(interface, "MASTER", master_down(1, 100))?;
                pair.b
                    .wait_for_state(interface, "BACKUP", Duration::from_secs(1))?;
            }
            Ok(())
        },
    )?;
    ensure!(outage <= MARGIN, "giving back took {outage:?}");
    found(&format!(
        "{}; the client was without answers for {:.2} s at most",
        last_transition("A", &pair.a, "carp0")?,
        outage.as_secs_f64()
    ));
    found(&last_transition("A", &pair.a, "carp1")?);
    say("A advertises faster (advskew 0) than B (100), so it is preferred and takes back both.");
    show_neighbour(&pair.client)
}

/// Says how to play on in another terminal.
pub(crate) fn invite(pair: &Pair) -> Result<()> {
    let carpctl = program("carpctl")?;
    let sudo = if std::env::var_os("SUDO_USER").is_some() {
        "sudo "
    } else {
        ""
    };
    let netns = |host: &Host| format!("{sudo}ip netns exec {}", host.namespace());
    heading("6. It is yours: everything stays up. In another terminal, as root:");
    for (name, carpd) in [("A", &pair.a), ("B", &pair.b)] {
        println!("\n  carpctl on host {name}:");
        println!(
            "    {} env CARPD_BUS_ADDRESS={} {} -a",
            netns(carpd.host()),
            carpd.address(),
            carpctl.display()
        );
    }
    println!("\n  the same with `monitor` for -a shows events as they happen,");
    println!("  with `carp0 down` the host gives its group away without any wait");
    println!("\n  the client:");
    println!("    {} ping {ADDRESS}", netns(&pair.client));
    println!("\n  A's cable, and back:");
    println!(
        "    {} ip link set {} down",
        netns(pair.lab.switch()),
        pair.a.host().port("eth0")
    );
    println!(
        "    {} ip link set {} up",
        netns(pair.lab.switch()),
        pair.a.host().port("eth0")
    );
    println!("\n  Ctrl-C here ends and removes everything.");
    Ok(())
}

fn type_in(name: &str, carpd: &Carpd, line: &str) -> Result<()> {
    let output = carpd.carpctl(line)?;
    command(name, &format!("carpctl {line}"), &output);
    Ok(())
}

fn show_neighbour(client: &Host) -> Result<()> {
    let line = format!("ip neighbour show to {ADDRESS}");
    command("client", &line, &client.run(&line)?);
    let mac = client.neighbour(ADDRESS)?;
    ensure!(
        mac.as_deref() == Some(VIRTUAL_MAC),
        "the client's entry for {ADDRESS} is {mac:?}"
    );
    Ok(())
}

fn last_transition(name: &str, carpd: &Carpd, interface: &str) -> Result<String> {
    let transition = carpd
        .interface(interface)?
        .last_transition
        .context("no transition")?;
    let reason = transition.reason.replace('-', " ");
    Ok(format!(
        "{name}'s {interface}: {} -> {} ({reason})",
        transition.from, transition.to
    ))
}
