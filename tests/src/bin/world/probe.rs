//! A client's questions: echo requests, UDP and TCP, and the MACs that ARP and neighbour discovery
//! give.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use carp_tests::{Frame, Host, Wire};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// A port without listener: the answer is a refusal.
const PORT: u16 = 9;

/// Time after the last answer in which another host's may come.
const EXTRA_WAIT: Duration = Duration::from_millis(40);

/// Kind of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// An echo request.
    Ping,
    /// A datagram to a closed port.
    Udp,
    /// A connection to a closed port.
    Tcp,
}

const WAYS: [Way; 3] = [Way::Ping, Way::Udp, Way::Tcp];

/// Answers that a client got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// The answer for each address and kind of question that had one.
    pub(crate) given: BTreeMap<(IpAddr, Way), String>,
    /// The MACs that ARP or neighbour discovery gave for each address.
    pub(crate) macs: BTreeMap<IpAddr, BTreeSet<String>>,
}

struct Question {
    key: (IpAddr, Way),
    socket: Socket,
}

/// Makes a client ask for `addresses`, and for `strangers`, addresses of no or another host. Waits
/// for the answers of the former.
pub(crate) fn ask(
    client: &Host,
    addresses: &[IpAddr],
    strangers: &[IpAddr],
    timeout: Duration,
) -> Result<Answers> {
    client.run("ip neighbour flush dev eth0")?;
    let wire = Wire::open(client, "eth0", Duration::from_millis(1))?;
    client.within(|| {
        let index = rustix::net::netdevice::name_to_index(&socket(Domain::IPV4, Way::Udp)?, "eth0")
            .context("eth0 of the client")?;
        let mut open = Vec::new();
        let mut answers = Answers::default();
        for address in strangers {
            // Only ARP or neighbour discovery matters here.
            let _ = question(*address, Way::Udp, index);
        }
        for address in addresses {
            for way in WAYS {
                let key = (*address, way);
                match question(*address, way, index) {
                    Ok(socket) => open.push(Question { key, socket }),
                    Err(error) => {
                        answers.given.insert(key, word(&error));
                    }
                }
            }
        }
        let mut end = Instant::now() + timeout;
        let mut all = false;
        while Instant::now() < end {
            open.retain(|question| match answer(question) {
                Some(answer) => {
                    answers.given.insert(question.key, answer);
                    false
                }
                None => true,
            });
            listen(&wire, &mut answers)?;
            if open.is_empty() && !all {
                all = true;
                end = end.min(Instant::now() + EXTRA_WAIT);
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(answers)
    })
}

fn socket(domain: Domain, way: Way) -> io::Result<Socket> {
    let v4 = domain == Domain::IPV4;
    let (kind, protocol) = match way {
        Way::Ping if v4 => (Type::DGRAM, Protocol::ICMPV4),
        Way::Ping => (Type::DGRAM, Protocol::ICMPV6),
        Way::Udp => (Type::DGRAM, Protocol::UDP),
        Way::Tcp => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(domain, kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn question(address: IpAddr, way: Way, index: u32) -> io::Result<Socket> {
    let to: SocketAddr = match address {
        IpAddr::V4(address) => (address, PORT).into(),
        IpAddr::V6(address) => {
            let scope = if address.is_unicast_link_local() {
                index
            } else {
                0
            };
            SocketAddrV6::new(address, PORT, 0, scope).into()
        }
    };
    let socket = socket(Domain::for_address(to), way)?;
    let connected = socket.connect(&SockAddr::from(to));
    if let Err(error) = connected
        && error.raw_os_error() != Some(libc::EINPROGRESS)
    {
        return Err(error);
    }
    match way {
        // Type, code, and a checksum and identifier that the kernel fills in.
        Way::Ping if address.is_ipv4() => socket.send(&[8, 0, 0, 0, 0, 0, 0, 1])?,
        Way::Ping => socket.send(&[128, 0, 0, 0, 0, 0, 0, 1])?,
        Way::Udp => socket.send(&[0])?,
        Way::Tcp => 0,
    };
    Ok(socket)
}

fn answer(question: &Question) -> Option<String> {
    if question.key.1 == Way::Tcp {
        return match question.socket.take_error() {
            Ok(Some(error)) | Err(error) => Some(word(&error)),
            Ok(None) => question
                .socket
                .peer_addr()
                .is_ok()
                .then(|| "connected".to_owned()),
        };
    }
    let mut buffer = [MaybeUninit::uninit(); 64];
    match question.socket.recv(&mut buffer) {
        Ok(_) => Some("a reply".to_owned()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            None
        }
        Err(error) => Some(word(&error)),
    }
}

fn word(error: &io::Error) -> String {
    if error.kind() == ErrorKind::ConnectionRefused {
        return "a refusal".to_owned();
    }
    error.kind().to_string()
}

fn listen(wire: &Wire, answers: &mut Answers) -> io::Result<()> {
    let mut buffer = [0; 2048];
    for _ in 0..64 {
        let Some((_, length)) = wire.receive(&mut buffer)? else {
            return Ok(());
        };
        let bytes = buffer.get(..length).unwrap_or_default().to_vec();
        if let Some((address, mac)) = resolved(&Frame { time: 0, bytes }) {
            answers.macs.entry(address).or_default().insert(mac);
        }
    }
    Ok(())
}

/// Returns the address and the MAC in a reply of ARP or neighbour discovery.
pub(crate) fn resolved(frame: &Frame) -> Option<(IpAddr, String)> {
    if let Some(arp) = frame.arp() {
        return (arp.operation == 2).then(|| (arp.sender.into(), arp.sender_mac));
    }
    let message = frame
        .neighbour_message()
        .filter(|message| message.kind == 136)?;
    Some((
        message.target.into(),
        message.lladdr.unwrap_or_else(|| frame.source()),
    ))
}
