//! Sysctls of one interface: written when it is attached, put back when it is detached.
//!
//! The kernel also keeps the old values, in `net.ipv4.conf.<interface>.tag`, which means nothing to
//! it: a carpd that starts after a crash can put them back, whatever became of files, and they end
//! with the interface.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use carp_proto::IfIndex;
use tracing::{debug, warn};

use super::conf::Conf;
use super::devices;
use super::netlink::Netlink;

/// `arp_ignore`: answer ARP requests only for addresses of the interface they came in on.
pub(super) const ARP_IGNORE_OTHERS: i32 = 1;
/// `arp_ignore`: answer no ARP request.
pub(super) const ARP_IGNORE_ALL: i32 = 8;
/// `arp_announce`: ask only with an address of the interface that asks.
pub(super) const ARP_ANNOUNCE_OWN: i32 = 2;

/// `net.<family>.conf.<interface>.<key>`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sysctl {
    /// `ipv4` or `ipv6`
    pub(super) family: &'static str,
    /// The last part of its name.
    pub(super) key: &'static str,
}

impl Sysctl {
    /// Below `net.ipv4.conf`.
    pub(super) const fn v4(key: &'static str) -> Self {
        Self {
            family: "ipv4",
            key,
        }
    }

    /// Below `net.ipv6.conf`.
    pub(super) const fn v6(key: &'static str) -> Self {
        Self {
            family: "ipv6",
            key,
        }
    }

    /// linux/ip.h, `IPV4_DEVCONF_*`: its number in route netlink; `None` if it has none there, or
    /// we do not need it.
    pub(super) fn number(self) -> Option<u16> {
        match (self.family, self.key) {
            ("ipv4", "forwarding") => Some(1),
            ("ipv4", "proxy_arp") => Some(3),
            ("ipv4", "rp_filter") => Some(8),
            ("ipv4", "tag") => Some(12),
            ("ipv4", "arp_filter") => Some(13),
            ("ipv4", "medium_id") => Some(14),
            ("ipv4", "arp_announce") => Some(18),
            ("ipv4", "arp_ignore") => Some(19),
            ("ipv4", "promote_secondaries") => Some(20),
            ("ipv4", "arp_notify") => Some(22),
            ("ipv4", "proxy_arp_pvlan") => Some(25),
            _ => None,
        }
    }

    /// Its value on `device`, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// `NotFound` if there is no such interface, or no IPv6.
    pub(super) fn read(self, device: &str) -> io::Result<i32> {
        let text = fs::read_to_string(self.path(device))?;
        text.trim()
            .parse()
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// Sets it on `device`.
    ///
    /// # Errors
    /// `NotFound` as above, `PermissionDenied` or `EROFS` where /proc/sys is not ours to write.
    pub(super) fn write(self, device: &str, value: i32) -> io::Result<()> {
        // One write(2), as proc(5) asks for.
        fs::OpenOptions::new()
            .write(true)
            .open(self.path(device))?
            .write_all(value.to_string().as_bytes())
    }

    fn path(self, device: &str) -> PathBuf {
        // Not with dots between the parts: an interface's name may have some of its own.
        Path::new("/proc/sys/net")
            .join(self.family)
            .join("conf")
            .join(device)
            .join(self.key)
    }
}

/// For which addresses an interface answers ARP requests.
pub(super) const ARP_IGNORE: Sysctl = Sysctl::v4("arp_ignore");

/// What a physical interface needs so that it neither answers ARP requests for virtual addresses
/// nor asks with one of them (the "weak host model" of RFC 1122 §3.3.4.2).
const WANTED: [Wanted; 2] = [
    Wanted {
        sysctl: ARP_IGNORE,
        value: ARP_IGNORE_OTHERS,
        // 3 is about scopes: it answers for any interface's addresses.
        suffices: |old| matches!(old, ARP_IGNORE_OTHERS | 2 | ARP_IGNORE_ALL),
    },
    Wanted {
        sysctl: Sysctl::v4("arp_announce"),
        value: ARP_ANNOUNCE_OWN,
        suffices: |old| old >= ARP_ANNOUNCE_OWN,
    },
];

/// The greatest values of `net.ipv4.conf.all` with which devices answer ARP requests: they cannot
/// undo what is greater (linux/inetdevice.h, `IN_DEV_ORCONF()` and `IN_DEV_MAXCONF()`).
const GLOBAL: [(Sysctl, i32); 2] = [(Sysctl::v4("arp_filter"), 0), (Sysctl::v4("arp_ignore"), 2)];

/// The names and values of the global sysctls that may keep every device from answering.
pub(super) fn silencing() -> impl Iterator<Item = (&'static str, i32)> {
    GLOBAL.iter().filter_map(|(sysctl, greatest)| {
        let value = sysctl.read("all").ok()?;
        (value > *greatest).then_some((sysctl.key, value))
    })
}

/// What is watched of a physical interface.
#[cfg(test)]
pub(super) fn wanted() -> impl Iterator<Item = Sysctl> {
    WANTED.iter().map(|wanted| wanted.sysctl)
}

struct Wanted {
    sysctl: Sysctl,
    value: i32,
    /// Whether an administrator's value is as good.
    suffices: fn(i32) -> bool,
}

/// What somebody else has set on a physical interface.
#[derive(Debug)]
pub(super) struct Meddled {
    index: IfIndex,
    pub(super) device: String,
    old: Old,
}

impl Meddled {
    /// The last part of the sysctl's name.
    pub(super) const fn key(&self) -> &'static str {
        self.old.sysctl.key
    }
}

impl fmt::Display for Meddled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            index: _,
            device,
            old:
                Old {
                    sysctl: Sysctl { family, key },
                    theirs,
                    ours,
                },
        } = self;
        write!(
            f,
            "somebody has set net.{family}.conf.{device}.{key} to {theirs}: set back to {ours}"
        )
    }
}

/// A value that was there before us.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Old {
    sysctl: Sysctl,
    theirs: i32,
    ours: i32,
}

/// Where the kernel keeps the old values of an interface.
const TAG: Sysctl = Sysctl::v4("tag");

/// The upper half of a tag of ours: "CA" in ASCII. Below it each of [`WANTED`] has four bits, the
/// first the lowest: its old value, or [`UNCHANGED`].
const OURS: i32 = 0x4341_0000;
const UNCHANGED: i32 = 15;

/// The tag that keeps `changes`. An old value that has no room becomes 0, which is the kernel's
/// own and means the same (`arp_ignore()` and `arp_solicit()` in net/ipv4/arp.c).
fn tag_of(changes: &[Old]) -> i32 {
    let mut tag = OURS;
    for (shift, wanted) in (0..).step_by(4).zip(&WANTED) {
        let old = changes.iter().find(|old| old.sysctl == wanted.sysctl);
        let value = old.map_or(UNCHANGED, |old| match old.theirs {
            theirs @ 0..UNCHANGED => theirs,
            _ => 0,
        });
        tag |= value << shift;
    }
    tag
}

/// What a tag keeps; `None` if it is not ours.
fn kept_by(tag: i32) -> Option<Vec<Old>> {
    const EACH: i32 = 0xf;
    let all = (0..).step_by(4).zip(&WANTED);
    let old = all.map(|(shift, wanted)| Old {
        sysctl: wanted.sysctl,
        theirs: (tag >> shift) & EACH,
        ours: wanted.value,
    });
    (tag & !0xffff == OURS).then(|| old.filter(|old| old.theirs != UNCHANGED).collect())
}

/// The old values of all attached interfaces.
#[derive(Debug, Default)]
pub(super) struct Kept {
    devices: BTreeMap<IfIndex, Vec<Old>>,
    /// Those of them that only a carpd before us has attached.
    left: BTreeSet<IfIndex>,
}

impl Kept {
    /// Attached is what another carpd left: in the tags of interfaces, or in `file`, as earlier
    /// versions did. The file is not needed any more then.
    pub(super) fn load(file: &Path, netlink: &Netlink) -> Self {
        let mut devices = match fs::read_to_string(file) {
            Ok(text) => parse(&text),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!("cannot read {}: {error}", file.display());
                }
                BTreeMap::new()
            }
        };
        for (device, changes) in &devices {
            let settings = vec![(TAG, tag_of(changes))];
            set(*device, &format!("interface {device}"), settings, netlink);
        }
        // There is none as a rule, and one that stays is read again.
        let _ = fs::remove_file(file);
        let read = netlink.each_link(|link| {
            let changes = Conf::of(link).value(TAG).and_then(kept_by);
            devices.extend(changes.map(|changes| (IfIndex(link.header.index), changes)));
        });
        if let Err(error) = read {
            warn!("cannot see which sysctls a carpd before has changed: {error}");
        }
        let left = devices.keys().copied().collect();
        Self { devices, left }
    }

    /// Sets what `device` needs and keeps what was there.
    pub(super) fn attach(&mut self, device: IfIndex, netlink: &Netlink) {
        self.left.remove(&device);
        if self.devices.contains_key(&device) {
            return;
        }
        let Some(name) = netlink.name_of(device) else {
            return;
        };
        let mut changes = Vec::new();
        for wanted in &WANTED {
            match wanted.sysctl.read(&name) {
                Ok(theirs) if (wanted.suffices)(theirs) => {}
                Ok(theirs) => changes.push(Old {
                    sysctl: wanted.sysctl,
                    theirs,
                    ours: wanted.value,
                }),
                Err(error) => warn!("cannot read {} of {name}: {error}", wanted.sysctl.key),
            }
        }
        self.devices.insert(device, changes.clone());
        if !write(device, &name, &changes, netlink) {
            warn!(
                "net.ipv4.conf.{name}.tag is somebody else's: should carpd crash, arp_ignore and \
                 arp_announce of {name} stay changed"
            );
        }
    }

    /// Those attached that answered ARP requests for addresses of other interfaces before.
    pub(super) fn answering_less(&self) -> impl Iterator<Item = IfIndex> {
        let is_less = |old: &Old| old.sysctl == ARP_IGNORE;
        let all = self.devices.iter();
        all.filter(move |(_, changes)| changes.iter().any(is_less))
            .map(|(device, _)| *device)
    }

    /// What is attached.
    pub(super) fn attached(&self) -> impl Iterator<Item = IfIndex> {
        self.devices.keys().copied()
    }

    /// Sets again what somebody else has set back, and says so; what they wanted is what they get
    /// when it is over.
    pub(super) fn check(&mut self, confs: &BTreeMap<u32, Conf>, netlink: &Netlink) -> Vec<Meddled> {
        let mut meddled = Vec::new();
        for (device, changes) in &mut self.devices {
            let Some(conf) = confs.get(&device.0) else {
                continue;
            };
            for wanted in &WANTED {
                let insufficient = |theirs: &i32| !(wanted.suffices)(*theirs);
                if let Some(theirs) = conf.value(wanted.sysctl).filter(insufficient) {
                    let old = Old {
                        sysctl: wanted.sysctl,
                        theirs,
                        ours: wanted.value,
                    };
                    changes.retain(|known| known.sysctl != old.sysctl);
                    changes.push(old.clone());
                    meddled.push(Meddled {
                        index: *device,
                        device: conf.name.clone(),
                        old,
                    });
                }
            }
        }
        for Meddled { index, device, .. } in &meddled {
            if let Some(changes) = self.devices.get(index) {
                write(*index, device, changes, netlink);
            }
        }
        meddled
    }

    /// Puts the old values of `device` back, unless somebody else has changed them since.
    pub(super) fn detach(&mut self, device: IfIndex, netlink: &Netlink) {
        if let Some(changes) = self.devices.remove(&device) {
            put_back(device, &changes, netlink);
        }
    }

    /// [`detach`](Self::detach) for those that were attached by another carpd and not by us.
    pub(super) fn sweep(&mut self, netlink: &Netlink) {
        for device in core::mem::take(&mut self.left) {
            self.detach(device, netlink);
        }
    }

    /// [`detach`](Self::detach) for all that are attached.
    pub(super) fn release_all(&mut self, netlink: &Netlink) {
        for (device, changes) in core::mem::take(&mut self.devices) {
            put_back(device, &changes, netlink);
        }
    }
}

/// Sets what was changed to ours, and the tag before: a crash in between loses no old value. A tag
/// of somebody else's stays; `false` if there is one.
fn write(device: IfIndex, name: &str, changes: &[Old], netlink: &Netlink) -> bool {
    let tag = TAG.read(name).unwrap_or_default();
    let is_free = tag == 0 || kept_by(tag).is_some();
    let mut settings = Vec::new();
    if is_free && !changes.is_empty() {
        settings.push((TAG, tag_of(changes)));
    }
    settings.extend(changes.iter().map(|old| (old.sysctl, old.ours)));
    set(device, name, settings, netlink);
    is_free
}

fn put_back(device: IfIndex, changes: &[Old], netlink: &Netlink) {
    let Some(name) = netlink.name_of(device) else {
        return;
    };
    let mut settings = Vec::new();
    for Old {
        sysctl,
        theirs,
        ours,
    } in changes
    {
        match sysctl.read(&name) {
            Ok(value) if value == *ours => settings.push((*sysctl, *theirs)),
            Ok(value) => debug!(
                "{} of {name} is {value} by somebody else, stays",
                sysctl.key
            ),
            Err(error) => debug!("cannot read {} of {name}: {error}", sysctl.key),
        }
    }
    // Last, for a crash in between.
    if TAG.read(&name).is_ok_and(|tag| kept_by(tag).is_some()) {
        settings.push((TAG, 0));
    }
    set(device, &name, settings, netlink);
}

/// By netlink, which works where /proc/sys is read-only, as in containers.
fn set(device: IfIndex, name: &str, settings: Vec<(Sysctl, i32)>, netlink: &Netlink) {
    if settings.is_empty() {
        return;
    }
    if let Err(error) = netlink.change(devices::configure(device.0, &settings)) {
        for (sysctl, value) in settings {
            warn!("cannot set {} of {name} to {value}: {error}", sysctl.key);
        }
    }
}

/// One line for each value: interface number, key, old value, our value.
/// Lines that make no sense are passed over.
fn parse(text: &str) -> BTreeMap<IfIndex, Vec<Old>> {
    let mut devices: BTreeMap<IfIndex, Vec<Old>> = BTreeMap::new();
    for line in text.lines() {
        if let Some((device, old)) = parse_line(line) {
            devices.entry(device).or_default().push(old);
        }
    }
    devices
}

fn parse_line(line: &str) -> Option<(IfIndex, Old)> {
    let mut words = line.split_ascii_whitespace();
    let device = IfIndex(words.next()?.parse().ok()?);
    let key = words.next()?;
    let sysctl = WANTED
        .iter()
        .find(|wanted| wanted.sysctl.key == key)?
        .sysctl;
    let theirs = words.next()?.parse().ok()?;
    let ours = words.next()?.parse().ok()?;
    Some((
        device,
        Old {
            sysctl,
            theirs,
            ours,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(key: &'static str, theirs: i32, ours: i32) -> Old {
        Old {
            sysctl: Sysctl::v4(key),
            theirs,
            ours,
        }
    }

    #[test]
    fn a_tag_keeps_old_values() {
        for changes in [
            vec![],
            vec![old("arp_ignore", 0, 1)],
            vec![old("arp_announce", 1, 2)],
            vec![old("arp_ignore", 3, 1), old("arp_announce", 0, 2)],
        ] {
            assert_eq!(kept_by(tag_of(&changes)), Some(changes));
        }
        for odd in [-1, 15, 16, i32::MAX, i32::MIN] {
            let kept = kept_by(tag_of(&[old("arp_ignore", odd, 1)]));
            assert_eq!(kept, Some(vec![old("arp_ignore", 0, 1)]));
        }
        for theirs in [0, 1, -1, 255, OURS >> 16, OURS << 1] {
            assert_eq!(kept_by(theirs), None, "{theirs:#x}");
        }
    }

    #[test]
    fn nonsense_in_the_file_is_passed_over() {
        let text = "\n2 arp_ignore\nx arp_ignore 0 1\n2 ../../x 0 1\n2 arp_ignore 0 1 later\n";
        let kept = BTreeMap::from([(IfIndex(2), vec![old("arp_ignore", 0, 1)])]);
        assert_eq!(parse(text), kept);
    }
}
