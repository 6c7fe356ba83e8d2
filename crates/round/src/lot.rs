//! Draws accounts by lot, the same ones everywhere.

use alloc::vec::Vec;

use lichen_record::{AccountId, Cid};

/// At most so many of these accounts, one after the other, each with a chance in proportion to its weight.
///
/// The accounts must come in an order that is the same for everybody.
pub(crate) fn draw(lot: &Cid, mut accounts: Vec<(AccountId, u32)>, count: usize) -> Vec<AccountId> {
    let mut all: u128 = accounts.iter().map(|(_account, weight)| u128::from(*weight)).sum();
    let mut drawn = Vec::with_capacity(count.min(accounts.len()));
    for turn in 0..count.min(accounts.len()) {
        let mark = mark(lot, turn, all);
        let mut sum = 0;
        let falls_here = |(_account, weight): &(AccountId, u32)| {
            sum += u128::from(*weight);
            mark < sum
        };
        let Some(place) = accounts.iter().position(falls_here) else { break };
        let (account, weight) = accounts.remove(place);
        all -= u128::from(weight);
        drawn.push(account);
    }
    drawn
}

/// A number below the sum of the weights.
fn mark(lot: &Cid, turn: usize, below: u128) -> u128 {
    let turn = u64::try_from(turn).unwrap_or(u64::MAX);
    let digest = *Cid::of_raw(&[&lot.digest()[..], &turn.to_be_bytes()].concat()).digest();
    let number = digest.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    number.checked_rem(below).unwrap_or(0)
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;

    fn account(byte: u8) -> AccountId {
        lichen_record::SigningKey::from_bytes(&[byte; 32]).unwrap().account()
    }

    fn lot(number: u32) -> Cid {
        Cid::of_raw(&number.to_be_bytes())
    }

    #[test]
    fn accounts_are_drawn_in_proportion_to_their_weight() {
        let accounts: Vec<_> = [(1, 1), (2, 2), (3, 5)].map(|(byte, weight)| (account(byte), weight)).into();
        let mut times = [0; 3];
        for number in 0..8000 {
            let drawn = draw(&lot(number), accounts.clone(), 1);
            times[accounts.iter().position(|(who, _weight)| *who == drawn[0]).unwrap()] += 1;
        }
        for (times, expected) in times.into_iter().zip([1000_i32, 2000, 5000]) {
            assert!((times - expected).abs() < 150, "{times} of {expected}");
        }
    }

    #[test]
    fn nobody_is_drawn_twice_and_all_are_drawn_where_they_are_few() {
        let accounts: Vec<_> = (1..=9).map(|byte| (account(byte), 1)).collect();
        for count in 0..12 {
            let mut drawn = draw(&lot(7), accounts.clone(), count);
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), count.min(9));
        }
    }

    #[test]
    fn who_weighs_nothing_is_not_drawn() {
        let accounts = alloc::vec![(account(1), 0), (account(2), 1), (account(3), 0)];
        assert_eq!(draw(&lot(1), accounts, 3), [account(2)]);
    }
}
