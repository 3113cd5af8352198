//! What is known not to hold yet, each with its reason: worlds are made without it unless
//! everything is asked for. A row goes as soon as what it names is mended.

use crate::recipe::{Kind, Own, Recipe, Virtuals};

const NO_ROUTE: &str =
    "the host has no way to the client but by the virtual prefix, which has no route";
const PHYSICAL: &str =
    "carp(4): a rule for the carpdev does not match what is for a virtual address";
const REVERSE: &str = "requests come in on carp0, and the way back is by the carpdev";
const INHERITED: &str = "carp0 inherits a switch that silences or loosens it";
const LOWER: &str = "the kernel puts carp0 beside the carpdev, on the device below it";
const REFUSED: &str = "the kernel refuses the device, and nothing tries again or says so";

/// Parts of the names of steps, kinds and addresses, as recipes show them, and why they are left
/// out.
const KNOWN: &[(&str, &str)] = &[
    ("own addresses: none", NO_ROUTE),
    ("own addresses: IPv4 alone", NO_ROUTE),
    ("own addresses: IPv6 alone", NO_ROUTE),
    ("own addresses: in other subnets", NO_ROUTE),
    ("own addresses: /32 and /128", NO_ROUTE),
    ("own addresses: link-local", NO_ROUTE),
    ("own addresses: a secondary", NO_ROUTE),
    ("own addresses: added later", NO_ROUTE),
    ("carpdev: addresses flushed", NO_ROUTE),
    ("carpdev: IPv4 flushed", NO_ROUTE),
    ("carpdev: routes flushed", NO_ROUTE),
    ("carpdev: down", NO_ROUTE),
    ("carpdev: small MTU", NO_ROUTE),
    (
        "own addresses: one on lo",
        "the carpdev no longer answers for what is on lo",
    ),
    ("link-local", "the scope of fe80::/64 on carp0 is ambiguous"),
    (
        "rp_filter=1",
        "the route of a virtual /24 goes before that of the host's own /16",
    ),
    ("nft: reverse path", REVERSE),
    ("nft: not local here", REVERSE),
    ("nft: carpdev alone", PHYSICAL),
    ("nft: stateful input", PHYSICAL),
    ("disable_ipv6", INHERITED),
    (
        "carpdev: ARP off",
        "a device that does not answer is not put right",
    ),
    ("carpdev: macv", LOWER),
    ("read-only /proc/sys", "switches are set by /proc alone"),
    (
        "lladdr parent",
        "an own address added later is a secondary one and has no route",
    ),
    ("carpdev: a bridge's port", REFUSED),
    ("carpdev: in a VRF", REFUSED),
    ("carpdev: renamed", REFUSED),
    ("carpdev: deleted", REFUSED),
];

impl Recipe {
    /// Takes out what is known not to hold, and says whether anything was.
    pub(crate) fn leave_out(&mut self) -> bool {
        let size = self.size();
        let is_known = |name: &str| KNOWN.iter().any(|(known, _)| name.contains(known));
        if is_known(&format!("carpdev: {}", self.kind)) {
            self.kind = Kind::Veth;
        }
        if is_known("lladdr parent") {
            self.parent = false;
        }
        if is_known("read-only /proc/sys") {
            self.frozen = false;
        }
        if is_known(&format!("own addresses: {}", self.own.name)) {
            self.own = Own::PLAIN;
        }
        if is_known(&format!("virtual addresses: {}", self.virtuals.name)) {
            self.virtuals = Virtuals::PLAIN;
        }
        self.before.retain(|step| !is_known(&step.name));
        self.after
            .retain(|event| !event.step().is_some_and(|step| is_known(&step.name)));
        self.size() < size
    }
}
