//! Fuzz target of run-time state.

use super::format::{HEADER, checksum, parse, print};

/// Parses `bytes` as a file, and as the body of one with a valid checksum. A valid state can be
/// written and reads as the same again.
///
/// # Panics
/// If it does not.
pub fn state(bytes: &[u8]) {
    // Only that it returns.
    let _ = parse(bytes);
    let mut file = format!("{HEADER}\n").into_bytes();
    file.extend(bytes);
    if file.last() != Some(&b'\n') {
        file.push(b'\n');
    }
    let sum = format!("sha1 {}\n", checksum(&file));
    file.extend(sum.bytes());
    match parse(&file) {
        Ok(saved) => assert_eq!(parse(print(&saved).as_bytes()), Ok(saved)),
        Err(fault) => assert!(
            !fault.to_string().chars().any(char::is_control),
            "{fault:?}"
        ),
    }
}
