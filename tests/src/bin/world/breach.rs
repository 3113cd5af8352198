//! Clauses of the rules, and breaches of them.

use std::fmt;

/// A rule that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Clause {
    /// (a) Clients do not get from a virtual address what they get from an own one.
    Silent,
    /// (a) Clients do not get from an own address what they get without carpd.
    OwnSilent,
    /// (a) Another MAC than the virtual one answers for the virtual address.
    WrongMac,
    /// (a) The virtual MAC answers for an address of another host.
    Stranger,
    /// (a) Neither host can be MASTER, or this one cannot although its carpdev works.
    NoMaster,
    /// (b) Both are MASTER.
    TwoMasters,
    /// (b) A BACKUP does not hear its master.
    Deaf,
    /// (a) MASTER on an interface that the kernel reports as not operational.
    NotOperational,
    /// (b) A host that is not MASTER sends as one, or answers.
    Leak,
    /// (c) The host is not as it was.
    Left,
    /// (e) The log is flooded.
    Flood,
    /// carpd ended, or did not end on request.
    Died,
}

/// A broken clause, with the details.
#[derive(Clone, Debug)]
pub(crate) struct Breach {
    /// The clause.
    pub(crate) clause: Clause,
    /// Address, answer and time.
    pub(crate) text: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.clause, self.text)
    }
}

/// Result of a world.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The first broken clause.
    pub(crate) breach: Option<Breach>,
    /// Differences from the twin that are explained.
    pub(crate) explained: Vec<String>,
    /// The commands.
    pub(crate) typed: String,
    /// carpd's output on the host.
    pub(crate) log: String,
}

#[expect(clippy::unnecessary_wraps, reason = "all callers return it so")]
pub(crate) const fn breach(clause: Clause, text: String) -> Option<Breach> {
    Some(Breach { clause, text })
}
