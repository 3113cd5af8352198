//! JSON output.

use std::io::{self, Write};

use serde::Serialize;

/// Writes `value` as one indented document.
///
/// # Errors
/// Those of `out`.
pub(crate) fn document(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// Writes `value` as one line.
///
/// # Errors
/// Those of `out`.
pub(crate) fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}
