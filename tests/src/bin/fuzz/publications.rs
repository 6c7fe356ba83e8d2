//! What hands a campaign to a running relay.

#![expect(clippy::unwrap_used, reason = "a target panics to report a finding")]

use lichen_net::publishing::{Publication, body, parts};
use lichen_record::{CampaignId, MAX_ENTRY};

use crate::targets::Target;

pub(crate) fn publication() -> Publication {
    Publication { campaign: CampaignId::of_manifest(b"a campaign"), relay: "12D3KooW".into(), issued: 1 }
}

/// The manifest and the data: what is accepted is made of its parts again.
pub(crate) fn bodies() -> Target {
    Target {
        name: "published-campaign",
        cap: 2 * MAX_ENTRY,
        valid: vec![body(b"a manifest", b"data").unwrap(), body(b"a manifest", b"").unwrap()],
        accepts: Box::new(|input| match parts(input) {
            None => false,
            Some((manifest, data)) => {
                assert_eq!(body(manifest, data).unwrap(), input, "accepted in another form than its own");
                true
            }
        }),
    }
}
