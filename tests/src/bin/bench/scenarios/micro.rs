//! The benchmarks of carp-proto: run by cargo, read from criterion's files.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::engine::Engine;
use crate::figures::Id;
use crate::scenario::{Outcome, Size};

/// Criterion's name of each, and the number of operations in an iteration.
const BENCHMARKS: [(&str, f64, Id); 9] = [
    ("handle_advertisement_of_1", 1.0, Id::MicroHandle),
    ("handle_advertisement_of_255", 1.0, Id::MicroHandle255),
    ("handle_forgery", 1.0, Id::MicroForgery),
    ("advertise_255", 255.0, Id::MicroAdvertise),
    ("digest", 1.0, Id::MicroDigest),
    ("verify_digest", 1.0, Id::MicroVerify),
    ("prepare_digests", 1.0, Id::MicroPrepare),
    ("parse", 1.0, Id::MicroParse),
    ("emit", 1.0, Id::MicroEmit),
];

pub(crate) fn run(_: Engine, size: Size, out: &mut Outcome) -> Result<()> {
    let [warm_up, measured, count] = match size {
        Size::Full => ["1", "3", "100"],
        Size::Smoke => ["0.01", "0.01", "10"],
    };
    let target = crate::machine::target()?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // Criterion does not know cargo's build directory, and an earlier run's files are no results.
    let results = target.join("criterion");
    if results.exists() {
        fs::remove_dir_all(&results)?;
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.env("CRITERION_HOME", &results);
    command.args(["bench", "--quiet", "--package", "carp-proto"]);
    command.args(["--bench", "hot_path", "--target-dir"]);
    command.arg(&target);
    if size == Size::Smoke {
        // In the profile of the tests, which is quick to build.
        command.args(["--profile", "dev"]);
    }
    command.args([
        "--",
        "--warm-up-time",
        warm_up,
        "--measurement-time",
        measured,
    ]);
    command.args(["--sample-size", count]);
    // The build directory must stay writable for the user who called sudo.
    if let [Some(user), Some(group)] = ["SUDO_UID", "SUDO_GID"].map(number) {
        command.uid(user).gid(group);
    }
    let output = command.current_dir(workspace).output()?;
    ensure!(
        output.status.success(),
        "cargo bench: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    for (name, times, id) in BENCHMARKS {
        let path = results.join(name).join("new/sample.json");
        for nanoseconds in samples(&path)? {
            out.add(id, nanoseconds * 1e-9 / times);
        }
    }
    Ok(())
}

fn number(variable: &str) -> Option<u32> {
    env::var(variable).ok()?.parse().ok()
}

/// Returns the time of one iteration in each of criterion's samples.
fn samples(path: &PathBuf) -> Result<Vec<f64>> {
    let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    let sample: Value = serde_json::from_str(&text)?;
    let list = |name: &str| {
        let values = sample.get(name).and_then(Value::as_array);
        values.with_context(|| format!("no {name} in {}", path.display()))
    };
    let (times, iterations) = (list("times")?, list("iters")?);
    let pairs = times.iter().zip(iterations);
    Ok(pairs
        .filter_map(|(time, count)| Some(time.as_f64()? / count.as_f64()?))
        .collect())
}
