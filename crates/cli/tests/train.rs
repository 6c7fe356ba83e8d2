//! `lichen train` on the digits campaign, as an outsider would run it.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn campaign(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../relay/campaigns/digits").join(file)
}

fn train(out: &Path, more: &[&str]) -> Vec<f64> {
    let output = Command::new(env!("CARGO_BIN_EXE_lichen"))
        .arg("train")
        .arg(campaign("campaign.toml"))
        .arg("--data")
        .arg(campaign("digits.safetensors"))
        .args(["--seed", "3", "--json", "--out"])
        .arg(out)
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    result["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect()
}

#[test]
fn the_digits_model_learns_and_continues() {
    let folder = std::env::temp_dir().join(format!("lichen-train-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (first, second) = (folder.join("first.safetensors"), folder.join("second.safetensors"));
    let losses = train(&first, &["--steps", "150"]);
    assert_eq!(losses.len(), 150);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!(mean(&losses[140..]) < 0.5 * mean(&losses[..10]), "{losses:?}");
    let continued = train(&second, &["--steps", "10", "--init", first.to_str().unwrap()]);
    assert!(mean(&continued) < 0.5 * mean(&losses[..10]), "{continued:?}");
    let again = train(&second, &["--steps", "150"]);
    assert_eq!(again, losses, "the same seed gives the same bits");
    assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_does_not_fit_is_said() {
    let output = Command::new(env!("CARGO_BIN_EXE_lichen"))
        .arg("train")
        .arg(campaign("campaign.toml"))
        .arg("--data")
        .arg(campaign("campaign.toml"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("safetensors"));
}
