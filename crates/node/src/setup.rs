use lichen_bridge::Problem;
use lichen_campaign::Manifest;
use lichen_model::{Parameters, initial_parameters};
use lichen_record::{CampaignId, Cid, MAX_BLOB, MAX_MANIFEST};
use lichen_round::Rules;
use lichen_store::Blobs;
use serde::Deserialize;

use crate::Platform;

/// Longest text of `/lichen.json` read, in bytes.
const MAX_RELAY_TEXT: usize = 128 * 1024;

/// Which campaign this is about, and where its relay is: what the page is served with.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RelayInfo {
    /// The relay's multiaddress, ending in its peer id.
    pub(crate) address: String,
    /// Where else it may be reached; tried in turn when it cannot.
    #[serde(default)]
    pub(crate) also: Vec<String>,
    /// The manifest's content id.
    campaign: String,
}

impl RelayInfo {
    /// Reads the text of `/lichen.json`.
    pub(crate) fn read(text: &str) -> Result<Self, Problem> {
        let is_short = text.len() <= MAX_RELAY_TEXT;
        let info = serde_json::from_str(text).ok().filter(|_info| is_short);
        info.ok_or_else(|| Problem {
            message: "The relay describes itself in a way this page does not understand.".into(),
            remedy: "Reload the page; if it happens again, tell the people who run this site.".into(),
        })
    }
}

/// A campaign as its verified manifest describes it.
pub(crate) struct Setup {
    pub(crate) campaign: CampaignId,
    pub(crate) manifest: Manifest,
    pub(crate) rules: Rules,
}

impl Setup {
    /// Gets the manifest that the relay's description names, from this device or from the relay, and checks it.
    pub(crate) async fn read<P: Platform>(platform: &P, info: &RelayInfo) -> Result<Self, Problem> {
        let campaign: CampaignId = info.campaign.parse().map_err(|error| invalid(&error))?;
        let bytes = match platform.blobs().get(&campaign.0).await {
            Ok(Some(bytes)) => bytes,
            // A store that fails is no reason to stop: everything in it can be fetched.
            Ok(None) | Err(_) => fetch_manifest(platform, &campaign).await?,
        };
        let manifest = Manifest::from_bytes(&bytes).map_err(|error| invalid(&error))?;
        let rules = Rules::from(&manifest);
        Ok(Self { campaign, manifest, rules })
    }

    /// The model that the campaign begins with, and its content id.
    pub(crate) fn initial(&self) -> Result<(Cid, Parameters), Problem> {
        let parameters = initial_parameters(&self.manifest.model, self.manifest.rounds.seed)
            .map_err(|error| invalid(&error))?;
        Ok((Cid::of_raw(&parameters.to_safetensors()), parameters))
    }

    /// Most bytes that an update or a checkpoint of this campaign takes.
    pub(crate) fn longest_blob(&self) -> Result<usize, Problem> {
        let (_cid, parameters) = self.initial()?;
        Ok(parameters.to_safetensors().len().saturating_mul(2).saturating_add(64 * 1024).min(MAX_BLOB))
    }

    /// What the page shows of the campaign.
    pub(crate) fn describe(&self) -> lichen_bridge::Campaign {
        let words = &self.manifest.campaign;
        let statement = |statement: lichen_campaign::Statement| lichen_bridge::Statement {
            heading: statement.heading,
            text: statement.text,
        };
        lichen_bridge::Campaign {
            id: self.campaign,
            title: words.title.clone(),
            purpose: words.purpose.clone(),
            organiser: words.organiser.name.clone(),
            contact: words.organiser.contact.clone(),
            licence: words.licence.clone(),
            target: words.target_accuracy.unwrap_or(1.0),
            credit: self.manifest.data.credit.clone(),
            statements: self.manifest.explain().into_iter().map(statement).collect(),
            rounds: self.manifest.rounds.limit,
        }
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

fn invalid(error: &dyn std::fmt::Display) -> Problem {
    Problem {
        message: format!("The campaign's description cannot be used: {error}."),
        remedy: "Tell the people who run this site; nothing has been started on your device.".into(),
    }
}
