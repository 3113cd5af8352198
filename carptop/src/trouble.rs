//! What is wrong: judged from the picture, and said in words with what to do about it.

use crate::history::{History, bad_packets};
use crate::model::{Interface, Model};
use crate::when;

/// How long something that was heard once counts as present, in microseconds.
pub(crate) const RECENT: u64 = 60_000_000;

/// How long after its last advertisement another master counts as one, in microseconds.
const RIVALRY: u64 = 10_000_000;

/// How long another master may take to yield to one that has just taken over, in microseconds.
const YIELDING: u64 = 2_000_000;

/// How long a BACKUP may be without a master before that is wrong: the default of three
/// intervals and some skew.
const SILENCE: u64 = 5_000_000;

/// One thing that is wrong with one carp interface. The worst first.
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

    /// Whether traffic is in danger now, not only the redundancy.
    pub(crate) const fn is_alarm(self) -> bool {
        match self {
            Self::TwoMasters | Self::SendingFails | Self::Refused | Self::NoMasterHeard => true,
            Self::NoCarrier | Self::NotRunning | Self::BadPackets | Self::Demoted => false,
        }
    }

    /// In few words, for the header.
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

    /// Whether `host` has it at `now`.
    pub(crate) fn is_present(self, interface: &Interface, model: &Model, now: u64) -> bool {
        let History {
            rival,
            two_masters,
            sending_fails,
            refused,
            bad_grew,
            bad_packet,
            ..
        } = &interface.history;
        let info = &interface.info;
        let recent = |time: u64| now.saturating_sub(time) < RECENT;
        match self {
            Self::TwoMasters => {
                // One that yields may advertise once more.
                let since = info.last_transition.as_ref().map_or(0, |last| last.time) + YIELDING;
                let lasts = |time: u64| time > since && now.saturating_sub(time) < RIVALRY;
                info.state == "MASTER"
                    && (rival.is_some_and(lasts)
                        || two_masters.as_ref().is_some_and(|told| lasts(told.time)))
            }
            Self::SendingFails => sending_fails.is_some(),
            Self::Refused => refused.as_ref().is_some_and(|told| recent(told.time)),
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
                        now.saturating_sub(since) > info.master_down_time.max(SILENCE) + SILENCE
                    })
            }
            Self::BadPackets => {
                bad_grew.is_some_and(recent)
                    || bad_packet.as_ref().is_some_and(|told| recent(told.time))
            }
            Self::Demoted => info.state != "INIT" && info.effective_advskew > info.advskew,
        }
    }

    /// In the fewest words, for a cell of the table.
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

    /// What `carpctl` would say of it: what was found, and what to do.
    pub(crate) fn sentences(
        self,
        interface: &Interface,
        model: &Model,
        now: u64,
    ) -> (String, String) {
        let history = &interface.history;
        let info = &interface.info;
        let told = |told: &Option<crate::history::Incident>| {
            told.as_ref()
                .map_or_else(String::new, |told| told.text.clone())
        };
        let (found, remedy): (String, &str) = match self {
            Self::TwoMasters => (
                history.two_masters.as_ref().map_or_else(
                    || "another host advertises, too".to_owned(),
                    |told| told.text.clone(),
                ),
                "the hosts do not hear each other's advertisements: look for a firewall that \
                 drops protocol 112, and at the switch",
            ),
            Self::SendingFails => (
                told(&history.sending_fails),
                "look at the log of carpd and for a firewall rule on the way out",
            ),
            Self::Refused => (
                told(&history.refused),
                "another program may hold the address: see ip address",
            ),
            Self::NoCarrier => {
                let (who, why) = lost_link(interface, model).unwrap_or(("the link", "is down"));
                return (
                    format!("{who} {why}"),
                    format!("look at the cable and the switch's port, or ip link set {who} up"),
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
                    (_, _, true) => "there is no physical interface for it".to_owned(),
                    _ => "it does not run".to_owned(),
                },
                "complete it at the prompt: `:`, the interface's name, and what is missing",
            ),
            Self::NoMasterHeard => (
                format!(
                    "no master is heard, and this host has not taken over for {}",
                    when::short(now.saturating_sub(interface.last_advertisement().unwrap_or(now)))
                ),
                "see whether carpd runs smoothly on this host",
            ),
            Self::BadPackets => {
                let text = history.bad_packet.as_ref().map_or_else(
                    || format!("{} bad packets were heard", bad_packets(info)),
                    |told| told.text.clone(),
                );
                (
                    text,
                    "compare the password, the vhid and the list of addresses with those of the \
                     sender",
                )
            }
            Self::Demoted => {
                let by = causes(model);
                (
                    format!(
                        "advskew {} is advertised instead of {}{}",
                        info.effective_advskew,
                        info.advskew,
                        if by.is_empty() {
                            String::new()
                        } else {
                            format!(", because {by}")
                        }
                    ),
                    "mend the cause; the configured skew comes back by itself",
                )
            }
        };
        (found, remedy.to_owned())
    }
}

/// Everything wrong with `host`, the worst first.
pub(crate) fn of<'a>(
    interface: &'a Interface,
    model: &'a Model,
    now: u64,
) -> impl Iterator<Item = Trouble> + 'a {
    let all = Trouble::ALL.into_iter();
    all.filter(move |trouble| trouble.is_present(interface, model, now))
}

/// What suppresses preemption, each cause once: `eth2 has no carrier, eth3 is down`.
pub(crate) fn causes(model: &Model) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in &model.suppressions {
        // A link "has no carrier"; what other holders say is no verb.
        let verb = cause.why.starts_with("is ") || cause.why.starts_with("has ");
        let text = format!("{}{} {}", cause.who, if verb { "" } else { ":" }, cause.why);
        if !said.contains(&text) {
            said.push(text);
        }
    }
    said.join(", ")
}

/// The physical interface of `host` that is down, and how that is said.
pub(crate) fn lost_link<'a>(interface: &Interface, model: &'a Model) -> Option<(&'a str, &'a str)> {
    let device = &interface.info.carpdev;
    let found = model
        .suppressions
        .iter()
        .find(|cause| cause.who == *device)?;
    Some((&found.who, &found.why))
}
