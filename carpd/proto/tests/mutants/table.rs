//! The mutants: repairs that are taken back.

/// A core without one repair.
pub(crate) struct Mutant {
    /// Fault that the repair prevents.
    pub(crate) name: &'static str,
    /// A file of `src`, a text that it contains once, and its replacement in the copy.
    pub(crate) changes: &'static [(&'static str, &'static str, &'static str)],
    pub(crate) found_by: FoundBy,
}

/// Test that finds the mutant.
#[derive(Clone, Copy)]
pub(crate) enum FoundBy {
    /// The search.
    Search,
    /// A story.
    Story(&'static str),
}

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a backup does not wait for a slow master, which answers as slowly",
        changes: &[
            (
                "election.rs",
                "    if advbase.get() > 0 && configured >= theirs * 3 / 2 {",
                "    if MUTANT || (advbase.get() > 0 && configured >= theirs * 3 / 2) {",
            ),
            (
                "vhost/heard.rs",
                "ours.interval().min(theirs.interval())",
                "ours.interval().min(if MUTANT { ours.interval() } else { theirs.interval() })",
            ),
        ],
        found_by: FoundBy::Search,
    },
    Mutant {
        name: "IPv4 alone decides a tie",
        changes: &[(
            "vhost/heard.rs",
            "&& !tie.is_stuck(self.claim(env).interval())",
            "&& (MUTANT || !tie.is_stuck(self.claim(env).interval()))",
        )],
        found_by: FoundBy::Search,
    },
    Mutant {
        name: "a master that is heard by IPv6 alone counts as dead",
        changes: &[(
            "vhost/heard.rs",
            "        self.master_lives(watch, theirs.interval(), env);",
            "        let first = self.settings.families().next();
        if !MUTANT || first == Some(Family::of(source)) {
            self.master_lives(watch, theirs.interval(), env);
        }",
        )],
        found_by: FoundBy::Search,
    },
    Mutant {
        name: "the suppression of a backup that could not send never ends",
        changes: &[(
            "vhost/waiting.rs",
            "self.sending.is_failing().then(",
            "(self.sending.is_failing() && !MUTANT).then(",
        )],
        found_by: FoundBy::Search,
    },
    Mutant {
        name: "a change of settings starts the wait again",
        changes: &[
            (
                "vhost/watch.rs",
                "    heard: Instant,",
                "    pub(super) heard: Instant,",
            ),
            (
                "vhost/waiting.rs",
                "        let Watch { master_down, .. } = watch.recomputed(",
                "        let mut watch = watch;
        if MUTANT {
            watch.heard = env.now.instant;
        }
        let Watch { master_down, .. } = watch.recomputed(",
            ),
        ],
        found_by: FoundBy::Search,
    },
    Mutant {
        name: "hosts that advertise from one source count as one",
        changes: &[(
            "sender.rs",
            "host: is_virtual.then_some(link.mac),",
            "host: (is_virtual && !MUTANT).then_some(link.mac),",
        )],
        found_by: FoundBy::Search,
    },
    Mutant {
        name: "equal masters that seal in step refuse each other",
        changes: &[(
            "vhost/heard.rs",
            "if self.wins_tie(sender, tie, env) == Some(true) {",
            "if !MUTANT && self.wins_tie(sender, tie, env) == Some(true) {",
        )],
        found_by: FoundBy::Search,
    },
    Mutant {
        name: "an answer has the counter of the rival's advertisement",
        changes: &[(
            "vhost/heard.rs",
            "        self.dialect.seal_above_rivals();",
            "        if !MUTANT {
            self.dialect.seal_above_rivals();
        }",
        )],
        found_by: FoundBy::Search,
    },
    Mutant {
        name: "counters continue ahead of a clock that was set back",
        changes: &[
            (
                "dialect/carp/seal.rs",
                "if !last.is_ahead(now, window) {",
                "if MUTANT || !last.is_ahead(now, window) {",
            ),
            (
                "dialect/carp/spent.rs",
                "if Sealed::open(self.floor).is_ahead(now.unix, window) {",
                "if !MUTANT && Sealed::open(self.floor).is_ahead(now.unix, window) {",
            ),
        ],
        found_by: FoundBy::Search,
    },
    Mutant {
        name: "counters accepted from a clock that was ahead stay spent",
        changes: &[(
            "dialect/carp/spent.rs",
            "            self.floor = self.known_from.min(Sealed::least(now.unix));",
            "            self.floor = if MUTANT {
                self.floor
            } else {
                self.known_from.min(Sealed::least(now.unix))
            };",
        )],
        found_by: FoundBy::Search,
    },
    Mutant {
        name: "a suppressed backup waits by its configured skew",
        changes: &[
            (
                "vhost/waiting.rs",
                "pub(super) const fn own_wait(",
                "pub(super) fn own_wait(",
            ),
            (
                "vhost/waiting.rs",
                "effective_advskew(advskew, env.suppress > 0)",
                "effective_advskew(advskew, !MUTANT && env.suppress > 0)",
            ),
        ],
        found_by: FoundBy::Story("suppressed_host_leaves_an_equal_bsd_host_master"),
    },
];
