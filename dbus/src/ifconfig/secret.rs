//! Passwords: where they come from, and how long they may be.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::keywords::Bad;
use crate::plain;

/// The longest password in bytes: BSD's ifconfig(8) keeps so many and a NUL of `CARP_KEY_LEN`.
const PASSWORD_BYTES: usize = 19;

/// Far more than a password may have, and yet no file is read without end.
const SECRET_LINE: u64 = 4096;

/// Where a password comes from.
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
    /// One line that says what a BSD host would keep of it.
    pub fn parse(word: &str, value: &OsStr) -> Result<Self, Bad> {
        if value == "-" {
            return Ok(Self::StandardInput);
        }
        check(word, value.as_bytes()).map_err(Bad::Because)?;
        Ok(Self::Given(value.as_bytes().to_vec()))
    }

    /// The password itself, for `word`.
    ///
    /// # Errors
    /// One line that says why it cannot be read, or not be used.
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
    fn a_password_of_19_bytes_fits_and_one_of_20_does_not() {
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
    fn a_password_is_never_shown_by_debug() {
        let shown = format!("{:?}", Secret::Given(b"mekmitasdigoat".to_vec()));
        assert_eq!(shown, "Given(…)");
    }

    #[test]
    fn a_password_is_the_first_line_without_its_end() {
        assert_eq!(first_line(&b"secret\nmore\n"[..]).unwrap(), b"secret");
        assert_eq!(first_line(&b"secret\r\n"[..]).unwrap(), b"secret");
        assert_eq!(first_line(&b" two words "[..]).unwrap(), b" two words ");
        assert_eq!(first_line(&b""[..]).unwrap(), b"");
    }
}
