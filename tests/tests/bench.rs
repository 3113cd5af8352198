//! `make bench`: every scenario runs, once and small, and gives its figures.

use std::process::Command;

use anyhow::{Result, ensure};
use carp_tests::program;

#[test]
fn each_figure_is_measured_once() -> Result<()> {
    // The bench starts the programs under test.
    program("carpd")?;
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .arg("--smoke")
        .output()?;
    let (tables, progress) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(output.status.success(), "{progress}");
    let rows = tables.lines().filter(|line| line.starts_with("| ")).count();
    ensure!(rows > 50, "{rows} rows:\n{tables}\n{progress}");
    ensure!(!tables.contains("failed"), "{tables}\n{progress}");
    Ok(())
}
