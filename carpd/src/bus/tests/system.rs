//! On a real bus: a dbus-daemon of our own, with the policy of `dbus/org.carpd1.conf`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use carp_dbus::{Client, Settings, names};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zbus::Connection;
use zbus::connection::Builder;
use zbus::fdo::DBusProxy;

use super::connections::Place;
use super::{Bench, PATIENCE, carp0};
use crate::bus::{Bus, system};

#[tokio::test]
async fn the_name_is_there_with_all_objects_and_the_caller_is_known_by_its_bus() {
    let place = Place::new("bus");
    let daemon = Daemon::start(&place);
    let bench = Bench::with_a_backup().await;
    let kept = keep(&bench, &daemon);

    let connection = named(&daemon).await;
    let client = Client::new(connection).await.unwrap();
    let mut watch = client.watch().await.unwrap();
    assert_eq!(carp0(&client).await.state, "BACKUP");
    // This test runs as whoever runs it: root may change things, others may not.
    let changed = client
        .configure("carp0", Settings::new().description("by bus"))
        .await;
    let root = rustix::process::getuid().is_root();
    assert_eq!(changed.is_ok(), root, "{changed:?}");
    assert_eq!(client.password("carp0").await.unwrap().is_empty(), !root);

    bench.does(|world| world.wait(Duration::from_secs(3))).await;
    super::until(&mut watch, |change| {
        let carp_dbus::Change::Event(event) = change else {
            return None;
        };
        (event.text == "carp0: BACKUP -> MASTER (master timed out)").then_some(())
    })
    .await;

    bench.hub.close();
    timeout(PATIENCE, kept).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_bus_that_went_away_is_joined_again() {
    let place = Place::new("again");
    let daemon = Daemon::start(&place);
    let bench = Bench::with_a_backup().await;
    let kept = keep(&bench, &daemon);
    let connection = named(&daemon).await;
    let watch = Client::new(connection)
        .await
        .unwrap()
        .watch()
        .await
        .unwrap();

    drop(daemon);
    let ends = async {
        let mut watch = watch;
        while futures_util::StreamExt::next(&mut watch).await.is_some() {}
    };
    timeout(PATIENCE, ends)
        .await
        .expect("whoever watched knows");

    let daemon = Daemon::start(&place);
    let client = Client::new(named(&daemon).await).await.unwrap();
    assert_eq!(carp0(&client).await.state, "BACKUP");
    kept.abort();
}

/// Keeps the hub of `bench` on the bus of `daemon`.
fn keep(bench: &Bench, daemon: &Daemon) -> JoinHandle<()> {
    let hub = Arc::clone(&bench.hub);
    let place = Bus::At(daemon.address.clone());
    tokio::spawn(async move { system::keep(&hub, place).await })
}

/// A connection to the bus, made once somebody has our name there.
async fn named(daemon: &Daemon) -> Connection {
    let connection = Builder::address(daemon.address.as_str())
        .method_timeout(PATIENCE)
        .build()
        .await
        .unwrap();
    let bus = DBusProxy::new(&connection).await.unwrap();
    let name = || names::BUS_NAME.try_into().unwrap();
    let wait = async {
        while !bus.name_has_owner(name()).await.unwrap() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("carpd takes its name");
    connection
}

/// A dbus-daemon, ended with the test.
struct Daemon {
    child: Child,
    address: String,
}

impl Daemon {
    fn start(place: &Place) -> Self {
        let address = format!("unix:path={}", place.file("system_bus").display());
        let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dbus/org.carpd1.conf");
        // What Debian's /usr/share/dbus-1/system.conf says, as far as it matters.
        let configuration = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>{policy}</include>
  {test}
</busconfig>
"#,
            policy = policy.display(),
            // Whoever runs the test plays root.
            test = format_args!(
                r#"<policy user="{}"><allow own="org.carpd1"/></policy>"#,
                rustix::process::getuid().as_raw()
            ),
        );
        let file = place.file("bus.conf");
        std::fs::write(&file, configuration).unwrap();
        let mut child = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", file.display()))
            .args(["--nofork", "--nopidfile", "--print-address=1"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon is installed");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(
            line.starts_with("unix:path="),
            "dbus-daemon says where it listens: {line}"
        );
        Self { child, address }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
