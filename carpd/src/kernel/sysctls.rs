//! Sysctls of one interface: written when it is attached, put back when it is detached.
//!
//! The old values are also kept in a file, so that a carpd that starts after a crash can put them
//! back.

use core::fmt::{self, Write as _};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
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

/// What a physical interface needs so that it neither answers ARP requests for virtual addresses
/// nor asks with one of them (the "weak host model" of RFC 1122 §3.3.4.2).
const WANTED: [Wanted; 2] = [
    Wanted {
        sysctl: Sysctl::v4("arp_ignore"),
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

/// The old values of all attached interfaces, here and in the file.
#[derive(Debug)]
pub(super) struct Kept {
    file: PathBuf,
    devices: BTreeMap<IfIndex, Vec<Old>>,
    /// Those of them that only a carpd before us has attached.
    left: BTreeSet<IfIndex>,
}

impl Kept {
    /// Attached is what another carpd left in `file`.
    pub(super) fn load(file: PathBuf) -> Self {
        let devices = match fs::read_to_string(&file) {
            Ok(text) => parse(&text),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!("cannot read {}: {error}", file.display());
                }
                BTreeMap::new()
            }
        };
        let left = devices.keys().copied().collect();
        Self {
            file,
            devices,
            left,
        }
    }

    /// Sets what `device` needs and keeps what was there.
    pub(super) async fn attach(&mut self, device: IfIndex, netlink: &Netlink) {
        self.left.remove(&device);
        if self.devices.contains_key(&device) {
            return;
        }
        let Some(name) = netlink.name_of(device).await else {
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
        // Kept before anything is changed, or a crash in between would lose the old values.
        self.save();
        let settings = changes.iter().map(|old| (old.sysctl, old.ours)).collect();
        set(device, &name, settings, netlink);
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
        if !meddled.is_empty() {
            self.save();
        }
        for Meddled { index, device, old } in &meddled {
            set(*index, device, vec![(old.sysctl, old.ours)], netlink);
        }
        meddled
    }

    /// Puts the old values of `device` back, unless somebody else has changed them since.
    pub(super) async fn detach(&mut self, device: IfIndex, netlink: &Netlink) {
        if let Some(changes) = self.devices.remove(&device) {
            put_back(device, &changes, netlink).await;
            self.save();
        }
    }

    /// [`detach`](Self::detach) for those that were attached by another carpd and not by us.
    pub(super) async fn sweep(&mut self, netlink: &Netlink) {
        for device in core::mem::take(&mut self.left) {
            self.detach(device, netlink).await;
        }
    }

    /// [`detach`](Self::detach) for all that are attached.
    pub(super) async fn release_all(&mut self, netlink: &Netlink) {
        for (device, changes) in core::mem::take(&mut self.devices) {
            put_back(device, &changes, netlink).await;
        }
        self.save();
    }

    fn save(&self) {
        let result = if self.devices.values().all(Vec::is_empty) {
            match fs::remove_file(&self.file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            }
        } else {
            replace(&self.file, &print(&self.devices))
        };
        if let Err(error) = result {
            warn!(
                "cannot keep old sysctls in {}: {error}",
                self.file.display()
            );
        }
    }
}

async fn put_back(device: IfIndex, changes: &[Old], netlink: &Netlink) {
    if changes.is_empty() {
        return;
    }
    let Some(name) = netlink.name_of(device).await else {
        return;
    };
    for Old {
        sysctl,
        theirs,
        ours,
    } in changes
    {
        match sysctl.read(&name) {
            Ok(value) if value == *ours => {
                set(device, &name, vec![(*sysctl, *theirs)], netlink);
            }
            Ok(value) => debug!(
                "{} of {name} is {value} by somebody else, stays",
                sysctl.key
            ),
            Err(error) => debug!("cannot read {} of {name}: {error}", sysctl.key),
        }
    }
}

/// By netlink, which works where /proc/sys is read-only, as in containers.
fn set(device: IfIndex, name: &str, settings: Vec<(Sysctl, i32)>, netlink: &Netlink) {
    if settings.is_empty() {
        return;
    }
    let (message, flags) = devices::configure(device.0, &settings);
    if let Err(error) = netlink.change_now(message, flags) {
        for (sysctl, value) in settings {
            warn!("cannot set {} of {name} to {value}: {error}", sysctl.key);
        }
    }
}

/// Atomic for whoever reads it later; readable by root alone.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?
        .write_all(text.as_bytes())?;
    fs::rename(&new, file)
}

/// One line for each value: interface number, key, old value, our value.
fn print(devices: &BTreeMap<IfIndex, Vec<Old>>) -> String {
    let mut text = String::new();
    for (device, changes) in devices {
        for Old {
            sysctl,
            theirs,
            ours,
        } in changes
        {
            // Writing to a `String` does not fail.
            let _ = writeln!(text, "{device} {} {theirs} {ours}", sysctl.key);
        }
    }
    text
}

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

    #[test]
    fn the_file_is_read_as_it_was_written() {
        let old = |key, theirs, ours| Old {
            sysctl: Sysctl::v4(key),
            theirs,
            ours,
        };
        let devices = BTreeMap::from([
            (
                IfIndex(2),
                vec![old("arp_ignore", 0, 1), old("arp_announce", 1, 2)],
            ),
            (IfIndex(17), vec![old("arp_announce", 0, 2)]),
        ]);
        let text = print(&devices);
        assert_eq!(
            text,
            "2 arp_ignore 0 1\n2 arp_announce 1 2\n17 arp_announce 0 2\n"
        );
        assert_eq!(parse(&text), devices);
    }

    #[test]
    fn nonsense_in_the_file_is_passed_over() {
        let text = "\n2 arp_ignore\nx arp_ignore 0 1\n2 ../../x 0 1\n2 arp_ignore 0 1 later\n";
        assert_eq!(print(&parse(text)), "2 arp_ignore 0 1\n");
    }
}
