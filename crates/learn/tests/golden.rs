//! Packed updates have the same bytes everywhere: those that `golden/updates.py` packs without this crate.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod numbers;

use lichen_campaign::Encoding;
use lichen_learn::{Codec, Update};

use numbers::Numbers;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

const COUNT: usize = 4500;

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn packed_updates_have_their_golden_bytes() {
    let mut numbers = Numbers(9);
    let update = Update::new((0..COUNT).map(|_| numbers.next()).collect()).unwrap();
    for (encoding, golden) in [
        (Encoding::Int8, &include_bytes!("../golden/int8.cbor")[..]),
        (Encoding::Sign, include_bytes!("../golden/sign.cbor")),
        (Encoding::Sparse { keep: 64 }, include_bytes!("../golden/sparse.cbor")),
    ] {
        let codec = Codec::new(encoding);
        let packed = codec.encode(&update).unwrap();
        assert!(packed.bytes == golden, "{encoding:?}");
        assert_eq!(codec.decode(golden, COUNT).unwrap(), packed.update);
    }
}
