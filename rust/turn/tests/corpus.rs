//! What the fuzzers found worth keeping is run again with each test.

mod world;

use std::path::PathBuf;

/// The files that a fuzz target begins with.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let entries = std::fs::read_dir(&folder).expect("the corpus is in the tree");
    let files: Vec<Vec<u8>> = entries
        .map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a file"))
        .collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

/// Messages and streams do no harm.
#[test]
fn turn_message() {
    for bytes in corpus("turn_message") {
        world::bytes::run(&bytes);
    }
}

/// The server agrees with its model.
#[test]
fn turn_server() {
    for bytes in corpus("turn_server") {
        world::model::run(&bytes);
    }
}
