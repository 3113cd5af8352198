//! Recorded advertisements of BSD kernels, made again byte for byte, and verified.

use std::error::Error;
use std::net::IpAddr;

use carp_proto::wire::carp::{ADVERTISEMENT, AUTHLEN, Header, VERSION};
use carp_proto::wire::ethernet::Frame;
use carp_proto::wire::{frames, ipv4, ipv6};
use carp_proto::{Digests, Form, Key, Mac, Vhid};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    source_os: String,
    key: String,
    vhid: u64,
    advbase: u8,
    advskew: u8,
    demote: u8,
    vips: Vec<IpAddr>,
    counter: String,
    src: IpAddr,
    carp_hex: String,
    ip_packet_hex: String,
    frame_hex: Option<String>,
}

impl Vector {
    fn all() -> Result<Vec<Self>, serde_json::Error> {
        let text = include_str!("../../../tests/data/advertisements.json");
        Ok(serde_json::from_str::<Vectors>(text)?.vectors)
    }

    fn is_from(&self, system: &str) -> bool {
        self.source_os.starts_with(system)
    }

    fn vhid(&self) -> Result<Vhid, Box<dyn Error>> {
        Ok(Vhid::try_from(self.vhid)?)
    }

    fn counter(&self) -> Result<u64, Box<dyn Error>> {
        let digits = self
            .counter
            .strip_prefix("0x")
            .ok_or("a counter is hexadecimal")?;
        Ok(u64::from_str_radix(digits, 16)?)
    }

    /// NetBSD's ifconfig(8) fills all 20 bytes of the kernel's field.
    fn digests(&self) -> Result<Digests, Box<dyn Error>> {
        let bytes = self.key.as_bytes();
        let key = Key::new(bytes.get(..20).unwrap_or(bytes))?;
        Ok(Digests::new(&key, self.vhid()?, &self.vips))
    }

    fn form(&self) -> Form {
        if self.is_from("DragonFly") {
            Form::AsConfigured
        } else if self.is_from("OpenBSD") {
            Form::Ours
        } else {
            Form::WithLinkLocal
        }
    }

    /// Advskew with the effect of demotion: FreeBSD adds the demotion to it, up to 240; DragonFly and NetBSD
    /// advertise 240.
    fn advertised_advskew(&self) -> u8 {
        if self.is_from("FreeBSD") {
            self.advskew.saturating_add(self.demote).min(240)
        } else if self.demote > 0 {
            self.advskew.max(240)
        } else {
            self.advskew
        }
    }

    fn header(&self) -> Result<Header, Box<dyn Error>> {
        let counter = self.counter()?;
        Ok(Header {
            version: VERSION,
            kind: ADVERTISEMENT,
            vhid: self.vhid()?.get(),
            advskew: self.advertised_advskew(),
            authlen: AUTHLEN,
            demotion: 0,
            advbase: self.advbase,
            counter,
            digest: self.digests()?.digest_as(self.form(), counter),
        })
    }
}

fn bytes(hex: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else {
        return Err("odd number of digits".into());
    };
    pairs
        .iter()
        .map(|pair| Ok(u8::from_str_radix(str::from_utf8(pair)?, 16)?))
        .collect()
}

#[test]
fn vectors_contain_all_systems() -> Result<(), Box<dyn Error>> {
    let vectors = Vector::all()?;
    assert_eq!(vectors.len(), 73);
    for system in ["DragonFly", "FreeBSD", "NetBSD", "OpenBSD"] {
        assert!(
            vectors.iter().any(|vector| vector.is_from(system)),
            "{system}"
        );
    }
    Ok(())
}

#[test]
fn header_of_each_vector_is_made_again() -> Result<(), Box<dyn Error>> {
    for vector in Vector::all()? {
        let header = vector.header()?;
        assert_eq!(
            header.emit()[..],
            bytes(&vector.carp_hex)?,
            "{}",
            vector.name
        );
    }
    Ok(())
}

#[test]
fn header_of_each_vector_is_read_and_verifies() -> Result<(), Box<dyn Error>> {
    for vector in Vector::all()? {
        let header = Header::parse(&bytes(&vector.carp_hex)?)?;
        assert_eq!(header, vector.header()?, "{}", vector.name);
        let digests = vector.digests()?;
        assert!(
            digests.verify(header.counter, &header.digest),
            "{}",
            vector.name
        );
        assert!(
            !digests.verify(header.counter ^ 1, &header.digest),
            "{}",
            vector.name
        );
    }
    Ok(())
}

/// Only FreeBSD sends another traffic class (0xe0). The rest of its packet is equal to ours.
#[test]
fn packet_of_each_vector_is_made_again() -> Result<(), Box<dyn Error>> {
    for vector in Vector::all()? {
        let frame = frames::advertisement(Mac([0; 6]), vector.src, &vector.header()?);
        let ours = Frame::parse(&frame).ok_or("no frame")?.payload;
        let theirs = bytes(&vector.ip_packet_hex)?;
        if vector.is_from("FreeBSD") {
            match vector.src {
                IpAddr::V4(_) => {
                    assert_eq!(ipv4::Packet::parse(ours), ipv4::Packet::parse(&theirs));
                }
                IpAddr::V6(_) => {
                    assert_eq!(ipv6::Packet::parse(ours), ipv6::Packet::parse(&theirs));
                }
            }
        } else {
            assert_eq!(ours, theirs, "{}", vector.name);
        }
    }
    Ok(())
}

#[test]
fn frame_of_each_vector_is_made_again() -> Result<(), Box<dyn Error>> {
    let mut captured = 0;
    for vector in Vector::all()?
        .iter()
        .filter(|vector| vector.is_from("NetBSD"))
    {
        let Some(theirs) = &vector.frame_hex else {
            continue;
        };
        let mac = Mac::virtual_of(vector.vhid()?);
        let ours = frames::advertisement(mac, vector.src, &vector.header()?);
        assert_eq!(ours, bytes(theirs)?, "{}", vector.name);
        captured += 1;
    }
    assert_eq!(captured, 35);
    Ok(())
}
