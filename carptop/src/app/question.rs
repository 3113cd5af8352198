//! Questions before a change, each with its consequence.

use carp_dbus::Setting;
use carp_dbus::ifconfig::{Change, Changes};

use super::msg::Request;
use crate::model::{Interface, Model};

/// Question that waits for yes or no.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The question, such as `force carp0 to BACKUP?`.
    pub(crate) text: String,
    /// Consequence, in one sentence.
    pub(crate) consequence: String,
    /// Request that "yes" sends.
    pub(crate) request: Request,
}

/// Asks whether to bring `interface` up or down.
///
/// # Errors
/// It is in that state already.
pub(crate) fn set_up(interface: &Interface, up: bool) -> Result<Question, String> {
    let name = &interface.info.name;
    let word = if up { "up" } else { "down" };
    if interface.info.up == up {
        return Err(format!("{name} is already {word}"));
    }
    Ok(Question {
        text: format!("bring {name} {word}?"),
        consequence: if up {
            brought_up(interface)
        } else {
            brought_down(interface)
        },
        request: configure(name, Setting::Up(up)),
    })
}

/// Asks whether to force `interface` to MASTER or BACKUP.
///
/// # Errors
/// It is in that state already, or in INIT.
pub(crate) fn force(interface: &Interface, state: &'static str) -> Result<Question, String> {
    let name = &interface.info.name;
    if interface.info.state == state {
        return Err(format!("{name} is already {state}"));
    }
    if interface.info.state == "INIT" {
        return Err(format!("{name} is in INIT: it cannot be forced to {state}"));
    }
    Ok(Question {
        text: format!("force {name} to {state}?"),
        consequence: forced(interface, state),
        request: configure(name, Setting::State(state.to_owned())),
    })
}

/// Asks whether to toggle preemption.
///
/// # Errors
/// carpd has no such sysctl.
pub(crate) fn toggle_preempt(model: &Model) -> Result<Question, String> {
    let now = model
        .sysctl("preempt")
        .ok_or("carpd has no net.inet.carp.preempt")?;
    let value = u64::from(now == 0);
    sysctl(model, "net.inet.carp.preempt", value)
}

/// Asks whether to set a sysctl.
///
/// # Errors
/// The sysctl does not exist or is read-only.
pub(crate) fn sysctl(model: &Model, name: &str, value: u64) -> Result<Question, String> {
    let found = model.sysctls.iter().find(|sysctl| sysctl.name == name);
    let sysctl = found.ok_or_else(|| format!("unknown oid '{name}'"))?;
    if !sysctl.writable {
        return Err(format!("oid '{name}' is read only"));
    }
    let consequence = match (name, value) {
        ("net.inet.carp.preempt", 0) => {
            "a faster host that returns stays BACKUP, and a dead link no longer moves all \
             interfaces of its host"
                .to_owned()
        }
        ("net.inet.carp.preempt", _) => {
            "the host that advertises fastest takes over at once, and a dead link moves all \
             interfaces of its host"
                .to_owned()
        }
        ("net.inet.carp.allow", 0) => {
            "advertisements are no longer accepted: every BACKUP here becomes MASTER".to_owned()
        }
        _ => format!(
            "{name}: {} becomes {value}; {}",
            sysctl.value, sysctl.description
        ),
    };
    Ok(Question {
        text: format!("set {name} to {value}?"),
        consequence,
        request: Request::Sysctl(name.to_owned(), value),
    })
}

/// Asks whether to apply `changes` to `interface`; `words` is the line that contains them.
pub(crate) fn changes(interface: &Interface, changes: Changes, words: &str) -> Question {
    let mut effects: Vec<String> = Vec::new();
    for change in &changes.settings {
        match change {
            Change::Set(Setting::Up(false)) => effects.push(brought_down(interface)),
            Change::Set(Setting::Up(true)) => effects.push(brought_up(interface)),
            Change::Set(Setting::State(state)) => effects.push(forced(interface, state)),
            Change::Set(Setting::Vhid(_) | Setting::Device(_)) | Change::Password(_) => effects
                .push(
                "hosts without the same change no longer hear this one, and two may become MASTER"
                    .to_owned(),
            ),
            Change::AcceptPassword(_)
            | Change::Set(
                Setting::AcceptPassword(_) | Setting::Description(_) | Setting::LinkLayer(_),
            ) => {}
            // advbase, advskew, and settings that have no text of their own.
            Change::Set(_) => effects.push("another host may become MASTER".to_owned()),
        }
    }
    if !changes.add.is_empty() || !changes.remove.is_empty() {
        effects.push(
            "the addresses are part of the digest: every host of the group needs the same ones"
                .to_owned(),
        );
    }
    effects.dedup();
    if effects.is_empty() {
        effects.push("no address moves".to_owned());
    }
    Question {
        text: format!("{words}?"),
        consequence: effects.join("; "),
        request: Request::Configure(interface.info.name.clone(), changes),
    }
}

/// Asks whether to destroy `interface`.
pub(crate) fn destroy(interface: &Interface) -> Question {
    let name = &interface.info.name;
    let consequence = match interface.info.state.as_str() {
        "MASTER" => format!(
            "{}; {name} and its settings are removed",
            brought_down(interface)
        ),
        _ => format!("{name} and its settings are removed"),
    };
    Question {
        text: format!("destroy {name}?"),
        consequence,
        request: Request::Destroy(name.clone()),
    }
}

/// Asks whether to create the interface `name`.
pub(crate) fn create(name: &str, changes: Changes, words: &str) -> Question {
    let consequence = if changes.add.is_empty() {
        "it stays in INIT until it has a vhid and an address".to_owned()
    } else {
        "it becomes BACKUP, or MASTER if it hears no faster host".to_owned()
    };
    Question {
        text: format!("{words}?"),
        consequence,
        request: Request::Create(name.to_owned(), changes),
    }
}

/// Returns the request for one change.
fn configure(name: &str, setting: Setting) -> Request {
    let changes = Changes {
        settings: vec![Change::Set(setting)],
        ..Changes::default()
    };
    Request::Configure(name.to_owned(), changes)
}

/// Returns the consequence of bringing `interface` up.
fn brought_up(interface: &Interface) -> String {
    format!(
        "it becomes BACKUP, and takes {} if it hears no faster host",
        addresses(interface)
    )
}

/// Returns the consequence of bringing `interface` down.
fn brought_down(interface: &Interface) -> String {
    if interface.info.state != "MASTER" {
        return "no address moves, and this host is no longer a backup".to_owned();
    }
    handed_over(interface)
}

/// Returns the consequence of forcing `interface` to `state`.
fn forced(interface: &Interface, state: &str) -> String {
    if state == "BACKUP" {
        return match interface.info.state.as_str() {
            "MASTER" => handed_over(interface),
            _ => "no address moves".to_owned(),
        };
    }
    match &interface.info.master {
        Some(master) => {
            let ours = (interface.info.advbase, interface.info.effective_advskew);
            let theirs = (master.advbase, master.advskew);
            let outcome = if theirs < ours {
                format!(
                    ", which advertises faster ({}/{} against {}/{}) and takes them back",
                    theirs.0, theirs.1, ours.0, ours.1
                )
            } else {
                String::new()
            };
            format!(
                "this host takes {} from {}{outcome}",
                addresses(interface),
                master.source
            )
        }
        None => format!("this host takes {}", addresses(interface)),
    }
}

/// Returns the consequence of a handover.
fn handed_over(interface: &Interface) -> String {
    let successor = interface.history.last_master.as_ref().map_or_else(
        || "the next backup takes over, if there is one".to_owned(),
        |other| format!("{} was heard before and may take over", other.source),
    );
    format!("this host gives up {}; {successor}", addresses(interface))
}

/// Returns the addresses as `192.0.2.1 and 2 more`.
fn addresses(interface: &Interface) -> String {
    match interface.addresses() {
        (None, _) => "no address".to_owned(),
        (Some(first), 1) => first.to_owned(),
        (Some(first), count) => format!("{first} and {} more", count - 1),
    }
}
