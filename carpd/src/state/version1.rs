//! Settings in a file of version 1, one a line.

#[cfg(test)]
mod tests;

use std::str::SplitAsciiWhitespace;

use carp_proto::{Advbase, Advskew, Change, DeviceName, LinkLayer, Vhid, VirtualAddress};

use super::words::{bytes, next};

pub(super) const HEADER: &str = "carpd state 1";

/// Returns true if a line that begins with `word` is a setting.
pub(super) fn is_setting(word: &str) -> bool {
    const WORDS: [&str; 8] = [
        "vhid",
        "advbase",
        "advskew",
        "address",
        "carpdev",
        "description",
        "lladdr",
        "up",
    ];
    WORDS.contains(&word)
}

/// Returns the setting of a line; `None` if the line is malformed.
pub(super) fn setting(word: &str, words: &mut SplitAsciiWhitespace<'_>) -> Option<Change> {
    Some(match word {
        "vhid" => Change::Vhid(Vhid::try_from(next::<u64>(words)?).ok()?),
        "advbase" => Change::Advbase(Advbase::try_from(next::<u64>(words)?).ok()?),
        "advskew" => Change::Advskew(Advskew::try_from(next::<u64>(words)?).ok()?),
        "address" => Change::AddAddress(VirtualAddress {
            address: next(words)?,
            prefix: next(words)?,
        }),
        "carpdev" => Change::Carpdev(Some(DeviceName::new(&text(words)?)?)),
        "description" => Change::Description(text(words)?),
        "lladdr" => Change::Lladdr(LinkLayer::find(words.next()?)?),
        "up" => Change::Up(match words.next()? {
            "0" => false,
            "1" => true,
            _ => return None,
        }),
        _ => return None,
    })
}

fn text(words: &mut SplitAsciiWhitespace<'_>) -> Option<String> {
    String::from_utf8(bytes(words)?).ok()
}
