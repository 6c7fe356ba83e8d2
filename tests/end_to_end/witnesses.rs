//! A campaign whose record witnesses sign: the tab checks what they have seen.

use std::process::{Child, Command};

use lichen_testkit::process;

use crate::site::{SOON, Site, from_environment};

/// The program of a witness, ended with this.
struct Witness(Child);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).map(drop).unwrap();
    }
}

#[test]
fn a_tab_checks_what_the_campaigns_witness_has_seen() {
    let state = tempfile::tempdir().unwrap();
    let witness = |relay: &str| {
        let mut witness: Command = process::command(from_environment("LICHEN_CLI_BIN"));
        witness.args(["witness", "--name", "witness.example/w1", "--relay", relay]);
        witness.arg("--state").arg(state.path());
        witness
    };
    // It has its key before it has seen a relay, and the manifest names it.
    let output = witness("http://127.0.0.1:1").arg("--once").output().unwrap();
    let key = String::from_utf8(output.stdout).unwrap();
    let named = format!("[log]\nwitnesses = [{:?}]\n\n[rounds]", key.trim());
    let site = Site::start(&[("[rounds]", &named)]);
    let _witness = Witness(witness(&site.relay.url()).spawn().unwrap());

    let page = site.join();
    site.wait_for_round(&page, 1);
    // More than the first entry, which is there before anybody joins.
    let seen = "[...document.querySelectorAll('dd')].map((dd) => dd.textContent).find((text) => \
                text.startsWith('Witnesses have seen the first ') && Number(text.replace(/[^0-9]/g, '')) > 1)";
    page.wait_for("what the witness has seen", seen, SOON).unwrap();
    assert_eq!(page.console_errors(), [] as [&str; 0]);
    // Whoever verifies the record wants the witness's signature as well.
    let audit = site.audit();
    assert!(audit.passed, "{}", audit.words);
    let [wanted, seen] = ["witnesses_wanted", "witnessed"].map(|name| audit.number(name));
    assert!(wanted > 0.9 && seen > 1.5, "{wanted} {seen}");
}
