//! What every encoding keeps, and what its reader refuses.

use alloc::vec;

use lichen_record::{MAX_BLOB, encode};
use proptest::prelude::*;
use serde::Serialize;

use super::*;
use crate::update::BlockFault;

const DENSE: Codec = Codec::new(Encoding::Dense);
const INT8: Codec = Codec::new(Encoding::Int8);
const SIGN: Codec = Codec::new(Encoding::Sign);
const ALL: [Codec; 5] =
    [DENSE, INT8, SIGN, Codec::new(Encoding::Sparse { keep: 64 }), Codec::new(Encoding::Sparse { keep: 3 })];

fn sparse(keep: u16) -> Codec {
    Codec::new(Encoding::Sparse { keep })
}

fn update(values: &[f32]) -> Update {
    Update::new(values.to_vec()).unwrap()
}

fn blob(encoding: &str, count: u64, data: &[u8]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Blob<'a> {
        encoding: &'a str,
        count: u64,
        #[serde(with = "serde_bytes")]
        data: &'a [u8],
    }
    encode(&Blob { encoding, count, data }).unwrap()
}

fn bits(update: &Update) -> Vec<u32> {
    update.values().iter().map(|value| value.to_bits()).collect()
}

#[test]
fn dense_bytes_are_as_documented() {
    let bytes = update(&[1.0, -2.0]).encode().unwrap();
    let mut expected = vec![0xa3, 0x64];
    expected.extend(b"data");
    expected.extend([0x48, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0x65]);
    expected.extend(b"count");
    expected.extend([0x02, 0x68]);
    expected.extend(b"encoding");
    expected.push(0x6c);
    expected.extend(b"dense-f32-le");
    assert_eq!(bytes, expected);
    assert_eq!(DENSE.encode(&update(&[1.0, -2.0])).unwrap().bytes, expected);
}

#[test]
fn a_step_is_the_nearest_one_and_halves_go_to_the_even_one() {
    let packed = INT8.encode(&update(&[127.0, -127.0, 0.5, 1.5, -2.5, 0.4, 0.0])).unwrap();
    assert_eq!(packed.update.values(), [127.0, -127.0, 0.0, 2.0, -2.0, 0.0, 0.0]);
    let data = [&1f32.to_le_bytes()[..], &[127, 129, 0, 2, 254, 0, 0]].concat();
    assert_eq!(packed.bytes, blob("int8-256", 7, &data));
}

#[test]
fn a_sign_takes_a_bit_and_the_scale_is_the_mean_of_the_sizes() {
    let packed = SIGN.encode(&update(&[1.0, -2.0, 0.0, -3.0, 1.5, 1.5, 1.5, 1.5, -1.5])).unwrap();
    assert_eq!(packed.update.values(), [1.5, -1.5, 1.5, -1.5, 1.5, 1.5, 1.5, 1.5, -1.5]);
    let data = [&1.5f32.to_le_bytes()[..], &[0b1010, 1]].concat();
    assert_eq!(packed.bytes, blob("sign-4096", 9, &data));
}

#[test]
fn the_largest_values_are_kept_and_of_equal_ones_the_earlier() {
    let mut values = vec![0.25; 5000];
    values[4096] = -8.0;
    values[4999] = 2.0;
    values[7] = -1.0;
    let packed = sparse(3).encode(&update(&values)).unwrap();
    let mut expected = vec![0.0; 5000];
    for (index, value) in [(0, 0.25), (1, 0.25), (7, -1.0), (4096, -8.0), (4097, 0.25), (4999, 2.0)] {
        expected[index] = value;
    }
    assert!(packed.update.values() == expected);
    // Places 0, 1 and 7 in 12 bits each, then levels 2, 2 and 0 in 2 bits each.
    let places = [0x00, 0x10, 0x00, 0x07, 0b1010_0000, 0b00];
    let start = packed.bytes.windows(places.len()).position(|window| window == places);
    assert!(start.is_some(), "{:x?}", packed.bytes);
}

#[test]
fn four_levels_leave_less_than_the_means_of_four_parts() {
    // As the largest of many are: far from zero on both sides, few of them very far.
    let size = |n: u8| 2.0 + 2.0 * (f32::from(n) / 64.0).powi(3);
    let values: Vec<f32> = (1u8..=64).map(|n| if n % 2 == 0 { size(n) } else { -size(n) }).collect();
    let packed = sparse(64).encode(&update(&values)).unwrap();
    let error = |read: &dyn Fn(usize) -> f32| -> f32 {
        values.iter().enumerate().map(|(index, value)| (value - read(index)).powi(2)).sum()
    };
    let least = values.iter().copied().fold(f32::MAX, f32::min);
    let most = values.iter().copied().fold(f32::MIN, f32::max);
    let ends = [0.25, 0.5, 0.75].map(|share| least + share * (most - least));
    let part = |value: f32| ends.iter().filter(|end| value >= **end).count();
    let mean = |of: usize| {
        let same: Vec<f32> = values.iter().copied().filter(|value| part(*value) == of).collect();
        same.iter().sum::<f32>() / same.len().max(1) as f32
    };
    let by_parts = error(&|index| mean(part(values[index])));
    let by_levels = error(&|index| packed.update.values()[index]);
    assert!(by_levels < 0.5 * by_parts, "{by_levels} {by_parts}");
}

#[test]
fn a_model_of_a_million_takes_what_is_said() {
    let bytes = |codec: Codec| {
        let values = (0..1_000_000).map(|index| (index % 1013) as f32 - 500.0).collect();
        let packed = codec.encode(&Update::new(values).unwrap()).unwrap();
        let framed = packed.bytes.len() - codec.data_len(1_000_000);
        assert!(framed < 64, "{framed}");
        packed.bytes.len() as f64 * 8.0 / 1e6
    };
    assert!(bytes(DENSE) < 32.001);
    assert!(bytes(INT8) < 8.13);
    assert!(bytes(SIGN) < 1.01);
    assert!(bytes(sparse(64)) < 0.25, "{}", bytes(sparse(64)));
}

#[test]
fn an_end_of_numbers_stays_finite() {
    for codec in ALL {
        for values in
            [[f32::MAX, f32::MIN], [f32::MAX, 1.0], [1e-45, -1e-45], [f32::MIN_POSITIVE, 0.0], [0.0; 2]]
        {
            let packed = codec.encode(&update(&values)).unwrap();
            assert_eq!(codec.decode(&packed.bytes, 2).unwrap(), packed.update, "{codec:?} {values:?}");
        }
        let empty = codec.encode(&update(&[])).unwrap();
        assert_eq!(codec.decode(&empty.bytes, 0).unwrap().values(), [0f32; 0]);
    }
}

#[test]
fn values_that_are_not_finite_are_refused() {
    for hostile in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let data = [1f32.to_le_bytes(), hostile.to_le_bytes()].concat();
        let refused = DENSE.decode(&blob("dense-f32-le", 2, &data), 2);
        assert_eq!(refused, Err(UpdateError::NotFinite { index: 1 }));
        let scale = UpdateError::Block { block: 0, fault: BlockFault::Scale };
        let data = [&hostile.to_le_bytes()[..], &[1]].concat();
        assert_eq!(INT8.decode(&blob("int8-256", 1, &data), 1), Err(scale.clone()));
        assert_eq!(SIGN.decode(&blob("sign-4096", 1, &data), 1), Err(scale.clone()));
        let half = (hostile.to_bits() >> 16) as u16;
        let data = [&half.to_le_bytes()[..], &[0; 8]].concat();
        assert_eq!(sparse(1).decode(&blob("sparse-4096", 1, &data), 1), Err(scale));
    }
    let large = [&f32::MAX.to_le_bytes()[..], &[2]].concat();
    let refused = INT8.decode(&blob("int8-256", 1, &large), 1);
    assert_eq!(refused, Err(UpdateError::NotFinite { index: 0 }));
}

#[test]
fn a_block_that_nobody_packs_so_is_refused() {
    let of = |codec: Codec, count: usize, data: &[u8]| {
        codec.decode(&blob(codec.name(), count as u64, data), count)
    };
    let fault = |fault| Err(UpdateError::Block { block: 0, fault });
    let scaled = |scale: f32, rest: &[u8]| [&scale.to_le_bytes()[..], rest].concat();
    assert_eq!(of(INT8, 1, &scaled(-1.0, &[1])), fault(BlockFault::Scale));
    assert_eq!(of(INT8, 1, &scaled(1.0, &[0x80])), fault(BlockFault::Step));
    assert_eq!(of(SIGN, 1, &scaled(-0.0, &[1])), fault(BlockFault::Scale));
    assert!(of(SIGN, 3, &scaled(1.0, &[0b111])).is_ok());
    assert_eq!(of(SIGN, 3, &scaled(1.0, &[0b1000])), fault(BlockFault::Padding));
    let places = |bytes: [u8; 4]| [&[0; 8][..], &bytes].concat();
    // Two places of 12 bits, two levels of 2 bits, and four bits that stay empty.
    assert!(of(sparse(2), 3, &places([0x00, 0x20, 0x00, 0b0110])).is_ok());
    assert_eq!(of(sparse(2), 3, &places([0x00, 0x20, 0x00, 0x10])), fault(BlockFault::Padding));
    assert_eq!(of(sparse(2), 3, &places([0x01, 0x10, 0x00, 0])), fault(BlockFault::Place), "the same twice");
    assert_eq!(of(sparse(2), 3, &places([0x02, 0x10, 0x00, 0])), fault(BlockFault::Place), "downwards");
    assert_eq!(of(sparse(2), 3, &places([0x00, 0x30, 0x00, 0])), fault(BlockFault::Place), "outside");
    let second = [scaled(1.0, &[0; 256]), scaled(1.0, &[0x80])].concat();
    let refused = of(INT8, 257, &second);
    assert_eq!(refused, Err(UpdateError::Block { block: 1, fault: BlockFault::Step }));
}

#[test]
fn another_number_of_values_is_refused() {
    let eight = [0; 8];
    let of = |count, data: &[u8]| DENSE.decode(&blob("dense-f32-le", count, data), 2);
    assert_eq!(of(3, &eight), Err(UpdateError::Count { expected: 2, actual: 3 }));
    assert_eq!(of(2, &[0; 9]), Err(UpdateError::Length { expected: 8, actual: 9 }));
    assert_eq!(of(u64::MAX, &eight), Err(UpdateError::Count { expected: 2, actual: u64::MAX }));
    for codec in ALL {
        let bytes = codec.encode(&update(&vec![0.5; 5000])).unwrap().bytes;
        let refused = codec.decode(&bytes, 5001);
        assert_eq!(refused, Err(UpdateError::Count { expected: 5001, actual: 5000 }));
        let name = codec.name();
        for data in [vec![], vec![0; codec.data_len(5000) - 1], vec![0; codec.data_len(5000) + 1]] {
            let refused = codec.decode(&blob(name, 5000, &data), 5000);
            assert!(matches!(refused, Err(UpdateError::Length { .. })), "{codec:?} {refused:?}");
        }
    }
    assert!(matches!(
        sparse(64).decode(&sparse(32).encode(&update(&[0.5; 99])).unwrap().bytes, 99),
        Err(UpdateError::Length { .. })
    ));
}

#[test]
fn a_model_that_no_bytes_are_there_for_takes_no_memory() {
    for codec in ALL {
        let refused = codec.decode(&blob(codec.name(), u64::MAX, &[0; 8]), usize::MAX);
        assert!(matches!(refused, Err(UpdateError::Length { .. })), "{codec:?} {refused:?}");
    }
}

#[test]
fn another_encoding_than_the_campaigns_is_refused() {
    for ours in ALL {
        let other = |other: &Codec| other.name() != ours.name();
        for theirs in ALL.iter().filter(|codec| other(codec)) {
            let bytes = theirs.encode(&update(&[0.5; 9])).unwrap().bytes;
            let (expected, actual) = (ours.name(), theirs.name().into());
            assert_eq!(ours.decode(&bytes, 9), Err(UpdateError::Encoding { expected, actual }));
        }
    }
    let refused = DENSE.decode(&blob(&"z".repeat(99), 1, &[0; 4]), 1);
    assert_eq!(refused, Err(UpdateError::Encoding { expected: "dense-f32-le", actual: "z".repeat(32) }));
}

#[test]
fn what_is_longer_than_allowed_is_refused() {
    let bytes = update(&[3.0, -4.0]).encode().unwrap();
    assert!(DENSE.decode_within(&bytes, 2, 5.0).is_ok());
    let refused = DENSE.decode_within(&bytes, 2, 4.999);
    assert_eq!(refused, Err(UpdateError::TooLong { norm: 5.0, max_norm: 4.999 }));
}

#[test]
fn what_rounding_makes_longer_is_packed_shorter() {
    // Just above half a step each, all of which become whole ones.
    let mut values = vec![0.501; 256];
    values[0] = 127.0;
    let mut long = vec![0.6; 4096];
    long[0] = 127.0;
    for (values, bound) in [(&values, 127.3), (&long, 133.0)] {
        let norm = update(values).norm();
        assert!(norm <= bound && INT8.encode(&update(values)).unwrap().update.norm() > bound, "{norm}");
        let packed = INT8.encode_within(&update(values), bound).unwrap();
        assert!(
            packed.update.norm() <= bound && packed.update.norm() > bound * 0.8,
            "{}",
            packed.update.norm()
        );
    }
}

#[test]
fn more_bytes_than_a_blob_may_have_are_refused() {
    let refused = DENSE.decode(&vec![0; MAX_BLOB + 1], 1);
    assert!(matches!(refused, Err(UpdateError::Decode(_))));
}

fn finite() -> impl Strategy<Value = f32> {
    proptest::num::f32::NORMAL | proptest::num::f32::ZERO | proptest::num::f32::SUBNORMAL
}

/// An update over the ends of blocks, from few numbers.
fn wide() -> impl Strategy<Value = Vec<f32>> {
    (proptest::collection::vec(finite(), 1..40), 1usize..9000)
        .prop_map(|(values, count)| values.iter().copied().cycle().take(count).collect())
}

fn any_codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(ALL.to_vec())
}

proptest! {
    #[test]
    fn what_is_packed_is_what_is_read(values in proptest::collection::vec(finite(), 0..300), codec in any_codec()) {
        let packed = codec.encode(&update(&values)).unwrap();
        let read = codec.decode(&packed.bytes, values.len()).unwrap();
        prop_assert_eq!(bits(&read), bits(&packed.update));
        if codec == DENSE {
            prop_assert_eq!(bits(&read), bits(&update(&values)));
        }
    }

    #[test]
    fn blocks_end_where_values_do(values in wide(), codec in any_codec()) {
        let packed = codec.encode(&update(&values)).unwrap();
        let read = codec.decode(&packed.bytes, values.len()).unwrap();
        prop_assert_eq!(bits(&read), bits(&packed.update));
        let longest = values.iter().fold(0f32, |longest, value| longest.max(value.abs()));
        prop_assert!(read.values().iter().all(|value| value.abs() <= longest * 1.01 || longest < 1e-30));
    }

    #[test]
    fn eight_bits_are_within_half_a_step(values in proptest::collection::vec(-1e3f32..1e3, 1..300)) {
        let read = INT8.encode(&update(&values)).unwrap().update;
        for (block, read) in values.chunks(256).zip(read.values().chunks(256)) {
            let step = block.iter().fold(0f32, |largest, value| largest.max(value.abs())) / 127.0;
            for (value, read) in block.iter().zip(read) {
                prop_assert!((value - read).abs() <= step * 0.501, "{value} {read} {step}");
            }
        }
    }

    #[test]
    fn a_changed_bit_is_refused_or_read_as_numbers(values in wide(), codec in any_codec(), at in any::<prop::sample::Index>(), with in 1u8..) {
        let mut bytes = codec.encode(&update(&values)).unwrap().bytes;
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        if let Ok(changed) = codec.decode(&bytes, values.len()) {
            prop_assert_eq!(changed.values().len(), values.len());
            prop_assert!(changed.values().iter().all(|value| value.is_finite()));
            if codec == DENSE {
                prop_assert_eq!(changed.encode().unwrap(), bytes);
            }
        }
    }

    #[test]
    fn any_data_is_refused_or_read_as_numbers(data in proptest::collection::vec(any::<u8>(), 60), count in 1usize..40, codec in any_codec()) {
        let data = &data[..codec.data_len(count).min(60)];
        if let Ok(update) = codec.decode(&blob(codec.name(), count as u64, data), count) {
            prop_assert!(update.values().iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), count in 0usize..8, codec in any_codec()) {
        let _refused_most_often = codec.decode(&bytes, count);
    }

    #[test]
    fn a_truncated_update_is_refused(values in proptest::collection::vec(-1e3f32..1e3, 1..20), codec in any_codec(), at in any::<prop::sample::Index>()) {
        let bytes = codec.encode(&update(&values)).unwrap().bytes;
        let kept = at.index(bytes.len());
        prop_assert!(codec.decode(&bytes[..kept], values.len()).is_err());
    }

    #[test]
    fn what_is_packed_within_a_bound_is_within_it(values in proptest::collection::vec(finite(), 1..600), codec in any_codec(), bound in 1e-6f64..1e12) {
        let packed = codec.encode_within(&update(&values), bound).unwrap();
        prop_assert!(codec.decode_within(&packed.bytes, values.len(), bound).is_ok());
    }
}
