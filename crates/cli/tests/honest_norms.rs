//! How long honest updates are, which the default bound on an update's norm follows from.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

use lichen_campaign::Manifest;

/// The default bound is at least so many times as long as the longest honest update.
const ROOM: f64 = 4.0;

fn campaign(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../relay/campaigns/digits").join(file)
}

/// The digits campaign's manifest, and those with the other models that its description offers.
fn manifests() -> Vec<String> {
    let manifest = std::fs::read_to_string(campaign("campaign.toml")).unwrap();
    let description = std::fs::read_to_string(campaign("README.md")).unwrap();
    let (start, end) = (manifest.find("[model]").unwrap(), manifest.find("[train]").unwrap());
    let models = description.split("```toml\n").skip(1).map(|text| text.split("```").next().unwrap());
    let others: Vec<String> =
        models.map(|model| format!("{}{model}\n{}", &manifest[..start], &manifest[end..])).collect();
    [vec![manifest], others].concat()
}

/// The norms of rounds' updates by `lichen train`, each round from where the one before ended.
fn norms(folder: &Path, text: &str, rounds: usize) -> Vec<f64> {
    let (manifest, checkpoint) = (folder.join("campaign.toml"), folder.join("checkpoint.safetensors"));
    std::fs::write(&manifest, text).unwrap();
    let mut norms = Vec::new();
    for round in 0..rounds {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lichen"));
        command.arg("train").arg(&manifest).arg("--data").arg(campaign("digits.safetensors"));
        command.args(["--json", "--threads", "1", "--seed", &round.to_string(), "--out"]).arg(&checkpoint);
        if round > 0 {
            command.arg("--init").arg(&checkpoint);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        norms.push(result["update_norm"].as_f64().unwrap());
    }
    norms
}

#[test]
fn honest_updates_are_at_most_a_quarter_of_the_default_bound() {
    let folder = std::env::temp_dir().join(format!("lichen-norms-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let manifests = manifests();
    assert_eq!(manifests.len(), 3);
    for text in manifests {
        for text in [
            text.clone(),
            text.replace("\"adam\"", "\"sgd\"").replace("learning_rate = 0.002", "learning_rate = 0.1"),
            text.replace("\"adam\"", "\"lion\"").replace("learning_rate = 0.002", "learning_rate = 0.0005"),
        ] {
            let bound = lichen_learn::max_norm(&Manifest::parse(&text).unwrap()).unwrap();
            let norms = norms(&folder, &text, 4);
            let longest = norms.iter().copied().fold(0.0, f64::max);
            println!("bound {bound:.2}, honest updates {norms:.3?}");
            assert!(longest * ROOM <= bound, "{longest} of {bound}: {text}");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
