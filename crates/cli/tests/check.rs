//! `lichen check`, as an organiser would run it on a folder with something wrong in it.
#![cfg(test)]

use std::path::Path;
use std::process::{Command, Output};

const MANIFEST: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");
const DATA: &[u8] = include_bytes!("../../../relay/campaigns/digits/digits.safetensors");

/// Checks a folder with this manifest and this data file.
fn check(name: &str, manifest: &[u8], data: &[u8]) -> (bool, String) {
    let folder = std::env::temp_dir().join(format!("lichen-check-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("campaign.toml"), manifest).unwrap();
    std::fs::write(folder.join("digits.safetensors"), data).unwrap();
    let output = lichen(&["check"], &folder.join("campaign.toml"));
    std::fs::remove_dir_all(&folder).unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

fn lichen(words: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lichen")).args(words).arg(file).output().unwrap()
}

#[test]
fn what_happens_at_the_goal_is_said() {
    for (then, expected) in [
        (
            "",
            "goal         0.95: people are thanked when it is reached, and the campaign continues until round 1000",
        ),
        (
            "\nat_target = \"finish\"",
            "goal         0.95: the campaign ends when two consecutive rounds reach it",
        ),
    ] {
        let goal = "target_accuracy = 0.95";
        let manifest = MANIFEST.replace(goal, &format!("{goal}{then}"));
        let folder = std::env::temp_dir().join(format!("lichen-goal-{}-{}", then.len(), std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("campaign.toml"), manifest).unwrap();
        std::fs::write(folder.join("digits.safetensors"), DATA).unwrap();
        let output = lichen(&["check"], &folder.join("campaign.toml"));
        std::fs::remove_dir_all(&folder).unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_sound_campaign_passes() {
    assert_eq!(check("sound", MANIFEST.as_bytes(), DATA), (true, String::new()));
}

#[test]
fn what_the_relay_would_refuse_is_refused_here_with_its_key() {
    let manifest = MANIFEST.replace("units = 32", "units = 230000");
    let (is_sound, said) = check("large", manifest.as_bytes(), DATA);
    assert!(!is_sound && said.contains("model.layers.units") && said.contains("\"hidden\""), "{said}");
}

#[test]
fn a_data_file_of_another_kind_is_named_with_the_remedy() {
    let files: [(&[u8], &str); 4] = [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        (b"<!DOCTYPE html><html><title>404</title></html>", "a web page"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False}", "safetensors.numpy.save_file"),
        (b"x0;x1;label\r\n0,5;1,5;3\r\n", "a table as text"),
    ];
    for (data, expected) in files {
        let (is_sound, said) = check("kind", MANIFEST.as_bytes(), data);
        assert!(!is_sound && said.contains(expected), "{said}");
        assert!(!said.contains("data.cid"), "the wrong file's id must not be offered: {said}");
    }
}

#[test]
fn a_manifest_of_another_kind_is_named() {
    for (manifest, expected) in [(&b"<html>moved</html>"[..], "a web page"), (DATA, "a safetensors file")] {
        let (is_sound, said) = check("manifest", manifest, DATA);
        assert!(!is_sound && said.contains(expected) && said.contains("a manifest (TOML)"), "{said}");
    }
}

#[test]
fn a_missing_data_file_is_named_by_its_place() {
    let folder = std::env::temp_dir().join(format!("lichen-check-missing-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("campaign.toml"), MANIFEST).unwrap();
    let output = lichen(&["check"], &folder.join("campaign.toml"));
    std::fs::remove_dir_all(&folder).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("digits.safetensors"), "{said}");
}
