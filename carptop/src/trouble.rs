//! Troubles of an interface: detection, description and remedy.

use crate::history::{History, bad_packets};
use crate::model::{Interface, Model};
use crate::when;

/// Time for which an event counts as a present trouble, in microseconds.
pub(crate) const RECENT_TIME: u64 = 60_000_000;

/// Time after its last advertisement until another master no longer counts, in microseconds.
const RIVAL_TIMEOUT: u64 = 10_000_000;

/// Time for another master to yield after a takeover, in microseconds.
const YIELD_TIME: u64 = 2_000_000;

/// Grace time for a BACKUP without a master, in microseconds: three default intervals and some
/// skew.
const SILENCE_GRACE: u64 = 5_000_000;

/// Kind of trouble of a carp interface, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    TwoMasters,
    SendingFails,
    Refused,
    NoCarrier,
    NotRunning,
    NoMasterHeard,
    BadPackets,
    Demoted,
}

impl Trouble {
    pub(crate) const ALL: [Self; 8] = [
        Self::TwoMasters,
        Self::SendingFails,
        Self::Refused,
        Self::NoCarrier,
        Self::NotRunning,
        Self::NoMasterHeard,
        Self::BadPackets,
        Self::Demoted,
    ];

    /// Returns whether traffic is in danger, not only the redundancy.
    pub(crate) const fn is_alarm(self) -> bool {
        match self {
            Self::TwoMasters | Self::SendingFails | Self::Refused | Self::NoMasterHeard => true,
            Self::NoCarrier | Self::NotRunning | Self::BadPackets | Self::Demoted => false,
        }
    }

    /// Returns a short name for the header.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::TwoMasters => "two masters",
            Self::SendingFails => "cannot send",
            Self::Refused => "refused by the kernel",
            Self::NoCarrier => "no carrier",
            Self::NotRunning => "not running",
            Self::NoMasterHeard => "no master heard",
            Self::BadPackets => "bad packets heard",
            Self::Demoted => "demoted",
        }
    }

    /// Returns whether `interface` has this trouble at `now`.
    pub(crate) fn is_present(self, interface: &Interface, model: &Model, now: u64) -> bool {
        let History {
            rival_heard,
            two_masters,
            sending_fails,
            refused,
            bad_grew,
            bad_packet,
            ..
        } = &interface.history;
        let info = &interface.info;
        let is_recent = |time: u64| now.saturating_sub(time) < RECENT_TIME;
        match self {
            Self::TwoMasters => {
                // A master that yields may advertise once more.
                let since = info.last_transition.as_ref().map_or(0, |last| last.time) + YIELD_TIME;
                let persists = |time: u64| time > since && now.saturating_sub(time) < RIVAL_TIMEOUT;
                info.state == "MASTER"
                    && (rival_heard.is_some_and(persists)
                        || two_masters
                            .as_ref()
                            .is_some_and(|incident| persists(incident.time)))
            }
            Self::SendingFails => sending_fails.is_some(),
            Self::Refused => refused
                .as_ref()
                .is_some_and(|incident| is_recent(incident.time)),
            Self::NoCarrier => {
                info.up && info.state == "INIT" && lost_link(interface, model).is_some()
            }
            Self::NotRunning => {
                info.up && info.state == "INIT" && lost_link(interface, model).is_none()
            }
            Self::NoMasterHeard => {
                let since = interface.last_advertisement().or_else(|| {
                    info.last_transition
                        .as_ref()
                        .map(|transition| transition.time)
                });
                info.state == "BACKUP"
                    && since.is_some_and(|since| {
                        now.saturating_sub(since)
                            > info.master_down_time.max(SILENCE_GRACE) + SILENCE_GRACE
                    })
            }
            Self::BadPackets => {
                bad_grew.is_some_and(is_recent)
                    || bad_packet
                        .as_ref()
                        .is_some_and(|incident| is_recent(incident.time))
            }
            Self::Demoted => info.state != "INIT" && info.effective_advskew > info.advskew,
        }
    }

    /// Returns the reason of INIT in the fewest words, for a cell of the table.
    pub(crate) fn short(interface: &Interface, model: &Model) -> String {
        let info = &interface.info;
        if let Some((_, why)) = lost_link(interface, model) {
            let words = why.strip_prefix("has ").or_else(|| why.strip_prefix("is "));
            return words.unwrap_or(why).to_owned();
        }
        let missing = match (
            info.vhid,
            info.addresses.is_empty(),
            info.carpdev.is_empty(),
        ) {
            (0, ..) => "no vhid",
            (_, true, _) => "no address",
            (_, _, true) => "no device",
            _ => "not running",
        };
        missing.to_owned()
    }

    /// Returns one sentence about the trouble and one about its remedy.
    pub(crate) fn sentences(
        self,
        interface: &Interface,
        model: &Model,
        now: u64,
    ) -> (String, String) {
        let history = &interface.history;
        let info = &interface.info;
        let text = |incident: &Option<crate::history::Incident>| {
            incident
                .as_ref()
                .map_or_else(String::new, |incident| incident.text.clone())
        };
        let (found, remedy): (String, &str) = match self {
            Self::TwoMasters => (
                history.two_masters.as_ref().map_or_else(
                    || "another master advertises".to_owned(),
                    |incident| incident.text.clone(),
                ),
                "the hosts do not hear each other: check firewalls (protocol 112) and the switch",
            ),
            Self::SendingFails => (
                text(&history.sending_fails),
                "see the log of carpd, and check firewall rules for output",
            ),
            Self::Refused => (
                text(&history.refused),
                "another program may use the address: see ip address",
            ),
            Self::NoCarrier => {
                let (device, why) = lost_link(interface, model).unwrap_or(("the link", "is down"));
                return (
                    format!("{device} {why}"),
                    format!("check the cable and the switch port, or run ip link set {device} up"),
                );
            }
            Self::NotRunning => (
                match (
                    info.vhid,
                    info.addresses.is_empty(),
                    info.carpdev.is_empty(),
                ) {
                    (0, ..) => "no vhid is set".to_owned(),
                    (_, true, _) => "no address is set".to_owned(),
                    (_, _, true) => "no physical interface was found".to_owned(),
                    _ => "the interface does not run".to_owned(),
                },
                "set the missing parameter at the prompt: press `:`",
            ),
            Self::NoMasterHeard => (
                format!(
                    "no master heard and no takeover for {}",
                    when::short(now.saturating_sub(interface.last_advertisement().unwrap_or(now)))
                ),
                "check whether carpd runs without delays on this host",
            ),
            Self::BadPackets => {
                let text = history.bad_packet.as_ref().map_or_else(
                    || format!("{} bad packets received", bad_packets(info)),
                    |incident| incident.text.clone(),
                );
                (
                    text,
                    "compare password, vhid and addresses with those of the sender",
                )
            }
            Self::Demoted => {
                let by = causes(model);
                (
                    format!(
                        "advertises advskew {} instead of {}{}",
                        info.effective_advskew,
                        info.advskew,
                        if by.is_empty() {
                            String::new()
                        } else {
                            format!(": {by}")
                        }
                    ),
                    "fix the cause; the configured advskew then returns",
                )
            }
        };
        (found, remedy.to_owned())
    }
}

/// Returns all troubles of `interface`, the worst first.
pub(crate) fn of<'a>(
    interface: &'a Interface,
    model: &'a Model,
    now: u64,
) -> impl Iterator<Item = Trouble> + 'a {
    let all = Trouble::ALL.into_iter();
    all.filter(move |trouble| trouble.is_present(interface, model, now))
}

/// Returns the causes that suppress preemption, each once: `eth2 has no carrier, eth3 is down`.
pub(crate) fn causes(model: &Model) -> String {
    let mut texts: Vec<String> = Vec::new();
    for cause in &model.suppressions {
        // The text of a link begins with a verb ("has no carrier"), other texts do not.
        let is_verb = cause.why.starts_with("is ") || cause.why.starts_with("has ");
        let text = format!(
            "{}{} {}",
            cause.who,
            if is_verb { "" } else { ":" },
            cause.why
        );
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join(", ")
}

/// Returns the physical interface of `interface` and its fault, if it has one.
pub(crate) fn lost_link<'a>(interface: &Interface, model: &'a Model) -> Option<(&'a str, &'a str)> {
    let device = &interface.info.carpdev;
    let found = model
        .suppressions
        .iter()
        .find(|cause| cause.who == *device)?;
    Some((&found.who, &found.why))
}
