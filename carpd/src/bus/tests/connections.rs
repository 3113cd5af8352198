//! Several clients at the same time: none can harm another.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use carp_dbus::{Change, Client, Settings, names};
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::{Bench, TEST_TIMEOUT, carp0, flap, until};
use crate::bus::private::PrivateSocket;
use crate::bus::server::OBJECT_LIFETIME;

#[tokio::test]
async fn two_connections_see_the_same_and_each_others_changes() {
    let bench = Bench::with_a_backup().await;
    let (one, other) = (bench.client(0).await, bench.client(0).await);
    let mut watch = other.watch().await.unwrap();
    one.create("carp7", Settings::new().description("by one"))
        .await
        .unwrap();
    // Its object exists on every connection when the reply arrives.
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
async fn simultaneous_calls_of_many_clients_are_all_answered() {
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
async fn client_that_never_reads_is_disconnected_and_delays_no_other() {
    let bench = Bench::with_a_backup().await;
    let (mut mute, ours) = UnixStream::pair().unwrap();
    bench.serve(ours, 0);
    shake_hands(&mut mute).await;
    let client = bench.client(0).await;
    wait_for_connections(&bench, 2).await;

    let mut rounds = 0;
    while bench.server.subscribers.list().len() == 2 {
        bench.step(|world| flap(world, 500)).await;
        client.sysctl_set("net.inet.carp.log", 1).await.unwrap();
        assert_eq!(carp0(&client).await.state, "BACKUP");
        rounds += 1;
        assert!(rounds < 1000, "the client is still connected");
    }
}

#[tokio::test]
async fn client_that_never_reads_replies_is_disconnected_without_signals() {
    let bench = Bench::with_a_backup().await;
    let (mut greedy, ours) = UnixStream::pair().unwrap();
    bench.serve(ours, 0);
    shake_hands(&mut greedy).await;
    let client = bench.client(0).await;
    wait_for_connections(&bench, 2).await;

    let call = zbus::Message::method_call(names::ROOT_PATH, "ListInterfaces")
        .interface(names::MANAGER_INTERFACE)
        .build(&())
        .unwrap();
    let asking = async {
        while bench.server.subscribers.list().len() == 2 {
            // Fails if the buffer is full or the connection is closed.
            let _ = greedy.write(call.data());
            assert_eq!(carp0(&client).await.state, "BACKUP");
        }
    };
    timeout(TEST_TIMEOUT, asking)
        .await
        .expect("the client is still connected");
    assert_eq!(carp0(&client).await.state, "BACKUP");
}

#[tokio::test]
async fn client_that_disconnects_is_removed() {
    let bench = Bench::with_a_backup().await;
    wait_for_connections(&bench, 0).await;
    let client = bench.client(0).await;
    carp0(&client).await;
    wait_for_connections(&bench, 1).await;
    drop(client);
    wait_for_connections(&bench, 0).await;
}

#[tokio::test]
async fn objects_exist_while_they_are_called() {
    let bench = Bench::with_a_backup().await;
    wait_for_connections(&bench, 0).await;
    let client = bench.client(0).await;
    for name in ["carp1", "carp2"] {
        client.create(name, Settings::new()).await.unwrap();
    }
    let connection = bench.connection(0).await;
    wait_for_connections(&bench, 2).await;
    let subscriber = bench.server.subscribers.list().pop().unwrap();
    let objects = &subscriber.objects;
    assert_eq!(client.interfaces().await.unwrap().len(), 3);
    assert_eq!(objects.present().await, []);

    let described = introspection(&connection, "/org/carpd1/interface/carp1").await;
    assert!(described.contains("org.carpd1.Interface"), "{described}");
    let names = |units: Vec<carp_proto::Unit>| -> Vec<String> {
        units.iter().map(ToString::to_string).collect()
    };
    assert_eq!(names(objects.present().await), ["carp1"]);
    // carp2 has no object, and can be destroyed as well.
    client.destroy("carp1").await.unwrap();
    client.destroy("carp2").await.unwrap();
    assert_eq!(objects.present().await, []);

    introspection(&connection, "/org/carpd1/interface/carp0").await;
    for above in ["/", "/org", "/org/carpd1", "/org/carpd1/interface"] {
        objects.remove_idle(OBJECT_LIFETIME).await;
        assert_ne!(objects.present().await, []);
        objects.remove_idle(Duration::ZERO).await;
        assert_eq!(objects.present().await, []);
        let described = introspection(&connection, above).await;
        assert!(described.contains("<node name=\"carp0\">"), "{described}");
        assert!(!described.contains("carp1\""), "{described}");
        assert_eq!(names(objects.present().await), ["carp0"]);
    }
}

#[tokio::test]
async fn unexpected_descriptors_are_ignored() {
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
async fn clients_receive_the_last_signals_when_the_loop_ends() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    let mut watch = client.watch().await.unwrap();
    bench.step(|world| world.wait(Duration::from_secs(3))).await;
    let Bench {
        server,
        steps,
        directory: _,
    } = bench;
    drop(steps);
    until(&mut watch, |change| {
        let Change::Event(event) = change else {
            return None;
        };
        event.text.contains("-> MASTER").then_some(())
    })
    .await;
    timeout(TEST_TIMEOUT, server.requests.ended())
        .await
        .unwrap();
    assert_eq!(timeout(TEST_TIMEOUT, watch.next()).await.unwrap(), None);
}

#[tokio::test]
async fn private_socket_is_for_its_owner_and_serves_beside_a_silent_client() {
    let bench = Bench::with_a_backup().await;
    let place = Place::new("serves");
    let socket = PrivateSocket::bind(place.socket()).unwrap();
    let mode = std::fs::metadata(place.socket())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let server = Arc::clone(&bench.server);
    let serving = tokio::spawn(async move {
        let end = server.requests.ended();
        socket.serve(&server, end).await;
    });

    let _silent = UnixStream::connect(place.socket()).unwrap();
    let address = format!("unix:path={}", place.socket().display());
    let client = Client::connect_to(&address).await.unwrap();
    assert_eq!(carp0(&client).await.state, "BACKUP");

    bench.end();
    timeout(TEST_TIMEOUT, serving).await.unwrap().unwrap();
    assert!(!place.socket().exists(), "the file is removed");
    let error = Client::connect_to(&address).await.unwrap_err();
    assert!(
        matches!(error, carp_dbus::ConnectError::NoDaemon { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn stale_socket_is_replaced_but_no_live_one_and_no_file() {
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

async fn wait_for_connections(bench: &Bench, count: usize) {
    let wait = async {
        while bench.server.subscribers.list().len() != count {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(TEST_TIMEOUT, wait)
        .await
        .expect("the expected number of connections");
}

/// Directory of one test.
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

/// Does the SASL handshake and nothing else.
async fn shake_hands(stream: &mut UnixStream) {
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
    timeout(TEST_TIMEOUT, hear).await.unwrap();
    assert!(answer.starts_with(b"OK "));
    stream.write_all(b"BEGIN\r\n").unwrap();
    sleep(Duration::from_millis(20)).await;
}
