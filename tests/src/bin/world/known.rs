//! What is known not to hold yet, each with its reason: worlds are made without it unless
//! everything is asked for. A row goes as soon as what it names is mended.

use crate::recipe::{Kind, Recipe};

const BRIDGED: &str = "carp(4): br_netfilter shows what is for a virtual address to the rule as come in on the bridge";

/// Parts of the names of steps, kinds and addresses, as recipes show them, and why they are left
/// out.
const KNOWN: &[(&str, &str)] = &[("nft: not local here", BRIDGED)];

impl Recipe {
    /// Takes out what is known not to hold, and says whether anything was.
    pub(crate) fn leave_out(&mut self) -> bool {
        let size = self.size();
        let is_known = |name: &str| KNOWN.iter().any(|(known, _)| name.contains(known));
        if is_known(&format!("carpdev: {}", self.kind)) {
            self.kind = Kind::Veth;
        }
        self.before.retain(|step| !is_known(&step.name));
        self.after
            .retain(|event| !event.step().is_some_and(|step| is_known(&step.name)));
        self.size() < size
    }
}
