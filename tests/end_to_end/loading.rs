//! A site of which a file is missing, or is something else.

use std::fs;
use std::path::{Path, PathBuf};

use lichen_testkit::BrowserOptions;

use super::site::{ENDLESS, SOON, Site, dist};

#[test]
fn a_worker_that_cannot_be_loaded_is_not_the_browsers_fault() {
    for (case, spoil) in [("missing", remove as fn(&Path)), ("a web page", overwrite)] {
        let folder = tempfile::tempdir().unwrap();
        copy(&dist(), folder.path());
        let module = file(folder.path(), "lichen-worker", "_bg.wasm");
        spoil(&module);
        let site = Site::start_on(folder.path().to_owned(), ENDLESS, &BrowserOptions::default());
        let page = site.join();
        site.wait(&page, "the page to give up", SOON, |state| state.state == "failed");
        let text = page.evaluate("document.querySelector('main').innerText").unwrap().to_string();
        assert!(text.contains("A file of this page could not be loaded"), "{case}: {text}");
        assert!(text.contains("Reload the page"), "{case}: {text}");
        assert!(page.has_button("Join").unwrap());
    }
}

fn remove(file: &Path) {
    for spoilt in [file.to_owned(), with_end(file, ".br"), with_end(file, ".gz")] {
        let _none = fs::remove_file(spoilt);
    }
}

fn overwrite(file: &Path) {
    remove(file);
    fs::write(file, "<!doctype html><title>Not found</title>").unwrap();
}

fn with_end(file: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}{end}", file.display()))
}

/// The file of that name, whatever stands between its begin and its end.
fn file(folder: &Path, begin: &str, end: &str) -> PathBuf {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(begin) && name.ends_with(end)
    };
    names.into_iter().find(is_it).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}
