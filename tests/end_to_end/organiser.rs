//! What visitors see of what the organiser decides.

use std::path::Path;
use std::process::Command;

use lichen_testkit::{Page, process};

use crate::site::{ENDLESS, SOON, Site, from_environment};

fn lichen(arguments: &[&str]) -> String {
    let mut program: Command = process::command(from_environment("LICHEN_CLI_BIN"));
    let output = program.args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn decide(site: &Site, key: &Path, decision: &[&str]) {
    let (url, key) = (site.relay.url(), key.to_str().unwrap());
    lichen(&[decision, &["--relay", url.trim_end_matches('/'), "--key", key]].concat());
}

/// Waits until the page says this, wherever on it.
fn says(page: &Page, words: &str) {
    let said = format!("document.querySelector('main').textContent.includes({words:?})");
    page.wait_for(words, &said, SOON).unwrap();
}

#[test]
fn a_paused_campaign_says_so_goes_on_and_ends_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("organiser.key");
    let account = lichen(&["publish", "--key", key.to_str().unwrap()]);
    let organiser = format!("[campaign.organiser]\naccount = \"{account}\"");
    let site = Site::start(&[ENDLESS, &[("[campaign.organiser]", &organiser)]].concat());
    let page = site.join();
    site.wait_for_round(&page, 1);

    decide(&site, &key, &["pause"]);
    says(&page, "The organiser has paused this campaign.");
    let visitor = site.open(&site.profile(), "");
    says(&visitor, "The organiser has paused this campaign.");
    let before = page.state().unwrap().unwrap().round;

    decide(&site, &key, &["resume"]);
    site.wait_for_round(&page, before + 2);

    decide(&site, &key, &["retire", "--yes"]);
    site.wait(&page, "the end", SOON, |state| state.state == "retired");
    for page in [&page, &visitor] {
        assert_eq!(page.console_errors(), [] as [&str; 0]);
    }
    assert!(site.audit().passed);
}
