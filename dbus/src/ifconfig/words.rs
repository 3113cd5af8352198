//! Words of a line, split as a shell does it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Splits a line into its words. Quotes keep blanks in a word, and a backslash keeps any byte.
///
/// # Errors
/// The quote that is not closed.
pub fn split(line: &[u8]) -> Result<Vec<OsString>, char> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (None, byte) if byte.is_ascii_whitespace() => {
                words.extend(word.take().map(OsString::from_vec));
            }
            (None, b'\'' | b'"') => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (Some(open), byte) if byte == open => quote = None,
            (None | Some(b'"'), b'\\') => {
                word.get_or_insert_default().extend(bytes.next());
            }
            (_, byte) => word.get_or_insert_default().push(byte),
        }
    }
    if let Some(open) = quote {
        return Err(char::from(open));
    }
    words.extend(word.map(OsString::from_vec));
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        assert_eq!(
            split(br#"a 'b c' "d \" e" f\ g ''"#).unwrap(),
            ["a", "b c", "d \" e", "f g", ""]
        );
        assert_eq!(split(b"it's"), Err('\''));
    }
}
