//! `make world` for about two minutes.

use std::process::Command;

use anyhow::{Result, ensure};

/// Number of worlds: two minutes, three at a time.
const WORLDS: &str = "60";

#[test]
fn virtual_address_works_wherever_an_own_address_does() -> Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_world"))
        .args(["--worlds", WORLDS, "--seed", "1", "--jobs", "3"])
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{}", output.status);
    ensure!(told.contains(&format!("{WORLDS} worlds")));
    Ok(())
}
