//! Everything that fuzzing found worth keeping, as ordinary tests: each file of the corpora goes
//! through the functions that the fuzz targets call.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on fails, and looks at what it knows alone"
)]

mod bytes;
mod engine;
mod wire;

use std::fs;
use std::path::Path;

/// Feeds every file of a corpus to `target`.
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
    // Miri takes its time.
    for path in paths.iter().step_by(if cfg!(miri) { 10 } else { 1 }) {
        // Shown if it fails, so that one knows which file it was.
        println!("{}", path.display());
        target(&fs::read(path).unwrap());
    }
}

#[test]
fn the_engine_does_only_what_it_may() {
    feed("engine", engine::engine);
}

#[test]
fn every_format_reads_what_it_wrote() {
    feed("wire", wire::wire);
}
