//! A site of which a file is missing, or is something else.

use std::fs;
use std::path::{Path, PathBuf};

use lichen_testkit::BrowserOptions;

use super::site::{ENDLESS, SOON, Site, dist};

#[test]
fn a_module_that_cannot_be_loaded_is_not_the_browsers_fault() {
    let spoilt = [
        ("lichen-worker_bg", remove as fn(&Path)),
        ("lichen-worker_bg", overwrite),
        ("lichen-swarm_bg", remove),
        ("lichen-swarm_bg", overwrite),
    ];
    for (case, spoil) in spoilt {
        let folder = tempfile::tempdir().unwrap();
        copy(&dist(), folder.path());
        let module = folder.path().join(case).with_extension("wasm");
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
