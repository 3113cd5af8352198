//! Sysctls of attached physical interfaces: carpd sets them while the interface carries carp interfaces,
//! and puts the old values back afterwards.
//!
//! The kernel keeps the old values as well, in `net.ipv4.conf.<interface>.tag`, which means nothing to
//! it. After a crash the next instance puts them back, even if all files are lost, and they are gone
//! when the interface is.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use carp_proto::IfIndex;
use tracing::{debug, warn};

use super::device_report::DeviceReport;
use super::devices;
use super::netlink::Netlink;
use super::sysctl::Sysctl;

/// Value of an administrator in whose place carpd has set its own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OldValue {
    sysctl: Sysctl,
    theirs: i32,
    ours: i32,
}

/// Sysctls in the order in which a tag keeps them. It stays as it is: a tag outlives the version of
/// carpd that made it.
const TAGGED: [Sysctl; 2] = [Sysctl::ArpIgnore, Sysctl::ArpAnnounce];

/// Upper half of a tag of ours: "CA" in ASCII. Below it each of [`TAGGED`] has four bits, the first the
/// lowest: the old value, or [`UNCHANGED`].
const OURS: i32 = 0x4341_0000;
const UNCHANGED: i32 = 15;

/// Returns the tag that keeps `old_values`. One that does not fit becomes 0, which is the kernel's own
/// and means the same (`arp_ignore()` and `arp_solicit()` in net/ipv4/arp.c).
fn tag_of(old_values: &[OldValue]) -> i32 {
    let mut tag = OURS;
    for (shift, sysctl) in (0..).step_by(4).zip(TAGGED) {
        let old = old_values.iter().find(|old| old.sysctl == sysctl);
        let value = old.map_or(UNCHANGED, |old| match old.theirs {
            theirs @ 0..UNCHANGED => theirs,
            _ => 0,
        });
        tag |= value << shift;
    }
    tag
}

/// Returns the old values that a tag keeps; `None` if the tag is not ours.
fn kept_by(tag: i32) -> Option<Vec<OldValue>> {
    const EACH: i32 = 0xf;
    if tag & !0xffff != OURS {
        return None;
    }
    let all = (0..).step_by(4).zip(TAGGED);
    let old = all.filter_map(|(shift, sysctl)| {
        Some(OldValue {
            sysctl,
            theirs: (tag >> shift) & EACH,
            ours: sysctl.on_physical_interface()?.value,
        })
    });
    Some(old.filter(|old| old.theirs != UNCHANGED).collect())
}

/// Sysctl of a physical interface that another program has changed.
#[derive(Debug)]
pub(super) struct SetBack {
    pub(super) name: String,
    old: OldValue,
}

impl SetBack {
    /// Returns the last part of the sysctl's name.
    pub(super) const fn key(&self) -> &'static str {
        self.old.sysctl.key()
    }
}

impl fmt::Display for SetBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OldValue {
            sysctl,
            theirs,
            ours,
        } = self.old;
        write!(
            f,
            "another program has set {} to {theirs}: set back to {ours}",
            sysctl.name(&self.name)
        )
    }
}

/// Attached physical interfaces, with the old values of their sysctls.
#[derive(Debug, Default)]
pub(super) struct Attached {
    interfaces: BTreeMap<IfIndex, Vec<OldValue>>,
    /// Those that only the previous instance has attached.
    left: BTreeSet<IfIndex>,
}

impl Attached {
    /// Takes over what the previous instance has attached: by the tags of interfaces, and by `file`, in
    /// which earlier versions kept the old values. The file is then removed.
    pub(super) fn load(file: &Path, netlink: &Netlink) -> Self {
        let mut interfaces = match fs::read_to_string(file) {
            Ok(text) => parse(&text),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!("cannot read {}: {error}", file.display());
                }
                BTreeMap::new()
            }
        };
        for (interface, old_values) in &interfaces {
            let settings = vec![(Sysctl::Tag, tag_of(old_values))];
            set(
                *interface,
                &format!("interface {interface}"),
                settings,
                netlink,
            );
        }
        // As a rule there is no file. One that cannot be removed is read again at the next start.
        let _ = fs::remove_file(file);
        let read = netlink.each_link(|link| {
            let report = DeviceReport::of(link);
            let old_values = report.sysctl(Sysctl::Tag).and_then(kept_by);
            interfaces.extend(old_values.map(|old_values| (IfIndex(report.index), old_values)));
        });
        if let Err(error) = read {
            warn!("cannot read which sysctls the previous instance has changed: {error}");
        }
        let left = interfaces.keys().copied().collect();
        Self { interfaces, left }
    }

    /// Sets the sysctls of `interface` and keeps the old values.
    pub(super) fn attach(&mut self, interface: IfIndex, netlink: &Netlink) {
        self.left.remove(&interface);
        if self.interfaces.contains_key(&interface) {
            return;
        }
        let Some(name) = netlink.name_of(interface) else {
            return;
        };
        let mut old_values = Vec::new();
        for (sysctl, required) in Sysctl::of_physical_interface() {
            match sysctl.read(&name) {
                Ok(theirs) if (required.is_met_by)(theirs) => {}
                Ok(theirs) => old_values.push(OldValue {
                    sysctl,
                    theirs,
                    ours: required.value,
                }),
                Err(error) => warn!("cannot read {} of {name}: {error}", sysctl.key()),
            }
        }
        let is_kept = write(interface, &name, &old_values, netlink);
        self.interfaces.insert(interface, old_values);
        if !is_kept {
            warn!(
                "net.ipv4.conf.{name}.tag is in use by another program: should carpd crash, arp_ignore \
                 and arp_announce of {name} stay changed"
            );
        }
    }

    /// Returns the interfaces that answered ARP requests for addresses of other interfaces before.
    pub(super) fn answering_less(&self) -> impl Iterator<Item = IfIndex> {
        let is_less = |old: &OldValue| old.sysctl == Sysctl::ArpIgnore;
        let all = self.interfaces.iter();
        all.filter(move |(_, old_values)| old_values.iter().any(is_less))
            .map(|(interface, _)| *interface)
    }

    /// Returns all attached interfaces.
    pub(super) fn all(&self) -> impl Iterator<Item = IfIndex> {
        self.interfaces.keys().copied()
    }

    /// Sets values back that another program has changed, and returns them. When the interface is
    /// detached, it gets the values of that program.
    pub(super) fn set_back(
        &mut self,
        reports: &BTreeMap<u32, DeviceReport>,
        netlink: &Netlink,
    ) -> Vec<SetBack> {
        let mut changed = Vec::new();
        for (interface, old_values) in &mut self.interfaces {
            let Some(report) = reports.get(&interface.0) else {
                continue;
            };
            let before = changed.len();
            for (sysctl, required) in Sysctl::of_physical_interface() {
                let insufficient = |theirs: &i32| !(required.is_met_by)(*theirs);
                let Some(theirs) = report.sysctl(sysctl).filter(insufficient) else {
                    continue;
                };
                let old = OldValue {
                    sysctl,
                    theirs,
                    ours: required.value,
                };
                old_values.retain(|known| known.sysctl != sysctl);
                old_values.push(old.clone());
                changed.push(SetBack {
                    name: report.name.clone(),
                    old,
                });
            }
            if changed.len() > before {
                write(*interface, &report.name, old_values, netlink);
            }
        }
        changed
    }

    /// Puts the old values of `interface` back, except those that another program has changed since.
    pub(super) fn detach(&mut self, interface: IfIndex, netlink: &Netlink) {
        if let Some(old_values) = self.interfaces.remove(&interface) {
            put_back(interface, &old_values, netlink);
        }
    }

    /// [Detaches](Self::detach) the interfaces that only the previous instance has attached.
    pub(super) fn sweep(&mut self, netlink: &Netlink) {
        for interface in core::mem::take(&mut self.left) {
            self.detach(interface, netlink);
        }
    }

    /// [Detaches](Self::detach) all interfaces.
    pub(super) fn detach_all(&mut self, netlink: &Netlink) {
        for (interface, old_values) in core::mem::take(&mut self.interfaces) {
            put_back(interface, &old_values, netlink);
        }
    }
}

/// Sets our values, and before them the tag: a crash in between loses no old value. A tag of another
/// program stays, and then this returns false.
fn write(interface: IfIndex, name: &str, old_values: &[OldValue], netlink: &Netlink) -> bool {
    let tag = Sysctl::Tag.read(name).unwrap_or_default();
    let is_free = tag == 0 || kept_by(tag).is_some();
    let mut settings = Vec::new();
    if is_free && !old_values.is_empty() {
        settings.push((Sysctl::Tag, tag_of(old_values)));
    }
    settings.extend(old_values.iter().map(|old| (old.sysctl, old.ours)));
    set(interface, name, settings, netlink);
    is_free
}

fn put_back(interface: IfIndex, old_values: &[OldValue], netlink: &Netlink) {
    let Some(name) = netlink.name_of(interface) else {
        return;
    };
    let mut settings = Vec::new();
    for &OldValue {
        sysctl,
        theirs,
        ours,
    } in old_values
    {
        let key = sysctl.key();
        match sysctl.read(&name) {
            Ok(value) if value == ours => settings.push((sysctl, theirs)),
            Ok(value) => debug!("{key} of {name} stays at {value}, set by another program"),
            Err(error) => debug!("cannot read {key} of {name}: {error}"),
        }
    }
    // Last, because a crash can come in between.
    if Sysctl::Tag
        .read(&name)
        .is_ok_and(|tag| kept_by(tag).is_some())
    {
        settings.push((Sysctl::Tag, 0));
    }
    set(interface, &name, settings, netlink);
}

/// Sets values by netlink, which works where /proc/sys is read-only, as in containers.
fn set(interface: IfIndex, name: &str, settings: Vec<(Sysctl, i32)>, netlink: &Netlink) {
    if settings.is_empty() {
        return;
    }
    if let Err(error) = netlink.change(devices::configure(interface.0, &settings)) {
        for (sysctl, value) in settings {
            let key = sysctl.key();
            warn!("cannot set {key} of {name} to {value}: {error}");
        }
    }
}

/// Parses the file of earlier versions, a line for each value: interface number, key, old value, our
/// value. It passes over other lines.
fn parse(text: &str) -> BTreeMap<IfIndex, Vec<OldValue>> {
    let mut interfaces: BTreeMap<IfIndex, Vec<OldValue>> = BTreeMap::new();
    for line in text.lines() {
        if let Some((interface, old)) = parse_line(line) {
            interfaces.entry(interface).or_default().push(old);
        }
    }
    interfaces
}

fn parse_line(line: &str) -> Option<(IfIndex, OldValue)> {
    let mut words = line.split_ascii_whitespace();
    let interface = IfIndex(words.next()?.parse().ok()?);
    let key = words.next()?;
    let sysctl = TAGGED.into_iter().find(|sysctl| sysctl.key() == key)?;
    let theirs = words.next()?.parse().ok()?;
    let ours = words.next()?.parse().ok()?;
    let old = OldValue {
        sysctl,
        theirs,
        ours,
    };
    Some((interface, old))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignore(theirs: i32) -> OldValue {
        OldValue {
            sysctl: Sysctl::ArpIgnore,
            theirs,
            ours: 1,
        }
    }

    fn announce(theirs: i32) -> OldValue {
        OldValue {
            sysctl: Sysctl::ArpAnnounce,
            theirs,
            ours: 2,
        }
    }

    #[test]
    fn tag_keeps_old_values() {
        for old_values in [
            vec![],
            vec![ignore(0)],
            vec![announce(1)],
            vec![ignore(3), announce(0)],
        ] {
            assert_eq!(kept_by(tag_of(&old_values)), Some(old_values));
        }
        for odd in [-1, 15, 16, i32::MAX, i32::MIN] {
            assert_eq!(kept_by(tag_of(&[ignore(odd)])), Some(vec![ignore(0)]));
        }
        for theirs in [0, 1, -1, 255, OURS >> 16, OURS << 1] {
            assert_eq!(kept_by(theirs), None, "{theirs:#x}");
        }
    }

    #[test]
    fn tag_keeps_every_sysctl_that_is_changed() {
        let changed: BTreeSet<Sysctl> = Sysctl::of_physical_interface()
            .map(|(sysctl, _)| sysctl)
            .collect();
        assert_eq!(changed, BTreeSet::from(TAGGED));
    }

    #[test]
    fn invalid_line_of_the_file_is_passed_over() {
        let text = "\n2 arp_ignore\nx arp_ignore 0 1\n2 ../../x 0 1\n2 arp_ignore 0 1 later\n";
        let kept = BTreeMap::from([(IfIndex(2), vec![ignore(0)])]);
        assert_eq!(parse(text), kept);
    }
}
