//! Reports of links and addresses.

use carp_proto::{IfIndex, Link, Mac, Place};

use super::super::News;
use super::lab::{on_a_cable, run};
use super::{Kernel, eth0};

/// Returns the next report of a link for which `holds` returns true.
async fn next(kernel: &mut Kernel, index: IfIndex, holds: impl Fn(&Link) -> bool) -> Link {
    loop {
        if let News::Link(link) = kernel.news().await
            && link.index == index
            && holds(&link)
        {
            return link;
        }
    }
}

fn addresses(link: &Link) -> Vec<String> {
    link.addresses
        .iter()
        .map(|a| format!("{}/{}", a.address, a.prefix))
        .collect()
}

#[test]
fn all_links_are_reported_with_addresses_before_ready() {
    on_a_cable(async |_lab| {
        run("ip link set eth0 mtu 1400");
        run("ip link add tun0 type veth peer name other && ip link set tun0 multicast off");
        let kernel = Kernel::start().await;
        let named = |name| {
            kernel
                .links
                .iter()
                .find(|link| link.name.as_str() == name)
                .unwrap()
        };
        let eth0 = named("eth0");
        assert!(eth0.up && eth0.carrier && eth0.capable);
        assert_eq!(eth0.mtu, 1400);
        let addresses = addresses(eth0);
        assert!(
            addresses.contains(&"192.0.2.2/24".to_owned()),
            "{addresses:?}"
        );
        assert!(
            addresses.contains(&"2001:db8::2/64".to_owned()),
            "{addresses:?}"
        );
        assert!(!named("lo").capable);
        assert!(!named("tun0").capable, "it cannot multicast");
        assert!(!named("tun0").up && !named("tun0").carrier);
    });
}

#[test]
fn changes_of_a_link_are_reported() {
    on_a_cable(async |lab| {
        let mut kernel = Kernel::start().await;
        let index = eth0();
        lab.on_peer("ip link set eth0 down");
        next(&mut kernel, index, |link| link.up && !link.carrier).await;
        lab.on_peer("ip link set eth0 up");
        next(&mut kernel, index, Link::works).await;

        run("ip address add 198.51.100.1/24 dev eth0");
        let reported = next(&mut kernel, index, |link| {
            addresses(link).contains(&"198.51.100.1/24".to_owned())
        });
        reported.await;
        run("ip address delete 198.51.100.1/24 dev eth0");
        let reported = next(&mut kernel, index, |link| {
            !addresses(link).contains(&"198.51.100.1/24".to_owned())
        });
        reported.await;

        run("ip link set eth0 address 02:00:00:00:00:77");
        next(&mut kernel, index, |link| {
            link.mac == Mac([2, 0, 0, 0, 0, 0x77])
        })
        .await;
        run("ip link set eth0 down");
        next(&mut kernel, index, |link| !link.up).await;
        run("ip link set eth0 name lan0");
        next(&mut kernel, index, |link| link.name.as_str() == "lan0").await;
        run("ip link delete lan0");
        loop {
            if kernel.news().await == News::LinkGone(index) {
                break;
            }
        }
    });
}

#[test]
fn closed_port_has_no_carrier() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        let index = eth0();
        run("ip link set eth0 mode dormant && ip link set eth0 state dormant");
        let flags = run("ip link show dev eth0");
        assert!(flags.contains("LOWER_UP"), "{flags}");
        next(&mut kernel, index, |link| link.up && !link.carrier).await;
        run("ip link set eth0 state up");
        next(&mut kernel, index, Link::works).await;
    });
}

#[test]
fn address_is_reported_once_it_is_usable() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        run("ip address add 2001:db8::77/64 dev eth0");
        let state = run("ip -o address show dev eth0 to 2001:db8::77");
        assert!(state.contains("tentative"), "{state}");
        next(&mut kernel, eth0(), |link| {
            addresses(link).contains(&"2001:db8::77/64".to_owned())
        })
        .await;
        let state = run("ip -o address show dev eth0 to 2001:db8::77");
        assert!(!state.contains("tentative"), "{state}");
    });
}

#[test]
fn own_devices_and_addresses_are_not_reported() {
    on_a_cable(async |_lab| {
        let mut kernel = Kernel::start().await;
        kernel.ensure(0);
        kernel.take(0, Place::Device, &["192.0.2.1/24"], 30);
        kernel.take(
            1,
            Place::Parent(eth0()),
            &["192.0.2.3/24", "2001:db8::3/64"],
            30,
        );
        // A later link is reported after them.
        kernel.settle().await;
        run("ip link add after0 type veth peer name other");
        loop {
            match kernel.news().await {
                News::Link(link) if link.name.as_str() == "after0" => break,
                News::Link(link) => {
                    assert_ne!(link.name.as_str(), "carp0");
                    let addresses = addresses(&link);
                    assert!(
                        !addresses.contains(&"192.0.2.3/32".to_owned()),
                        "{addresses:?}"
                    );
                    assert!(
                        !addresses.contains(&"2001:db8::3/64".to_owned()),
                        "{addresses:?}"
                    );
                }
                News::Found(_)
                | News::LinkGone(_)
                | News::Ready
                | News::Taken { .. }
                | News::HelperDevices { .. }
                | News::ProbeSent(..)
                | News::Refused { .. }
                | News::Gateways(_)
                | News::Granted { .. }
                | News::Confirmed(_) => {}
            }
        }
    });
}
