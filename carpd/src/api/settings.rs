//! What `Configure` and `CreateInterface` are given: from `a{sv}` to checked changes.

use core::fmt::Display;
use core::net::IpAddr;
use std::collections::HashMap;

use carp_dbus::{Error, one_line};
use carp_proto::{
    Advbase, Advskew, Change, DeviceName, ForcedState, Key, LinkLayer, Unit, Vhid, VirtualAddress,
};
use zbus::{OwnedVariant, Variant};
use zeroize::Zeroizing;

/// The changes that `settings` ask for on the interface `name`, in the order of a command line
/// that removes before it adds.
///
/// # Errors
///
/// [`Error::InvalidArgument`] for an unknown key, a value of another type or a value that cannot
/// be.
pub(super) fn changes(
    name: &str,
    mut settings: HashMap<String, OwnedVariant>,
) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    for (key, read) in KEYS {
        if let Some(value) = settings.remove(*key) {
            read(value, &mut changes)
                .map_err(|problem| invalid(format!("{name}: {key}: {problem}")))?;
        }
    }
    match settings.keys().min() {
        None => Ok(changes),
        Some(unknown) => {
            let known: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
            Err(invalid(format!(
                "{name}: there is no setting '{unknown}'; there are {}",
                known.join(", ")
            )))
        }
    }
}

/// The changes that the words of a configuration ask for on `unit`.
///
/// # Errors
///
/// As [`changes`].
pub(crate) fn changes_of(unit: Unit, settings: carp_dbus::Settings) -> Result<Vec<Change>, Error> {
    let dictionary = settings.into_dictionary().into_iter();
    let owned = dictionary
        .map(|(key, value)| Ok((key.to_owned(), value.try_into_owned()?)))
        .collect::<Result<_, zbus::Error>>()?;
    changes(&unit.to_string(), owned)
}

type Read = fn(OwnedVariant, &mut Vec<Change>) -> Result<(), String>;

/// Every key with what it does.
const KEYS: &[(&str, Read)] = &[
    ("Vhid", |value, changes| {
        let vhid = Vhid::try_from(u64::from(typed::<u8>(value)?)).map_err(words)?;
        changes.push(Change::Vhid(vhid));
        Ok(())
    }),
    ("AdvBase", |value, changes| {
        let advbase = Advbase::try_from(u64::from(typed::<u8>(value)?)).map_err(words)?;
        changes.push(Change::Advbase(advbase));
        Ok(())
    }),
    ("AdvSkew", |value, changes| {
        let advskew = Advskew::try_from(u64::from(typed::<u8>(value)?)).map_err(words)?;
        changes.push(Change::Advskew(advskew));
        Ok(())
    }),
    ("Password", |value, changes| {
        let bytes = Zeroizing::new(typed::<Vec<u8>>(value)?);
        changes.push(Change::Key(Key::password(&bytes).map_err(words)?));
        Ok(())
    }),
    ("AcceptPassword", |value, changes| {
        let bytes = Zeroizing::new(typed::<Vec<u8>>(value)?);
        let key = Key::password(&bytes).map_err(words)?;
        changes.push(Change::AcceptKey((!key.is_empty()).then_some(key)));
        Ok(())
    }),
    ("Device", |value, changes| {
        let name = typed::<String>(value)?;
        let device = match name.as_str() {
            "" => None,
            name => Some(
                DeviceName::new(name)
                    .ok_or_else(|| format!("'{name}' cannot be the name of a network interface"))?,
            ),
        };
        changes.push(Change::Carpdev(device));
        Ok(())
    }),
    ("LinkLayer", |value, changes| {
        let word = typed::<String>(value)?;
        let lladdr =
            LinkLayer::find(&word).ok_or_else(|| format!("virtual or parent, not '{word}'"))?;
        changes.push(Change::Lladdr(lladdr));
        Ok(())
    }),
    ("Description", |value, changes| {
        changes.push(Change::Description(typed(value)?));
        Ok(())
    }),
    ("RemoveAddresses", |value, changes| {
        for address in typed::<Vec<String>>(value)? {
            changes.push(Change::RemoveAddress(ip(&address)?));
        }
        Ok(())
    }),
    ("AddAddresses", |value, changes| {
        for (address, prefix) in typed::<Vec<(String, u8)>>(value)? {
            let address = ip(&address)?;
            changes.push(Change::AddAddress(VirtualAddress { address, prefix }));
        }
        Ok(())
    }),
    ("Up", |value, changes| {
        changes.push(Change::Up(typed(value)?));
        Ok(())
    }),
    ("State", |value, changes| {
        let word = typed::<String>(value)?;
        let state = match word.to_ascii_uppercase().as_str() {
            "BACKUP" => ForcedState::Backup,
            "MASTER" => ForcedState::Master,
            _ => return Err(format!("BACKUP or MASTER, not '{word}'")),
        };
        changes.push(Change::State(state));
        Ok(())
    }),
];

/// The value if it has the type that the contract says.
fn typed<T>(value: OwnedVariant) -> Result<T, String>
where
    T: TryFrom<OwnedVariant> + zbus::Type,
{
    let got = value.value_signature().to_string();
    T::try_from(value).map_err(|_| format!("its type is {}, not {got}", T::SIGNATURE))
}

fn ip(address: &str) -> Result<IpAddr, String> {
    address
        .parse()
        .map_err(|_| format!("'{address}' is not an IP address"))
}

fn invalid(message: String) -> Error {
    Error::InvalidArgument(one_line(message))
}

fn words(error: impl Display) -> String {
    error.to_string()
}

/// A one-entry dictionary, for the methods that are conveniences over `Configure`.
pub(super) fn only<'a>(
    key: &str,
    value: impl Into<Variant<'a>>,
) -> Result<HashMap<String, OwnedVariant>, Error> {
    let value = value.into().try_into_owned()?;
    Ok(HashMap::from([(key.to_owned(), value)]))
}
