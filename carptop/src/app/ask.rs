//! Questions before a change: what it would do, in words that name the consequence.

use carp_dbus::ifconfig::{self, Changes};

use super::msg::Request;
use crate::model::{Interface, Model};

/// A question that waits for yes or no.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// `force carp0 to BACKUP?`
    pub(crate) question: String,
    /// One sentence.
    pub(crate) consequence: String,
    /// What yes means.
    pub(crate) order: Request,
}

/// Asks whether `host` is to be up or down.
///
/// # Errors
/// Why there is nothing to ask.
pub(crate) fn set_up(interface: &Interface, up: bool) -> Result<Ask, String> {
    let name = &interface.info.name;
    let word = if up { "up" } else { "down" };
    if interface.info.up == up {
        return Err(format!("{name} is {word} already"));
    }
    Ok(Ask {
        question: format!("bring {name} {word}?"),
        consequence: if up {
            raised(interface)
        } else {
            lowered(interface)
        },
        order: configure(name, ifconfig::Change::Up(up)),
    })
}

/// Asks whether `host` is to be MASTER or BACKUP.
///
/// # Errors
/// Why there is nothing to ask.
pub(crate) fn force(interface: &Interface, state: &'static str) -> Result<Ask, String> {
    let name = &interface.info.name;
    if interface.info.state == state {
        return Err(format!("{name} is {state} already"));
    }
    if interface.info.state == "INIT" {
        return Err(format!(
            "{name} does not run: it cannot be forced to {state}"
        ));
    }
    Ok(Ask {
        question: format!("force {name} to {state}?"),
        consequence: forced(interface, state),
        order: configure(name, ifconfig::Change::State(state)),
    })
}

/// Asks whether preemption is to be turned.
///
/// # Errors
/// If carpd has no such sysctl.
pub(crate) fn turn_preempt(model: &Model) -> Result<Ask, String> {
    let now = model
        .sysctl("preempt")
        .ok_or("carpd has no net.inet.carp.preempt")?;
    let value = u64::from(now == 0);
    sysctl(model, "net.inet.carp.preempt", value)
}

/// Asks whether a sysctl is to be set.
///
/// # Errors
/// Why it cannot be.
pub(crate) fn sysctl(model: &Model, name: &str, value: u64) -> Result<Ask, String> {
    let found = model.sysctls.iter().find(|sysctl| sysctl.name == name);
    let sysctl = found.ok_or_else(|| format!("unknown oid '{name}'"))?;
    if !sysctl.writable {
        return Err(format!("oid '{name}' is read only"));
    }
    let consequence = match (name, value) {
        ("net.inet.carp.preempt", 0) => {
            "a host that comes back stays BACKUP while a slower master lives, and one dead link \
             no longer moves all interfaces"
                .to_owned()
        }
        ("net.inet.carp.preempt", _) => {
            "the fastest advertiser takes over at once, and a dead link moves all interfaces of \
             its host"
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
    Ok(Ask {
        question: format!("set {name} to {value}?"),
        consequence,
        order: Request::Sysctl(name.to_owned(), value),
    })
}

/// Asks whether `changes` are to be applied to `host`; `words` are the line that said so.
pub(crate) fn changes(interface: &Interface, changes: Changes, words: &str) -> Ask {
    let mut effects: Vec<String> = Vec::new();
    for change in &changes.settings {
        match change {
            ifconfig::Change::Up(false) => effects.push(lowered(interface)),
            ifconfig::Change::Up(true) => effects.push(raised(interface)),
            ifconfig::Change::State(state) => effects.push(forced(interface, state)),
            ifconfig::Change::Vhid(_)
            | ifconfig::Change::Password(_)
            | ifconfig::Change::Carpdev(_) => effects.push(
                "hosts that are not changed likewise no longer hear this one, and two may be \
                 MASTER"
                    .to_owned(),
            ),
            ifconfig::Change::Advbase(_) | ifconfig::Change::Advskew(_) => {
                effects.push("another host may become MASTER".to_owned());
            }
            ifconfig::Change::AcceptPassword(_)
            | ifconfig::Change::Description(_)
            | ifconfig::Change::Lladdr(_) => {}
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
    Ask {
        question: format!("{words}?"),
        consequence: effects.join("; "),
        order: Request::Configure(interface.info.name.clone(), changes),
    }
}

/// Asks whether `host` is to be removed.
pub(crate) fn destroy(interface: &Interface) -> Ask {
    let name = &interface.info.name;
    let consequence = match interface.info.state.as_str() {
        "MASTER" => format!("{}; {name} and its settings are gone", lowered(interface)),
        _ => format!("{name} and its settings are gone"),
    };
    Ask {
        question: format!("destroy {name}?"),
        consequence,
        order: Request::Destroy(name.clone()),
    }
}

/// Asks whether `name` is to be created.
pub(crate) fn create(name: &str, changes: Changes, words: &str) -> Ask {
    let consequence = if changes.add.is_empty() {
        "it does nothing before it has a vhid and an address".to_owned()
    } else {
        "it becomes BACKUP, or MASTER if no faster host is heard".to_owned()
    };
    Ask {
        question: format!("{words}?"),
        consequence,
        order: Request::Create(name.to_owned(), changes),
    }
}

fn configure(name: &str, change: ifconfig::Change) -> Request {
    let changes = Changes {
        settings: vec![change],
        ..Changes::default()
    };
    Request::Configure(name.to_owned(), changes)
}

fn raised(interface: &Interface) -> String {
    format!(
        "it becomes BACKUP, and takes {} if no faster host is heard",
        what(interface)
    )
}

fn lowered(interface: &Interface) -> String {
    if interface.info.state != "MASTER" {
        return "no address moves, and this host no longer stands by".to_owned();
    }
    handed_over(interface)
}

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
            let then = if theirs < ours {
                format!(
                    ", but it advertises faster ({}/{} against {}/{}) and takes them back",
                    theirs.0, theirs.1, ours.0, ours.1
                )
            } else {
                String::new()
            };
            format!(
                "this host takes {} from {}{then}",
                what(interface),
                master.source
            )
        }
        None => format!("this host takes {}", what(interface)),
    }
}

fn handed_over(interface: &Interface) -> String {
    let next = interface.history.last_master.as_ref().map_or_else(
        || "the next backup takes over, if there is one".to_owned(),
        |other| format!("{} was heard before and may take over", other.source),
    );
    format!("this host gives up {}; {next}", what(interface))
}

/// `192.0.2.1 and 2 more`
fn what(interface: &Interface) -> String {
    match interface.addresses() {
        (None, _) => "no address".to_owned(),
        (Some(first), 1) => first.to_owned(),
        (Some(first), count) => format!("{first} and {} more", count - 1),
    }
}
