//! Bytes of packed values, without the zeros where these are many.
//!
//! The difference of a round's result from its base has few values that are not 0 where updates are sparse and few. So a block
//! whose scale has a minus before it holds a bit for every value, and a byte only for those that are not 0. It is packed so
//! where that is shorter, and never otherwise.

use alloc::vec::Vec;

use super::int8::{BLOCK, SCALE};
use crate::update::{BlockFault, UpdateError};

/// The name of the encoding in the blob.
pub(super) const NAME: &str = "int8-256-zeros";

/// The bit of a scale's last byte that makes it negative.
const MINUS: u8 = 0x80;

/// Leaves zeros out of what [`super::int8::pack`] gives.
pub(super) fn leave_out(data: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(data.len());
    for block in data.chunks(SCALE + BLOCK) {
        let (scale, steps) = block.split_at_checked(SCALE).unwrap_or_default();
        packed.extend_from_slice(scale);
        if !is_shorter(steps) {
            packed.extend_from_slice(steps);
            continue;
        }
        if let Some(last) = packed.last_mut() {
            *last |= MINUS;
        }
        for eight in steps.chunks(8) {
            let bits = (0..).zip(eight).map(|(place, step)| u8::from(*step != 0) << place);
            packed.push(bits.fold(0, |byte, bit| byte | bit));
        }
        packed.extend(steps.iter().filter(|step| **step != 0));
    }
    packed
}

/// Puts the zeros back that were left out of so many values, which come from outside.
pub(super) fn put_back(packed: &[u8], count: usize) -> Result<Vec<u8>, UpdateError> {
    let too_short = || UpdateError::Length { expected: packed.len() as u64 + 1, actual: packed.len() };
    // No block of bits is less than an eighth of what it stands for: what is not there takes no memory.
    let most = packed.len().saturating_mul(8);
    let mut data = Vec::with_capacity(super::int8::len(count).min(most));
    let (mut rest, mut left) = (packed, count);
    for block in 0.. {
        if left == 0 {
            break;
        }
        let values = left.min(BLOCK);
        left -= values;
        let fault = |fault| UpdateError::Block { block, fault };
        let (scale, after) = rest.split_first_chunk::<SCALE>().ok_or_else(too_short)?;
        let [first, second, third, last] = *scale;
        data.extend([first, second, third, last & !MINUS]);
        let begin = data.len();
        if last & MINUS == 0 {
            let (steps, after) = after.split_at_checked(values).ok_or_else(too_short)?;
            data.extend_from_slice(steps);
            rest = after;
        } else {
            let (bits, mut after) = after.split_at_checked(values.div_ceil(8)).ok_or_else(too_short)?;
            let is_set = |place: usize| bits.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1);
            for place in 0..values {
                let mut step = 0;
                if is_set(place) {
                    (step, after) =
                        after.split_first().map(|(step, after)| (*step, after)).ok_or_else(too_short)?;
                    if step == 0 {
                        return Err(fault(BlockFault::Form));
                    }
                }
                data.push(step);
            }
            if (values..bits.len() * 8).any(is_set) {
                return Err(fault(BlockFault::Padding));
            }
            rest = after;
        }
        let steps = data.get(begin..).unwrap_or_default();
        if is_shorter(steps) != (last & MINUS != 0) {
            return Err(fault(BlockFault::Form));
        }
    }
    match rest.len() {
        0 => Ok(data),
        more => Err(UpdateError::Length {
            expected: packed.len().saturating_sub(more) as u64,
            actual: packed.len(),
        }),
    }
}

/// Whether these steps take fewer bytes without their zeros.
fn is_shorter(steps: &[u8]) -> bool {
    let others = steps.iter().filter(|step| **step != 0).count();
    steps.len().div_ceil(8) + others < steps.len()
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::super::int8;
    use super::*;

    proptest! {
        #[test]
        fn what_is_left_out_is_put_back(
            values in proptest::collection::vec(prop_oneof![3 => Just(0f32), 1 => -1f32..1.0], 0..800),
        ) {
            let (data, _read) = int8::pack(&values);
            let packed = leave_out(&data);
            prop_assert!(packed.len() <= data.len());
            prop_assert_eq!(put_back(&packed, values.len()).unwrap(), data);
        }

        #[test]
        fn whatever_is_accepted_is_in_its_one_form(
            values in proptest::collection::vec(prop_oneof![3 => Just(0f32), 1 => -1f32..1.0], 1..600),
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
            cut in 0usize..3,
        ) {
            let mut packed = leave_out(&int8::pack(&values).0);
            for (place, byte) in changes {
                let place = place.index(packed.len());
                packed[place] = byte;
            }
            packed.truncate(packed.len() - cut.min(packed.len()));
            if let Ok(data) = put_back(&packed, values.len()) {
                prop_assert_eq!(leave_out(&data), packed);
            }
        }
    }

    #[test]
    fn a_block_of_zeros_takes_an_eighth() {
        let (data, _read) = int8::pack(&vec![0.0; 256]);
        let packed = leave_out(&data);
        assert_eq!(packed.len(), 4 + 32);
        assert_eq!(put_back(&packed, 256), Ok(data));
    }

    #[test]
    fn other_forms_are_refused() {
        let fault = |fault| Err(UpdateError::Block { block: 0, fault });
        let scale = 1f32.to_le_bytes();
        let minus = (-1f32).to_le_bytes();
        let zeros = [&scale[..], &[0; 16]].concat();
        assert_eq!(put_back(&zeros, 16), fault(BlockFault::Form), "zeros that take too much");
        let all = [&minus[..], &[0xff, 0xff], &[1; 16]].concat();
        assert_eq!(put_back(&all, 16), fault(BlockFault::Form), "bits that need not be");
        let named = [&minus[..], &[0x01, 0x00], &[0]].concat();
        assert_eq!(put_back(&named, 16), fault(BlockFault::Form), "a zero that is named");
        let after = [&minus[..], &[0x01, 0x80], &[1]].concat();
        assert_eq!(put_back(&after, 15), fault(BlockFault::Padding));
        assert_eq!(put_back(&[&after[..], &[7]].concat(), 15), fault(BlockFault::Padding));
        let good = [&minus[..], &[0x01, 0x00], &[1]].concat();
        assert!(put_back(&good, 16).is_ok());
        for end in 0..good.len() {
            assert!(matches!(put_back(&good[..end], 16), Err(UpdateError::Length { .. })), "{end}");
        }
        let more = [&good[..], &[1]].concat();
        assert_eq!(put_back(&more, 16), Err(UpdateError::Length { expected: 7, actual: 8 }));
    }
}
