//! Fuzz targets of the configuration. For any bytes, each fault is one line with its place, and a
//! valid configuration can be written and reads as the same again.

use std::collections::BTreeMap;

use carp_proto::{Settings, Sysctl, Sysctls, Unit};

use super::rcconf::{self, RcConf};
use super::shell::Complaint;
use super::{rewrite, sysctlconf};

/// Tests rc.conf.
///
/// # Panics
/// If the above does not hold.
pub fn rc_conf(text: &[u8]) {
    // The content of other files is none of these bytes.
    if text.windows(8).any(|word| word == b"passfile") {
        return;
    }
    let found = rcconf::read(text);
    are_lines_of(text, &found.complaints);
    are_lines_of(text, &found.warnings);
    let running = settings(&found);
    let again = rewrite::rewrite(b"", &RcConf::default(), &running);
    if let Ok(again) = &again {
        let found = rcconf::read(again);
        assert_eq!(found.complaints, []);
        assert_eq!(settings(&found), running);
    }
    if found.complaints.is_empty() {
        let same = rewrite::rewrite(text, &found, &running);
        assert!(same.is_err() || same.is_ok_and(|same| settings(&rcconf::read(&same)) == running));
        let emptied = rewrite::rewrite(text, &found, &BTreeMap::new());
        let left = rcconf::read(&emptied.unwrap_or_default());
        assert!(left.interfaces.is_empty(), "{left:?}");
    }
}

/// Tests sysctl.conf.
///
/// # Panics
/// If the above does not hold.
pub fn sysctl_conf(text: &[u8]) {
    let found = sysctlconf::read(text);
    are_lines_of(text, &found.complaints);
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let defaults = Sysctls::default();
    let settable = Sysctl::writable().filter_map(|sysctl| {
        let (least, most) = sysctl.range()?;
        let value = found.values.get(&sysctl).copied().unwrap_or(most);
        assert!((least..=most).contains(&value));
        Some((sysctl, value, defaults.get(sysctl)))
    });
    let running: Vec<(Sysctl, u64, u64)> = settable.collect();
    let again = sysctlconf::read(sysctlconf::rewrite(text, &running).as_bytes());
    assert_eq!(again.complaints.len(), found.complaints.len());
    for (sysctl, value, default) in running {
        let written = again.values.get(&sysctl).copied().unwrap_or(default);
        assert_eq!(written, value, "{sysctl:?}");
    }
}

fn settings(found: &RcConf) -> BTreeMap<Unit, Settings> {
    let interfaces = found.interfaces.iter();
    interfaces
        .map(|(unit, interface)| (*unit, interface.settings.clone()))
        .collect()
}

fn are_lines_of(text: &[u8], complaints: &[Complaint]) {
    let lines = text.split(|byte| *byte == b'\n').count();
    for Complaint { line, message, .. } in complaints {
        assert!((1..=lines).contains(line), "line {line} of {lines}");
        assert!(!message.chars().any(char::is_control), "{message:?}");
    }
}
