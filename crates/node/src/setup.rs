//! A campaign as a node needs it, fetched by its id and verified.

use lichen_bridge::{Problem, Relay};
use lichen_campaign::Manifest;
use lichen_learn::{Codec, check_model, max_norm};
use lichen_model::{Parameters, initial_parameters};
use lichen_record::{CampaignId, Cid, MAX_MANIFEST};
use lichen_round::Rules;
use lichen_store::Blobs;

use crate::Platform;
use crate::showing::Showing;

/// A campaign as its verified manifest describes it.
pub(crate) struct Setup {
    pub(crate) campaign: CampaignId,
    pub(crate) manifest: Manifest,
    /// The manifest as it was written.
    pub(crate) bytes: Vec<u8>,
    pub(crate) rules: Rules,
    /// The model as people are shown it.
    pub(crate) showing: Showing,
    /// The largest norm that an update may have.
    pub(crate) max_norm: f64,
}

impl Setup {
    /// Gets the manifest that the relay's description names, from this device or from the relay, and checks it.
    pub(crate) async fn read<P: Platform>(platform: &P, relay: &Relay) -> Result<Self, Problem> {
        let campaign: CampaignId = relay.campaign.parse().map_err(|error| invalid(&error))?;
        let bytes = match platform.blobs().get(&campaign.0).await {
            Ok(Some(bytes)) => bytes,
            // A store that fails is no reason to stop: everything in it can be fetched.
            Ok(None) | Err(_) => fetch_manifest(platform, &campaign).await?,
        };
        let manifest = Manifest::from_bytes(&bytes).map_err(|error| unread(&error))?;
        let rules = Rules::from(&manifest);
        let max_norm = max_norm(&manifest).map_err(|error| invalid(&error))?;
        Ok(Self { campaign, manifest, bytes, rules, max_norm, showing: Showing::default() })
    }

    /// What updates are packed by.
    pub(crate) const fn codec(&self) -> Codec {
        Codec::new(self.manifest.update.encoding)
    }

    /// The model that the campaign begins with, and its content id.
    pub(crate) fn initial(&self) -> Result<(Cid, Parameters), Problem> {
        let parameters = initial_parameters(&self.manifest.model, self.manifest.rounds.seed)
            .map_err(|error| invalid(&error))?;
        Ok((Cid::of_raw(&parameters.to_safetensors()), parameters))
    }

    /// Most bytes that an update or a checkpoint of this campaign takes.
    pub(crate) fn longest_blob(&self) -> Result<usize, Problem> {
        let size =
            check_model(&self.manifest.model, &self.manifest.train).map_err(|error| invalid(&error))?;
        Ok(size.blob)
    }

    /// What the page shows of the campaign.
    pub(crate) fn describe(&self) -> lichen_bridge::Campaign {
        lichen_bridge::Campaign { id: self.campaign, card: self.manifest.card() }
    }
}

async fn fetch_manifest<P: Platform>(platform: &P, campaign: &CampaignId) -> Result<Vec<u8>, Problem> {
    let bytes = platform.manifest(campaign).await?;
    if bytes.len() > MAX_MANIFEST || !campaign.0.matches(&bytes) {
        return Err(invalid(&"it is not the one the relay names"));
    }
    // Fetched again next time if it cannot be kept.
    let _kept = platform.blobs().put(&campaign.0, &bytes).await;
    Ok(bytes)
}

/// The description may say what only later programs know.
fn unread(error: &dyn std::fmt::Display) -> Problem {
    Problem {
        remedy: "This page may be older than the campaign: reload it. If that does not help, tell the people who run this \
            site; nothing has been started on your device."
            .into(),
        ..invalid(error)
    }
}

fn invalid(error: &dyn std::fmt::Display) -> Problem {
    Problem {
        message: format!("The campaign's description cannot be used: {error}."),
        remedy: "Tell the people who run this site; nothing has been started on your device.".into(),
    }
}
