//! Steps of the demonstration, in order. A step fails if its result is not as explained.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use carp_tests::{Carpd, Host, MARGIN, Pair, Ping, VIRTUAL_MAC, master_down, ping};

use crate::screen::{command, explain, heading, result};

pub(crate) const ADDRESS: &str = "192.168.1.1";

const PICTURE: &str = "
       client .100
          │
  ════════╧══╤═════════════════╤══════  192.168.1.0/24, shared: 192.168.1.1
             │ .2              │ .3
        ┌────┴────┐       ┌────┴────┐
        │ host A  │       │ host B  │
        │  carpd  │       │  carpd  │
        └────┬────┘       └────┬────┘
             │ .2              │ .3
  ═══════════╧═════════════════╧══════  192.168.2.0/24, shared: 192.168.2.1
";

/// Runs all steps. The returned pair is still up.
pub(crate) fn play() -> Result<Pair> {
    heading("carpd: two hosts share addresses, and one of them loses its cable");
    println!("{PICTURE}");
    explain("This happens in network namespaces: the network of this machine is not used.");
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
    explain(
        "There is no master yet. Each host listens for three advertisement intervals\n\
         (3 s) and its advskew (B: 100/256 s more). A host that hears nothing until\n\
         then becomes MASTER and advertises.",
    );
    let begin = Instant::now();
    for interface in ["carp0", "carp1"] {
        pair.a
            .wait_for_state(interface, "MASTER", master_down(1, 0))?;
    }
    let elected = begin.elapsed();
    pair.wait_until_settled()?;
    result(&format!(
        "A is MASTER after {:.1} s; B hears it and stays BACKUP",
        elected.as_secs_f64()
    ));
    type_in("A", &pair.a, "carp0")?;
    type_in("B", &pair.b, "carp0")
}

fn use_the_address(pair: &Pair) -> Result<Ping> {
    heading("3. A client uses the address");
    ping(&pair.client, ADDRESS, 3)?;
    result(&format!("the client pings {ADDRESS}, and A answers"));
    show_neighbour(&pair.client)?;
    explain(
        "The MAC belongs to the group (its last byte is the vhid), not to a host. It\n\
         moves with the address, so the client does not notice which host answers.",
    );
    Ping::start(&pair.client, ADDRESS)
}

fn pull_the_cable(pair: &Pair, client: &Ping) -> Result<()> {
    heading("4. A's cable on 192.168.1.0/24 is pulled");
    let silence = master_down(1, 100);
    explain(&format!(
        "B no longer hears A. It takes over 3·advbase + advskew/256 =\n\
         {:.2} s after A's last advertisement, which came up to a second before the\n\
         cable was pulled.",
        silence.as_secs_f64()
    ));
    let outage = client.outage_of(
        || pair.a.host().pull("eth0"),
        || pair.b.wait_for_state("carp0", "MASTER", silence),
    )?;
    ensure!(outage <= silence + MARGIN, "the outage lasted {outage:?}");
    result(&last_transition("B", &pair.b, "carp0")?);
    result(&format!(
        "the client was without answers for {:.2} s",
        outage.as_secs_f64()
    ));
    show_neighbour(&pair.client)?;
    pair.b
        .wait_for_state("carp1", "MASTER", master_down(1, 100))?;
    result(&format!("{}:", last_transition("B", &pair.b, "carp1")?));
    explain(
        "    its cable is fine, but a router needs both of its networks. With\n    \
         net.inet.carp.preempt=1 the lost link raises A's advskew to 240 on all\n    \
         interfaces, and B takes both groups.",
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
    ensure!(outage <= MARGIN, "the failback took {outage:?}");
    result(&last_transition("A", &pair.a, "carp0")?);
    result(&format!(
        "the client was without answers for {:.2} s at most",
        outage.as_secs_f64()
    ));
    result(&last_transition("A", &pair.a, "carp1")?);
    explain("A advertises faster (advskew 0) than B (100), so A takes back both groups.");
    show_neighbour(&pair.client)
}

/// Runs a carpctl command and prints it.
fn type_in(name: &str, carpd: &Carpd, line: &str) -> Result<()> {
    let output = carpd.carpctl(line)?;
    command(name, &format!("carpctl {line}"), &output);
    Ok(())
}

/// Prints the client's neighbour entry, and checks that it has the virtual MAC address.
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

/// Describes the last change of state.
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
