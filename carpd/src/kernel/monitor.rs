//! Monitor of the links, addresses and default routes of this host.

use core::time::Duration;
use std::io;

use futures_util::StreamExt as _;
use futures_util::future::FutureExt as _;
use futures_util::stream::BoxStream;
use netlink_packet_core::NetlinkMessage;
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::MulticastGroup;
use rtnetlink::sys::AsyncSocket as _;
use socket2::{SockFilter, SockRef};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tracing::{debug, warn};

use super::addresses;
use super::netlink::Netlink;
use super::netlink_error::NetlinkError;
use super::news::News;
use super::sightings::Sighting;
use super::view::{Recipients, View};

/// Size in bytes, as the kernel counts them, of the receive buffer: some 10,000 changes.
const RECEIVE_BUFFER: usize = 8 << 20;

/// Pause before a broken connection is replaced.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Pause before everything is read again, after more changed than could be read.
const REREAD_PAUSE: Duration = Duration::from_millis(100);

/// Sends all links, then [`News::Ready`], then changes, for ever.
pub(super) async fn run(
    connection: Connection,
    news: UnboundedSender<News>,
    sightings: UnboundedSender<Sighting>,
) {
    let mut view = View::default();
    let mut next = Some(connection);
    let mut is_ready = false;
    loop {
        let connection = match next.take().map_or_else(Connection::open, Ok) {
            Ok(connection) => connection,
            Err(error) => {
                warn!("cannot follow links and addresses: {error}");
                tokio::time::sleep(RECONNECT_PAUSE).await;
                continue;
            }
        };
        let recipients = Recipients {
            news: &news,
            sightings: &sightings,
        };
        let outcome = follow(connection, &mut view, recipients, &mut is_ready).await;
        if news.is_closed() {
            return;
        }
        match outcome {
            Ok(()) => {
                warn!("more changes of links and addresses at once than are kept: reading all");
                tokio::time::sleep(REREAD_PAUSE).await;
            }
            Err(error) => {
                warn!("lost track of links and addresses, starting anew: {error}");
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        }
    }
}

/// Filter that drops reports of addresses whose `IFA_PROTO` is ours, because renewals of leases can be
/// thousands a second, and of routes other than default ones. A classic BPF program on netlink messages.
const FILTER: [SockFilter; 14] = {
    use crate::bpf::{
        A_TO_X, IF_EQUAL, LOAD_BYTE, LOAD_BYTE_AT_X, LOAD_HALF, LOAD_NUMBER, NUMBER_TO_X, RETURN,
        ancillary, instruction,
    };
    const TYPE: u32 = 4;
    // Loads take numbers as big-endian, and netlink has them in the byte order of the machine.
    const NEW_ADDRESS: u32 = libc::RTM_NEWADDR.to_be() as u32;
    const NEW_ROUTE: u32 = libc::RTM_NEWROUTE.to_be() as u32;
    const DELETED_ROUTE: u32 = libc::RTM_DELROUTE.to_be() as u32;
    // struct rtmsg, rtm_dst_len.
    const PREFIX: u32 = 16 + 1;
    // After struct nlmsghdr and struct ifaddrmsg.
    const ATTRIBUTES: u32 = 16 + 8;
    const IFA_PROTO: u32 = 11;
    // Loads the offset of attribute X into A, or 0, where no message has this value at 4.
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

/// Subscription to changes.
pub(super) struct Connection {
    netlink: Netlink,
    messages: BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>,
    reader: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Otherwise it would go on with thousands of messages that nothing reads.
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

/// Reports changes until some were lost or the protocol loop ends. After a loss the kernel silently drops
/// further changes until all older ones have been read, so that only a new connection is complete.
///
/// # Errors
/// The connection is broken.
async fn follow(
    mut connection: Connection,
    view: &mut View,
    recipients: Recipients<'_>,
    is_ready: &mut bool,
) -> Result<(), NetlinkError> {
    let news = recipients.news;
    view.read(&connection.netlink)?;
    view.report(recipients);
    view.report_gateways(&connection.netlink, recipients)?;
    if !*is_ready {
        *is_ready = true;
        // Fails if the protocol loop has ended, which the caller notices.
        let _ = news.send(News::Ready);
    }
    while let Some(message) = connection.messages.next().await {
        let mut is_whole = view.apply(message);
        while let Some(Some(message)) = connection.messages.next().now_or_never() {
            is_whole &= view.apply(message);
        }
        if !is_whole {
            return Ok(());
        }
        // The kernel does not report IPv4 routes that are removed with an interface or an address.
        let may_be_rerouted = view.may_be_rerouted();
        view.report(recipients);
        if may_be_rerouted {
            view.report_gateways(&connection.netlink, recipients)?;
        }
        if news.is_closed() {
            return Ok(());
        }
    }
    Err(NetlinkError::broken(&io::ErrorKind::BrokenPipe.into()))
}
