//! Signals, and their order.

use std::collections::BTreeMap;
use std::time::Duration;

use carp_dbus::properties::Properties;
use carp_dbus::proxy::InterfaceProxy;
use carp_dbus::{Change, Client, EventInfo, InterfaceInfo, Settings, names};
use carp_proto::{Input, Link};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{Bench, START, TEST_TIMEOUT, carp0, eth0, flap, until};

#[tokio::test]
async fn transition_is_sent_as_properties_signal_and_event() {
    let bench = Bench::with_a_backup().await;
    let connection = bench.connection(1000).await;
    let client = Client::new(connection.clone()).await.unwrap();
    let proxy = InterfaceProxy::new(&connection, names::interface_path("carp0"))
        .await
        .unwrap();
    let mut transitions = proxy.receive_transitioned().await.unwrap();
    let mut watch = client.watch().await.unwrap();
    let mut known = carp0(&client).await;

    bench.step(|world| world.wait(Duration::from_secs(3))).await;

    let (name, changed) = until(&mut watch, as_properties).await;
    assert_eq!(name, "carp0");
    assert!(changed.contains_key("State") && changed.contains_key("LastTransition"));
    assert!(
        !changed.contains_key("Vhid"),
        "only changed properties: {changed:?}"
    );
    assert!(!changed.contains_key("Statistics") && !changed.contains_key("Advertised"));
    known.apply(changed);
    assert_eq!(known.state, "MASTER");

    let event = until(&mut watch, as_event).await;
    assert_eq!((event.number, event.time), (2, START + 3_000_000));
    assert_eq!(
        (event.kind.as_str(), event.interface.as_str()),
        ("transition", "carp0")
    );
    assert_eq!(event.text, "carp0: BACKUP -> MASTER (master timed out)");
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
    assert_eq!(event.details, details);

    let transition = timeout(TEST_TIMEOUT, transitions.next())
        .await
        .unwrap()
        .unwrap();
    let arguments = transition.args().unwrap();
    assert_eq!(arguments.from(), "BACKUP");
    assert_eq!(arguments.to(), "MASTER");
    assert_eq!(arguments.reason(), "master-timed-out");
}

#[tokio::test]
async fn counters_and_times_are_shown_but_not_announced() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    bench
        .step(|world| world.wait(Duration::from_secs(30)))
        .await;
    client.sysctl_set("net.inet.carp.log", 1).await.unwrap();
    let before = carp0(&client).await;
    let mut watch = client.watch().await.unwrap();

    bench.step(|world| world.wait(Duration::from_secs(5))).await;
    client.sysctl_set("net.inet.carp.preempt", 1).await.unwrap();

    let after = carp0(&client).await;
    assert!(after.statistics["opackets"] > before.statistics["opackets"]);
    assert!(after.advertised > before.advertised);
    let first = timeout(TEST_TIMEOUT, watch.next()).await.unwrap().unwrap();
    assert_eq!(
        first,
        Change::Sysctls(BTreeMap::from([("Preempt".to_owned(), 1)]))
    );
}

#[tokio::test]
async fn interfaces_are_announced_with_all_properties_and_removed() {
    let bench = Bench::new();
    bench.step(|world| world.input(Input::Link(eth0()))).await;
    let client = bench.client(0).await;
    let mut watch = client.watch().await.unwrap();

    client
        .create("carp", Settings::new().vhid(1).address("192.0.2.1", 24))
        .await
        .unwrap();
    let info = until(&mut watch, as_added).await;
    assert_eq!(info, carp0(&client).await);

    client.destroy("carp0").await.unwrap();
    let gone = until(&mut watch, as_removed).await;
    assert_eq!(gone, "carp0");
    assert_eq!(client.interfaces().await.unwrap(), []);
}

#[tokio::test]
async fn holder_of_suppression_is_listed_and_releases_it_by_ending() {
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
    let event = until(&mut watch, as_event).await;
    assert_eq!(event.kind, "suppression");
    assert!(
        event
            .text
            .starts_with("net.inet.carp.suppress_preempt: 0 -> 1"),
        "{}",
        event.text
    );

    // A copy holds it too, such as one that a child process has inherited.
    let copy = hold.try_clone().unwrap();
    drop(hold);
    client.sysctl_set("net.inet.carp.log", 2).await.unwrap();
    assert_eq!(client.suppressions().await.unwrap().len(), 1);
    drop(copy);
    let gone = until(&mut watch, as_released).await;
    assert_eq!(gone, 0);
    assert_eq!(client.suppressions().await.unwrap(), []);
}

#[tokio::test]
async fn slow_watcher_hears_that_changes_were_lost_and_its_calls_work() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    let mut watch = client.watch().await.unwrap();
    for _ in 0..10 {
        bench.step(|world| flap(world, 500)).await;
        // A reply arrives behind the earlier signals of its connection.
        client.sysctl_set("net.inet.carp.log", 2).await.unwrap();
    }
    assert_eq!(carp0(&client).await.state, "BACKUP");
    let mut changes = 0;
    until(&mut watch, |change| {
        changes += 1;
        (change == Change::Lost).then_some(())
    })
    .await;
    assert!(changes > 1000, "{changes}");
}

#[tokio::test]
async fn flood_of_news_ends_with_the_full_state_and_a_lost_event() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    bench
        .step(|world| {
            flap(world, 4000);
            world.input(Input::Link(Link {
                up: false,
                ..eth0()
            }));
        })
        .await;
    // A request while the queue is full is still answered.
    client.sysctl_set("net.inet.carp.preempt", 1).await.unwrap();
    assert_eq!(client.sysctl_get("net.inet.carp.preempt").await.unwrap(), 1);
    assert_eq!(carp0(&client).await.state, "INIT");
    assert_eq!(client.suppressions().await.unwrap().len(), 1);
    let events = client.events(0, u32::MAX).await.unwrap();
    assert_eq!(events.last().map(|event| event.kind.as_str()), Some("lost"));
}

fn as_event(change: Change) -> Option<EventInfo> {
    if let Change::Event(event) = change {
        Some(event)
    } else {
        None
    }
}

fn as_added(change: Change) -> Option<InterfaceInfo> {
    if let Change::Added(info) = change {
        Some(*info)
    } else {
        None
    }
}

fn as_removed(change: Change) -> Option<String> {
    if let Change::Removed(name) = change {
        Some(name)
    } else {
        None
    }
}

fn as_properties(change: Change) -> Option<(String, Properties)> {
    if let Change::Properties { name, changed } = change {
        Some((name, changed))
    } else {
        None
    }
}

fn as_released(change: Change) -> Option<u64> {
    let Change::Sysctls(values) = change else {
        return None;
    };
    values
        .get("SuppressPreempt")
        .copied()
        .filter(|count| *count == 0)
}
