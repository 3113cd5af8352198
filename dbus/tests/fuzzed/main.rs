//! The corpus of the grammar's fuzz target as an ordinary test.

mod grammar;

use std::fs;
use std::path::Path;

#[test]
fn any_words_are_a_line_or_refused_in_one() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = here.join("../carpd/proto/fuzz/corpus/grammar");
    let mut files = 0;
    for file in fs::read_dir(&directory).unwrap() {
        let path = file.unwrap().path();
        // Shown after a failure, to identify the file.
        println!("{}", path.display());
        grammar::grammar(&fs::read(&path).unwrap());
        files += 1;
    }
    assert!(files > 10, "{} is almost empty", directory.display());
}
