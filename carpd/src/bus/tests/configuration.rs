//! `Save` and `Reload`, and the configuration at start.

use std::fs;

use carp_dbus::{Change, Client, Error, Settings};
use carp_proto::Input;
use futures_util::StreamExt;

use super::{Bench, eth0, name};
use crate::config::apply::Start;

impl Bench {
    fn write(&self, file: &str, text: &str) {
        fs::write(self.directory.path().join(file), text).unwrap();
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.directory.path().join(file)).unwrap()
    }
}

async fn names(client: &Client) -> Vec<String> {
    let interfaces = client.interfaces().await.unwrap();
    interfaces.into_iter().map(|info| info.name).collect()
}

#[tokio::test]
async fn configuration_is_set_up_without_its_faults() {
    let bench = Bench::new();
    bench.write(
        "rc.conf",
        "cloned_interfaces=\"carp0 carp1 carp2\"\n\
         ifconfig_carp0=\"vhid 1 pass x 192.0.2.1/24\"\n\
         ifconfig_carp1=\"vhid nonsense\"\n\
         ifconfig_carp2=\"vhid 2 carpdev late0 198.51.100.1/24\"\n",
    );
    bench.write("sysctl.conf", "net.inet.carp.preempt=1\n");
    bench.step(|world| world.input(Input::Link(eth0()))).await;
    bench.server.configurator.start(Start::Configured).await;
    let client = bench.client(0).await;
    assert_eq!(names(&client).await, ["carp0", "carp2"]);
    assert_eq!(client.interface("carp0").await.unwrap().state, "BACKUP");
    assert_eq!(client.interface("carp2").await.unwrap().state, "INIT");
    assert_eq!(client.sysctl_get("net.inet.carp.preempt").await, Ok(1));
}

#[tokio::test]
async fn saved_configuration_is_the_running_one_and_its_reload_changes_nothing() {
    let bench = Bench::with_a_backup().await;
    bench.write("rc.conf", "# ours\n");
    let client = bench.client(0).await;
    client.sysctl_set("net.inet.carp.preempt", 1).await.unwrap();
    client.save().await.unwrap();
    assert_eq!(
        bench.text("rc.conf"),
        "# ours\ncloned_interfaces=\"carp0\"\n\
         ifconfig_carp0=\"vhid 1 pass secret inet 192.0.2.1/24\"\n"
    );
    assert_eq!(bench.text("sysctl.conf"), "net.inet.carp.preempt=1\n");

    let before = client.interface("carp0").await.unwrap();
    let mut watch = client.watch().await.unwrap();
    client.reload().await.unwrap();
    assert_eq!(client.interface("carp0").await.unwrap(), before);
    // The first change is that of the next call.
    client
        .configure("carp0", Settings::new().description("last"))
        .await
        .unwrap();
    let change = watch.next().await.unwrap();
    assert!(
        matches!(&change, Change::Properties { name, changed }
            if name == "carp0" && changed.len() == 1 && changed.contains_key("Description")),
        "{change:?}"
    );
}

#[tokio::test]
async fn reload_creates_changes_and_destroys() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    for (unit, vhid) in [("carp1", 2), ("carp2", 3)] {
        client
            .create(unit, Settings::new().vhid(vhid))
            .await
            .unwrap();
    }
    client.sysctl_set("net.inet.carp.log", 2).await.unwrap();
    // The vhid of carp1 is free only once carp2 has changed.
    bench.write(
        "rc.conf",
        "cloned_interfaces=\"carp1 carp2 carp3\"\n\
         ifconfig_carp1=\"vhid 3 carpdev eth0\"\n\
         ifconfig_carp2=\"vhid 4 carpdev eth0\"\n\
         ifconfig_carp3=\"vhid 5 carpdev eth0\"\n",
    );
    client.reload().await.unwrap();
    let interfaces = client.interfaces().await.unwrap();
    let found: Vec<_> = interfaces
        .iter()
        .map(|info| (info.name.as_str(), info.vhid))
        .collect();
    assert_eq!(found, [("carp1", 3), ("carp2", 4), ("carp3", 5)]);
    assert_eq!(client.sysctl_get("net.inet.carp.log").await, Ok(1));
}

#[tokio::test]
async fn reload_can_exchange_vhids() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    for (unit, vhid) in [("carp1", 2), ("carp2", 3)] {
        let settings = Settings::new().vhid(vhid).device("eth0");
        client.create(unit, settings).await.unwrap();
    }
    bench.write(
        "rc.conf",
        "cloned_interfaces=\"carp0 carp1 carp2\"\n\
         ifconfig_carp0=\"vhid 2 carpdev eth0 192.0.2.1/24\"\n\
         ifconfig_carp1=\"vhid 3 carpdev eth0\"\n\
         ifconfig_carp2=\"vhid 1 carpdev eth0\"\n",
    );
    client.reload().await.unwrap();
    let interfaces = client.interfaces().await.unwrap();
    let vhids: Vec<u8> = interfaces.iter().map(|info| info.vhid).collect();
    assert_eq!(vhids, [2, 3, 1]);
}

#[tokio::test]
async fn reload_of_faulty_files_changes_nothing_and_reports_all_faults() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    bench.write(
        "rc.conf",
        "cloned_interfaces=\"carp1\"\nifconfig_carp1=\"vhid 0\"\n",
    );
    bench.write("sysctl.conf", "net.inet.carp.preempt=9\n");
    let error = client.reload().await.unwrap_err();
    assert_eq!(name(&error), "org.carpd1.Error.InvalidArgument");
    let text = error.to_string();
    assert!(text.contains("rc.conf:2: ifconfig_carp1: vhid 0"), "{text}");
    assert!(
        text.contains("; ") && text.contains("sysctl.conf:1: "),
        "{text}"
    );
    assert_eq!(names(&client).await, ["carp0"]);
}

#[tokio::test]
async fn reload_reports_refusals_and_makes_the_other_changes() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(0).await;
    bench.write(
        "rc.conf",
        "cloned_interfaces=\"carp0 carp1 carp2\"\n\
         ifconfig_carp0=\"vhid 1 pass secret 192.0.2.1/24\"\n\
         ifconfig_carp1=\"vhid 1 192.0.2.2/24\"\nifconfig_carp2=\"vhid 2 192.0.2.3/24\"\n",
    );
    let error = client.reload().await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("rc.conf:3: carp1: vhid 1 is already used by carp0 on eth0"),
        "{error}"
    );
    assert_eq!(names(&client).await, ["carp0", "carp2"]);
}

#[tokio::test]
async fn only_root_may_save_and_reload() {
    let bench = Bench::with_a_backup().await;
    let client = bench.client(1000).await;
    for result in [client.save().await, client.reload().await] {
        assert!(matches!(result, Err(Error::NotPermitted(_))), "{result:?}");
    }
    assert_eq!(fs::read_dir(bench.directory.path()).unwrap().count(), 0);
}
