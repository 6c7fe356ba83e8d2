//! A campaign's whole record on a relay's disk: log, updates and results, as members make it who train round after round.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use lichen_campaign::Manifest;
use lichen_learn::{Dataset, Update};
use lichen_log::{Chain, Record};
use lichen_model::initial_parameters;
use lichen_record::{CampaignId, Cid, Entry, Metrics, RoundNumber, SigningKey, Verified, verify};
use lichen_round::{CampaignState, Rules};
use lichen_settle::{Settler, guarded};
use lichen_store::{Blobs, Disk};

/// When the log begins.
const TIME: u64 = 1_700_000_000_000;

/// Writes a record of so many contributions, so many to a round, by so many members, into a relay's data folder; its blobs.
pub(crate) async fn write(
    campaign: &Path,
    data: &Path,
    contributions: u64,
    round: usize,
    members: u16,
) -> Result<Vec<Cid>> {
    fs::create_dir_all(data)?;
    let coordinator = key(0);
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(data.join("account.key"))?;
    std::io::Write::write_all(&mut file, &coordinator.to_bytes()[..])?;
    let manifest = fs::read(campaign.join("campaign.toml"))?;
    let samples = fs::read(campaign.join("digits.safetensors"))?;
    let disk = Disk::open(&data.join("relay.redb"))?;
    let mut made = Made::new(disk, coordinator, &manifest, &samples).await?;
    let members: Vec<SigningKey> = (1..=members).map(key).collect();
    for member in &members {
        made.add(member, &Entry::Joined { campaign: made.campaign, sequence: TIME }).await?;
    }
    let mut turn = members.iter().cycle();
    let (mut number, mut left) = (1, usize::try_from(contributions)?);
    while left > 0 {
        let contributors: Vec<_> = turn.by_ref().take(round.min(left)).collect();
        made.round(RoundNumber(number), &contributors).await?;
        (number, left) = (number + 1, left - contributors.len());
    }
    made.disk.append(made.campaign, std::mem::take(&mut made.records), made.pins.clone()).await?;
    Ok(made.pins)
}

struct Made {
    disk: Disk,
    coordinator: SigningKey,
    campaign: CampaignId,
    settler: Settler,
    base: (Cid, Vec<u8>),
    elements: usize,
    chain: Chain,
    state: CampaignState,
    time: u64,
    records: Vec<Record>,
    pins: Vec<Cid>,
}

impl Made {
    async fn new(disk: Disk, coordinator: SigningKey, bytes: &[u8], samples: &[u8]) -> Result<Self> {
        let manifest = Manifest::from_bytes(bytes).map_err(|error| anyhow!("{error}"))?;
        let model = initial_parameters(&manifest.model, manifest.rounds.seed)?;
        let (elements, model) = (model.elements(), model.to_safetensors());
        let settler =
            Settler::new(&manifest, Dataset::decode_samples(samples, &manifest, &guarded(&manifest))?)?;
        let campaign = CampaignId::of_manifest(bytes);
        let base = (Cid::of_raw(&model), model);
        let mut made = Self {
            disk,
            coordinator: coordinator.clone(),
            campaign,
            settler,
            base,
            elements,
            chain: Chain::new(campaign),
            state: CampaignState::new(campaign, Rules::from(&manifest)),
            time: TIME,
            records: Vec::new(),
            pins: Vec::new(),
        };
        let initial = made.base.clone();
        for blob in [bytes, samples, &initial.1] {
            made.keep(blob).await?;
        }
        let entry = Entry::Published { campaign, manifest: campaign.0, base: initial.0 };
        made.add(&coordinator, &entry).await?;
        Ok(made)
    }

    /// A round by these members, whose updates change a little.
    async fn round(&mut self, round: RoundNumber, contributors: &[&SigningKey]) -> Result<()> {
        let (campaign, base, coordinator) = (self.campaign, self.base.0, self.coordinator.clone());
        self.time += 1_000;
        self.add(&coordinator, &Entry::RoundOpened { campaign, round, base }).await?;
        let mut updates = Vec::new();
        for (number, member) in (0_u64..).zip(contributors) {
            let bytes = update(self.elements, round.0 * 1_000 + number)?;
            let update = self.keep(&bytes).await?;
            updates.push((update, bytes));
            let metrics = Metrics::new(0.123_456, 0.9, 60)?;
            let (samples, engine, trace) = (480, None, None);
            let entry =
                Entry::Contribution { campaign, round, base, update, samples, metrics, engine, trace };
            self.add(member, &entry).await?;
        }
        // Others who are waited for let the deadline pass.
        self.time += 10_000;
        self.add(&coordinator, &Entry::RoundClosed { campaign, round }).await?;
        self.settle(round, &updates).await
    }

    async fn settle(&mut self, round: RoundNumber, updates: &[(Cid, Vec<u8>)]) -> Result<()> {
        let (campaign, base, coordinator) = (self.campaign, self.base.0, self.coordinator.clone());
        let mut aggregation = self.settler.aggregation(&self.base.1)?;
        for input in self.state.round().context("no round")?.inputs() {
            let (_cid, bytes) =
                updates.iter().find(|(cid, _bytes)| *cid == input.update).context("another update")?;
            aggregation.add_part(input.weight, self.settler.work(input.steps), bytes);
        }
        let settled = self.settler.settle(&base, None, aggregation, async || {}).await?;
        if let Some(checkpoint) = settled.checkpoint {
            self.base = (self.keep(&checkpoint).await?, checkpoint);
        }
        let (result, excluded, state, difference) = (settled.result, 0, settled.state, None);
        let entry = Entry::Attestation { campaign, round, base, result, excluded, state, difference };
        self.add(&coordinator, &entry).await
    }

    async fn keep(&mut self, blob: &[u8]) -> Result<Cid> {
        let cid = Cid::of_raw(blob);
        self.disk.put(&cid, blob).await?;
        self.pins.push(cid);
        Ok(cid)
    }

    async fn add(&mut self, signer: &SigningKey, entry: &Entry) -> Result<()> {
        self.append(signer, entry)?;
        if self.state.is_snapshot_due() {
            let state = self.keep(&self.state.to_bytes()).await?;
            let coordinator = self.coordinator.clone();
            self.append(&coordinator, &Entry::Snapshot { campaign: self.campaign, state })?;
        }
        Ok(())
    }

    fn append(&mut self, signer: &SigningKey, entry: &Entry) -> Result<()> {
        self.time += 10;
        let entry: Verified<Entry> = verify(&signer.sign(entry)?)?;
        self.state.apply(self.time, &entry).with_context(|| format!("{:?}", entry.get()))?;
        let (record, _receipt) = self.chain.append(self.time, &entry)?;
        self.records.push(record);
        Ok(())
    }
}

/// An update that is like no other.
fn update(elements: usize, seed: u64) -> Result<Vec<u8>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut value = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (u16::try_from(state & 0xffff).map_or(0.0, f32::from) - 32_768.0) * 1e-8
    };
    Ok(Update::new((0..elements).map(|_element| value()).collect())?.encode()?)
}

fn key(number: u16) -> SigningKey {
    let mut seed = [5; 32];
    for (at, byte) in seed.iter_mut().zip(number.to_be_bytes()) {
        *at = byte;
    }
    SigningKey::generate(seed)
}
