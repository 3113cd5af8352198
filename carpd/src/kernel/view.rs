//! View of the links, addresses and default routes of this host, as the kernel reports them and as the
//! protocol loop knows them. A link is reported as a whole.

use std::collections::{BTreeMap, BTreeSet};

use carp_proto::{DeviceAddress, DeviceName, Gateway, IfIndex, Link, Mac};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage, Prop};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use tokio::sync::mpsc::UnboundedSender;

use super::device_report::{self, DeviceReport};
use super::netlink::Netlink;
use super::netlink_error::NetlinkError;
use super::news::News;
use super::sightings::Sighting;
use super::{addresses, gateways};

/// Recipients of reports.
#[derive(Clone, Copy)]
pub(super) struct Recipients<'a> {
    /// The protocol loop, for everything that is not ours.
    pub(super) news: &'a UnboundedSender<News>,
    /// The loop of the kernel thread, for everything that may be ours.
    pub(super) sightings: &'a UnboundedSender<Sighting>,
}

/// Reports of the kernel, and what was sent of them.
#[derive(Debug, Default)]
pub(super) struct View {
    links: BTreeMap<IfIndex, Link>,
    /// Own addresses, including those of devices that are ours or not known yet.
    addresses: BTreeMap<IfIndex, BTreeSet<DeviceAddress>>,
    sent: BTreeMap<IfIndex, Link>,
    changed: BTreeSet<IfIndex>,
    sightings: Vec<Sighting>,
    /// Set once a default route was added or removed.
    has_new_route: bool,
    /// Gateways that were sent.
    gateways: BTreeSet<Gateway>,
}

impl View {
    /// Reads everything anew.
    ///
    /// # Errors
    /// The refusal of the kernel.
    pub(super) fn read(&mut self, netlink: &Netlink) -> Result<(), NetlinkError> {
        self.forget_all();
        netlink.each_link(|link| self.see_link(link))?;
        netlink.each_address(|address| self.see_address(address))
    }

    fn forget_all(&mut self) {
        self.changed.extend(self.sent.keys());
        self.sightings = vec![Sighting::Anything];
        self.links.clear();
        self.addresses.clear();
    }

    /// Returns true if default routes may have changed.
    pub(super) fn may_be_rerouted(&self) -> bool {
        self.has_new_route || !self.changed.is_empty()
    }

    /// Applies a report. Returns false if reports before it were lost.
    pub(super) fn apply(&mut self, message: NetlinkMessage<RouteNetlinkMessage>) -> bool {
        if let NetlinkPayload::InnerMessage(message) = message.payload {
            if let RouteNetlinkMessage::NewLink(link) = message {
                self.see_link(&link);
            } else if let RouteNetlinkMessage::DelLink(link) = message {
                self.lose_link(&link);
            } else if let RouteNetlinkMessage::NewAddress(address) = message {
                self.see_address(&address);
            } else if let RouteNetlinkMessage::DelAddress(address) = message {
                self.lose_address(&address);
            } else if let RouteNetlinkMessage::NewRoute(route)
            | RouteNetlinkMessage::DelRoute(route) = message
            {
                self.has_new_route |= gateways::is_default(&route);
            }
            return true;
        }
        !matches!(message.payload, NetlinkPayload::Overrun(_))
    }

    fn see_link(&mut self, message: &LinkMessage) {
        // Other messages, such as a bridge's, report one aspect only.
        if message.header.interface_family != AddressFamily::Unspec {
            return;
        }
        let index = IfIndex(message.header.index);
        if device_report::is_ours(message) {
            self.sightings.push(Sighting::Device(index.0));
            return;
        }
        let report = DeviceReport::of(message);
        if let Some(link) = link_of(message, &report, self.links.get(&index)) {
            if report.is_macvlan
                && let Some(below) = report.parent
            {
                let guest = (below, link.name.to_string());
                self.sightings.push(Sighting::Guest(index.0, Some(guest)));
            }
            self.links.insert(index, link);
            self.changed.insert(index);
        }
    }

    fn lose_link(&mut self, message: &LinkMessage) {
        if message.header.interface_family == AddressFamily::Unspec {
            let index = IfIndex(message.header.index);
            let report = DeviceReport::of(message);
            if report.is_ours {
                self.sightings.push(Sighting::Device(index.0));
            } else if report.is_macvlan {
                self.sightings.push(Sighting::Guest(index.0, None));
            }
            self.links.remove(&index);
            self.addresses.remove(&index);
            self.changed.insert(index);
        }
    }

    fn see_address(&mut self, message: &AddressMessage) {
        let index = IfIndex(message.header.index);
        let Some(address) = addresses::own(message) else {
            return;
        };
        let unusable = AddressFlags::Tentative | AddressFlags::Dadfailed;
        if addresses::is_virtual(message) || addresses::flags(message).intersects(unusable) {
            self.forget(index, address);
        } else {
            self.addresses.entry(index).or_default().insert(address);
            self.changed.insert(index);
        }
    }

    fn lose_address(&mut self, message: &AddressMessage) {
        let (index, Some(address)) = (message.header.index, addresses::own(message)) else {
            return;
        };
        self.sightings
            .push(Sighting::AddressGone(index, address.address));
        // The physical interface may have an address of its own that is also a virtual one.
        if !addresses::is_virtual(message) {
            self.forget(IfIndex(index), address);
        }
    }

    fn forget(&mut self, index: IfIndex, address: DeviceAddress) {
        if let Some(known) = self.addresses.get_mut(&index)
            && known.remove(&address)
        {
            self.changed.insert(index);
        }
    }

    /// Sends the gateways of default routes, if they differ from what was sent before.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn report_gateways(
        &mut self,
        netlink: &Netlink,
        recipients: Recipients<'_>,
    ) -> Result<(), NetlinkError> {
        self.has_new_route = false;
        let gateways = netlink.default_gateways()?;
        if gateways != self.gateways {
            self.gateways.clone_from(&gateways);
            // Fails if the protocol loop has ended, which the caller notices.
            let _ = recipients.news.send(News::Gateways(gateways));
        }
        Ok(())
    }

    /// Sends every link that differs from what was sent before.
    pub(super) fn report(&mut self, recipients: Recipients<'_>) {
        let mut items = Vec::new();
        for index in core::mem::take(&mut self.changed) {
            let link = self.links.get(&index).map(|link| Link {
                addresses: self
                    .addresses
                    .get(&index)
                    .into_iter()
                    .flatten()
                    .copied()
                    .collect(),
                ..link.clone()
            });
            let before = self.sent.remove(&index);
            self.sent.extend(link.clone().map(|link| (index, link)));
            if before == link {
                continue;
            }
            let own = |link: &Option<Link>| link.as_ref().map(|link| link.addresses.clone());
            if own(&before).unwrap_or_default() != own(&link).unwrap_or_default() {
                let own = own(&link).unwrap_or_default();
                self.sightings.push(Sighting::Own(index, own));
            }
            if let (Some(before), Some(link)) = (&before, &link)
                && (&before.name, before.mtu) != (&link.name, link.mtu)
            {
                self.sightings.push(Sighting::Parent(index));
            }
            items.push(link.map_or(News::LinkGone(index), News::Link));
        }
        // First, so that work that is requested because of the news comes after them. Sending fails if
        // the protocol loop has ended, which the caller notices.
        for sighting in self.sightings.drain(..) {
            let _ = recipients.sightings.send(sighting);
        }
        for item in items {
            let _ = recipients.news.send(item);
        }
    }
}

/// Returns the link that a message reports. Attributes that it leaves out are as `before`.
fn link_of(message: &LinkMessage, report: &DeviceReport, before: Option<&Link>) -> Option<Link> {
    let name = if report.name.is_empty() {
        before.map(|link| link.name.clone())
    } else {
        DeviceName::new(&report.name)
    };
    // Messages about one aspect, such as those of Wi-Fi, have no MTU. A whole message about an interface
    // without alternative names has no list of them.
    let is_whole = report.mtu != 0;
    let mut lists = message.attributes.iter().filter_map(|attribute| {
        if let LinkAttribute::PropList(properties) = attribute {
            Some(properties.iter().filter_map(alternative_name).collect())
        } else {
            None
        }
    });
    let known = before.filter(|_| !is_whole);
    let other_names = lists
        .next_back()
        .or_else(|| known.map(|link| link.other_names.clone()));
    let flags = report.flags;
    Some(Link {
        index: IfIndex(report.index),
        name: name?,
        other_names: other_names.unwrap_or_default(),
        mac: report
            .mac
            .or(before.map(|link| link.mac))
            .unwrap_or(Mac([0; 6])),
        mtu: known.map_or(report.mtu, |link| link.mtu),
        capable: message.header.link_layer_type == LinkLayerType::Ether
            && flags.contains(LinkFlags::Multicast)
            && !flags.contains(LinkFlags::Loopback),
        up: report.is_up(),
        // RFC 2863's operational state, up or unknown (`netif_oper_up()`): a port that 802.1X keeps
        // closed has a carrier and is dormant.
        carrier: flags.contains(LinkFlags::LowerUp | LinkFlags::Running),
        addresses: Vec::new(),
    })
}

fn alternative_name(property: &Prop) -> Option<DeviceName> {
    match property {
        Prop::AltIfName(name) => DeviceName::new(name),
        Prop::Other(_) | _ => None,
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::NetlinkHeader;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    fn ethernet(index: u32, name: &str) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags =
            LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Running | LinkFlags::Multicast;
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Mtu(1500),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
        ];
        message
    }

    fn replace(view: &mut View, links: &[LinkMessage]) {
        view.forget_all();
        for link in links {
            view.see_link(link);
        }
    }

    /// Returns the news of a report.
    fn sent(view: &mut View) -> Vec<String> {
        let (send, mut receive): (_, UnboundedReceiver<News>) = unbounded_channel();
        let (sightings, _) = unbounded_channel();
        view.report(Recipients {
            news: &send,
            sightings: &sightings,
        });
        std::iter::from_fn(|| receive.try_recv().ok())
            .map(|news| match news {
                News::Link(link) => format!("{} {}", link.name, link.mtu),
                News::LinkGone(index) => format!("{index} gone"),
                News::Gateways(_)
                | News::Found(_)
                | News::Ready
                | News::Taken { .. }
                | News::HelperDevices { .. }
                | News::ProbeSent(..)
                | News::Refused { .. }
                | News::Granted { .. }
                | News::Confirmed(_) => "?".to_owned(),
            })
            .collect()
    }

    #[test]
    fn only_differences_are_sent_after_an_overrun() {
        let mut view = View::default();
        replace(
            &mut view,
            &[
                ethernet(2, "eth0"),
                ethernet(3, "eth1"),
                ethernet(4, "eth2"),
            ],
        );
        assert_eq!(sent(&mut view), ["eth0 1500", "eth1 1500", "eth2 1500"]);

        let overrun = NetlinkPayload::Overrun(Vec::new());
        assert!(!view.apply(NetlinkMessage::new(NetlinkHeader::default(), overrun)));
        replace(&mut view, &[ethernet(2, "eth0"), ethernet(4, "lan0")]);
        assert_eq!(sent(&mut view), ["3 gone", "lan0 1500"]);
    }

    #[test]
    fn attributes_that_a_message_leaves_out_stay() {
        let mut view = View::default();
        replace(&mut view, &[ethernet(2, "eth0")]);
        assert_eq!(sent(&mut view), ["eth0 1500"]);

        let mut partial = ethernet(2, "eth0");
        partial.attributes.clear();
        view.see_link(&partial);
        assert_eq!(sent(&mut view), Vec::<String>::new());

        // A bridge reports its port, and the loss of its port.
        let mut port = ethernet(2, "eth0");
        port.header.interface_family = AddressFamily::Bridge;
        port.attributes.push(LinkAttribute::Mtu(9000));
        view.see_link(&port);
        view.lose_link(&port);
        assert_eq!(sent(&mut view), Vec::<String>::new());
    }
}
