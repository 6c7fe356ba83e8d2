//! How an organiser hands a campaign to a running relay: `POST /campaigns`.
//!
//! The header `authorization: Lichen <base64>` has a signed [`Publication`], which the relay checks before it reads a byte of the
//! body. The body is the manifest's length as a big-endian `u32`, the manifest, and the data file.

use lichen_record::{CampaignId, MAX_BLOB, MAX_MANIFEST, Signable};
use serde::{Deserialize, Serialize};

/// What the header begins with.
pub const SCHEME: &str = "Lichen";

/// Longest body, in bytes.
pub const MAX_PUBLISHED: usize = size_of::<u32>() + MAX_MANIFEST + MAX_BLOB;

/// Signed by an organiser: "serve this campaign".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Publication {
    /// The campaign, which its manifest's bytes are named by.
    pub campaign: CampaignId,
    /// The peer id of the relay that is to serve it, as its `lichen.json` has it: no other one is meant.
    pub relay: String,
    /// When it was signed, in milliseconds of Unix time.
    pub issued: u64,
}

impl Signable for Publication {
    const DOMAIN: &'static str = "publication";
}

/// A campaign is longer than one may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a campaign has at most {MAX_MANIFEST} bytes of manifest and {MAX_BLOB} of data")]
pub struct TooLong;

/// The body that hands over a campaign.
///
/// # Errors
/// [`TooLong`] if a relay would not take it.
pub fn body(manifest: &[u8], data: &[u8]) -> Result<Vec<u8>, TooLong> {
    let length = u32::try_from(manifest.len()).ok().filter(|_length| manifest.len() <= MAX_MANIFEST);
    let length = length.filter(|_length| data.len() <= MAX_BLOB).ok_or(TooLong)?;
    Ok([&length.to_be_bytes(), manifest, data].concat())
}

/// The manifest and the data in a body; none where it is cut short, or either is too long.
#[must_use]
pub fn parts(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (manifest, data) = rest.split_at_checked(length)?;
    (manifest.len() <= MAX_MANIFEST && data.len() <= MAX_BLOB).then_some((manifest, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_gives_back_what_it_was_made_of_and_nothing_where_it_is_cut_short() {
        for (manifest, data) in [(&b"a manifest"[..], &b"data"[..]), (b"", b""), (b"a manifest", b"")] {
            let made = body(manifest, data).unwrap();
            assert_eq!(parts(&made), Some((manifest, data)));
        }
        let made = body(b"a manifest", b"").unwrap();
        assert!((0..made.len()).all(|length| parts(&made[..length]).is_none()));
        assert_eq!(parts(&[255, 255, 255, 255, 1]), None);
        assert_eq!(body(&vec![0; MAX_MANIFEST + 1], b""), Err(TooLong));
        let long =
            [&(u32::try_from(MAX_MANIFEST).unwrap() + 1).to_be_bytes()[..], &vec![0; MAX_MANIFEST + 2]]
                .concat();
        assert_eq!(parts(&long), None);
    }
}
