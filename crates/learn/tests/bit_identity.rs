//! The next checkpoint has the same bytes everywhere: one golden id, checked natively and in the browser.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod numbers;

use lichen_learn::{Update, aggregate_checkpoint, difference};
use lichen_model::{Parameters, Tensor};
use lichen_record::Cid;

use numbers::Numbers;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// The golden ids were computed by exact rational arithmetic, rounded once to 64 and then to 32 bits where the
/// documented arithmetic rounds (`tests/bit_identity.py`).
const BASE: &str = "bafkreia6wnequocc2m4qupc6mss3b2otuwrfjq75wtwuqtxmrg4hwyv7j4";
const RESULT: &str = "bafkreiemwwviq4xwunbkp4fc5pvc6ntm7ozfkdglgpybsammwsvraqgpla";
const UPDATES: [&str; 5] = [
    "bafkreibo64ecnukvt2eebmklz5yavgsc4w64xpf5bcmwaer5rzxbmmm5iy",
    "bafkreibdnywq65a2mgukynoklstf5dggbocb6qizuqpeth62lluzd63x3e",
    "bafkreicuhyqkiqefxr3yrpuzs5jvvn6n7g3jqzyngqrtgsrxjxodnikoxi",
    "bafkreieumcnirzxbizshgzvwlvcrkpyrjv5yie5b7lsiod3n3z3e3syfdm",
    "bafkreigvjjvmesbooglmyxhwydep7h7tpdxv6dwofnttsbme4mdj4mfcae",
];

const SHAPES: [(&str, &[usize]); 4] = [
    ("hidden.bias", &[32]),
    ("hidden.weight", &[32, 64]),
    ("output.bias", &[10]),
    ("output.weight", &[10, 32]),
];
const SAMPLES: [u32; 5] = [480, 1, 479, 65_537, 3];

fn parameters(seed: u64) -> Parameters {
    let mut numbers = Numbers(seed);
    let mut parameters = Parameters::new();
    for (name, shape) in SHAPES {
        let data = (0..shape.iter().product()).map(|_| numbers.next()).collect();
        parameters.insert(name.into(), Tensor::new(shape.to_vec(), data).unwrap()).unwrap();
    }
    parameters
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn checkpoint_and_updates_have_their_golden_ids() {
    let base = parameters(1);
    let updates: Vec<Update> = (2..7).map(|seed| difference(&base, &parameters(seed)).unwrap()).collect();
    let blobs: Vec<Vec<u8>> = updates.iter().map(|update| update.encode().unwrap()).collect();
    let base = base.to_safetensors();
    assert_eq!(Cid::of_raw(&base).to_string(), BASE);
    let ids: Vec<String> = blobs.iter().map(|blob| Cid::of_raw(blob).to_string()).collect();
    assert_eq!(ids, UPDATES);

    let accepted: Vec<_> = SAMPLES.into_iter().zip(&blobs).collect();
    let (cid, checkpoint) = aggregate_checkpoint(&base, &accepted, f64::INFINITY).unwrap();
    assert_eq!(cid.to_string(), RESULT);
    assert!(cid.matches(&checkpoint));
}
