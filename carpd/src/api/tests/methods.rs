//! Every method: what it does, what it gives back, and what it refuses.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use carp_dbus::proxy::{InterfaceProxy, ManagerProxy, SysctlProxy};
use carp_dbus::{AddressInfo, Client, Error, Settings, names};
use carp_proto::Input;
use zbus::{Connection, OwnedVariant, Variant};

use super::{Bench, START, carp0, eth0, flap, name};

async fn interface(connection: &Connection) -> InterfaceProxy<'static> {
    InterfaceProxy::new(connection, names::interface_path("carp0"))
        .await
        .unwrap()
}

#[tokio::test]
async fn an_interface_is_created_with_all_its_settings_and_shown_at_once() {
    let bench = Bench::new();
    bench.does(|world| world.input(Input::Link(eth0()))).await;
    let client = bench.client(0).await;
    let settings = Settings::new()
        .vhid(1)
        .advbase(2)
        .advskew(100)
        .password(b"secret")
        .accept_password(b"older")
        .address("192.0.2.1", 24)
        .device("eth0")
        .description("the gateway");
    assert_eq!(client.create("carp3", settings).await.unwrap(), "carp3");
    assert_eq!(
        client.create("carp", Settings::new()).await.unwrap(),
        "carp0"
    );

    let names: Vec<String> = client
        .interfaces()
        .await
        .unwrap()
        .into_iter()
        .map(|info| info.name)
        .collect();
    assert_eq!(names, ["carp0", "carp3"]);
    let info = client.interface("carp3").await.unwrap();
    assert_eq!(
        (info.state.as_str(), info.up, info.running),
        ("BACKUP", true, true)
    );
    assert_eq!((info.vhid, info.advbase, info.advskew), (1, 2, 100));
    assert_eq!((info.effective_advskew, info.demotion), (100, 0));
    assert_eq!(
        (info.carpdev.as_str(), info.lladdr.as_str()),
        ("eth0", "00:00:5e:00:01:01")
    );
    assert_eq!((info.link_layer.as_str(), info.mtu), ("virtual", 1500));
    assert_eq!(
        (info.description.as_str(), info.has_password),
        ("the gateway", true)
    );
    assert_eq!(info.master_down_time, 6_390_625);
    let address = AddressInfo {
        address: "192.0.2.1".to_owned(),
        prefixlen: 24,
        backing: "192.0.2.10".to_owned(),
        flags: String::new(),
    };
    assert_eq!(info.addresses, [address]);
    let last = info.last_transition.unwrap();
    assert_eq!(
        (last.time, last.from.as_str(), last.to.as_str()),
        (START, "INIT", "BACKUP")
    );
    assert_eq!(last.reason, "became-runnable");
    assert_eq!(client.password("carp3").await.unwrap(), b"secret");
}

#[tokio::test]
async fn a_change_is_all_or_nothing_and_shown_when_it_is_answered() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    let before = carp0(&client).await;

    let settings = Settings::new()
        .advskew(7)
        .address("192.0.2.2", 24)
        .remove_address("192.0.2.9");
    let error = client.configure("carp0", settings).await.unwrap_err();
    assert_eq!(name(&error), "org.carpd1.Error.AddressNotAvailable");
    assert_eq!(carp0(&client).await, before);

    let settings = Settings::new()
        .advskew(7)
        .address("192.0.2.2", 24)
        .link_layer("parent");
    client.configure("carp0", settings).await.unwrap();
    let after = carp0(&client).await;
    assert_eq!((after.advskew, after.addresses.len()), (7, 2));
    assert_eq!(
        (after.link_layer.as_str(), after.lladdr.as_str()),
        ("parent", "02:00:00:00:00:0a")
    );
}

#[tokio::test]
async fn each_convenience_changes_its_setting() {
    let bench = Bench::with_a_backup().await;
    let connection = bench.connection(0).await;
    let client = Client::new(connection.clone()).await.unwrap();
    let proxy = interface(&connection).await;

    proxy.set_vhid(9).await.unwrap();
    assert_eq!(carp0(&client).await.lladdr, "00:00:5e:00:01:09");
    proxy.set_advertisement(3, 4).await.unwrap();
    assert_eq!(
        (carp0(&client).await.advbase, carp0(&client).await.advskew),
        (3, 4)
    );
    proxy.set_password(b"").await.unwrap();
    assert!(!carp0(&client).await.has_password);
    proxy.add_address("2001:db8::1", 64).await.unwrap();
    assert_eq!(carp0(&client).await.addresses.len(), 2);
    proxy.remove_address("192.0.2.1").await.unwrap();
    assert_eq!(carp0(&client).await.addresses[0].address, "2001:db8::1");
    proxy.set_device("eth0").await.unwrap();
    assert_eq!(carp0(&client).await.carpdev, "eth0");
    proxy.set_state("master").await.unwrap();
    assert_eq!(carp0(&client).await.state, "MASTER");
    proxy.down().await.unwrap();
    assert_eq!(
        (carp0(&client).await.up, carp0(&client).await.state.as_str()),
        (false, "INIT")
    );
    proxy.up().await.unwrap();
    assert_eq!(
        (carp0(&client).await.up, carp0(&client).await.state.as_str()),
        (true, "BACKUP")
    );
}

#[tokio::test]
async fn every_refusal_of_an_interface_has_its_name_and_says_what_it_is_about() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    let before = client.interfaces().await.unwrap();
    let new = Settings::new;
    for (subject, settings, kind, said) in [
        ("carp0", new(), "Exists", "carp0"),
        ("carp1", new().vhid(1).device("eth0"), "Exists", "vhid 1"),
        ("carp1", new().device("eth7"), "NoDevice", "eth7"),
        ("eth0", new(), "InvalidArgument", "eth0"),
        ("carp1", new().vhid(0), "InvalidArgument", "1 to 255"),
    ] {
        let error = client.create(subject, settings).await.unwrap_err();
        assert_refusal(&error, kind, said);
    }
    for (subject, settings, kind, said) in [
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
        assert_refusal(&error, kind, said);
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
async fn every_refusal_of_a_sysctl_or_a_holder_has_its_name() {
    let bench = Bench::new();
    let client = bench.client(0).await;
    let unknown = client.sysctl_get("net.inet.carp.x").await.unwrap_err();
    assert_refusal(&unknown, "NotFound", "unknown oid 'net.inet.carp.x'");
    for (name, value, kind, said) in [
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
            said,
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

fn assert_refusal(error: &Error, kind: &str, said: &str) {
    assert_eq!(name(error), format!("org.carpd1.Error.{kind}"), "{error}");
    assert!(
        error.to_string().contains(said),
        "'{error}' does not say '{said}'"
    );
}

#[tokio::test]
async fn a_setting_that_is_unknown_or_of_another_type_changes_nothing() {
    let bench = Bench::with_a_backup().await;
    let connection = bench.connection(0).await;
    let proxy = interface(&connection).await;
    for (key, value, said) in [
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
        assert!(error.to_string().contains(said), "{error}");
    }
    let client = Client::new(connection).await.unwrap();
    assert_eq!(carp0(&client).await.advskew, 0);
}

#[tokio::test]
async fn everybody_may_look_and_root_alone_may_change() {
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
        "the password is not for them"
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

#[tokio::test]
async fn an_object_is_found_by_its_name_while_it_exists() {
    let bench = Bench::with_a_backup().await;
    let connection = bench.connection(0).await;
    let manager = ManagerProxy::new(&connection).await.unwrap();
    let path = manager.get_interface("carp0").await.unwrap();
    assert_eq!(path.as_str(), "/org/carpd1/interface/carp0");
    manager.destroy_interface("carp0").await.unwrap();
    let error = Error::from(manager.get_interface("carp0").await.unwrap_err());
    assert_eq!(name(&error), "org.carpd1.Error.NotFound");
    let error = interface(&connection).await.up().await.unwrap_err();
    assert!(error.to_string().contains("Unknown object"), "{error}");
}

#[tokio::test]
async fn sysctls_are_read_set_and_listed() {
    let bench = Bench::new();
    let connection = bench.connection(0).await;
    let client = Client::new(connection.clone()).await.unwrap();
    assert_eq!(client.sysctl_get("net.inet.carp.log").await.unwrap(), 1);
    assert_eq!(client.sysctl_set("net.inet.carp.log", 2).await.unwrap(), 1);
    assert_eq!(
        client
            .sysctl_set("net.inet.carp.replay_window", 30)
            .await
            .unwrap(),
        60
    );

    let proxy = SysctlProxy::builder(&connection)
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .unwrap();
    let old = proxy
        .set("net.inet.carp.preempt", &Variant::from(true))
        .await
        .unwrap();
    assert_eq!(old, OwnedVariant::from(0u32));
    let error = proxy
        .set("net.inet.carp.preempt", &Variant::from("on"))
        .await
        .unwrap_err();
    assert_eq!(
        name(&Error::from(error)),
        "org.carpd1.Error.InvalidArgument"
    );
    assert_eq!(proxy.allow().await.unwrap(), 1);
    assert_eq!(proxy.arp_balance().await.unwrap(), 0);
    assert_eq!(proxy.log().await.unwrap(), 2);
    assert_eq!(proxy.preempt().await.unwrap(), 1);
    assert_eq!(proxy.replay().await.unwrap(), 1);
    assert_eq!(proxy.replay_window().await.unwrap(), 30);
    assert_eq!(proxy.suppress_preempt().await.unwrap(), 0);

    let listed: Vec<(String, u64, bool)> = client
        .sysctls()
        .await
        .unwrap()
        .into_iter()
        .map(|sysctl| (sysctl.name, sysctl.value, sysctl.writable))
        .collect();
    let row = |name: &str, value, writable| (format!("net.inet.carp.{name}"), value, writable);
    assert_eq!(
        listed,
        [
            row("allow", 1, true),
            row("arpbalance", 0, true),
            row("log", 2, true),
            row("preempt", 1, true),
            row("replay", 1, true),
            row("replay_window", 30, true),
            row("suppress_preempt", 0, false),
        ]
    );
}

#[tokio::test]
async fn the_ioctls_fields_are_read_and_set() {
    let bench = Bench::with_a_backup().await;
    let connection = bench.connection(0).await;
    let proxy = interface(&connection).await;
    let client = Client::new(connection).await.unwrap();
    assert_eq!(
        proxy.get_vh().await.unwrap(),
        ((1, 1, 0, 1, b"secret".to_vec()),)
    );

    // As ifconfig(8) does it: the whole structure, its key padded with NUL.
    let mut key = b"other".to_vec();
    key.resize(20, 0);
    proxy.set_vh((2, 5, 20, 3, key)).await.unwrap();
    assert_eq!(
        proxy.get_vh().await.unwrap(),
        ((2, 5, 20, 3, b"other".to_vec()),)
    );
    assert_eq!(carp0(&client).await.state, "MASTER");

    proxy
        .set_vh((2, -1, 0, 0, b"other".to_vec()))
        .await
        .unwrap();
    assert_eq!(
        proxy.get_vh().await.unwrap(),
        ((2, 5, 20, 3, b"other".to_vec()),)
    );
    for wrong in [
        (2, 256, 0, 0),
        (2, 1, 255, 1),
        (2, 1, -1, 1),
        (2, 1, 1, 255),
    ] {
        let (state, vhid, advskew, advbase) = wrong;
        let row = (state, vhid, advskew, advbase, Vec::new());
        let error = Error::from(proxy.set_vh(row).await.unwrap_err());
        assert_eq!(
            name(&error),
            "org.carpd1.Error.InvalidArgument",
            "{wrong:?}"
        );
    }
    let error = Error::from(proxy.set_vh((2, 1, 0, 1, vec![1; 21])).await.unwrap_err());
    assert_eq!(name(&error), "org.carpd1.Error.InvalidArgument");
}

#[tokio::test]
async fn statistics_count_and_start_again() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    bench
        .does(|world| world.wait(Duration::from_secs(10)))
        .await;
    let info = carp0(&client).await;
    assert_eq!(info.state, "MASTER");
    assert!(info.statistics["opackets"] >= 7, "{:?}", info.statistics);
    assert!(info.advertised > START, "{}", info.advertised);
    assert_eq!(client.statistics().await.unwrap(), info.statistics);
    client.reset_statistics().await.unwrap();
    assert_eq!(carp0(&client).await.statistics["opackets"], 0);
    assert_eq!(client.statistics().await.unwrap()["opackets"], 0);
}

#[tokio::test]
async fn the_last_thousand_events_are_kept_and_read_in_pages() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    bench.does(|world| flap(world, 503)).await;
    // The answer comes after everything before it.
    client.sysctl_set("net.inet.carp.log", 1).await.unwrap();
    let all = client.events(0, u32::MAX).await.unwrap();
    assert_eq!(all.len(), 1000);
    assert!(
        all.windows(2)
            .all(|pair| pair[0].number + 1 == pair[1].number)
    );
    let page = client.events(all[10].number, 3).await.unwrap();
    assert_eq!(page, all[11..14]);
    assert_eq!(client.events(all[999].number, 10).await.unwrap(), []);

    let transition = all.iter().find(|event| event.kind == "transition").unwrap();
    assert_eq!(transition.interface, "carp0");
    assert!(
        transition.text.starts_with("carp0: "),
        "{}",
        transition.text
    );
    assert_eq!(transition.details.len(), 3);
}

#[tokio::test]
async fn standard_properties_and_managed_objects_agree_with_the_list() {
    let bench = Bench::with_a_backup().await;
    let connection = bench.connection(1000).await;
    let client = Client::new(connection.clone()).await.unwrap();
    let path = names::interface_path("carp0");

    let properties = zbus::fdo::PropertiesProxy::builder(&connection)
        .destination(names::BUS_NAME)
        .path(path.as_str())
        .build()
        .await
        .unwrap();
    let interface = zbus::names::InterfaceName::try_from(names::INTERFACE_INTERFACE).unwrap();
    let all = properties.get_all(interface.clone()).await.unwrap();
    let listed = carp0(&client).await;
    assert_eq!(all.len(), listed.properties().len());
    for (name, value) in listed.properties() {
        let got = properties.get(interface.clone(), name).await.unwrap();
        assert_eq!(*got, value, "{name}");
        assert_eq!(*all[name], value, "{name}");
    }

    let objects = zbus::fdo::ObjectManagerProxy::builder(&connection)
        .destination(names::BUS_NAME)
        .path(names::ROOT_PATH)
        .build()
        .await
        .unwrap();
    let managed = objects.get_managed_objects().await.unwrap();
    let paths: Vec<&str> = managed.keys().map(|path| path.as_str()).collect();
    assert_eq!(paths, [path.as_str()]);
    let interfaces: HashMap<String, _> = managed
        .into_values()
        .flatten()
        .map(|(name, properties)| (name.to_string(), properties.len()))
        .collect();
    assert_eq!(
        interfaces,
        HashMap::from([(names::INTERFACE_INTERFACE.to_owned(), all.len())])
    );
}
