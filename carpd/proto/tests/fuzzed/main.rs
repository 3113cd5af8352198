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
    let mut files = 0;
    for file in fs::read_dir(&directory).unwrap() {
        let path = file.unwrap().path();
        // Shown if it fails, so that one knows which file it was.
        println!("{}", path.display());
        target(&fs::read(&path).unwrap());
        files += 1;
    }
    assert!(files > 10, "{} is almost empty", directory.display());
}

#[test]
fn the_engine_does_only_what_it_may() {
    feed("engine", engine::engine);
}

#[test]
fn every_format_reads_what_it_wrote() {
    feed("wire", wire::wire);
}
