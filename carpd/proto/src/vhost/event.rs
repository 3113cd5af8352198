//! Events of a virtual host, and the conditions in which it handles them.

use crate::claim::Claim;
use crate::link::Link;
use crate::reason::Reason;
use crate::sender::Sender;
use crate::settings::ForcedState;
use crate::sysctl::Sysctls;
use crate::time::Now;

/// Conditions in which a virtual host handles an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env<'a> {
    pub(crate) now: Now,
    /// Its physical interface, if it exists.
    pub(crate) link: Option<&'a Link>,
    pub(crate) sysctls: &'a Sysctls,
    /// Value of `net.inet.carp.suppress_preempt`.
    pub(crate) suppress: u64,
}

/// Event of a virtual host.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// A condition of running may have changed: see [`Vhost::runnable`](super::Vhost::runnable).
    Reconsider,
    /// The first [`Event::Reconsider`] after a restart of a MASTER whose addresses the kernel still
    /// has.
    Resume,
    /// The deadline of the virtual host expired.
    Deadline,
    /// A peer sent a valid advertisement.
    Heard { sender: Sender, claim: Claim },
    /// A peer's advertisement was refused because this host sealed the same counter.
    HeardInStep { sender: Sender, claim: Claim },
    /// The kernel completed the takeover with this number.
    AddressesTaken(u32),
    /// An administrator requested `state master` or `state backup`.
    Force(ForcedState),
    /// A MASTER advertises early, together with others.
    Advertise,
    /// Suppression began or ended.
    Suppression,
    /// Settings changed that peers or the kernel see.
    Refresh,
    /// ARP requests are answered by the kernel instead of carpd, or the reverse.
    ArpResponder,
    /// Three advertisements in a row could not be sent.
    SendingFails,
    /// The virtual host is about to be removed, or to change its identity.
    Retire(Reason),
}
