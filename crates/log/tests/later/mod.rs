//! A record as only a later version of this program knows it; the tests of whoever reads a log take it in.

use lichen_log::{Head, Record};
use lichen_record::{CampaignId, Cid, Entry, Signable, SigningKey};
use serde::{Deserialize, Serialize};

/// An entry of a kind that there is not yet.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Later {
    Decorated { campaign: CampaignId },
}

impl Signable for Later {
    const DOMAIN: &'static str = <Entry as Signable>::DOMAIN;
}

/// The record of such an entry, rightly signed and next in the log, and the head after it.
pub(crate) fn record(key: &SigningKey, head: &Head, time: u64) -> (Record, Head) {
    let entry = key.sign(&Later::Decorated { campaign: head.campaign }).unwrap();
    let (index, digest) = (head.length, Cid::of_raw(&entry));
    let parts: [&[u8]; 5] =
        [b"lichen/log/v1\0", &head.hash, &index.to_be_bytes(), &time.to_be_bytes(), digest.digest()];
    let hash = *Cid::of_raw(&parts.concat()).digest();
    (Record { index, time, entry, hash }, Head { campaign: head.campaign, length: index + 1, hash })
}
