//! A round whose updates are measured settles with the same bytes everywhere: golden ids, checked natively and in the browser.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use futures::executor::block_on;
use lichen_campaign::Manifest;
use lichen_learn::{Dataset, Update};
use lichen_model::initial_parameters;
use lichen_record::Cid;
use lichen_settle::{Settler, guarded};

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

const SHIPPED: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");
const DATA: &[u8] = include_bytes!("../../../relay/campaigns/digits/digits.safetensors");

/// The shipped manifest without its tables on aggregation and audits, so that others may follow.
fn plain() -> &'static str {
    SHIPPED.split("[aggregation]").next().unwrap()
}

/// Taken natively.
const SETTLED: [(&str, &str); 2] = [
    ("zeno", "bafkreicqmnllweuok35n2drl73wcrfcgn2vnlfi5kvyr46wqsam7jgwdpa"),
    ("fltrust", "bafkreiclz5pzgsucyghmp6uth2hqsilnmmfftcorplxgu2nyhqznmslepq"),
];

/// An update that follows from its number.
fn update(number: u32, elements: usize) -> Update {
    let value = |index: u32| {
        let bits = (index + 1).wrapping_mul(2_654_435_761).wrapping_mul(number + 1) >> 7 & 0xff;
        f32::from(u8::try_from(bits).unwrap()) / 8192.0 - 0.015_625
    };
    Update::new((0..).map(value).take(elements).collect()).unwrap()
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn what_a_round_of_measured_updates_settles_with_is_golden() {
    let settled = |rule: &str| {
        let manifest = Manifest::parse(&format!("{}\n[aggregation]\nrule = \"{rule}\"\n", plain())).unwrap();
        let data = Dataset::decode_samples(DATA, &manifest, &guarded(&manifest)).unwrap();
        let mut settler = Settler::new(&manifest, data).unwrap();
        let base = initial_parameters(&manifest.model, manifest.rounds.seed).unwrap();
        let bytes = base.to_safetensors();
        let mut aggregation = settler.aggregation(&bytes).unwrap();
        for number in 0..7 {
            assert!(aggregation.add(480, &update(number, base.elements()).encode().unwrap()));
        }
        block_on(settler.settle(&Cid::of_raw(&bytes), None, aggregation, async || {}))
            .unwrap()
            .result
            .to_string()
    };
    let found = SETTLED.map(|(rule, _id)| (rule, settled(rule)));
    assert_eq!(found, SETTLED.map(|(rule, id)| (rule, String::from(id))));
}
