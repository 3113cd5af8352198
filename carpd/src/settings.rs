//! Conversion of settings from the bus and from rc.conf to changes for the engine, and back to the words of
//! rc.conf.

use core::fmt::Display;
use core::net::IpAddr;
use std::collections::HashMap;

use carp_dbus::{Error, Setting, one_line};
use carp_proto::{
    Advbase, Advskew, Change, DeviceName, ForcedState, Key, LinkLayer, Settings, Vhid,
    VirtualAddress,
};
use zbus::OwnedVariant;

/// Returns the settings of a dictionary, in the order of a command line that removes before it adds.
///
/// # Errors
/// [`Error::InvalidArgument`] for an unknown key, or a value of another type.
pub(crate) fn read(
    name: &str,
    mut dictionary: HashMap<String, OwnedVariant>,
) -> Result<Vec<Setting>, Error> {
    let mut settings = Vec::new();
    for key in Setting::KEYS {
        let value = dictionary.remove(*key);
        if let Some(setting) = value.and_then(|value| Setting::read(key, value)) {
            let setting = setting.map_err(|problem| invalid(name, key, &problem))?;
            settings.push(setting);
        }
    }
    match dictionary.keys().min() {
        None => Ok(settings),
        Some(unknown) => Err(Error::InvalidArgument(one_line(format!(
            "{name}: there is no setting '{unknown}'; there are {}",
            Setting::KEYS.join(", ")
        )))),
    }
}

/// Returns the changes that `settings` make to the interface `name`.
///
/// # Errors
/// [`Error::InvalidArgument`] for an invalid value.
pub(crate) fn changes(
    name: &str,
    settings: impl IntoIterator<Item = Setting>,
) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    for setting in settings {
        let key = setting.key();
        add(setting, &mut changes).map_err(|problem| invalid(name, key, &problem))?;
    }
    Ok(changes)
}

fn add(setting: Setting, changes: &mut Vec<Change>) -> Result<(), String> {
    changes.push(match setting {
        Setting::Vhid(vhid) => Change::Vhid(Vhid::try_from(u64::from(vhid)).map_err(text)?),
        Setting::AdvBase(seconds) => {
            Change::Advbase(Advbase::try_from(u64::from(seconds)).map_err(text)?)
        }
        Setting::AdvSkew(skew) => {
            Change::Advskew(Advskew::try_from(u64::from(skew)).map_err(text)?)
        }
        Setting::Password(bytes) => Change::Key(Key::password(&bytes).map_err(text)?),
        Setting::AcceptPassword(bytes) => {
            let key = Key::password(&bytes).map_err(text)?;
            Change::AcceptKey((!key.is_empty()).then_some(key))
        }
        Setting::Device(name) if name.is_empty() => Change::Carpdev(None),
        Setting::Device(name) => {
            let device = DeviceName::new(&name)
                .ok_or_else(|| format!("'{name}' cannot be the name of a network interface"))?;
            Change::Carpdev(Some(device))
        }
        Setting::LinkLayer(word) => Change::Lladdr(
            LinkLayer::find(&word).ok_or_else(|| format!("virtual or parent, not '{word}'"))?,
        ),
        Setting::Description(text) => Change::Description(text),
        Setting::RemoveAddresses(addresses) => {
            for address in addresses {
                changes.push(Change::RemoveAddress(ip(&address)?));
            }
            return Ok(());
        }
        Setting::AddAddresses(addresses) => {
            for (address, prefix) in addresses {
                let address = ip(&address)?;
                changes.push(Change::AddAddress(VirtualAddress { address, prefix }));
            }
            return Ok(());
        }
        Setting::Up(up) => Change::Up(up),
        Setting::State(word) => Change::State(match word.to_ascii_uppercase().as_str() {
            "BACKUP" => ForcedState::Backup,
            "MASTER" => ForcedState::Master,
            _ => return Err(format!("BACKUP or MASTER, not '{word}'")),
        }),
    });
    Ok(())
}

fn ip(address: &str) -> Result<IpAddr, String> {
    address
        .parse()
        .map_err(|_| format!("'{address}' is not an IP address"))
}

fn invalid(name: &str, key: &str, problem: &str) -> Error {
    Error::InvalidArgument(one_line(format!("{name}: {key}: {problem}")))
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// Returns `settings` in the words of ifconfig(8), without the addresses and without defaults.
pub(crate) fn words_of(settings: &Settings) -> Vec<Vec<u8>> {
    let Settings {
        vhid,
        advbase,
        advskew,
        key,
        accept_key,
        addresses,
        carpdev,
        up,
        description,
        lladdr,
    } = settings;
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut say = |word: &str, value: &[u8]| words.extend([word.into(), value.to_vec()]);
    if let Some(vhid) = vhid {
        say("vhid", vhid.to_string().as_bytes());
    }
    if *advbase != Advbase::default() {
        say("advbase", advbase.to_string().as_bytes());
    }
    if advskew.get() != 0 {
        say("advskew", advskew.to_string().as_bytes());
    }
    if !key.is_empty() {
        say("pass", key.bytes());
    }
    if let Some(key) = accept_key {
        say("accept_pass", key.bytes());
    }
    if let Some(carpdev) = carpdev {
        say("carpdev", carpdev.as_str().as_bytes());
    }
    if *lladdr != LinkLayer::default() {
        say("lladdr", lladdr.word().as_bytes());
    }
    if !description.is_empty() {
        say("description", description.as_bytes());
    }
    // The first address marks an interface up.
    match (up, addresses.is_empty()) {
        (true, true) => words.push(b"up".to_vec()),
        (false, false) => words.push(b"down".to_vec()),
        (true, false) | (false, true) => {}
    }
    words
}

/// Returns an address in the words of ifconfig(8).
pub(crate) fn words_of_address(
    VirtualAddress { address, prefix }: &VirtualAddress,
) -> Vec<Vec<u8>> {
    let words = match address {
        IpAddr::V4(_) => vec!["inet".to_owned(), format!("{address}/{prefix}")],
        IpAddr::V6(_) => vec![
            "inet6".to_owned(),
            address.to_string(),
            "prefixlen".to_owned(),
            prefix.to_string(),
        ],
    };
    words.into_iter().map(String::into_bytes).collect()
}
