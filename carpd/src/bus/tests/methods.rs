//! Every method: its effect and its reply.

use std::collections::HashMap;
use std::time::Duration;

use carp_dbus::properties::{self, PROPERTIES};
use carp_dbus::proxy::{InterfaceProxy, ManagerProxy, SysctlProxy};
use carp_dbus::{AddressInfo, Client, Error, Settings, SysctlInfo, names, number};
use carp_proto::{Input, Sysctl, Sysctls};
use zbus::{Connection, OwnedVariant, Variant};

use super::{Bench, START, carp0, eth0, flap, name};
use crate::bus::sysctl::property;

pub(super) async fn interface(connection: &Connection) -> InterfaceProxy<'static> {
    InterfaceProxy::new(connection, names::interface_path("carp0"))
        .await
        .unwrap()
}

#[tokio::test]
async fn named_properties_of_every_interface_are_listed() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    let other = Settings::new().vhid(2).description("another");
    client.create("carp1", other).await.unwrap();
    client.create("carp2", Settings::new()).await.unwrap();
    let all = client.interfaces().await.unwrap();
    assert_eq!(all.len(), 3);
    let every: Vec<&str> = PROPERTIES.iter().map(|property| property.name).collect();
    assert_eq!(client.properties(&every).await.unwrap(), all);

    let connection = bench.connection(1000).await;
    let manager = ManagerProxy::new(&connection).await.unwrap();
    for name in every {
        let columns = manager
            .list_properties(&[name, "Colour", name])
            .await
            .unwrap();
        assert_eq!(columns.keys().collect::<Vec<_>>(), [name]);
    }
    let none: &[&str] = &[];
    assert!(manager.list_properties(none).await.unwrap().is_empty());
}

#[tokio::test]
async fn interface_is_created_with_its_settings_and_shown_at_once() {
    let bench = Bench::new();
    bench.step(|world| world.input(Input::Link(eth0()))).await;
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
async fn change_is_all_or_nothing_and_shown_with_the_reply() {
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
async fn object_is_found_by_name_while_it_exists() {
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

    let proxy = SysctlProxy::new(&connection).await.unwrap();
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

    let shown = zbus::fdo::PropertiesProxy::builder(&connection)
        .destination(names::BUS_NAME)
        .path(names::ROOT_PATH)
        .build()
        .await
        .unwrap()
        .get_all(names::SYSCTL_INTERFACE.try_into().unwrap())
        .await
        .unwrap();
    assert_eq!(shown.len(), Sysctl::ALL.len());
    let listed = client.sysctls().await.unwrap();
    assert_eq!(listed.len(), Sysctl::ALL.len());
    let mut expected = Sysctls::default();
    for (sysctl, value) in [
        (Sysctl::Log, 2),
        (Sysctl::Preempt, 1),
        (Sysctl::ReplayWindow, 30),
    ] {
        expected.set(sysctl, value).unwrap();
    }
    for (sysctl, row) in Sysctl::ALL.into_iter().zip(listed) {
        let name = format!("{}{}", names::SYSCTL_PREFIX, sysctl.name());
        let value = expected.get(sysctl);
        assert_eq!(client.sysctl_get(&name).await.unwrap(), value, "{name}");
        let shown = number(&shown[property(sysctl)]);
        assert_eq!(shown, Some(value), "{name}");
        let expected = SysctlInfo {
            name,
            value,
            description: sysctl.description().to_owned(),
            writable: sysctl.range().is_some(),
        };
        assert_eq!(row, expected);
    }
}

#[tokio::test]
async fn fields_of_the_ioctls_are_read_and_set() {
    let bench = Bench::with_a_backup().await;
    let connection = bench.connection(0).await;
    let proxy = interface(&connection).await;
    let client = Client::new(connection).await.unwrap();
    assert_eq!(
        proxy.get_vh().await.unwrap(),
        ((1, 1, 0, 1, b"secret".to_vec()),)
    );

    // ifconfig(8) sets the whole structure, with a key padded with NUL.
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
async fn statistics_count_and_are_reset() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    bench
        .step(|world| world.wait(Duration::from_secs(10)))
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
async fn last_thousand_events_are_kept_and_read_in_pages() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    bench.step(|world| flap(world, 503)).await;
    // A reply arrives after all earlier news.
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
    assert_eq!(transition.details.len(), 5);
}

#[tokio::test]
async fn standard_properties_and_managed_objects_agree_with_the_list() {
    let bench = Bench::with_a_backup().await;
    let connection = bench.connection(1000).await;
    let client = Client::new(connection.clone()).await.unwrap();
    let path = names::interface_path("carp0");

    let proxy = zbus::fdo::PropertiesProxy::builder(&connection)
        .destination(names::BUS_NAME)
        .path(path.as_str())
        .build()
        .await
        .unwrap();
    let interface = zbus::names::InterfaceName::try_from(names::INTERFACE_INTERFACE).unwrap();
    let all = proxy.get_all(interface.clone()).await.unwrap();
    let listed = carp0(&client).await;
    let listed = properties::all(&listed);
    assert_eq!(all.len(), listed.len());
    for (name, value) in listed {
        let got = proxy.get(interface.clone(), name).await.unwrap();
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
