//! `SetVH` and `GetVH`: the ioctls `SIOCSVH` and `SIOCGVH` with their `struct carpreq`.

use carp_dbus::proxy::VhRow;
use carp_dbus::{Error, InterfaceInfo};
use carp_proto::{Advbase, Advskew, Change, ForcedState, Key, Vhid};

use super::convert::state_number;

/// Returns the fields of `GetVH`, as `ip_carp.c`, `carp_ioctl()`, `case SIOCGVH`: -1 stands for no vhid.
pub(super) fn row(info: &InterfaceInfo, key: Vec<u8>) -> VhRow {
    let vhid = if info.vhid == 0 {
        -1
    } else {
        i32::from(info.vhid)
    };
    let (advskew, advbase) = (i32::from(info.advskew), i32::from(info.advbase));
    (state_number(&info.state), vhid, advskew, advbase, key)
}

/// Returns the changes of `SetVH`, as `ip_carp.c`, `carp_ioctl()`, `case SIOCSVH`: another state than the
/// present one is forced unless the interface is in INIT; a vhid of 0 or less changes nothing, nor do
/// advskew and advbase if neither is positive; the key is always set.
///
/// # Errors
/// [`Error::InvalidArgument`] for a number out of range and for a key of more than 20 bytes.
pub(super) fn changes(info: &InterfaceInfo, row: VhRow) -> Result<Vec<Change>, Error> {
    let (state, vhid, advskew, advbase, key) = row;
    let wrong = |problem: String| Error::InvalidArgument(format!("{}: {problem}", info.name));
    let positive = |parameter: &str, value: i32| {
        u64::try_from(value)
            .map_err(|_| wrong(format!("{parameter} cannot be negative, and is {value}")))
    };
    let mut changes = Vec::new();
    if vhid > 0 {
        let vhid = Vhid::try_from(positive("vhid", vhid)?);
        changes.push(Change::Vhid(
            vhid.map_err(|error| wrong(error.to_string()))?,
        ));
    }
    if advbase > 0 || advskew > 0 {
        let advbase = Advbase::try_from(positive("advbase", advbase)?);
        changes.push(Change::Advbase(
            advbase.map_err(|error| wrong(error.to_string()))?,
        ));
        let advskew = Advskew::try_from(positive("advskew", advskew)?);
        changes.push(Change::Advskew(
            advskew.map_err(|error| wrong(error.to_string()))?,
        ));
    }
    let end = key
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let key = Key::new(key.get(..end).unwrap_or_default());
    changes.push(Change::Key(key.map_err(|error| wrong(error.to_string()))?));
    let now = state_number(&info.state);
    if now != 0 && state != now {
        let forced = [ForcedState::Backup, ForcedState::Master]
            .into_iter()
            .zip(1..);
        let wanted = forced
            .into_iter()
            .find_map(|(name, number)| (number == state).then_some(name));
        changes.extend(wanted.map(Change::State));
    }
    Ok(changes)
}
