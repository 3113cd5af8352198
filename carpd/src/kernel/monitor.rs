//! Follows the kernel's links and addresses, and tells what changed, each link as a whole.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use carp_proto::{DeviceAddress, DeviceName, Gateway, IfIndex, Link, Mac};
use futures_util::StreamExt as _;
use futures_util::future::FutureExt as _;
use futures_util::stream::BoxStream;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage, Prop};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::MulticastGroup;
use rtnetlink::sys::AsyncSocket as _;
use socket2::{SockFilter, SockRef};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tracing::{debug, warn};

use super::mend::Sighting;
use super::netlink::Netlink;
use super::netlink_error::NetlinkError;
use super::{News, addresses, devices, gateways};

/// Bytes, as the kernel accounts for them: room for some 10,000 changes.
const RECEIVE_BUFFER: usize = 8 << 20;

/// How long to wait before a broken connection is made anew.
const PAUSE: Duration = Duration::from_secs(1);

/// How long to wait before all is read again while it changes faster than can be read.
const BREATH: Duration = Duration::from_millis(100);

/// Tells all links, then [`News::Ready`], then what changes, for ever.
pub(super) async fn run(
    connection: Connection,
    news: UnboundedSender<News>,
    sightings: UnboundedSender<Sighting>,
) {
    let mut view = View::default();
    let mut next = Some(connection);
    let mut ready = false;
    loop {
        let connection = match next.take().map_or_else(Connection::open, Ok) {
            Ok(connection) => connection,
            Err(error) => {
                warn!("cannot follow links and addresses: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let tell = Tell {
            news: &news,
            sightings: &sightings,
        };
        let outcome = follow(connection, &mut view, tell, &mut ready).await;
        if news.is_closed() {
            return;
        }
        match outcome {
            Ok(()) => {
                warn!("more changes of links and addresses at once than are kept: reading all");
                tokio::time::sleep(BREATH).await;
            }
            Err(error) => {
                warn!("lost track of links and addresses, starting anew: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// All but renewals of our own leases, of which there may be thousands a second: messages that
/// tell of an address whose `IFA_PROTO` is ours; and of routes the default ones alone. A classic BPF
/// program on netlink messages.
const FILTER: [SockFilter; 14] = {
    use crate::bpf::{
        A_TO_X, IF_EQUAL, LOAD_BYTE, LOAD_BYTE_AT_X, LOAD_HALF, LOAD_NUMBER, NUMBER_TO_X, RETURN,
        ancillary, instruction,
    };
    const TYPE: u32 = 4;
    // Loads are of big-endian numbers, and netlink's are the machine's.
    const NEW_ADDRESS: u32 = libc::RTM_NEWADDR.to_be() as u32;
    const NEW_ROUTE: u32 = libc::RTM_NEWROUTE.to_be() as u32;
    const DELETED_ROUTE: u32 = libc::RTM_DELROUTE.to_be() as u32;
    // struct rtmsg, rtm_dst_len
    const PREFIX: u32 = 16 + 1;
    // struct nlmsghdr and struct ifaddrmsg come before the attributes.
    const ATTRIBUTES: u32 = 16 + 8;
    const IFA_PROTO: u32 = 11;
    // Leaves the place of attribute X in A, or 0, where no message has this value at 4.
    const FIND: u32 = ancillary(libc::SKF_AD_NLATTR);
    const VALUE: u32 = 4;
    [
        instruction(LOAD_HALF, 0, 0, TYPE),
        instruction(IF_EQUAL, 1, 0, NEW_ROUTE),
        instruction(IF_EQUAL, 0, 2, DELETED_ROUTE),
        instruction(LOAD_BYTE, 0, 0, PREFIX),
        instruction(IF_EQUAL, 8, 7, 0),
        instruction(IF_EQUAL, 0, 7, NEW_ADDRESS),
        instruction(LOAD_NUMBER, 0, 0, ATTRIBUTES),
        instruction(NUMBER_TO_X, 0, 0, IFA_PROTO),
        instruction(LOAD_BYTE, 0, 0, FIND),
        instruction(A_TO_X, 0, 0, 0),
        instruction(LOAD_BYTE_AT_X, 0, 0, VALUE),
        instruction(IF_EQUAL, 0, 1, addresses::PROTOCOL_NUMBER as u32),
        instruction(RETURN, 0, 0, 0),
        instruction(RETURN, 0, 0, u32::MAX),
    ]
};

/// A subscription to changes, not read yet.
pub(super) struct Connection {
    netlink: Netlink,
    messages: BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>,
    reader: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Thousands of messages may be left, for nobody.
        self.reader.abort();
    }
}

impl Connection {
    /// Subscribes, on the runtime of the caller.
    ///
    /// # Errors
    /// Those of the system calls.
    pub(super) fn open() -> io::Result<Self> {
        let (mut connection, _, messages) = rtnetlink::new_multicast_connection(&[
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ])?;
        let socket = connection.socket_mut().socket_ref();
        if let Err(error) =
            rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER)
        {
            debug!("cannot enlarge the receive buffer of the monitor: {error}");
        }
        if let Err(error) = SockRef::from(socket).attach_filter(&FILTER) {
            debug!("cannot attach a filter to the monitor: {error}");
        }
        let reader = tokio::spawn(connection).abort_handle();
        Ok(Self {
            netlink: Netlink::connect()?,
            messages: messages.map(|(message, _)| message).boxed(),
            reader,
        })
    }
}

/// Ends when changes were lost, or nobody listens. The kernel drops all further ones, without a
/// word, until everything older has been read: only a new connection knows where it stands.
///
/// # Errors
/// The connection broke.
async fn follow(
    mut connection: Connection,
    view: &mut View,
    tell: Tell<'_>,
    ready: &mut bool,
) -> Result<(), NetlinkError> {
    let news = tell.news;
    view.read(&connection.netlink)?;
    view.report(tell);
    view.report_gateways(&connection.netlink, tell)?;
    if !*ready {
        *ready = true;
        // Nobody listens: the caller notices by itself.
        let _ = news.send(News::Ready);
    }
    while let Some(message) = connection.messages.next().await {
        let mut whole = view.apply(message);
        while let Some(Some(message)) = connection.messages.next().now_or_never() {
            whole &= view.apply(message);
        }
        if !whole {
            return Ok(());
        }
        // The kernel does not tell of IPv4 routes that go with an interface or an address.
        let may_be_rerouted = view.has_new_route || !view.changed.is_empty();
        view.report(tell);
        if may_be_rerouted {
            view.report_gateways(&connection.netlink, tell)?;
        }
        if news.is_closed() {
            return Ok(());
        }
    }
    Err(NetlinkError::broken(&io::ErrorKind::BrokenPipe.into()))
}

/// Who is told.
#[derive(Clone, Copy)]
struct Tell<'a> {
    /// Of what is not ours, the protocol.
    news: &'a UnboundedSender<News>,
    /// Of what may be ours, those who look after it.
    sightings: &'a UnboundedSender<Sighting>,
}

/// What is known, and what of it was told.
#[derive(Debug, Default)]
struct View {
    links: BTreeMap<IfIndex, Link>,
    /// By interface; those of interfaces that are ours or not known yet too.
    addresses: BTreeMap<IfIndex, BTreeSet<DeviceAddress>>,
    told: BTreeMap<IfIndex, Link>,
    changed: BTreeSet<IfIndex>,
    sightings: Vec<Sighting>,
    /// A default route came or went.
    has_new_route: bool,
    /// What was told of them.
    gateways: BTreeSet<Gateway>,
}

impl View {
    /// Everything anew.
    fn read(&mut self, netlink: &Netlink) -> Result<(), NetlinkError> {
        self.forget_all();
        netlink.each_link(|link| self.see_link(link))?;
        netlink.each_address(|address| self.see_address(address))
    }

    fn forget_all(&mut self) {
        self.changed.extend(self.told.keys());
        self.sightings = vec![Sighting::Anything];
        self.links.clear();
        self.addresses.clear();
    }

    /// `false` if messages before this one were lost.
    fn apply(&mut self, message: NetlinkMessage<RouteNetlinkMessage>) -> bool {
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
        // Others, such as a bridge's, tell of one aspect only.
        if message.header.interface_family != AddressFamily::Unspec {
            return;
        }
        let index = IfIndex(message.header.index);
        if devices::is_ours(message) {
            self.sightings.push(Sighting::Device(index.0));
            return;
        }
        if let Some(link) = link_of(message, self.links.get(&index)) {
            if devices::is_macvlan(message)
                && let Some(below) = devices::parent_of(message)
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
            if devices::is_ours(message) {
                self.sightings.push(Sighting::Device(index.0));
            } else if devices::is_macvlan(message) {
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

    /// Tells of the gateways of default routes, if they are not as they were told before.
    fn report_gateways(&mut self, netlink: &Netlink, tell: Tell<'_>) -> Result<(), NetlinkError> {
        self.has_new_route = false;
        let gateways = netlink.default_gateways()?;
        if gateways != self.gateways {
            self.gateways.clone_from(&gateways);
            // Nobody listens: the caller notices by itself.
            let _ = tell.news.send(News::Gateways(gateways));
        }
        Ok(())
    }

    /// Tells of every link that is not as it was told before.
    fn report(&mut self, tell: Tell<'_>) {
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
            let before = self.told.remove(&index);
            self.told.extend(link.clone().map(|link| (index, link)));
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
        // First, so that what is asked for because of the news comes after it. Where nobody
        // listens the caller notices by itself.
        for sighting in self.sightings.drain(..) {
            let _ = tell.sightings.send(sighting);
        }
        for item in items {
            let _ = tell.news.send(item);
        }
    }
}

/// Reads a message; what it leaves out is as `before`.
fn link_of(message: &LinkMessage, before: Option<&Link>) -> Option<Link> {
    let header = &message.header;
    let mut name = before.map(|link| link.name.clone());
    let mut mac = before.map_or(Mac([0; 6]), |link| link.mac);
    let mut mtu = before.map_or(0, |link| link.mtu);
    // An interface without alternative names has no list of them. Messages about one aspect, such as
    // those of Wi-Fi, have no MTU.
    let is_whole = message
        .attributes
        .iter()
        .any(|attribute| matches!(attribute, LinkAttribute::Mtu(_)));
    let mut other_names = before
        .filter(|_| !is_whole)
        .map_or_else(Vec::new, |link| link.other_names.clone());
    for attribute in &message.attributes {
        if let LinkAttribute::IfName(text) = attribute {
            name = DeviceName::new(text);
        } else if let LinkAttribute::Address(bytes) = attribute {
            mac = bytes.as_slice().try_into().map_or(mac, Mac);
        } else if let LinkAttribute::Mtu(value) = attribute {
            mtu = *value;
        } else if let LinkAttribute::PropList(properties) = attribute {
            other_names = properties.iter().filter_map(alternative_name).collect();
        }
    }
    let flags = header.flags;
    Some(Link {
        index: IfIndex(header.index),
        name: name?,
        other_names,
        mac,
        mtu,
        capable: header.link_layer_type == LinkLayerType::Ether
            && flags.contains(LinkFlags::Multicast)
            && !flags.contains(LinkFlags::Loopback),
        up: flags.contains(LinkFlags::Up),
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

    fn told(view: &mut View) -> Vec<String> {
        let (send, mut receive): (_, UnboundedReceiver<News>) = unbounded_channel();
        let (sightings, _) = unbounded_channel();
        view.report(Tell {
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
    fn after_an_overrun_only_what_differs_is_told() {
        let mut view = View::default();
        replace(
            &mut view,
            &[
                ethernet(2, "eth0"),
                ethernet(3, "eth1"),
                ethernet(4, "eth2"),
            ],
        );
        assert_eq!(told(&mut view), ["eth0 1500", "eth1 1500", "eth2 1500"]);

        let overrun = NetlinkPayload::Overrun(Vec::new());
        assert!(!view.apply(NetlinkMessage::new(NetlinkHeader::default(), overrun)));
        replace(&mut view, &[ethernet(2, "eth0"), ethernet(4, "lan0")]);
        assert_eq!(told(&mut view), ["3 gone", "lan0 1500"]);
    }

    #[test]
    fn what_a_message_leaves_out_is_as_before() {
        let mut view = View::default();
        replace(&mut view, &[ethernet(2, "eth0")]);
        assert_eq!(told(&mut view), ["eth0 1500"]);

        let mut partial = ethernet(2, "eth0");
        partial.attributes.clear();
        view.see_link(&partial);
        assert_eq!(told(&mut view), Vec::<String>::new());

        // A bridge tells of its port, and that it has lost it.
        let mut port = ethernet(2, "eth0");
        port.header.interface_family = AddressFamily::Bridge;
        port.attributes.push(LinkAttribute::Mtu(9000));
        view.see_link(&port);
        view.lose_link(&port);
        assert_eq!(told(&mut view), Vec::<String>::new());
    }
}
