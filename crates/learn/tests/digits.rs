//! The committed digits campaign and its data fit together.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use lichen_campaign::Manifest;
use lichen_learn::{Dataset, DatasetError};

const MANIFEST: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");
const DATA: &[u8] = include_bytes!("../../../relay/campaigns/digits/digits.safetensors");

#[test]
fn the_data_is_what_the_manifest_says() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    assert!(manifest.data.cid.matches(DATA));
    let dataset = Dataset::decode(DATA, &manifest).unwrap();
    assert_eq!((dataset.len(), dataset.width()), (1797, 64));
    let (first, label) = dataset.sample(0).unwrap();
    // The first digit of the published file is a 0; its first rows are 0 0 5 13 9 1 0 0 and 0 0 13 15 10 15 5 0.
    assert_eq!(label, 0);
    assert_eq!(&first[..8], [0.0, 0.0, 5.0 / 16.0, 13.0 / 16.0, 9.0 / 16.0, 1.0 / 16.0, 0.0, 0.0]);
    assert_eq!(&first[10..12], [13.0 / 16.0, 15.0 / 16.0]);
    assert!(dataset.sample(1797).is_none());
}

#[test]
fn held_out_and_training_samples_show_all_classes() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    let dataset = Dataset::decode(DATA, &manifest).unwrap();
    for indices in [manifest.data.split.held_out(), manifest.data.split.training()] {
        let (values, mut labels) = dataset.gather(&indices);
        assert_eq!(values.len(), indices.len() * 64);
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels, (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn every_truncation_is_refused() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    for length in (0..DATA.len()).step_by(997).chain([7, 8, 9, DATA.len() - 1]) {
        assert!(Dataset::decode(&DATA[..length], &manifest).is_err(), "{length} bytes");
    }
}

#[test]
fn data_of_another_shape_is_refused() {
    let fewer = MANIFEST.replace("samples = 1797", "samples = 1796");
    let refused = Dataset::decode(DATA, &Manifest::parse(&fewer).unwrap());
    assert_eq!(refused, Err(DatasetError::Shape("x")));
    let narrower = MANIFEST.replace("input = [64]", "input = [32]");
    let refused = Dataset::decode(DATA, &Manifest::parse(&narrower).unwrap());
    assert_eq!(refused, Err(DatasetError::Shape("x")));
    let image = MANIFEST.replace("input = [64]", "input = [1, 8, 8]");
    assert!(Dataset::decode(DATA, &Manifest::parse(&image).unwrap()).is_ok());
}

#[test]
fn a_label_that_is_no_class_is_refused() {
    let fewer = MANIFEST.replace("classes = 10", "classes = 9").replace("units = 10", "units = 9");
    let refused = Dataset::decode(DATA, &Manifest::parse(&fewer).unwrap());
    assert_eq!(refused, Err(DatasetError::Label(9)));
}
