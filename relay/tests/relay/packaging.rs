//! What comes with the relay for operators fits the relay: nobody has to find out by a failed installation.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A file of the repository.
fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn help() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lichen-relay")).arg("--help").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The words of the lines that begin with this one.
fn lines<'a>(text: &'a str, first: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.filter(move |words| words.first() == Some(&first))
}

#[test]
fn the_dockerfile_copies_what_there_is_and_sets_what_the_relay_knows() {
    let dockerfile = read("relay/Dockerfile");
    let (from_outside, from_stages): (Vec<_>, Vec<_>) =
        lines(&dockerfile, "COPY").partition(|words| !words.iter().any(|word| word.starts_with("--from=")));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for words in &from_outside {
        for source in &words[1..words.len() - 1] {
            assert!(source.starts_with("--") || root.join(source).exists(), "{source} is not there");
        }
    }
    assert!(!from_outside.is_empty());
    // What a stage takes from another is what that one has put there.
    for words in &from_stages {
        let source = words[words.len() - 2];
        let is_made = |line: &str| line.contains("install") && line.contains(source);
        assert!(dockerfile.lines().any(is_made), "nothing makes {source}");
        assert!(dockerfile.contains(" AS build") && words.contains(&"--from=build"), "{words:?}");
    }
    let version = read("Cargo.toml");
    let version = version.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    assert!(
        dockerfile.contains(&format!("FROM rust:{}-slim", version.trim_matches('"'))),
        "not Rust {version}"
    );
    let help = help();
    for words in lines(&dockerfile, "ENV") {
        for pair in &words[1..] {
            let name = pair.split_once('=').unwrap().0;
            assert!(help.contains(&format!("[env: {name}=")), "the relay knows no {name}");
        }
    }
    // What the build needs must not be left out of what is sent to it.
    let ignored = read(".dockerignore");
    for needed in ["Cargo.toml", "Cargo.lock", "crates", "relay", "web", "worker", "tests", "dist"] {
        assert!(ignored.lines().all(|line| line.trim_matches('/') != needed), "{needed} is ignored");
    }
}

#[test]
fn the_unit_starts_the_relay_with_options_that_it_knows() {
    let unit = read("relay/lichen-relay.service");
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let help = help();
    let options: Vec<&str> = command.split_whitespace().filter(|word| word.starts_with("--")).collect();
    assert!(!options.is_empty());
    for option in options {
        assert!(help.contains(&format!("{option} <")), "the relay knows no {option}");
    }
    // The folder that systemd makes is the one that the relay is told of.
    let folder = unit.lines().find_map(|line| line.strip_prefix("StateDirectory=")).unwrap();
    assert!(command.contains(&format!("--data /var/lib/{folder}")), "{command}");
}
