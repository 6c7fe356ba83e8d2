//! Page and worker are light.

use std::fs;

use super::site::dist;

/// Page and worker together stay below this, compressed with brotli, in bytes.
const LIMIT: u64 = 900_000;

#[test]
fn page_and_worker_fit_into_900_kb() {
    let files: Vec<_> = fs::read_dir(dist()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.iter().any(|file| file.to_string_lossy().ends_with("_bg.wasm.br")), "{files:?}");
    let is_variant =
        |file: &&std::path::PathBuf| !file.extension().is_some_and(|end| end == "br" || end == "gz");
    // Loaded only where more than one thread is to train.
    let is_for_threads = |file: &&std::path::PathBuf| {
        file.file_name().is_some_and(|name| name.to_string_lossy().contains("-thread"))
    };
    let total: u64 = files
        .iter()
        .filter(is_variant)
        .filter(|file| !is_for_threads(file))
        .map(|file| {
            // What is too small to gain by it is served as it is.
            let compressed = file.with_added_extension("br");
            fs::metadata(compressed).or_else(|_none| fs::metadata(file)).unwrap().len()
        })
        .sum();
    println!("{total} bytes");
    assert!(total < LIMIT, "page and worker are {total} bytes with brotli");
}
