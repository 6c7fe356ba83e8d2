//! A log of many entries on a relay's disk, as members make it who train round after round.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use lichen_campaign::Manifest;
use lichen_log::{Chain, Record};
use lichen_model::initial_parameters;
use lichen_record::{CampaignId, Cid, Entry, Metrics, RoundNumber, SigningKey, Verified, verify};
use lichen_round::{CampaignState, Rules};
use lichen_store::{Blobs, Disk};

/// When the log begins.
const TIME: u64 = 1_700_000_000_000;

/// Contributions to each round.
const CONTRIBUTIONS: usize = 16;

/// Records written at a time.
const BATCH: usize = 4096;

/// Writes a campaign's log of so many entries, by so many members, into a relay's data folder, beside the logs of others.
pub(crate) async fn write(campaign: &Path, data: &Path, entries: u64, members: u16) -> Result<()> {
    fs::create_dir_all(data)?;
    let coordinator = key(0);
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(data.join("account.key"))?;
    std::io::Write::write_all(&mut file, &coordinator.to_bytes()[..])?;
    let manifest = fs::read(campaign.join("campaign.toml"))?;
    let samples = fs::read(campaign.join("digits.safetensors"))?;
    let disk = Disk::open(&data.join("relay.redb"))?;
    let mut log = Log::new(disk, coordinator, &manifest, &samples).await?;
    let members: Vec<SigningKey> = (1..=members).map(key).collect();
    for member in &members {
        log.add(member, &Entry::Joined { campaign: log.campaign, sequence: TIME }).await?;
    }
    let mut turn = members.iter().cycle();
    for round in 1.. {
        // The last round is whole, so that the relay has nothing to compute.
        if log.chain.length() + CONTRIBUTIONS as u64 + 4 > entries {
            break;
        }
        log.round(RoundNumber(round), &turn.by_ref().take(CONTRIBUTIONS).collect::<Vec<_>>()).await?;
    }
    log.write().await
}

struct Log {
    disk: Disk,
    coordinator: SigningKey,
    campaign: CampaignId,
    initial: Cid,
    chain: Chain,
    state: CampaignState,
    time: u64,
    records: Vec<Record>,
    pins: Vec<Cid>,
    snapshots: Vec<Cid>,
}

impl Log {
    async fn new(disk: Disk, coordinator: SigningKey, bytes: &[u8], samples: &[u8]) -> Result<Self> {
        let manifest = Manifest::from_bytes(bytes).map_err(|error| anyhow!("{error}"))?;
        let model = initial_parameters(&manifest.model, manifest.rounds.seed)?.to_safetensors();
        let mut pins = Vec::new();
        for blob in [bytes, samples, &model] {
            let cid = Cid::of_raw(blob);
            disk.put(&cid, blob).await?;
            pins.push(cid);
        }
        let (campaign, initial) = (CampaignId::of_manifest(bytes), Cid::of_raw(&model));
        let state = CampaignState::new(campaign, Rules::from(&manifest));
        let chain = Chain::new(campaign);
        let mut log = Self {
            disk,
            coordinator: coordinator.clone(),
            campaign,
            initial,
            chain,
            state,
            time: TIME,
            records: Vec::new(),
            pins,
            snapshots: Vec::new(),
        };
        log.add(&coordinator, &Entry::Published { campaign, manifest: campaign.0, base: initial }).await?;
        Ok(log)
    }

    /// A round by these members, whose updates change nothing: so the first checkpoint is the only one that is needed.
    async fn round(&mut self, round: RoundNumber, contributors: &[&SigningKey]) -> Result<()> {
        let (campaign, base, coordinator) = (self.campaign, self.initial, self.coordinator.clone());
        self.time += 1_000;
        self.add(&coordinator, &Entry::RoundOpened { campaign, round, base }).await?;
        for (number, member) in (0_u64..).zip(contributors) {
            let update = Cid::of_raw(&[round.0.to_be_bytes(), number.to_be_bytes()].concat());
            let metrics = Metrics::new(0.123_456, 0.9, 60)?;
            let (samples, engine, trace) = (480, None, None);
            let entry =
                Entry::Contribution { campaign, round, base, update, samples, metrics, engine, trace };
            self.add(member, &entry).await?;
        }
        // Others who are waited for let the deadline pass.
        self.time += 10_000;
        self.add(&coordinator, &Entry::RoundClosed { campaign, round }).await?;
        let (result, excluded, state, difference) = (base, 0, None, None);
        let entry = Entry::Attestation { campaign, round, base, result, excluded, state, difference };
        self.add(&coordinator, &entry).await
    }

    async fn add(&mut self, signer: &SigningKey, entry: &Entry) -> Result<()> {
        self.append(signer, entry)?;
        if self.state.is_snapshot_due() {
            let bytes = self.state.to_bytes();
            let state = Cid::of_raw(&bytes);
            self.disk.put(&state, &bytes).await?;
            self.snapshots.push(state);
            self.pins.push(state);
            let coordinator = self.coordinator.clone();
            self.append(&coordinator, &Entry::Snapshot { campaign: self.campaign, state })?;
        }
        if self.records.len() >= BATCH {
            self.write().await?;
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

    /// Writes what is not on disk yet, and forgets all snapshots but the last two.
    async fn write(&mut self) -> Result<()> {
        let (records, pins) = (std::mem::take(&mut self.records), std::mem::take(&mut self.pins));
        self.disk.append(self.campaign, records, pins).await?;
        let old = self.snapshots.len().saturating_sub(2);
        self.disk.remove(&self.snapshots.drain(..old).collect::<Vec<_>>()).await?;
        Ok(())
    }
}

fn key(number: u16) -> SigningKey {
    let mut seed = [5; 32];
    for (at, byte) in seed.iter_mut().zip(number.to_be_bytes()) {
        *at = byte;
    }
    SigningKey::generate(seed)
}
