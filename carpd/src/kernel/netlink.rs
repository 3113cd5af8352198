//! Client of the kernel's route netlink.
//!
//! No call waits: when sendmsg(2) returns, the kernel has performed the request and its answers are in
//! the socket's queue.

use core::cell::Cell;
use std::io;

use carp_proto::IfIndex;
use netlink_packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_DUMP, NLM_F_MULTIPART, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};
use tracing::debug;

use super::datagram::{self, messages};
use super::device_report::DeviceReport;
use super::netlink_error::NetlinkError;

/// Limit of changes in one system call: their refusals fit into [`RECEIVE_BUFFER`].
const MAX_CHANGES: usize = 128;

/// Limit of interfaces that one system call asks for, whose answers are larger.
const MAX_LINKS: usize = 32;

/// Size in bytes, as the kernel counts them, of the socket's queue of answers.
const RECEIVE_BUFFER: libc::c_int = 1 << 20;

/// Request for a change, with the flags that it has besides `NLM_F_REQUEST`.
pub(super) type Change = (RouteNetlinkMessage, u16);

/// Connection to route netlink.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: Socket,
    /// Sequence number of the next request.
    next: Cell<u32>,
}

impl Netlink {
    /// Connects in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Those of the system calls.
    pub(super) fn connect() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Refusals have an explanation, and no copy of the request before it.
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        socket.set_rx_buf_sz(RECEIVE_BUFFER)?;
        Ok(Self {
            socket,
            next: Cell::new(1),
        })
    }

    /// Makes a change.
    ///
    /// # Errors
    /// The refusal of the kernel.
    pub(super) fn change(&self, change: Change) -> Result<(), NetlinkError> {
        self.change_all(vec![change]).pop().unwrap_or(Ok(()))
    }

    /// Makes changes in their order with as few system calls as possible. Returns a result for each: a
    /// refusal does not keep the kernel from the changes after it.
    pub(super) fn change_all(&self, changes: Vec<Change>) -> Vec<Result<(), NetlinkError>> {
        let mut results = Vec::with_capacity(changes.len());
        let mut changes = changes.into_iter();
        loop {
            let mut part: Vec<Change> = changes.by_ref().take(MAX_CHANGES).collect();
            let Some((_, flags)) = part.last_mut() else {
                return results;
            };
            // The kernel answers each change that it refuses, and of the others only this one.
            *flags |= NLM_F_ACK;
            let mut fresh = vec![Ok(()); part.len()];
            let done = self.exchange(part, |position, payload| {
                if let NetlinkPayload::Error(error) = payload
                    && error.raw_code() != 0
                    && let Some(result) = fresh.get_mut(position)
                {
                    *result = Err(NetlinkError::from(error));
                }
            });
            if let Err(error) = done {
                fresh.fill(Err(NetlinkError::broken(&error)));
            }
            results.append(&mut fresh);
        }
    }

    /// Passes each interface to `see`. The kernel sends them one after the other: thousands at once
    /// would take megabytes.
    ///
    /// # Errors
    /// The refusal of the kernel.
    pub(super) fn each_link(&self, mut see: impl FnMut(&LinkMessage)) -> Result<(), NetlinkError> {
        self.dump(link_request(0), |message| {
            if let RouteNetlinkMessage::NewLink(link) = message {
                see(link);
            }
        })
    }

    /// Passes each address of each interface to `see`, one after the other.
    ///
    /// # Errors
    /// The refusal of the kernel.
    pub(super) fn each_address(
        &self,
        mut see: impl FnMut(&AddressMessage),
    ) -> Result<(), NetlinkError> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.dump(request, |message| {
            if let RouteNetlinkMessage::NewAddress(address) = message {
                see(address);
            }
        })
    }

    /// Returns all addresses of all interfaces.
    ///
    /// # Errors
    /// The refusal of the kernel.
    pub(super) fn addresses(&self) -> Result<Vec<AddressMessage>, NetlinkError> {
        let mut addresses = Vec::new();
        self.each_address(|address| addresses.push(address.clone()))?;
        Ok(addresses)
    }

    /// Passes the interfaces with these numbers to `see`, except those that do not exist.
    ///
    /// # Errors
    /// A refusal of the kernel, which does not name the interface.
    pub(super) fn links_numbered(
        &self,
        numbers: impl IntoIterator<Item = u32>,
        mut see: impl FnMut(&LinkMessage),
    ) -> Result<(), NetlinkError> {
        let mut requests = numbers.into_iter().map(link_request);
        loop {
            let part: Vec<_> = requests.by_ref().take(MAX_LINKS).collect();
            if part.is_empty() {
                return Ok(());
            }
            self.links(part, &mut see)?;
        }
    }

    /// Returns the interface with this number; `None` if there is none.
    ///
    /// # Errors
    /// The refusal of the kernel.
    pub(super) fn link_numbered(&self, number: u32) -> Result<Option<LinkMessage>, NetlinkError> {
        self.link(link_request(number))
    }

    /// Returns the interface with this name; `None` if there is none.
    ///
    /// # Errors
    /// The refusal of the kernel.
    pub(super) fn link_named(&self, name: &str) -> Result<Option<LinkMessage>, NetlinkError> {
        let mut request = LinkMessage::default();
        request.attributes = vec![LinkAttribute::IfName(name.to_owned()), no_statistics()];
        self.link(RouteNetlinkMessage::GetLink(request))
    }

    /// Returns the name of an interface; `None` if it is gone.
    pub(super) fn name_of(&self, interface: IfIndex) -> Option<String> {
        let link = self.link_numbered(interface.0).ok()??;
        Some(DeviceReport::of(&link).name)
    }

    /// Asks for several objects with one system call. The kernel sends one message for each, or a
    /// refusal.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn get(
        &self,
        requests: Vec<RouteNetlinkMessage>,
        mut see: impl FnMut(Result<&RouteNetlinkMessage, NetlinkError>),
    ) -> Result<(), NetlinkError> {
        let requests = requests.into_iter().map(|request| (request, 0)).collect();
        let done = self.exchange(requests, |_, payload| {
            if let NetlinkPayload::InnerMessage(message) = payload {
                see(Ok(message));
            } else if let NetlinkPayload::Error(error) = payload {
                see(Err(NetlinkError::from(error)));
            }
        });
        done.map_err(|error| NetlinkError::broken(&error))
    }

    fn link(&self, request: RouteNetlinkMessage) -> Result<Option<LinkMessage>, NetlinkError> {
        let mut found = None;
        self.links(vec![request], |link| found = Some(link.clone()))?;
        Ok(found)
    }

    fn links(
        &self,
        requests: Vec<RouteNetlinkMessage>,
        mut see: impl FnMut(&LinkMessage),
    ) -> Result<(), NetlinkError> {
        let mut refused = Ok(());
        self.get(requests, |answer| match answer {
            Ok(RouteNetlinkMessage::NewLink(link)) => see(link),
            Err(error) if !error.is_no_device() => refused = Err(error),
            Ok(_) | Err(_) => {}
        })?;
        refused
    }

    /// Asks for all objects of a kind.
    fn dump(
        &self,
        request: RouteNetlinkMessage,
        mut see: impl FnMut(&RouteNetlinkMessage),
    ) -> Result<(), NetlinkError> {
        let mut refused = Ok(());
        let done = self.exchange(vec![(request, NLM_F_DUMP)], |_, payload| {
            if let NetlinkPayload::InnerMessage(message) = payload {
                see(message);
            } else if let NetlinkPayload::Error(error) = payload {
                refused = Err(NetlinkError::from(error));
            }
        });
        done.map_err(|error| NetlinkError::broken(&error))?;
        refused
    }

    /// Sends requests with one system call, and passes each answer to `see`, with the position of its
    /// request, until the last request is answered.
    fn exchange(
        &self,
        requests: Vec<Change>,
        mut see: impl FnMut(usize, &NetlinkPayload<RouteNetlinkMessage>),
    ) -> io::Result<()> {
        let Some(last) = requests.len().checked_sub(1) else {
            return Ok(());
        };
        let first = self.send(requests)?;
        let mut buffer = Vec::with_capacity(datagram::MAX_SIZE);
        loop {
            buffer.clear();
            // An answer that is not there will not come.
            self.socket.recv(&mut buffer, libc::MSG_DONTWAIT)?;
            for bytes in messages(&buffer) {
                let message = match NetlinkMessage::deserialize(bytes) {
                    Ok(message) => message,
                    Err(error) => {
                        debug!("cannot read a netlink message: {error}");
                        continue;
                    }
                };
                let position = message.header.sequence_number.wrapping_sub(first);
                let position = usize::try_from(position).unwrap_or(usize::MAX);
                // Answers that an exchange has left behind that was broken off.
                if position > last {
                    continue;
                }
                see(position, &message.payload);
                let is_part = message.header.flags & NLM_F_MULTIPART != 0
                    && matches!(message.payload, NetlinkPayload::InnerMessage(_));
                if position == last && !is_part {
                    return Ok(());
                }
            }
        }
    }

    /// Returns the sequence number of the first request.
    fn send(&self, requests: Vec<Change>) -> io::Result<u32> {
        let first = self.next.get();
        let mut bytes = Vec::new();
        for (message, flags) in requests {
            let number = self.next.get();
            self.next.set(number.wrapping_add(1));
            let mut request = NetlinkMessage::from(message);
            request.header.flags = NLM_F_REQUEST | flags;
            request.header.sequence_number = number;
            request.finalize();
            let start = bytes.len();
            bytes.resize(start + request.buffer_len().next_multiple_of(4), 0);
            request.serialize(bytes.get_mut(start..).unwrap_or_default());
        }
        self.socket.send(&bytes, 0)?;
        Ok(first)
    }
}

/// Returns a request for the interface with this number; with 0 and in a dump for all.
fn link_request(number: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = number;
    message.attributes.push(no_statistics());
    RouteNetlinkMessage::GetLink(message)
}

/// linux/rtnetlink.h, `RTEXT_FILTER_SKIP_STATS`: statistics are half of an answer.
fn no_statistics() -> LinkAttribute {
    const SKIP: u32 = 8;
    LinkAttribute::Other(DefaultNla::new(
        libc::IFLA_EXT_MASK,
        SKIP.to_ne_bytes().to_vec(),
    ))
}
