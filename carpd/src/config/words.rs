//! Words of a value: rc.conf(5)'s values are command lines, which network.subr(8) passes to the
//! shell's `eval`.

use std::ffi::OsString;

use carp_dbus::ifconfig;

/// Splits a value into its words. Quotes keep blanks in a word, and a backslash keeps any byte.
///
/// # Errors
/// One line: a quote is not closed.
pub(super) fn split(value: &[u8]) -> Result<Vec<OsString>, String> {
    ifconfig::split(value).map_err(|open| {
        format!("the quote {open} in its value is not closed: \\{open} means the character")
    })
}

/// Returns `words` in a form that [`split`] reads.
pub(super) fn joined(words: &[Vec<u8>]) -> Vec<u8> {
    let protected: Vec<Vec<u8>> = words.iter().map(|word| protected(word)).collect();
    protected.join(&b' ')
}

/// Returns `words` as the value of an assignment, in double quotes.
pub(super) fn quoted(words: &[Vec<u8>]) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for byte in joined(words) {
        if b"\"$`\\".contains(&byte) {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    quoted
}

/// Returns a word in a form that `eval` reads.
fn protected(word: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:/@%+,=-".contains(byte);
    if !word.is_empty() && word.iter().all(plain) {
        return word.to_vec();
    }
    let mut protected = vec![b'\''];
    for byte in word {
        if *byte == b'\'' {
            protected.extend(br"'\''");
        } else {
            protected.push(*byte);
        }
    }
    protected.push(b'\'');
    protected
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::shell::{self, Piece};
    use super::*;

    #[test]
    fn quotes_and_backslashes_keep_a_word_together() {
        for (value, words) in [
            ("", &[][..]),
            ("  ", &[]),
            ("vhid 1\n\tup", &["vhid", "1", "up"]),
            ("pass 'two words' up", &["pass", "two words", "up"]),
            ("pass \"it's\"", &["pass", "it's"]),
            (r"pass it\'s\ \\", &["pass", r"it's \"]),
            ("pass ''", &["pass", ""]),
            ("a'b'\"c\"", &["abc"]),
            (r"'a\b'", &[r"a\b"]),
        ] {
            assert_eq!(split(value.as_bytes()).unwrap(), words, "{value}");
        }
        assert_eq!(
            split(b"pass it's"),
            Err("the quote ' in its value is not closed: \\' means the character".to_owned())
        );
    }

    #[test]
    fn words_are_written_without_needless_quotes() {
        let words = |line: &str| -> Vec<Vec<u8>> {
            line.split(' ')
                .map(|word| word.as_bytes().to_vec())
                .collect()
        };
        assert_eq!(
            quoted(&words("vhid 1 192.168.1.1/24")),
            b"\"vhid 1 192.168.1.1/24\""
        );
        assert_eq!(quoted(&[b"pa$s w".to_vec()]), br#""'pa\$s w'""#);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            words in vec(vec(any::<u8>(), 0..12), 0..6),
        ) {
            let mut text = b"a=".to_vec();
            text.extend(quoted(&words));
            // A line that looks like an assignment counts as one, as in files that people write.
            prop_assume!(!words.iter().flatten().any(|byte| *byte == b'\n'));
            let (assignments, complaints) = shell::read(&text);
            prop_assert_eq!(complaints, []);
            let value: Vec<u8> = assignments[0]
                .value
                .iter()
                .map(|piece| match piece {
                    Piece::Byte(byte) => *byte,
                    Piece::Variable(name) => panic!("{name}"),
                })
                .collect();
            let read = split(&value).unwrap();
            let read: Vec<&[u8]> = read.iter().map(|word| word.as_bytes()).collect();
            prop_assert_eq!(read, words);
        }

        #[test]
        fn no_file_makes_the_reader_stumble(text in vec(any::<u8>(), 0..200)) {
            let (assignments, complaints) = shell::read(&text);
            for assignment in assignments {
                prop_assert!(text.get(assignment.range).is_some());
            }
            for complaint in complaints {
                prop_assert!(!complaint.message.is_empty());
            }
            let _ = split(&text);
        }
    }
}
