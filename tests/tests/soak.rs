//! `make soak` for a minute.

use std::process::Command;

use anyhow::{Result, ensure};

#[test]
fn minute_of_faults_leaves_exactly_one_host_answering() -> Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_soak"))
        .args(["--minutes", "1", "--seed", "2"])
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{}", output.status);
    ensure!(told.contains("faults survived in 1 minutes with seed 2"));
    Ok(())
}
