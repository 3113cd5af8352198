//! The corpora of the fuzz targets as tests: each file is fed to the function that its target calls.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot continue fails"
)]

mod bytes;
mod engine;
mod wire;

use std::fs;
use std::path::Path;

/// Feeds each file of a corpus to `target`.
fn feed(corpus: &str, target: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(corpus);
    let mut paths: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    paths.sort();
    assert!(paths.len() > 10, "{} is almost empty", directory.display());
    // Miri is slow.
    for path in paths.iter().step_by(if cfg!(miri) { 10 } else { 1 }) {
        // Identifies the file if the test fails.
        println!("{}", path.display());
        target(&fs::read(path).unwrap());
    }
}

#[test]
fn engine_follows_the_rules_for_each_file_of_its_corpus() {
    feed("engine", engine::engine);
}

#[test]
fn formats_read_the_bytes_that_they_wrote() {
    feed("wire", wire::wire);
}
