//! The committed digits campaign and its data fit together.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use lichen_campaign::Manifest;
use lichen_learn::{Dataset, DatasetError};
use lichen_model::Answers;

const MANIFEST: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");
const DATA: &[u8] = include_bytes!("../../../relay/campaigns/digits/digits.safetensors");

#[test]
fn the_data_is_what_the_manifest_says() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    assert!(manifest.data.cid.matches(DATA));
    let dataset = Dataset::decode(DATA, &manifest).unwrap();
    assert_eq!((dataset.len(), dataset.width()), (1797, 64));
    let (first, label) = dataset.gather(&[0]);
    // The first digit of the published file is a 0; its first rows are 0 0 5 13 9 1 0 0 and 0 0 13 15 10 15 5 0.
    assert_eq!(label, Answers::Labels(vec![0]));
    assert_eq!(&first[..8], [0.0, 0.0, 5.0 / 16.0, 13.0 / 16.0, 9.0 / 16.0, 1.0 / 16.0, 0.0, 0.0]);
    assert_eq!(&first[10..12], [13.0 / 16.0, 15.0 / 16.0]);
    assert_eq!(dataset.gather(&[1797]), (vec![], Answers::Labels(vec![])));
}

#[test]
fn held_out_and_training_samples_show_all_classes() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    let dataset = Dataset::decode(DATA, &manifest).unwrap();
    for indices in [manifest.data.split.held_out(), manifest.data.split.training()] {
        let (values, answers) = dataset.gather(&indices);
        let Answers::Labels(mut labels) = answers else { panic!("{answers:?}") };
        assert_eq!(values.len(), indices.len() * 64);
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels, (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn chosen_samples_are_those_of_the_whole() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    let whole = Dataset::decode(DATA, &manifest).unwrap();
    let held_out = manifest.data.split.first_held_out(7);
    assert_eq!(held_out, [0, 5, 10, 15, 20, 25, 30]);
    let few = Dataset::decode_samples(DATA, &manifest, &held_out).unwrap();
    assert_eq!((few.len(), few.width()), (7, 64));
    assert_eq!(few.gather(&[0, 1, 2, 3, 4, 5, 6]), whole.gather(&held_out));
    assert_eq!(few.gather(&[6, 2]), whole.gather(&[30, 10]));
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
    // What is not 64 numbers cannot be shown as a picture of so many.
    let unshown = &MANIFEST[..MANIFEST.find("[show]").unwrap()];
    let narrower = unshown.replace("input = [64]", "input = [32]");
    let refused = Dataset::decode(DATA, &Manifest::parse(&narrower).unwrap());
    assert_eq!(refused, Err(DatasetError::Shape("x")));
    let image = MANIFEST.replace("input = [64]", "input = [1, 8, 8]");
    let refused = Dataset::decode(DATA, &Manifest::parse(&image).unwrap());
    assert_eq!(refused, Err(DatasetError::Shape("y")), "the model gives an answer for each row");
    let image =
        image.replacen("[[model.layers]]", "[[model.layers]]\nkind = \"flatten\"\n[[model.layers]]", 1);
    assert!(Dataset::decode(DATA, &Manifest::parse(&image).unwrap()).is_ok());
}

/// A file of tensors given by type, shape and bytes.
fn file(tensors: [(&str, &str, &[usize], Vec<u8>); 2]) -> Vec<u8> {
    let (mut entries, mut data) = (Vec::new(), Vec::new());
    for (name, element, shape, bytes) in tensors {
        let start = data.len();
        data.extend(bytes);
        let end = data.len();
        entries.push(format!(
            r#""{name}":{{"dtype":"{element}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
        ));
    }
    let mut header = format!("{{{}}}", entries.join(","));
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    [(header.len() as u64).to_le_bytes().to_vec(), header.into_bytes(), data].concat()
}

fn floats(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(f32::to_le_bytes).collect()
}

/// The digits manifest with another model, number of samples and kind of answers.
fn other(samples: usize, model: &str) -> Manifest {
    let (start, end) = (MANIFEST.find("[model]").unwrap(), MANIFEST.find("[train]").unwrap());
    // Other models take other numbers: pictures of them cannot be shown.
    let end_of_train = MANIFEST.find("[show]").unwrap();
    let text = format!("{}{model}\n{}", &MANIFEST[..start], &MANIFEST[end..end_of_train]);
    let text = text.replace("samples = 1797", &format!("samples = {samples}"));
    let text = text.replace("shard = 480", "shard = 16").replace("batch = 32", "batch = 4");
    let text = text.replace("target_accuracy = 0.95\n", "").replace("scale = 0.0625", "scale = 1.0");
    let text = if model.contains("cross-entropy") && model.contains("softmax") {
        text
    } else {
        text.replace("classes = 10\n", "")
    };
    Manifest::parse(&text).unwrap()
}

#[test]
fn answers_may_be_numbers() {
    for loss in ["mean-squared-error", "mean-absolute-error", "huber", "binary-cross-entropy"] {
        let model = format!(
            "[model]\ninput = [3]\nloss = \"{loss}\"\n[[model.layers]]\nkind = \"dense\"\nunits = 2\n"
        );
        let manifest = other(20, &model);
        let x = || ("x", "F32", &[20, 3][..], floats((0..60).map(|i| i as f32)));
        let y = ("y", "F32", &[20, 2][..], floats((0..40).map(|i| i as f32 / 40.0)));
        let data = Dataset::decode(&file([x(), y]), &manifest).unwrap();
        let answers = Answers::Values(vec![0.1, 0.125, 0.0, 0.025]);
        assert_eq!(data.gather(&[2, 0]), (vec![6.0, 7.0, 8.0, 0.0, 1.0, 2.0], answers));
        let narrow = ("y", "F32", &[20, 1][..], floats((0..20).map(|i| i as f32)));
        assert_eq!(Dataset::decode(&file([x(), narrow]), &manifest), Err(DatasetError::Shape("y")));
        let broken = ("y", "F32", &[20, 2][..], floats((0..40).map(|i| 1.0 / (i as f32 - 5.0))));
        assert_eq!(Dataset::decode(&file([x(), broken]), &manifest), Err(DatasetError::NotFinite(2)));
    }
}

#[test]
fn every_position_of_a_text_has_a_label_or_none() {
    let model = "[model]\ninput = [4]\nloss = \"softmax-cross-entropy\"\nignore_label = 4294967295\n\
                 [[model.layers]]\nkind = \"embedding\"\nvocabulary = 10\nwidth = 8\n\
                 [[model.layers]]\nkind = \"dense\"\nunits = 10\n";
    let (any, torch) = (other(20, model), other(20, &model.replace("4294967295", "-100")));
    let numbers = |number: fn(i64) -> i64| (0..80).flat_map(|i| number(i).to_le_bytes()).collect::<Vec<u8>>();
    let short = |number: fn(i32) -> i32| (0..80).flat_map(|i| number(i).to_le_bytes()).collect::<Vec<u8>>();
    let x = || ("x", "I64", &[20, 4][..], numbers(|i| i % 10));
    let long = || ("y", "I64", &[20, 4][..], numbers(|i| if i % 4 == 0 { -100 } else { i % 10 }));
    let y = || ("y", "I32", &[20, 4][..], short(|i| if i % 4 == 0 { -100 } else { i % 10 }));
    for (manifest, y) in [(&any, long()), (&any, y()), (&torch, long()), (&torch, y())] {
        let data = Dataset::decode(&file([x(), y]), manifest).unwrap();
        let (tokens, labels) = data.gather(&[1]);
        assert_eq!((tokens, labels), (vec![4.0, 5.0, 6.0, 7.0], Answers::Labels(vec![u32::MAX, 5, 6, 7])));
    }
    let y = || ("y", "I64", &[20, 4][..], numbers(|i| if i == 9 { 10 } else { 0 }));
    assert_eq!(Dataset::decode(&file([x(), y()]), &any), Err(DatasetError::Label(2)));
    let y = || ("y", "I64", &[20, 4][..], numbers(|i| if i == 9 { -1 } else { 0 }));
    assert!(Dataset::decode(&file([x(), y()]), &any).is_ok());
    assert_eq!(Dataset::decode(&file([x(), y()]), &torch), Err(DatasetError::Label(2)));
}

#[test]
fn a_label_that_is_no_class_is_refused() {
    let fewer = MANIFEST.replace("classes = 10", "classes = 9").replace("units = 10", "units = 9");
    let fewer = fewer.replace("\"8\", \"9\"]", "\"8\"]");
    let refused = Dataset::decode(DATA, &Manifest::parse(&fewer).unwrap());
    assert_eq!(refused, Err(DatasetError::Label(9)));
}
