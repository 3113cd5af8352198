//! Passwords: their sources and their length.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::bad_value::BadValue;
use crate::plain;

/// The longest password in bytes: BSD's ifconfig(8) keeps this many and a NUL of `CARP_KEY_LEN`.
const PASSWORD_BYTES: usize = 19;

/// Bound on the bytes that are read from a file; far more than a password may have.
const SECRET_LINE: u64 = 4096;

/// Source of a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The command line.
    Given(Vec<u8>),
    /// The first line of standard input.
    StandardInput,
    /// The first line of a file.
    File(PathBuf),
}

impl std::fmt::Debug for Secret {
    /// Never shows a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given(…)"),
            Self::StandardInput => f.write_str("StandardInput"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Secret {
    /// Reads the value of `word`: a password, or `-`.
    ///
    /// # Errors
    /// One line with the part of it that a BSD host would keep.
    pub fn parse(word: &str, value: &OsStr) -> Result<Self, BadValue> {
        if value == "-" {
            return Ok(Self::StandardInput);
        }
        check(word, value.as_bytes()).map_err(BadValue::Because)?;
        Ok(Self::Given(value.as_bytes().to_vec()))
    }

    /// Returns the password, for `word`.
    ///
    /// # Errors
    /// One line with the reason why it cannot be read or used.
    pub fn read(self, word: &str) -> Result<Vec<u8>, String> {
        let (from, line) = match self {
            Self::Given(password) => return Ok(password),
            Self::StandardInput => ("standard input".into(), first_line(io::stdin().lock())),
            Self::File(path) => {
                let line = File::open(&path).and_then(|file| first_line(BufReader::new(file)));
                (path.display().to_string(), line)
            }
        };
        let refused = |why: String| format!("{from}: {why}");
        let password = line.map_err(|error| refused(plain(&error)))?;
        if password.is_empty() {
            return Err(refused("no password on its first line".into()));
        }
        check(word, &password).map_err(refused)?;
        Ok(password)
    }
}

/// Checks a password's length.
fn check(word: &str, password: &[u8]) -> Result<(), String> {
    if password.contains(&0) {
        return Err(format!("{word} has a NUL byte in it"));
    }
    match password.get(..PASSWORD_BYTES) {
        Some(kept) if kept.len() < password.len() => Err(format!(
            "{word} is {} bytes long, {PASSWORD_BYTES} at most (a BSD host would keep only \"{}\")",
            password.len(),
            String::from_utf8_lossy(kept),
        )),
        Some(_) | None => Ok(()),
    }
}

fn first_line(input: impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.take(SECRET_LINE).read_until(b'\n', &mut line)?;
    if line.ends_with(b"\n") {
        line.pop();
    }
    if line.ends_with(b"\r") {
        line.pop();
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_of_20_bytes_is_refused_and_one_of_19_is_not() {
        assert_eq!(check("pass", b"1234567890123456789"), Ok(()));
        assert_eq!(
            check("pass", b"12345678901234567890"),
            Err("pass is 20 bytes long, 19 at most \
                 (a BSD host would keep only \"1234567890123456789\")"
                .to_owned())
        );
        assert_eq!(check("pass", b""), Ok(()));
    }

    #[test]
    fn debug_shows_no_password() {
        let shown = format!("{:?}", Secret::Given(b"mekmitasdigoat".to_vec()));
        assert_eq!(shown, "Given(…)");
    }

    #[test]
    fn password_is_the_first_line_without_its_end() {
        assert_eq!(first_line(&b"secret\nmore\n"[..]).unwrap(), b"secret");
        assert_eq!(first_line(&b"secret\r\n"[..]).unwrap(), b"secret");
        assert_eq!(first_line(&b" two words "[..]).unwrap(), b" two words ");
        assert_eq!(first_line(&b""[..]).unwrap(), b"");
    }
}
