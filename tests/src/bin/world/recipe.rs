//! A host as data: its deviations from a plain one.

use std::fmt;

/// Kind of carpdev.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An end of a cable.
    Veth,
    /// A bridge with the cable as its port.
    Bridge,
    /// The same, with a virtual machine's port.
    BridgeWithGuest,
    /// A macvlan on the cable, in this mode.
    Macvlan(&'static str),
    /// A macvtap on the cable.
    Macvtap,
    /// A tunnel over the cable to the switch.
    Vxlan,
}

/// Hosts on which a line of a step is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The host, its twin with own addresses, and the plain host.
    All,
    /// Only the host: the line is about carp0.
    Carp,
    /// The switch; `PORT` is the port of each of the three.
    Switch,
}

/// An action on a host, as lines of a shell. `DEV` is the carpdev.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Name of the kind of step, for lists of exceptions.
    pub(crate) name: String,
    /// The lines.
    pub(crate) lines: Vec<(Scope, String)>,
    /// Words, of which each sentence that explains the step's consequences has one.
    pub(crate) words: Vec<String>,
}

/// An event after the pair has settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// An action on the host.
    Do(Step),
    /// The other host becomes MASTER, or this one again.
    Failover,
}

/// The host's own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Own {
    /// Name for lists of exceptions.
    pub(crate) name: &'static str,
    /// On the carpdev, before carpd starts.
    pub(crate) early: &'static [&'static str],
    /// On the carpdev, after the carp interface was created.
    pub(crate) late: &'static [&'static str],
    /// On lo.
    pub(crate) loopback: &'static [&'static str],
}

/// The virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Virtuals {
    /// Name for lists of exceptions.
    pub(crate) name: &'static str,
    /// `ADDRESS/LENGTH`
    pub(crate) addresses: &'static [&'static str],
}

/// A whole world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// Kind of carpdev.
    pub(crate) kind: Kind,
    /// `lladdr parent`
    pub(crate) parent: bool,
    /// True if /proc/sys is read-only, as in a container.
    pub(crate) read_only: bool,
    /// The host's own addresses.
    pub(crate) own: Own,
    /// The virtual addresses.
    pub(crate) virtuals: Virtuals,
    /// Steps before carpd starts.
    pub(crate) before: Vec<Step>,
    /// Events afterwards.
    pub(crate) after: Vec<Event>,
}

impl Kind {
    /// Returns the name of the carpdev.
    pub(crate) const fn device(self) -> &'static str {
        match self {
            Self::Veth => "eth0",
            Self::Bridge | Self::BridgeWithGuest => "br0",
            Self::Macvlan(_) | Self::Macvtap => "mv0",
            Self::Vxlan => "vx0",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Veth => formatter.write_str("veth"),
            Self::Bridge => formatter.write_str("bridge"),
            Self::BridgeWithGuest => formatter.write_str("bridge with a VM's port"),
            Self::Macvlan(mode) => write!(formatter, "macvlan {mode}"),
            Self::Macvtap => formatter.write_str("macvtap"),
            Self::Vxlan => formatter.write_str("vxlan"),
        }
    }
}

impl Step {
    /// Makes a step of lines for all hosts.
    pub(crate) fn new(name: &str, lines: &[&str], words: &[&str]) -> Self {
        Self::scoped(name, &[], lines, words)
    }

    /// Makes a step of lines about carp0, after lines for all hosts.
    pub(crate) fn scoped(name: &str, all: &[&str], carp: &[&str], words: &[&str]) -> Self {
        let scope = if all.is_empty() && !carp.iter().any(|line| line.contains("carp0")) {
            Scope::All
        } else {
            Scope::Carp
        };
        let all = all.iter().map(|line| (Scope::All, (*line).to_owned()));
        let carp = carp.iter().map(|line| (scope, (*line).to_owned()));
        Self {
            name: name.to_owned(),
            lines: all.chain(carp).collect(),
            words: words.iter().map(ToString::to_string).collect(),
        }
    }

    /// Adds a line for the switch.
    pub(crate) fn at_switch(mut self, line: &str) -> Self {
        self.lines.push((Scope::Switch, line.to_owned()));
        self
    }
}

impl Recipe {
    /// A host without deviations.
    pub(crate) const PLAIN: Self = Self {
        kind: Kind::Veth,
        parent: false,
        read_only: false,
        own: Own::PLAIN,
        virtuals: Virtuals::PLAIN,
        before: Vec::new(),
        after: Vec::new(),
    };

    /// Returns the number of deviations.
    pub(crate) fn size(&self) -> usize {
        let odd = [
            self.kind != Kind::Veth,
            self.parent,
            self.read_only,
            self.own != Own::PLAIN,
            self.virtuals != Virtuals::PLAIN,
        ];
        odd.iter().filter(|odd| **odd).count() + self.before.len() + self.after.len()
    }

    /// Returns the names of all deviations.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        if self.kind != Kind::Veth {
            names.push(format!("carpdev: {}", self.kind));
        }
        if self.parent {
            names.push("lladdr parent".to_owned());
        }
        if self.read_only {
            names.push("read-only /proc/sys".to_owned());
        }
        if self.own != Own::PLAIN {
            names.push(format!("own addresses: {}", self.own.name));
        }
        if self.virtuals != Virtuals::PLAIN {
            names.push(format!("virtual addresses: {}", self.virtuals.name));
        }
        names.extend(self.before.iter().map(|step| step.name.clone()));
        names.extend(self.after.iter().map(Event::name));
        names
    }

    /// Returns words, of which each sentence that explains the consequences of this recipe has one.
    pub(crate) fn words(&self) -> Vec<String> {
        let steps = self
            .before
            .iter()
            .chain(self.after.iter().filter_map(Event::step));
        let mut words: Vec<String> = steps.flat_map(|step| step.words.clone()).collect();
        if self.read_only {
            words.extend(["read-only".to_owned(), "Read-only".to_owned()]);
        }
        if self.kind != Kind::Veth {
            words.push(self.kind.device().to_owned());
        }
        for address in self.virtuals.addresses {
            words.extend(address.split('/').next().map(str::to_owned));
        }
        words
    }
}

impl Event {
    fn name(&self) -> String {
        self.step().map_or("failover", |step| &step.name).to_owned()
    }

    /// Returns the step, unless the event is a failover.
    pub(crate) const fn step(&self) -> Option<&Step> {
        match self {
            Self::Do(step) => Some(step),
            Self::Failover => None,
        }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names();
        if names.is_empty() {
            return formatter.write_str("a plain host");
        }
        formatter.write_str(&names.join("; "))
    }
}
