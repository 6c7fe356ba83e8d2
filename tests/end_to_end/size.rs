//! What a visitor loads is light: until the page is there, and until the tab trains.

use std::collections::BTreeSet;
use std::fs;

use lichen_testkit::Page;

use super::site::{ENDLESS, SOON, Site, dist};

/// The page itself stays below this, compressed with brotli, in bytes.
const PAGE_LIMIT: u64 = 200_000;

/// All that is loaded until the tab trains, where updates go through the relay.
const TRAINING_LIMIT: u64 = 850_000;

#[test]
fn the_page_is_light_and_the_rest_comes_when_somebody_takes_part() {
    let site = Site::start(ENDLESS);
    let page = site.profile().new_page().unwrap();
    page.navigate(&site.relay.url()).unwrap();
    page.wait_for("the page to be drawn", "document.querySelector('main')?.dataset.state === 'idle'", SOON)
        .unwrap();
    let at_first = loaded(&page);
    assert!(at_first.iter().any(|name| name.starts_with("lichen-web") && name.ends_with(".wasm")));
    let total = weight(&at_first);
    println!("the page: {total} bytes");
    assert!(total < PAGE_LIMIT, "the page is {total} bytes with brotli: {at_first:?}");

    page.click("Join", SOON).unwrap();
    site.wait_for_round(&page, 1);
    let until_training = loaded(&page);
    for module in ["lichen-worker_bg.wasm", "lichen-swarm_bg.wasm"] {
        assert!(until_training.contains(module), "{until_training:?}");
    }
    let total = weight(&until_training);
    println!("until training: {total} bytes");
    assert!(
        total < TRAINING_LIMIT,
        "a training tab has loaded {total} bytes with brotli: {until_training:?}"
    );
}

/// The files of the page that it has asked for.
fn loaded(page: &Page) -> BTreeSet<String> {
    let requests = page.requests();
    let names = requests.iter().map(|request| request.url.rsplit('/').next().unwrap_or_default());
    let names = names.map(|name| if name.is_empty() { "index.html" } else { name });
    names.filter(|name| dist().join(name).is_file()).map(str::to_owned).collect()
}

/// What these files weigh; what is too small to gain by being compressed is served as it is.
fn weight(files: &BTreeSet<String>) -> u64 {
    let weigh = |name: &String| {
        let file = dist().join(name);
        fs::metadata(file.with_added_extension("br")).or_else(|_none| fs::metadata(&file)).unwrap().len()
    };
    files.iter().map(weigh).sum()
}
