//! A page of which something is missing says what.

use std::fs;
use std::path::{Path, PathBuf};

use lichen_testkit::{BrowserOptions, Page};
use tempfile::TempDir;

use super::site::{ENDLESS, SOON, Site, dist};

/// A copy of the built page.
fn copy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(dist()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

/// The plain file of that ending, and its compressed forms, which go.
fn only_plain(folder: &Path, is: impl Fn(&str) -> bool) -> PathBuf {
    let files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    let plain = files.iter().find(|file| is(&file.file_name().unwrap().to_string_lossy())).unwrap().clone();
    for ending in ["br", "gz"] {
        // A short file has none.
        let _none = fs::remove_file(plain.with_added_extension(ending));
    }
    plain
}

fn is_page(name: &str) -> bool {
    name.starts_with("lichen-web") && name.ends_with("_bg.wasm")
}

fn told(page: &Page, words: &str) {
    let says = format!("document.querySelector('[role=alert]')?.textContent.includes({words:?})");
    page.wait_for(&format!("the page to say {words:?}"), &says, SOON).unwrap();
    assert!(page.has_button("Reload").unwrap());
}

#[test]
fn a_page_without_its_code_says_what_is_missing_and_comes_back_with_it() {
    let folder = copy();
    let module = only_plain(folder.path(), is_page);
    let bytes = fs::read(&module).unwrap();
    let site = Site::start_on(folder.path().into(), ENDLESS, &BrowserOptions::default());

    fs::remove_file(&module).unwrap();
    let page = site.open(&site.profile(), "");
    told(&page, "status 404");
    told(&page, &module.file_name().unwrap().to_string_lossy());

    fs::write(&module, "<!doctype html><title>Log in</title>").unwrap();
    page.reload().unwrap();
    told(&page, "sent something else");

    fs::write(&module, &bytes).unwrap();
    page.click("Reload", SOON).unwrap();
    site.wait(&page, "the invitation", SOON, |state| state.state == "idle");
}

#[test]
fn the_bar_is_full_when_the_code_is_there() {
    let folder = copy();
    let start = only_plain(folder.path(), |name| name.starts_with("lichen-") && name.ends_with(".mjs"));
    let script = fs::read_to_string(start).unwrap();
    let call = script.split_once("load(init, \"").unwrap().1;
    let (name, rest) = call.split_once("\", ").unwrap();
    let size: u64 = rest.split_once(',').unwrap().0.parse().unwrap();
    assert_eq!(size, fs::metadata(dist().join(name)).unwrap().len());
}

#[test]
fn a_page_built_without_the_engine_for_threads_offers_none() {
    let folder = copy();
    let index = only_plain(folder.path(), |name| name == "index.html");
    let html = fs::read_to_string(&index).unwrap();
    let without = html.replace("<meta name=\"lichen-threads\">", "");
    assert_ne!(html, without);
    let offered = "document.querySelector('select[aria-describedby=threads]') !== null";
    for (html, offers) in [(html, true), (without, false)] {
        fs::write(&index, html).unwrap();
        let site = Site::start_on(folder.path().into(), ENDLESS, &BrowserOptions::default());
        let page = site.open(&site.profile(), "");
        site.wait(&page, "the invitation", SOON, |state| state.state == "idle");
        page.wait_for("the offer", "document.querySelector('.button-join') !== null", SOON).unwrap();
        assert_eq!(page.evaluate(offered).unwrap(), offers);
    }
}
