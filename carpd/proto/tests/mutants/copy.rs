//! Copy of the core with all mutants.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::table::Mutant;

/// Function by which the copy finds out which repair it lacks.
const CHOICE: &str = r#"
pub(crate) fn is_mutant(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let chosen = || std::env::var("CARP_MUTANT").unwrap_or_default();
    CHOSEN.get_or_init(chosen) == name
}
"#;

/// Workspace with the core alone, and its search as a program.
pub(crate) struct Copy {
    pub(crate) directory: PathBuf,
    pub(crate) program: PathBuf,
}

impl Copy {
    /// Copies the core, changes it, and builds its search.
    pub(crate) fn build(mutants: &[Mutant]) -> Self {
        let core = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = core.ancestors().nth(2).unwrap();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
        let copy = directory.join("carpd/proto");
        for part in ["src", "tests"] {
            let _ = fs::remove_dir_all(copy.join(part));
        }
        for part in ["src", "tests/explored", "tests/simulated/segment"] {
            copy_directory(&core.join(part), &copy.join(part));
        }
        let _ = fs::copy(workspace.join("Cargo.lock"), directory.join("Cargo.lock")).unwrap();
        let manifest = fs::read_to_string(workspace.join("Cargo.toml")).unwrap();
        let members = manifest.lines().find(|line| line.starts_with("members = "));
        let manifest = replaced(&manifest, members.unwrap(), r#"members = ["carpd/proto"]"#);
        fs::write(directory.join("Cargo.toml"), manifest).unwrap();
        // The search needs nothing but the core.
        let manifest = fs::read_to_string(core.join("Cargo.toml")).unwrap();
        let (manifest, _) = manifest.split_once("[dev-dependencies]").unwrap();
        fs::write(copy.join("Cargo.toml"), manifest).unwrap();

        let lib = copy.join("src/lib.rs");
        let text = fs::read_to_string(&lib).unwrap();
        fs::write(lib, text + CHOICE).unwrap();
        for mutant in mutants {
            for (file, from, to) in mutant.changes {
                let file = copy.join("src").join(file);
                let text = fs::read_to_string(&file).unwrap();
                let to = to.replace("MUTANT", &format!("crate::is_mutant({:?})", mutant.name));
                fs::write(file, replaced(&text, from, &to)).unwrap();
            }
        }
        let program = build(&directory);
        Self { directory, program }
    }
}

/// Replaces `from`, which `text` must contain exactly once. A change of the core that moves it changes the
/// table too.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "not exactly once: {from}");
    text.replace(from, to)
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &to);
        } else {
            let _ = fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Builds the search, and returns its program.
fn build(directory: &Path) -> PathBuf {
    let arguments = "test --offline --package carp-proto --test explored --no-run";
    let output = Command::new(env!("CARGO"))
        .args(arguments.split(' '))
        .current_dir(directory)
        .env("CARGO_TARGET_DIR", directory.join("target"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    // "  Executable tests/explored/main.rs (target/debug/deps/explored-476aa9e76ed2e7e6)"
    let line = text.lines().find(|line| line.contains("Executable "));
    let path = line.and_then(|line| line.rsplit_once('(')?.1.strip_suffix(')'));
    directory.join(path.unwrap_or_else(|| panic!("no program: {text}")))
}
