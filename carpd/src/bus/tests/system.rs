//! Connection to a real bus: a dbus-daemon of the test, with the policy of `dbus/org.carpd1.conf`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use carp_dbus::{Client, Settings, names};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zbus::Connection;
use zbus::connection::Builder;
use zbus::fdo::DBusProxy;

use super::connections::Place;
use super::{Bench, TEST_TIMEOUT, carp0};
use crate::bus::system::{self, Bus};

#[tokio::test]
async fn name_is_on_the_bus_with_all_objects_and_callers_are_known() {
    let place = Place::new("bus");
    let daemon = Daemon::start(&place);
    let bench = Bench::with_a_backup().await;
    let kept = keep(&bench, &daemon);

    let connection = named(&daemon).await;
    let client = Client::new(connection).await.unwrap();
    let mut watch = client.watch().await.unwrap();
    assert_eq!(carp0(&client).await.state, "BACKUP");
    // The test runs as any user. Only root can change something.
    let changed = client
        .configure("carp0", Settings::new().description("by bus"))
        .await;
    let root = rustix::process::getuid().is_root();
    assert_eq!(changed.is_ok(), root, "{changed:?}");
    assert_eq!(client.password("carp0").await.unwrap().is_empty(), !root);

    bench.step(|world| world.wait(Duration::from_secs(3))).await;
    super::until(&mut watch, |change| {
        let carp_dbus::Change::Event(event) = change else {
            return None;
        };
        (event.text == "carp0: BACKUP -> MASTER (master timed out)").then_some(())
    })
    .await;

    bench.end();
    timeout(TEST_TIMEOUT, kept).await.unwrap().unwrap();
}

#[tokio::test]
async fn carpd_connects_again_after_the_bus_restarts() {
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
    timeout(TEST_TIMEOUT, ends).await.expect("watchers notice");

    let daemon = Daemon::start(&place);
    let client = Client::new(named(&daemon).await).await.unwrap();
    assert_eq!(carp0(&client).await.state, "BACKUP");
    kept.abort();
}

/// Keeps the server of `bench` on the bus of `daemon`.
fn keep(bench: &Bench, daemon: &Daemon) -> JoinHandle<()> {
    let server = Arc::clone(&bench.server);
    let bus = Bus::At(daemon.address.clone());
    tokio::spawn(async move {
        let connection = watch::Sender::default();
        tokio::select! {
            () = server.requests.ended() => {}
            () = system::stay_connected(&server, &bus, &connection) => {}
        }
    })
}

/// Connects to the bus, and waits until carpd has its name there.
async fn named(daemon: &Daemon) -> Connection {
    let connection = Builder::address(daemon.address.as_str())
        .method_timeout(TEST_TIMEOUT)
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
    timeout(TEST_TIMEOUT, wait)
        .await
        .expect("carpd has its name");
    connection
}

/// dbus-daemon, killed when it is dropped.
struct Daemon {
    child: Child,
    address: String,
}

impl Daemon {
    fn start(place: &Place) -> Self {
        let address = format!("unix:path={}", place.file("system_bus").display());
        let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dbus/org.carpd1.conf");
        // The relevant part of Debian's /usr/share/dbus-1/system.conf.
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
            // The user of the test takes the place of root.
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
            "dbus-daemon prints its address: {line}"
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
