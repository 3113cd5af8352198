//! sysctl.conf(5): the values of `net.inet.carp`. Other names are ignored.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use carp_dbus::names::SYSCTL_PREFIX;
use carp_dbus::one_line;
use carp_proto::Sysctl;

use super::shell::Complaint;

/// Content of a file.
#[derive(Debug, Default)]
pub(super) struct SysctlConf {
    /// Each value with the line that sets it; the last one counts.
    pub(super) values: BTreeMap<Sysctl, u64>,
    /// Faults, in the order of the lines.
    pub(super) complaints: Vec<Complaint>,
}

/// Parses a file.
pub(super) fn read(text: &[u8]) -> SysctlConf {
    let text = String::from_utf8_lossy(text);
    let mut found = SysctlConf::default();
    for (line, text) in (1..).zip(text.lines()) {
        match assignment(text) {
            Ok(None) => {}
            Ok(Some((sysctl, value))) => {
                found.values.insert(sysctl, value);
            }
            Err(message) => found.complaints.push(Complaint {
                line,
                variable: None,
                message: one_line(message),
            }),
        }
    }
    found
}

/// Returns `text` with the values of `running` in the place of its own. Values that it lacks and
/// that are not the default are added at the end.
pub(super) fn rewrite(text: &str, running: &[(Sysctl, u64, u64)]) -> String {
    let mut rewritten = String::new();
    let mut there = Vec::new();
    for line in text.split_inclusive('\n') {
        let Ok(Some((sysctl, old))) = assignment(line) else {
            rewritten.push_str(line);
            continue;
        };
        there.push(sysctl);
        let now = running.iter().find(|(each, ..)| *each == sysctl);
        match (now, line.split_once('=')) {
            (Some((_, now, _)), Some((name, value))) if *now != old => {
                let blanks = value.len() - value.trim_start().len();
                let behind = value
                    .trim_start()
                    .trim_start_matches(|c: char| c.is_ascii_digit());
                let blanks = value.get(..blanks).unwrap_or_default();
                // Writing to a string cannot fail.
                let _ = write!(rewritten, "{name}={blanks}{now}{behind}");
            }
            _ => rewritten.push_str(line),
        }
    }
    for (sysctl, now, default) in running {
        if now != default && !there.contains(sysctl) {
            if !rewritten.is_empty() && !rewritten.ends_with('\n') {
                rewritten.push('\n');
            }
            let _ = writeln!(rewritten, "{SYSCTL_PREFIX}{}={now}", sysctl.name());
        }
    }
    rewritten
}

/// Returns the carp sysctl that a line sets, if any.
fn assignment(line: &str) -> Result<Option<(Sysctl, u64)>, String> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let (name, value) = match line.split_once('=') {
        Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
        None => (line, None),
    };
    let Some(short) = name.strip_prefix(SYSCTL_PREFIX) else {
        return Ok(None);
    };
    let Some(sysctl) = Sysctl::find(short) else {
        let known: Vec<&str> = Sysctl::writable().map(Sysctl::name).collect();
        return Err(format!(
            "unknown oid '{name}': of {SYSCTL_PREFIX} there are {}",
            known.join(", ")
        ));
    };
    let Some((least, most)) = sysctl.range() else {
        return Err(format!("oid '{name}' is read only"));
    };
    let digits = value.filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|value| value.parse().ok()) {
        Some(value) if (least..=most).contains(&value) => Ok(Some((sysctl, value))),
        Some(_) | None => Err(format!(
            "{name} is {least} to {most}, not '{}': write {name}={least}",
            value.unwrap_or_default()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carp_values_are_read_and_other_names_are_ignored() {
        let text = "# comment\nnet.inet.carp.preempt=1\nkern.maxfiles=1000 # not ours\n\
                    net.inet.carp.log = 2  # all\n\nnet.inet.carp.log=3\n";
        let found = read(text.as_bytes());
        assert_eq!(found.complaints, []);
        assert_eq!(
            found.values.into_iter().collect::<Vec<_>>(),
            [(Sysctl::Log, 3), (Sysctl::Preempt, 1)]
        );
    }

    #[test]
    fn fault_is_reported_with_its_line_and_the_remedy() {
        for (text, line, message) in [
            (
                "\nnet.inet.carp.preempt=2",
                2,
                "net.inet.carp.preempt is 0 to 1, not '2': write net.inet.carp.preempt=0",
            ),
            (
                "net.inet.carp.preempt=yes",
                1,
                "net.inet.carp.preempt is 0 to 1, not 'yes': write net.inet.carp.preempt=0",
            ),
            (
                "net.inet.carp.preempt",
                1,
                "net.inet.carp.preempt is 0 to 1, not '': write net.inet.carp.preempt=0",
            ),
            (
                "net.inet.carp.suppress_preempt=1",
                1,
                "oid 'net.inet.carp.suppress_preempt' is read only",
            ),
        ] {
            let complaints = read(text.as_bytes()).complaints;
            let told: Vec<_> = complaints
                .iter()
                .map(|complaint| (complaint.line, complaint.message.as_str()))
                .collect();
            assert_eq!(told, [(line, message)]);
        }
    }

    #[test]
    fn unknown_oid_is_reported_with_the_valid_ones() {
        let complaints = read(b"net.inet.carp.demotion=1").complaints;
        let known: Vec<&str> = Sysctl::writable().map(Sysctl::name).collect();
        let expected = format!(
            "unknown oid 'net.inet.carp.demotion': of net.inet.carp. there are {}",
            known.join(", ")
        );
        let told: Vec<_> = complaints
            .iter()
            .map(|complaint| &complaint.message)
            .collect();
        assert_eq!(told, [&expected]);
        assert!(known.contains(&"preempt") && !known.contains(&"suppress_preempt"));
    }

    #[test]
    fn rewriting_changes_only_differences() {
        let text = "# ours\nnet.inet.carp.preempt = 0 # keep\nkern.x=1\nnet.inet.carp.log=1";
        let running = [
            (Sysctl::Allow, 1, 1),
            (Sysctl::Log, 1, 1),
            (Sysctl::Preempt, 1, 0),
            (Sysctl::ReplayWindow, 90, 60),
        ];
        assert_eq!(
            rewrite(text, &running),
            "# ours\nnet.inet.carp.preempt = 1 # keep\nkern.x=1\nnet.inet.carp.log=1\n\
             net.inet.carp.replay_window=90\n"
        );
        assert_eq!(rewrite("", &running[..2]), "");
    }
}
