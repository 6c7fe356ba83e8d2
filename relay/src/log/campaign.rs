//! The campaign that the relay serves: its manifest and data, from a folder or built in, and what follows from them.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use lichen_campaign::Manifest;
use lichen_learn::{Codec, Dataset, check_campaign, file_kind, max_norm};
use lichen_model::initial_parameters;
use lichen_record::{AccountId, CampaignId, Cid, MAX_BLOB, MAX_MANIFEST};
use lichen_settle::{Settler, guarded};

/// The file in a campaign's folder that says who published it, if somebody did.
pub(crate) const PUBLISHER: &str = "publisher";

/// Most bytes of that file.
const MAX_PUBLISHER: usize = 1024;

/// Bytes of an update besides its values; far more than there are.
pub(crate) const UPDATE_WRAPPING: usize = 256;

const DIGITS_MANIFEST: &[u8] = include_bytes!("../../campaigns/digits/campaign.toml");
const DIGITS_DATA: &[u8] = include_bytes!("../../campaigns/digits/digits.safetensors");

/// A campaign with all that the relay starts it from.
pub(crate) struct Campaign {
    pub(crate) id: CampaignId,
    pub(crate) manifest: Manifest,
    pub(crate) manifest_bytes: Cow<'static, [u8]>,
    pub(crate) data_bytes: Cow<'static, [u8]>,
    /// The first checkpoint.
    pub(crate) initial: Cid,
    pub(crate) initial_bytes: Vec<u8>,
    /// Number of the model's parameters.
    pub(crate) parameters: usize,
    /// Largest norm of an update.
    pub(crate) max_norm: f64,
    /// Who published it to a running relay, if somebody did.
    pub(crate) publisher: Option<AccountId>,
}

impl Campaign {
    /// Reads `campaign.toml` and the data file that it names.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("campaign.toml");
        let manifest_bytes = read_capped(&path, MAX_MANIFEST)?;
        let manifest = parse(&manifest_bytes).with_context(|| path.display().to_string())?;
        let data_bytes = read_capped(&folder.join(&manifest.data.file), MAX_BLOB)?;
        let publisher = publisher(folder)?;
        Ok(Self { publisher, ..Self::new(manifest, manifest_bytes.into(), data_bytes.into())? })
    }

    /// The campaign that is built in.
    pub(crate) fn embedded() -> Result<Self> {
        Self::new(parse(DIGITS_MANIFEST)?, DIGITS_MANIFEST.into(), DIGITS_DATA.into())
    }

    /// What the log's first entry names: the manifest, the data and the first checkpoint.
    pub(crate) fn blobs(&self) -> [(Cid, &[u8]); 3] {
        [
            (self.id.0, &self.manifest_bytes),
            (self.manifest.data.cid, &self.data_bytes),
            (self.initial, &self.initial_bytes),
        ]
    }

    /// The campaign of a manifest and a data file that are checked against their ids already.
    pub(crate) fn of_bytes(manifest_bytes: Vec<u8>, data_bytes: Vec<u8>) -> Result<Self> {
        Self::new(parse(&manifest_bytes)?, manifest_bytes.into(), data_bytes.into())
    }

    /// The data file that a manifest names.
    pub(crate) fn data_of(manifest_bytes: &[u8]) -> Result<Cid> {
        Ok(parse(manifest_bytes)?.data.cid)
    }

    /// Bytes of the longest update that is taken.
    pub(crate) const fn update_bytes(&self) -> u64 {
        self.parameters.saturating_mul(size_of::<f32>()).saturating_add(UPDATE_WRAPPING) as u64
    }

    /// What updates are packed by.
    pub(crate) const fn codec(&self) -> Codec {
        Codec::new(self.manifest.update.encoding)
    }

    /// What computes rounds' results.
    pub(crate) fn settler(&self) -> Result<Settler> {
        let data = Dataset::decode_samples(&self.data_bytes, &self.manifest, &guarded(&self.manifest))
            .with_context(|| format!("the data file {} cannot be used", self.manifest.data.file))?;
        Ok(Settler::new(&self.manifest, data)?)
    }

    fn new(
        manifest: Manifest,
        manifest_bytes: Cow<'static, [u8]>,
        data_bytes: Cow<'static, [u8]>,
    ) -> Result<Self> {
        check_campaign(&manifest, &data_bytes)?;
        let parameters = initial_parameters(&manifest.model, manifest.rounds.seed)
            .context("the manifest's model cannot be started")?;
        let initial_bytes = parameters.to_safetensors();
        let max_norm = max_norm(&manifest).context("the manifest's model cannot be started")?;
        Ok(Self {
            id: CampaignId::of_manifest(&manifest_bytes),
            manifest,
            manifest_bytes,
            data_bytes,
            initial: Cid::of_raw(&initial_bytes),
            initial_bytes,
            parameters: parameters.elements(),
            max_norm,
            publisher: None,
        })
    }
}

/// Who published the campaign in a folder, if somebody did.
pub(crate) fn publisher(folder: &Path) -> Result<Option<AccountId>> {
    let path = folder.join(PUBLISHER);
    if !path.exists() {
        return Ok(None);
    }
    let text = String::from_utf8(read_capped(&path, MAX_PUBLISHER)?)?;
    let account = text.trim().parse().with_context(|| format!("{}: it names no account", path.display()))?;
    Ok(Some(account))
}

fn parse(bytes: &[u8]) -> Result<Manifest> {
    if let Some(kind) = file_kind(bytes).filter(|kind| kind.is_no_manifest()) {
        bail!("this is {kind}, not a manifest (TOML)");
    }
    Manifest::from_bytes(bytes).map_err(|error| anyhow::anyhow!("the manifest is faulty:\n{error}"))
}

fn read_capped(path: &Path, cap: usize) -> Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let size = fs::metadata(path).with_context(cannot)?.len();
    if size > cap as u64 {
        bail!("{} has {size} bytes, at most {cap} are allowed", path.display());
    }
    fs::read(path).with_context(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_campaign_is_sound() {
        let campaign = Campaign::embedded().unwrap();
        assert_eq!(campaign.manifest.campaign.title, "Handwritten digits");
        assert_eq!(campaign.parameters, 64 * 32 + 32 + 32 * 10 + 10);
    }

    #[test]
    fn data_other_than_the_manifest_names_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("campaign.toml"), DIGITS_MANIFEST).unwrap();
        let mut data = DIGITS_DATA.to_vec();
        let last = data.len() - 1;
        data[last] ^= 1;
        fs::write(folder.path().join("digits.safetensors"), data).unwrap();
        let error = Campaign::read(folder.path()).err().unwrap();
        assert!(error.to_string().contains("data.cid"), "{error}");
    }
}
