//! Fuzz target of settings: bytes as the `a{sv}` of a call.

use std::collections::HashMap;

use carp_dbus::Error;
use carp_proto::{Settings, Unit};
use zbus::OwnedVariant;
use zbus::wire::Endian;
use zbus::wire::serialized::{Context, Data};

use crate::settings::{changes, read};

/// Reads `bytes` as the settings of an interface that come with a call.
///
/// # Panics
/// A refusal is not one line of limited length.
pub fn settings(bytes: &[u8]) {
    let data = Data::new(bytes, Context::new(Endian::Little, 0));
    let Ok((settings, _)) = data.deserialize::<HashMap<String, OwnedVariant>>() else {
        return;
    };
    let problem = match read("carp0", settings).and_then(|settings| changes("carp0", settings)) {
        Ok(changes) => match Unit::try_from(0).map(|unit| Settings::configured(unit, &changes)) {
            Ok(Err(refusal)) => refusal.message,
            Ok(Ok(_)) | Err(_) => return,
        },
        Err(Error::InvalidArgument(problem)) => problem,
        Err(error) => error.to_string(),
    };
    assert!(!problem.chars().any(char::is_control), "{problem:?}");
    assert!(problem.len() < 1000, "{problem}");
}
