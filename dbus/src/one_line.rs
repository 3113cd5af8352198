//! Text of other programs in messages, as one line that is safe for terminals and logs.

/// Length of either end that is kept of a long text.
const END: usize = 400;

/// Returns `text` with its control characters escaped and, if it is long, without its middle: a
/// wrong value can be anything, of any length.
///
/// ```
/// use carp_dbus::one_line;
///
/// assert_eq!(one_line("vhid 0: must be a number".into()), "vhid 0: must be a number");
/// assert_eq!(one_line("a\nb\x1b[2J".into()), r"a\nb\u{1b}[2J");
/// ```
#[must_use]
pub fn one_line(text: String) -> String {
    let is_long = text.len() > 2 * END && text.chars().nth(2 * END).is_some();
    if !is_long && !text.chars().any(char::is_control) {
        return text;
    }
    let mut line = String::new();
    if !is_long {
        escape(text.chars(), &mut line);
        return line;
    }
    let mut end: Vec<char> = text.chars().rev().take(END).collect();
    end.reverse();
    escape(text.chars().take(END), &mut line);
    line.push_str(" ... ");
    escape(end.into_iter(), &mut line);
    line
}

fn escape(text: impl Iterator<Item = char>, line: &mut String) {
    for c in text {
        if c.is_control() {
            line.extend(c.escape_debug());
        } else {
            line.push(c);
        }
    }
}

/// Returns the text of a system error, without the number that `std` appends.
///
/// ```
/// let error = std::io::Error::from_raw_os_error(2);
/// assert_eq!(carp_dbus::plain(&error), "No such file or directory");
/// ```
#[must_use]
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error")
        .map_or(text.as_str(), |(words, _)| words)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_loses_its_middle() {
        let text = format!("carp0: {}: there is no such thing", "ü".repeat(1_000_000));
        let line = one_line(text);
        assert_eq!(line.chars().count(), 2 * END + 5);
        assert!(line.starts_with("carp0: ü") && line.ends_with("ü: there is no such thing"));
    }

    #[test]
    fn text_of_the_greatest_length_is_unchanged() {
        let text = "ü".repeat(2 * END);
        assert_eq!(one_line(text.clone()), text);
    }
}
