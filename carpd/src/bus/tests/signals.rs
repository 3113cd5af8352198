//! What clients are told, and in which order.

use std::collections::BTreeMap;
use std::time::Duration;

use carp_dbus::properties::Properties;
use carp_dbus::proxy::InterfaceProxy;
use carp_dbus::{Change, Client, EventInfo, InterfaceInfo, Settings, names};
use carp_proto::{Input, Link};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{Bench, PATIENCE, START, carp0, eth0, flap, until};

#[tokio::test]
async fn a_change_of_state_is_told_as_properties_signal_and_event() {
    let bench = Bench::with_a_backup().await;
    let connection = bench.connection(1000).await;
    let client = Client::new(connection.clone()).await.unwrap();
    let proxy = InterfaceProxy::new(&connection, names::interface_path("carp0"))
        .await
        .unwrap();
    let mut transitions = proxy.receive_transitioned().await.unwrap();
    let mut watch = client.watch().await.unwrap();
    let mut known = carp0(&client).await;

    bench.does(|world| world.wait(Duration::from_secs(3))).await;

    let (name, changed) = until(&mut watch, properties).await;
    assert_eq!(name, "carp0");
    assert!(changed.contains_key("State") && changed.contains_key("LastTransition"));
    assert!(
        !changed.contains_key("Vhid"),
        "only what changed: {changed:?}"
    );
    assert!(!changed.contains_key("Statistics") && !changed.contains_key("Advertised"));
    known.apply(changed);
    assert_eq!(known.state, "MASTER");

    let told = until(&mut watch, event).await;
    assert_eq!((told.number, told.time), (2, START + 3_000_000));
    assert_eq!(
        (told.kind.as_str(), told.interface.as_str()),
        ("transition", "carp0")
    );
    assert_eq!(told.text, "carp0: BACKUP -> MASTER (master timed out)");
    let details = [
        ("device", "eth0"),
        ("from", "BACKUP"),
        ("reason", "master-timed-out"),
        ("to", "MASTER"),
        ("vhid", "1"),
    ];
    let details: BTreeMap<String, String> = details
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    assert_eq!(told.details, details);

    let transition = timeout(PATIENCE, transitions.next())
        .await
        .unwrap()
        .unwrap();
    let arguments = transition.args().unwrap();
    assert_eq!(arguments.from(), "BACKUP");
    assert_eq!(arguments.to(), "MASTER");
    assert_eq!(arguments.reason(), "master-timed-out");
}

#[tokio::test]
async fn counters_and_times_are_shown_but_not_told() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    bench
        .does(|world| world.wait(Duration::from_secs(30)))
        .await;
    client.sysctl_set("net.inet.carp.log", 1).await.unwrap();
    let before = carp0(&client).await;
    let mut watch = client.watch().await.unwrap();

    bench.does(|world| world.wait(Duration::from_secs(5))).await;
    client.sysctl_set("net.inet.carp.preempt", 1).await.unwrap();

    let after = carp0(&client).await;
    assert!(after.statistics["opackets"] > before.statistics["opackets"]);
    assert!(after.advertised > before.advertised);
    let first = timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
    assert_eq!(
        first,
        Change::Sysctls(BTreeMap::from([("Preempt".to_owned(), 1)]))
    );
}

#[tokio::test]
async fn interfaces_that_come_and_go_are_told_with_all_they_have() {
    let bench = Bench::new();
    bench.does(|world| world.input(Input::Link(eth0()))).await;
    let client = bench.client(0).await;
    let mut watch = client.watch().await.unwrap();

    client
        .create("carp", Settings::new().vhid(1).address("192.0.2.1", 24))
        .await
        .unwrap();
    let info = until(&mut watch, added).await;
    assert_eq!(info, carp0(&client).await);

    client.destroy("carp0").await.unwrap();
    let gone = until(&mut watch, removed).await;
    assert_eq!(gone, "carp0");
    assert_eq!(client.interfaces().await.unwrap(), []);
}

#[tokio::test]
async fn a_holder_of_suppression_is_listed_and_lets_go_by_dying() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    let watcher = bench.client(1000).await;
    let mut watch = watcher.watch().await.unwrap();

    let hold = client.suppress("conntrackd", "not in sync").await.unwrap();
    assert_eq!(
        client
            .sysctl_get("net.inet.carp.suppress_preempt")
            .await
            .unwrap(),
        1
    );
    let listed = client.suppressions().await.unwrap();
    assert_eq!(
        (listed[0].who.as_str(), listed[0].why.as_str()),
        ("conntrackd", "not in sync")
    );
    assert_eq!(listed[0].since, START);
    let shown = carp0(&client).await;
    assert_eq!((shown.effective_advskew, shown.demotion), (240, 1));
    let told = until(&mut watch, event).await;
    assert_eq!(told.kind, "suppression");
    assert!(
        told.text
            .starts_with("net.inet.carp.suppress_preempt: 0 -> 1"),
        "{}",
        told.text
    );

    // A copy holds too, as one that a child process inherited does.
    let copy = hold.try_clone().unwrap();
    drop(hold);
    client.sysctl_set("net.inet.carp.log", 2).await.unwrap();
    assert_eq!(client.suppressions().await.unwrap().len(), 1);
    drop(copy);
    let gone = until(&mut watch, released).await;
    assert_eq!(gone, 0);
    assert_eq!(client.suppressions().await.unwrap(), []);
}

#[tokio::test]
async fn a_watcher_that_is_too_slow_is_told_that_it_lost_something_and_calls_still_work() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    let mut watch = client.watch().await.unwrap();
    for _ in 0..10 {
        bench.does(|world| flap(world, 500)).await;
        // Every answer comes behind what it waits for on the same connection.
        client.sysctl_set("net.inet.carp.log", 2).await.unwrap();
    }
    assert_eq!(carp0(&client).await.state, "BACKUP");
    let mut told = 0;
    until(&mut watch, |change| {
        told += 1;
        (change == Change::Lost).then_some(())
    })
    .await;
    assert!(told > 1000, "{told}");
}

#[tokio::test]
async fn more_at_once_than_can_be_told_ends_with_the_truth_and_says_that_events_are_missing() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    bench
        .does(|world| {
            flap(world, 4000);
            world.input(Input::Link(Link {
                up: false,
                ..eth0()
            }));
        })
        .await;
    // Asked while the queue is full, and answered all the same.
    client.sysctl_set("net.inet.carp.preempt", 1).await.unwrap();
    assert_eq!(client.sysctl_get("net.inet.carp.preempt").await.unwrap(), 1);
    assert_eq!(carp0(&client).await.state, "INIT");
    assert_eq!(client.suppressions().await.unwrap().len(), 1);
    let events = client.events(0, u32::MAX).await.unwrap();
    assert_eq!(events.last().map(|event| event.kind.as_str()), Some("lost"));
}

fn event(change: Change) -> Option<EventInfo> {
    if let Change::Event(event) = change {
        Some(event)
    } else {
        None
    }
}

fn added(change: Change) -> Option<InterfaceInfo> {
    if let Change::Added(info) = change {
        Some(*info)
    } else {
        None
    }
}

fn removed(change: Change) -> Option<String> {
    if let Change::Removed(name) = change {
        Some(name)
    } else {
        None
    }
}

fn properties(change: Change) -> Option<(String, Properties)> {
    if let Change::Properties { name, changed } = change {
        Some((name, changed))
    } else {
        None
    }
}

fn released(change: Change) -> Option<u64> {
    let Change::Sysctls(values) = change else {
        return None;
    };
    values
        .get("SuppressPreempt")
        .copied()
        .filter(|count| *count == 0)
}
