//! `tests/lint-structure`: the sources have no circles of files, and the script finds those that it claims
//! to find.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lint-structure");

/// Returns the faults of the sources in `directory`.
fn faults(directory: &Path) -> Result<Vec<String>> {
    let output = Command::new(SCRIPT).arg(directory).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(errors.is_empty(), "{errors}");
    let lines: Vec<String> = str::from_utf8(&output.stdout)?
        .lines()
        .map(str::to_owned)
        .collect();
    ensure!(output.status.success() == lines.is_empty(), "{output:?}");
    Ok(lines)
}

/// Returns the faults of a crate with these files in `src`.
fn faults_of(files: &[(&str, &str)]) -> Result<Vec<String>> {
    let directory = tempfile::tempdir()?;
    for (name, text) in files {
        let path = directory.path().join("src").join(name);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(path, text)?;
    }
    fs::write(directory.path().join("Cargo.toml"), "")?;
    faults(directory.path())
}

#[test]
fn sources_have_no_circles_and_one_place_for_each_invariant() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    assert_eq!(faults(&root)?, [""; 0]);
    Ok(())
}

#[test]
fn circle_of_two_files_is_found() -> Result<()> {
    let found = faults_of(&[
        ("lib.rs", "mod a;\nmod b;\n"),
        ("a.rs", "use crate::b::B;\npub struct A;\n"),
        ("b.rs", "pub struct B;\nfn b() { super::a::A; }\n"),
    ])?;
    assert_eq!(found, ["src/a.rs -> src/b.rs -> src/a.rs"]);
    Ok(())
}

#[test]
fn circle_through_names_in_scope_is_found() -> Result<()> {
    let found = faults_of(&[
        ("main.rs", "mod a;\nmod b;\nmod c;\n"),
        (
            "a.rs",
            "use crate::{b, c as d};\nfn a() -> b::B { d::c() }\npub struct A;\n",
        ),
        ("b.rs", "pub use super::a::*;\npub enum B { One }\n"),
        ("c.rs", "pub fn c() { crate::b::B::One; }\n"),
    ])?;
    let expected = [
        "src/a.rs -> src/b.rs -> src/a.rs",
        "src/c.rs -> src/b.rs -> src/a.rs -> src/c.rs",
    ];
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn parent_that_reexports_a_child_is_in_a_circle_with_it() -> Result<()> {
    let parent = "mod child;\npub use self::child::Child;\npub struct Parent;\n";
    let child = "use super::Parent;\npub struct Child(Parent);\n";
    let found = faults_of(&[
        ("lib.rs", "mod parent;\n"),
        ("parent/mod.rs", parent),
        ("parent/child.rs", child),
    ])?;
    let circle = "src/parent/child.rs -> src/parent/mod.rs -> src/parent/child.rs";
    assert_eq!(found, [circle]);
    Ok(())
}

#[test]
fn name_that_a_parent_reexports_counts_for_its_own_file() -> Result<()> {
    let found = faults_of(&[
        ("lib.rs", "mod parent;\n"),
        (
            "parent/mod.rs",
            "mod a;\nmod b;\npub use self::a::A;\npub use self::b::B;\n",
        ),
        ("parent/a.rs", "pub struct A;\n"),
        ("parent/b.rs", "use super::A;\npub struct B(A);\n"),
    ])?;
    assert_eq!(found, [""; 0]);
    Ok(())
}

#[test]
fn code_in_comments_strings_and_other_crates_is_no_import() -> Result<()> {
    let a = "// use crate::b::B;\n/* crate::b::B */\nfn a() { \"crate::b::B\"; other::b::B; 'b'; }\n\
             pub struct A;\n";
    let found = faults_of(&[
        ("lib.rs", "mod a;\nmod b;\n"),
        ("a.rs", a),
        (
            "b.rs",
            "use crate::a::A;\npub struct B(A);\nmod tests { use super::*; }\n",
        ),
    ])?;
    assert_eq!(found, [""; 0]);
    Ok(())
}

#[test]
fn second_place_for_an_invariant_is_found() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let source = directory.path().join("carpd/src");
    fs::create_dir_all(source.join("bus"))?;
    let handles =
        "fn f() { engine.handle(1); }\n\n// engine.handle(2)\nfn g() { Message::signal(); }\n";
    let test = "#[cfg(test)]\nmod tests {\n    fn f() { Message::signal(); }\n}\n";
    fs::write(source.join("daemon.rs"), format!("{handles}{test}"))?;
    fs::write(source.join("bus/signals.rs"), handles)?;
    let expected = [
        "carpd/src/daemon.rs:4: bus/signals.rs is the one place that emits signals",
        "carpd/src/bus/signals.rs:1: daemon.rs is the only loop that talks to the engine",
    ];
    assert_eq!(faults(directory.path())?, expected);
    Ok(())
}
