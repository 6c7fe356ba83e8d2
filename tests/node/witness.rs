//! Witnesses of real relays: one that is honest, one that lags behind, one that shows two histories by one key.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use lichen_testkit::{RelayProcess, http, wait};
use tempfile::TempDir;

use crate::{LIMIT, options};

fn lichen(arguments: &[&str]) -> Output {
    let program = std::env::var_os("LICHEN_CLI_BIN").expect("run by `cargo xtask test`");
    Command::new(program).args(arguments).output().unwrap()
}

/// One look at a relay.
fn look(relay: &str, state: &Path) -> Output {
    let (state, name) = (state.to_str().unwrap(), "witness.example/w1");
    lichen(&["witness", "--once", "--relay", relay, "--state", state, "--name", name])
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The newest checkpoint, once it is one that will do.
fn checkpoint(relay: &RelayProcess, will_do: impl Fn(&str) -> bool) -> String {
    let campaign: serde_json::Value =
        serde_json::from_slice(&relay.get("lichen.json").unwrap().body).unwrap();
    let path = format!("log/{}/checkpoint", campaign["campaign"].as_str().unwrap());
    let mut found = String::new();
    wait::until("another checkpoint", LIMIT, || {
        found = relay.get(&path)?.text();
        Ok(if will_do(&found) { Ok(()) } else { Err(found.clone()) })
    })
    .unwrap();
    found
}

#[test]
fn a_witness_signs_an_honest_log_and_refuses_one_with_two_histories() {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("witness");
    // It has its key before it has seen a relay.
    let nobody = format!("http://127.0.0.1:{}", http::free_port().unwrap());
    let output = look(&nobody, &state);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let key = String::from_utf8(output.stdout).unwrap().trim().to_owned();

    let named = vec!["--witness".to_owned(), key.clone()];
    let mut leader = RelayProcess::start_with(options(&folder, "leader", None), named.clone()).unwrap();
    let output = look(&leader.url(), &state);
    assert!(output.status.success(), "{}", said(&output));
    let signed = checkpoint(&leader, |note| note.contains("witness.example/w1"));
    let verified = lichen(&["verify", "--json", "--relay", &leader.url(), "--witness", &key]);
    let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(
        report["tree"],
        serde_json::json!({ "records": 1, "others": 0, "witnesses": ["witness.example/w1"] })
    );

    // A follower has the same, and its own word is worth the same.
    let follow = vec!["--follow".to_owned(), leader.url()];
    let follower = RelayProcess::start_with(options(&folder, "copy", None), follow).unwrap();
    assert_eq!(checkpoint(&follower, |note| note == signed), signed);
    assert!(look(&follower.url(), &state).status.success());
    leader.kill();

    // The same key begins another log of the same campaign.
    let lying = options(&folder, "lying", None);
    fs::create_dir(&lying.data).unwrap();
    fs::copy(folder.path().join("leader").join("account.key"), lying.data.join("account.key")).unwrap();
    let liar = RelayProcess::start_with(lying, named).unwrap();
    let second = checkpoint(&liar, |note| note.lines().nth(1) == Some("1"));
    let output = look(&liar.url(), &state);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let kept = |kind: &str| {
        let files = fs::read_dir(&state).unwrap().map(|file| file.unwrap().path());
        files.into_iter().find(|path| path.extension().is_some_and(|found| found == kind)).unwrap()
    };
    let evidence = fs::read_to_string(kept("evidence")).unwrap();
    for words in [&said(&output), &evidence] {
        assert!(words.contains("two histories"), "{words}");
        for note in [&signed, &second] {
            assert!(words.contains(note), "{note} is not in {words}");
        }
    }
    assert_eq!(checkpoint(&liar, |_any| true), second, "it has no signature");

    // Whoever has the first checkpoint finds it out from the records, too.
    let known = kept("checkpoint");
    let output = lichen(&["verify", "--relay", &liar.url(), "--checkpoint", known.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let output = lichen(&["verify", "--relay", &follower.url(), "--checkpoint", known.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
}
