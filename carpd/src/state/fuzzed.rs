//! What the fuzz target of run-time state calls.

use super::format::{HEADER, checksum, parse, print};

/// Reads `bytes` as a file, and as the body of one whose checksum is right. What can be read can
/// be written, and reads the same again.
///
/// # Panics
/// If it does not.
pub fn state(bytes: &[u8]) {
    // Nothing but an answer is wanted.
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
