//! Words of the command line in messages about it.

use std::ffi::OsStr;

use super::keywords::KEYWORDS;

/// Returns a word for a message, in quotes if it is empty or has blanks.
pub(super) fn shown(value: &OsStr) -> String {
    let text = value.to_string_lossy();
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        format!("{text:?}")
    } else {
        text.into_owned()
    }
}

/// Returns the message for an unknown parameter, with the one that is probably meant.
pub(super) fn unknown(word: &str) -> String {
    if let "show" | "status" | "list" = word {
        return format!("{word}: unknown parameter: the name of the interface alone shows it");
    }
    let nearest = KEYWORDS
        .iter()
        .map(|keyword| (distance(word, keyword.word), keyword.word))
        .min()
        .filter(|(distance, near)| *distance <= 2 && *distance < near.len());
    let word = shown(OsStr::new(word));
    match nearest {
        Some((_, near)) => format!("{word}: unknown parameter, did you mean {near}?"),
        None => format!("{word}: unknown parameter (carpctl --help lists them)"),
    }
}

/// Returns Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row
            .iter_mut()
            .zip(std::iter::once(None).chain(b.chars().map(Some)))
        {
            let above = *cell;
            if let Some(to) = to {
                left = (diagonal + usize::from(from != to))
                    .min(above + 1)
                    .min(left + 1);
            }
            *cell = left;
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_the_changes() {
        for (a, b, far) in [
            ("vhid", "vhid", 0),
            ("vihd", "vhid", 2),
            ("advskw", "advskew", 1),
            ("", "up", 2),
        ] {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
    }

    #[test]
    fn only_near_words_are_suggested() {
        assert_eq!(
            unknown("advskw"),
            "advskw: unknown parameter, did you mean advskew?"
        );
        assert_eq!(
            unknown("xy"),
            "xy: unknown parameter (carpctl --help lists them)"
        );
        assert_eq!(
            unknown("status"),
            "status: unknown parameter: the name of the interface alone shows it",
            "which is near to state"
        );
    }
}
