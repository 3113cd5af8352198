//! Refusals: their names, their messages, and the callers that receive them.

use std::collections::BTreeMap;

use carp_dbus::{Client, Error, Settings};
use zbus::Variant;

use super::methods::interface;
use super::{Bench, carp0, name};

#[tokio::test]
async fn every_refusal_about_an_interface_has_a_name_and_a_subject() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    let before = client.interfaces().await.unwrap();
    let new = Settings::new;
    for (subject, settings, kind, text) in [
        ("carp0", new(), "Exists", "carp0"),
        ("carp1", new().vhid(1).device("eth0"), "Exists", "vhid 1"),
        ("carp1", new().device("eth7"), "NoDevice", "eth7"),
        ("eth0", new(), "InvalidArgument", "eth0"),
        ("carp1", new().vhid(0), "InvalidArgument", "1 to 255"),
    ] {
        let error = client.create(subject, settings).await.unwrap_err();
        assert_refusal(&error, kind, text);
    }
    for (subject, settings, kind, text) in [
        ("carp7", new().up(true), "NotFound", "carp7"),
        ("carp0", new().advbase(255), "InvalidArgument", "0 to 254"),
        ("carp0", new().advskew(255), "InvalidArgument", "0 to 254"),
        (
            "carp0",
            new().password(&[b'x'; 20]),
            "InvalidArgument",
            "19",
        ),
        ("carp0", new().device("a/b"), "InvalidArgument", "a/b"),
        ("carp0", new().link_layer("x"), "InvalidArgument", "parent"),
        ("carp0", new().state("INIT"), "InvalidArgument", "BACKUP"),
        ("carp0", new().address("x", 1), "InvalidArgument", "'x'"),
        ("carp0", new().address("::1", 129), "InvalidArgument", "128"),
        (
            "carp0",
            new().remove_address("::2"),
            "AddressNotAvailable",
            "::2",
        ),
        ("carp0", new().up(false).state("master"), "Busy", "INIT"),
    ] {
        let error = client.configure(subject, settings).await.unwrap_err();
        assert_refusal(&error, kind, text);
    }
    assert_refusal(
        &client.destroy("carp7").await.unwrap_err(),
        "NotFound",
        "carp7",
    );
    assert_refusal(
        &client.destroy("eth0").await.unwrap_err(),
        "NotFound",
        "eth0",
    );
    assert_refusal(
        &client.password("carp7").await.unwrap_err(),
        "NotFound",
        "carp7",
    );
    assert_refusal(
        &client.password("../x").await.unwrap_err(),
        "NotFound",
        "../x",
    );
    assert_eq!(client.interfaces().await.unwrap(), before);
}

#[tokio::test]
async fn every_refusal_about_a_sysctl_or_a_holder_has_a_name() {
    let bench = Bench::new();
    let client = bench.client(0).await;
    let unknown = client.sysctl_get("net.inet.carp.x").await.unwrap_err();
    assert_refusal(&unknown, "NotFound", "unknown oid 'net.inet.carp.x'");
    for (name, value, kind, text) in [
        ("preempt", 1, "NotFound", "unknown oid 'preempt'"),
        ("net.inet.carp.preempt", 2, "InvalidArgument", "0 to 1"),
        (
            "net.inet.carp.suppress_preempt",
            0,
            "ReadOnly",
            "is read only",
        ),
    ] {
        assert_refusal(
            &client.sysctl_set(name, value).await.unwrap_err(),
            kind,
            text,
        );
    }
    assert_refusal(
        &client.suppress("", "x").await.unwrap_err(),
        "InvalidArgument",
        "who",
    );
    assert_refusal(
        &client.suppress("x", "").await.unwrap_err(),
        "InvalidArgument",
        "why",
    );
}

fn assert_refusal(error: &Error, kind: &str, text: &str) {
    assert_eq!(name(error), format!("org.carpd1.Error.{kind}"), "{error}");
    assert!(
        error.to_string().contains(text),
        "'{error}' does not contain '{text}'"
    );
}

#[tokio::test]
async fn setting_that_is_unknown_or_of_a_wrong_type_changes_nothing() {
    let bench = Bench::with_a_backup().await;
    let connection = bench.connection(0).await;
    let proxy = interface(&connection).await;
    for (key, value, text) in [
        (
            "Colour",
            Variant::from("green"),
            "there is no setting 'Colour'",
        ),
        ("Vhid", Variant::from(7u32), "its type is y, not u"),
    ] {
        let settings = BTreeMap::from([("AdvSkew", Variant::from(9u8)), (key, value)]);
        let error = Error::from(proxy.configure(&settings).await.unwrap_err());
        assert_eq!(name(&error), "org.carpd1.Error.InvalidArgument");
        assert!(error.to_string().contains(text), "{error}");
    }
    let client = Client::new(connection).await.unwrap();
    assert_eq!(carp0(&client).await.advskew, 0);
}

#[tokio::test]
async fn every_user_can_read_and_only_root_can_change() {
    let bench = Bench::with_a_backup().await;
    let connection = bench.connection(1000).await;
    let client = Client::new(connection.clone()).await.unwrap();
    assert_eq!(client.interfaces().await.unwrap().len(), 1);
    assert_eq!(client.sysctls().await.unwrap().len(), 7);
    assert_eq!(client.events(0, 10).await.unwrap().len(), 1);
    assert_eq!(client.suppressions().await.unwrap(), []);
    assert_eq!(client.statistics().await.unwrap().len(), 16);
    assert_eq!(client.version().await.unwrap(), env!("CARGO_PKG_VERSION"));
    assert_eq!(
        client.password("carp0").await.unwrap(),
        b"",
        "only root sees the password"
    );

    let proxy = interface(&connection).await;
    let bus = |error: zbus::Error| Error::from(error);
    for refused in [
        client.create("carp", Settings::new()).await.map(drop),
        client.destroy("carp0").await,
        client.configure("carp0", Settings::new().up(false)).await,
        client
            .sysctl_set("net.inet.carp.preempt", 1)
            .await
            .map(drop),
        client.suppress("me", "why not").await.map(drop),
        client.reset_statistics().await,
        proxy.set_vhid(2).await.map_err(bus),
        proxy.set_advertisement(1, 1).await.map_err(bus),
        proxy.set_password(b"mine").await.map_err(bus),
        proxy.add_address("192.0.2.2", 24).await.map_err(bus),
        proxy.remove_address("192.0.2.1").await.map_err(bus),
        proxy.set_device("").await.map_err(bus),
        proxy.up().await.map_err(bus),
        proxy.down().await.map_err(bus),
        proxy.set_state("MASTER").await.map_err(bus),
        proxy.set_vh((2, 0, 0, 0, Vec::new())).await.map_err(bus),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(name(&error), "org.carpd1.Error.NotPermitted");
        assert!(error.to_string().starts_with("only root may "), "{error}");
        assert!(
            error.to_string().ends_with("the caller is user 1000"),
            "{error}"
        );
    }
    assert_eq!(
        bench.client(0).await.password("carp0").await.unwrap(),
        b"secret"
    );
}
