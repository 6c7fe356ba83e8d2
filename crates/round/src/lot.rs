//! Draws accounts by lot, the same ones everywhere.

use alloc::vec::Vec;

use lichen_record::{AccountId, Cid, CidHasher, Codec};

/// At most so many of these accounts: those whose hash with the lot is smallest, in the order of these hashes.
pub(crate) fn draw(lot: &Cid, accounts: impl Iterator<Item = AccountId>, count: usize) -> Vec<AccountId> {
    let mut drawn: Vec<_> = accounts.map(|account| (place(lot, &account), account)).collect();
    drawn.sort_unstable();
    drawn.truncate(count);
    drawn.into_iter().map(|(_place, account)| account).collect()
}

/// Where an account stands among those that may be drawn.
fn place(lot: &Cid, account: &AccountId) -> [u8; 32] {
    let mut hash = CidHasher::default();
    hash.update(lot.digest());
    hash.update(account.as_bytes());
    *hash.finish(Codec::Raw).digest()
}
