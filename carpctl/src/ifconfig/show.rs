//! Output about an interface in the form of DragonFly's ifconfig(8).

use std::io::{self, Write};

use carp_dbus::ifconfig::mask_text;
use carp_dbus::{AddressInfo, InterfaceInfo};

use crate::colour::Colour;

/// Flags that a carp interface can have, from `IFBITS` in DragonFly's `ifconfig.c`.
const FLAGS: [(u32, &str); 5] = [
    (0x1, "UP"),
    (0x2, "BROADCAST"),
    (0x40, "RUNNING"),
    (0x800, "SIMPLEX"),
    (0x8000, "MULTICAST"),
];

/// Properties that [`interface`] needs.
pub(crate) const PROPERTIES: [&str; 14] = [
    "Name",
    "State",
    "Up",
    "Running",
    "Reason",
    "Warnings",
    "Vhid",
    "AdvBase",
    "AdvSkew",
    "Device",
    "LinkLayerAddress",
    "Mtu",
    "Description",
    "Addresses",
];

/// Writes the lines of one interface, with `password` if it is given.
///
/// # Errors
/// Those of `out`.
pub(crate) fn interface(
    out: &mut impl Write,
    info: &InterfaceInfo,
    password: Option<&str>,
    colour: Colour,
) -> io::Result<()> {
    let InterfaceInfo {
        name,
        mtu,
        vhid,
        advbase,
        advskew,
        ..
    } = info;
    writeln!(out, "{name}: {} metric 0 mtu {mtu}", flags(info))?;
    if !info.description.is_empty() {
        writeln!(out, "\tdescription: {}", info.description)?;
    }
    if !info.lladdr.is_empty() {
        writeln!(out, "\tlladdr {}", info.lladdr)?;
    }
    for AddressInfo {
        address, prefixlen, ..
    } in &info.addresses
    {
        let family = if address.contains(':') {
            "inet6"
        } else {
            "inet"
        };
        writeln!(
            out,
            "\t{family} {address}{}",
            mask_text(address, *prefixlen)
        )?;
    }
    if *vhid > 0 {
        let state = colour.state(&info.state);
        writeln!(
            out,
            "\tcarp: {state} vhid {vhid} advbase {advbase} advskew {advskew}"
        )?;
    }
    if !info.reason.is_empty() {
        writeln!(out, "\treason: {}", info.reason)?;
    }
    for warning in &info.warnings {
        writeln!(out, "\twarning: {warning}")?;
    }
    if let Some(password) = password {
        writeln!(out, "\tpass: {password}")?;
    }
    if !info.carpdev.is_empty() {
        writeln!(out, "\tcarpdev: {}", info.carpdev)?;
    }
    Ok(())
}

/// Writes the table of `ifconfig carpN vhaddr`, or nothing if there are no addresses.
///
/// # Errors
/// Those of `out`.
pub(crate) fn vhaddr(out: &mut impl Write, addresses: &[AddressInfo]) -> io::Result<()> {
    let heading = ("virtual addr", "backing addr", "flags");
    let rows = addresses.iter().map(|row| {
        (
            row.address.as_str(),
            or_star(&row.backing),
            or_star(&row.flags),
        )
    });
    let table: Vec<_> = std::iter::once(heading).chain(rows).collect();
    if addresses.is_empty() {
        return Ok(());
    }
    // 15, the longest IPv4 address (`VHADDR_PFMT` in `ifcarp.c`); IPv6 addresses can be wider.
    let widest = |column: fn(&(&str, &str, &str)) -> usize| {
        table.iter().map(column).max().unwrap_or_default().max(15)
    };
    let (first, second) = (widest(|row| row.0.len()), widest(|row| row.1.len()));
    for (address, backing, flags) in table {
        writeln!(out, "{address:first$} {backing:second$} {flags}")?;
    }
    Ok(())
}

/// Returns `flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST>`.
fn flags(info: &InterfaceInfo) -> String {
    let set = FLAGS.iter().filter(|(_, name)| match *name {
        "UP" => info.up,
        "RUNNING" => info.running,
        _ => true,
    });
    let bits: u32 = set.clone().map(|(bit, _)| bit).sum();
    let names: Vec<&str> = set.map(|(_, name)| *name).collect();
    format!("flags={bits:x}<{}>", names.join(","))
}

/// Returns `text`, or `*` if it is empty.
fn or_star(text: &str) -> &str {
    if text.is_empty() { "*" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(info: &InterfaceInfo, password: Option<&str>) -> String {
        let mut out = Vec::new();
        interface(&mut out, info, password, Colour::Never).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn address(address: &str, prefixlen: u8) -> AddressInfo {
        AddressInfo {
            address: address.into(),
            prefixlen,
            ..AddressInfo::default()
        }
    }

    fn master() -> InterfaceInfo {
        InterfaceInfo {
            name: "carp0".into(),
            state: "MASTER".into(),
            up: true,
            running: true,
            vhid: 1,
            advbase: 1,
            carpdev: "eth0".into(),
            lladdr: "00:00:5e:00:01:01".into(),
            mtu: 1500,
            description: "the gateway".into(),
            addresses: vec![address("192.168.1.1", 24), address("2001:db8::1", 64)],
            ..InterfaceInfo::default()
        }
    }

    #[test]
    fn master_is_shown_byte_for_byte_as_on_dragonfly() {
        assert_eq!(
            shown(&master(), None),
            "carp0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500\n\
             \tdescription: the gateway\n\
             \tlladdr 00:00:5e:00:01:01\n\
             \tinet 192.168.1.1 netmask 0xffffff00 broadcast 192.168.1.255\n\
             \tinet6 2001:db8::1 prefixlen 64\n\
             \tcarp: MASTER vhid 1 advbase 1 advskew 0\n\
             \tcarpdev: eth0\n"
        );
    }

    #[test]
    fn new_interface_is_shown_on_one_line() {
        let fresh = InterfaceInfo {
            name: "carp7".into(),
            state: "INIT".into(),
            mtu: 1500,
            ..InterfaceInfo::default()
        };
        assert_eq!(
            shown(&fresh, None),
            "carp7: flags=8802<BROADCAST,SIMPLEX,MULTICAST> metric 0 mtu 1500\n"
        );
        let up = InterfaceInfo { up: true, ..fresh };
        assert_eq!(
            shown(&up, None),
            "carp7: flags=8803<UP,BROADCAST,SIMPLEX,MULTICAST> metric 0 mtu 1500\n"
        );
    }

    #[test]
    fn reason_of_init_is_shown_below_the_state() {
        let waiting = InterfaceInfo {
            state: "INIT".into(),
            running: false,
            reason: "eth0 has no carrier".into(),
            ..master()
        };
        let shown = shown(&waiting, None);
        let end = "\tcarp: INIT vhid 1 advbase 1 advskew 0\n\
                   \treason: eth0 has no carrier\n\
                   \tcarpdev: eth0\n";
        assert!(shown.ends_with(end), "{shown}");
    }

    #[test]
    fn password_is_shown_only_when_it_is_given() {
        assert!(shown(&master(), Some("mekmitasdigoat")).contains("\n\tpass: mekmitasdigoat\n"));
        assert!(!shown(&master(), None).contains("pass"));
    }

    #[test]
    fn address_table_has_the_columns_of_dragonfly() {
        let mut out = Vec::new();
        let owner = AddressInfo {
            backing: "192.168.1.2".into(),
            flags: "OA".into(),
            ..address("192.168.1.1", 24)
        };
        vhaddr(&mut out, &[owner, address("192.168.1.9", 32)]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "virtual addr    backing addr    flags\n\
             192.168.1.1     192.168.1.2     OA\n\
             192.168.1.9     *               *\n"
        );
        let mut none = Vec::new();
        vhaddr(&mut none, &[]).unwrap();
        assert!(none.is_empty());
    }
}
