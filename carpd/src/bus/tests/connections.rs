//! Several clients at once: none can harm another.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use carp_dbus::{Change, Client, Settings, names};
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::{Bench, PATIENCE, carp0, flap, until};
use crate::bus::peer::REST;
use crate::bus::private::PrivateSocket;

#[tokio::test]
async fn two_connections_see_the_same_and_hear_of_each_other() {
    let bench = Bench::with_a_backup().await;
    let (one, other) = (bench.client(0).await, bench.client(0).await);
    let mut watch = other.watch().await.unwrap();
    one.create("carp7", Settings::new().description("by one"))
        .await
        .unwrap();
    // Its object is there for everybody by the time that it is answered.
    other
        .configure("carp7", Settings::new().description("by the other"))
        .await
        .unwrap();
    assert_eq!(
        one.interface("carp7").await.unwrap().description,
        "by the other"
    );
    let added = until(&mut watch, |change| {
        if let Change::Added(info) = change {
            Some(info.name)
        } else {
            None
        }
    })
    .await;
    assert_eq!(added, "carp7");
}

#[tokio::test]
async fn calls_of_many_clients_at_once_are_all_answered() {
    let bench = Bench::with_a_backup().await;
    let mut tasks = Vec::new();
    for number in 1..=20u8 {
        let client = bench.client(0).await;
        tasks.push(tokio::spawn(async move {
            let settings = Settings::new().description(&format!("number {number}"));
            client.create(&format!("carp{number}"), settings).await
        }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(bench.client(0).await.interfaces().await.unwrap().len(), 21);
}

#[tokio::test]
async fn a_client_that_never_reads_is_let_go_and_holds_up_nobody() {
    let bench = Bench::with_a_backup().await;
    let (mut mute, ours) = UnixStream::pair().unwrap();
    bench.welcome(ours, 0);
    say_hello(&mut mute).await;
    let client = bench.client(0).await;
    peers_become(&bench, 2).await;

    let mut rounds = 0;
    while bench.hub.peers().len() == 2 {
        bench.does(|world| flap(world, 500)).await;
        client.sysctl_set("net.inet.carp.log", 1).await.unwrap();
        assert_eq!(carp0(&client).await.state, "BACKUP");
        rounds += 1;
        assert!(rounds < 1000, "it is still there");
    }
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_the_answers_is_let_go_although_nothing_happens() {
    let bench = Bench::with_a_backup().await;
    let (mut greedy, ours) = UnixStream::pair().unwrap();
    bench.welcome(ours, 0);
    say_hello(&mut greedy).await;
    let client = bench.client(0).await;
    peers_become(&bench, 2).await;

    let call = zbus::Message::method_call(names::ROOT_PATH, "ListInterfaces")
        .interface(names::MANAGER_INTERFACE)
        .build(&())
        .unwrap();
    let asking = async {
        while bench.hub.peers().len() == 2 {
            // Full, or gone.
            let _ = greedy.write(call.data());
            assert_eq!(carp0(&client).await.state, "BACKUP");
        }
    };
    timeout(PATIENCE, asking).await.expect("it is still there");
    assert_eq!(carp0(&client).await.state, "BACKUP");
}

#[tokio::test]
async fn a_client_that_leaves_is_forgotten() {
    let bench = Bench::with_a_backup().await;
    peers_become(&bench, 0).await;
    let client = bench.client(0).await;
    carp0(&client).await;
    peers_become(&bench, 1).await;
    drop(client);
    peers_become(&bench, 0).await;
}

#[tokio::test]
async fn objects_are_made_when_they_are_called_and_go_when_nobody_calls_them() {
    let bench = Bench::with_a_backup().await;
    peers_become(&bench, 0).await;
    let client = bench.client(0).await;
    for name in ["carp1", "carp2"] {
        client.create(name, Settings::new()).await.unwrap();
    }
    let connection = bench.connection(0).await;
    peers_become(&bench, 2).await;
    let peer = bench.hub.peers().pop().unwrap();
    assert_eq!(client.interfaces().await.unwrap().len(), 3);
    assert_eq!(peer.objects().await, []);

    let described = introspection(&connection, "/org/carpd1/interface/carp1").await;
    assert!(described.contains("org.carpd1.Interface"), "{described}");
    let names = |units: Vec<carp_proto::Unit>| -> Vec<String> {
        units.iter().map(ToString::to_string).collect()
    };
    assert_eq!(names(peer.objects().await), ["carp1"]);
    // What was never called may go, too, and what is gone is not there for anybody.
    client.destroy("carp1").await.unwrap();
    client.destroy("carp2").await.unwrap();
    assert_eq!(peer.objects().await, []);

    introspection(&connection, "/org/carpd1/interface/carp0").await;
    for above in ["/", "/org", "/org/carpd1", "/org/carpd1/interface"] {
        peer.rest(REST).await;
        assert_ne!(peer.objects().await, []);
        peer.rest(Duration::ZERO).await;
        assert_eq!(peer.objects().await, []);
        let described = introspection(&connection, above).await;
        assert!(described.contains("<node name=\"carp0\">"), "{described}");
        assert!(!described.contains("carp1\""), "{described}");
        assert_eq!(names(peer.objects().await), ["carp0"]);
    }
}

#[tokio::test]
async fn descriptors_that_nobody_wants_are_no_trouble() {
    let bench = Bench::with_a_backup().await;
    let connection = bench.connection(0).await;
    let (one, _) = UnixStream::pair().unwrap();
    let answer = connection
        .call_method(
            Some(names::BUS_NAME),
            names::ROOT_PATH,
            Some(names::MANAGER_INTERFACE),
            "Save",
            &zbus::Fd::from(std::os::fd::OwnedFd::from(one)),
        )
        .await;
    assert!(answer.is_err(), "{answer:?}");
    let client = Client::new(connection).await.unwrap();
    assert_eq!(carp0(&client).await.state, "BACKUP");
    assert!(client.suppress("test", "why").await.is_ok());
}

#[tokio::test]
async fn when_the_loop_ends_clients_hear_the_rest_and_the_connection_ends() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    let mut watch = client.watch().await.unwrap();
    bench.does(|world| world.wait(Duration::from_secs(3))).await;
    let Bench {
        hub,
        deeds,
        directory: _,
    } = bench;
    drop(deeds);
    until(&mut watch, |change| {
        let Change::Event(event) = change else {
            return None;
        };
        event.text.contains("-> MASTER").then_some(())
    })
    .await;
    timeout(PATIENCE, hub.closed()).await.unwrap();
    assert_eq!(timeout(PATIENCE, watch.next()).await.unwrap(), None);
}

#[tokio::test]
async fn the_private_socket_is_for_its_owner_and_serves_even_beside_a_silent_client() {
    let bench = Bench::with_a_backup().await;
    let place = Place::new("serves");
    let socket = PrivateSocket::bind(place.socket()).unwrap();
    let mode = std::fs::metadata(place.socket())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let hub = bench.hub.clone();
    let serving = tokio::spawn(async move { socket.serve(&hub).await });

    let _silent = UnixStream::connect(place.socket()).unwrap();
    let address = format!("unix:path={}", place.socket().display());
    let client = Client::connect_to(&address).await.unwrap();
    assert_eq!(carp0(&client).await.state, "BACKUP");

    bench.hub.close();
    timeout(PATIENCE, serving).await.unwrap().unwrap();
    assert!(!place.socket().exists(), "it cleans up");
    let error = Client::connect_to(&address).await.unwrap_err();
    assert!(
        matches!(error, carp_dbus::ConnectError::NoDaemon { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_but_neither_a_live_one_nor_a_file() {
    let place = Place::new("replaces");
    drop(std::os::unix::net::UnixListener::bind(place.socket()).unwrap());
    let live = PrivateSocket::bind(place.socket()).unwrap();
    let error = PrivateSocket::bind(place.socket()).unwrap_err();
    assert!(
        error.to_string().contains("another carpd answers there"),
        "{error}"
    );
    drop(live);
    std::fs::write(place.socket(), "precious").unwrap();
    let error = PrivateSocket::bind(place.socket()).unwrap_err();
    assert!(error.to_string().contains("not a socket"), "{error}");
    assert_eq!(std::fs::read(place.socket()).unwrap(), b"precious");
}

async fn introspection(connection: &zbus::Connection, path: &str) -> String {
    let proxy = zbus::fdo::IntrospectableProxy::builder(connection)
        .destination(names::BUS_NAME)
        .path(path)
        .build()
        .await
        .unwrap();
    proxy.introspect().await.unwrap()
}

async fn peers_become(bench: &Bench, count: usize) {
    let wait = async {
        while bench.hub.peers().len() != count {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("so many connections");
}

/// A directory of a test's own.
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("carpd-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        Path::join(&self.0, name)
    }

    fn socket(&self) -> PathBuf {
        self.file("bus")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// The SASL handshake, and not a word more.
async fn say_hello(stream: &mut UnixStream) {
    stream.set_nonblocking(true).unwrap();
    let mut uid = String::new();
    for digit in rustix::process::getuid().as_raw().to_string().bytes() {
        write!(uid, "{digit:02x}").unwrap();
    }
    stream
        .write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    let hear = async {
        while !answer.ends_with(b"\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => answer.push(byte[0]),
                _ => sleep(Duration::from_millis(1)).await,
            }
        }
    };
    timeout(PATIENCE, hear).await.unwrap();
    assert!(answer.starts_with(b"OK "));
    stream.write_all(b"BEGIN\r\n").unwrap();
    sleep(Duration::from_millis(20)).await;
}
