//! The messages of one round, made without training.

use anyhow::{Context, Result, anyhow};
use lichen_campaign::Manifest;
use lichen_learn::{Codec, Update};
use lichen_log::Chain;
use lichen_net::hub::{Records, Reply, Request, parts};
use lichen_record::{
    CampaignId, Cid, EngineKind, EngineVersion, Entry, Metrics, RoundNumber, SigningKey, verify,
};
use lichen_round::{CampaignState, Rules};

use crate::setup::Setup;

const DIGITS: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");

/// What stands before each message: its length.
const FRAME: usize = 4;

/// When everything happens.
const TIME: u64 = 1_764_000_000_000;

/// Prints what tabs move in one round of a model with so many parameters.
pub(crate) fn round(setup: &Setup, members: u16, parameters: usize) -> Result<()> {
    let text = setup.changes.iter().fold(DIGITS.to_owned(), |text, (from, to)| text.replacen(from, to, 1));
    let manifest = Manifest::parse(&text).map_err(|error| anyhow!("{error}"))?;
    let changes = changes(parameters)?;
    let packed = |encoding| Codec::new(encoding).encode(&changes).map(|packed| packed.bytes.len());
    let length = packed(manifest.update.encoding)?;
    let (update, sent) = (blob(length), put(length));
    let difference = manifest.result_codec.map(packed).transpose()?.map(blob);
    let mut log = Log::new(CampaignId::of_manifest(text.as_bytes()), &manifest)?;
    let said = log.round(members, difference.is_some())?;
    let others = usize::from(members).saturating_sub(1);
    let everything = said.down + others * update;
    let up = said.up + sent;
    let row = |tab: &str, down: usize, up: usize| {
        println!("| {parameters} | {members} | {setup} | {tab} | {down} | {up} |");
    };
    match difference {
        None => row("any", everything, up + said.attestation + others * said.asking),
        Some(difference) => {
            row("not drawn", said.down + difference, up + said.asking);
            row("drawn", everything, up + said.attestation + others * said.asking);
        }
    }
    Ok(())
}

/// Changes as training brings them, as far as their size goes: none is 0, and all are of a size.
fn changes(parameters: usize) -> Result<Update> {
    let mut random = 7_u64;
    let values = (0..parameters).map(|_parameter| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from(u16::try_from(random >> 48).unwrap_or(0)) / 1e6 - 0.03
    });
    Ok(Update::new(values.collect())?)
}

/// The reply with a blob of so many bytes.
fn blob(length: usize) -> usize {
    FRAME + parts::blob(length).len() + length
}

/// The request that hands over a blob of so many bytes.
fn put(length: usize) -> usize {
    FRAME + parts::put_blob(length).len() + length
}

/// What a tab hears and says in a round, without blobs.
struct Said {
    /// The round's records, and the receipt for its contribution.
    down: usize,
    /// Its contribution.
    up: usize,
    /// Its attestation, if it attests.
    attestation: usize,
    /// A request for a blob.
    asking: usize,
}

struct Log {
    campaign: CampaignId,
    rules: Rules,
    chain: Chain,
    state: CampaignState,
    coordinator: SigningKey,
    base: Cid,
}

impl Log {
    fn new(campaign: CampaignId, manifest: &Manifest) -> Result<Self> {
        let rules = Rules::from(manifest);
        let (coordinator, base) = (key(u16::MAX), Cid::of_raw(b"base"));
        let state = CampaignState::new(campaign, rules);
        let mut log = Self { campaign, rules, chain: Chain::new(campaign), state, coordinator, base };
        let published = Entry::Published { campaign, manifest: campaign.0, base };
        log.append(&log.coordinator.clone(), &published)?;
        Ok(log)
    }

    fn round(&mut self, members: u16, has_difference: bool) -> Result<Said> {
        let (campaign, round, base) = (self.campaign, RoundNumber::FIRST, self.base);
        let members: Vec<SigningKey> = (0..members).map(key).collect();
        for member in &members {
            self.append(member, &Entry::Joined { campaign, sequence: 1 })?;
        }
        let coordinator = self.coordinator.clone();
        let mut down = self.append(&coordinator, &Entry::RoundOpened { campaign, round, base })?.heard;
        let (mut up, mut attestation) = (0, 0);
        for (number, member) in (0_u32..).zip(&members) {
            let entry = Entry::Contribution {
                campaign,
                round,
                base,
                update: Cid::of_raw(&number.to_be_bytes()),
                samples: self.rules.samples,
                metrics: Metrics::new(0.123_456, 0.9, self.rules.steps)?,
                engine: Some(EngineVersion { kind: EngineKind::Cpu, version: 1 }),
                trace: None,
            };
            let said = self.append(member, &entry)?;
            down += said.heard;
            up = said.asked;
            if number == 0 {
                down += said.receipt;
            }
        }
        down += self.append(&coordinator, &Entry::RoundClosed { campaign, round })?.heard;
        let closed = self.state.round().context("no round")?.clone();
        let result = Cid::of_raw(b"result");
        let difference = has_difference.then(|| Cid::of_raw(b"difference"));
        let entry =
            Entry::Attestation { campaign, round, base, result, excluded: 0, state: None, difference };
        for member in members.iter().filter(|member| closed.is_drawn(&member.account())) {
            let said = self.append(member, &entry)?;
            down += said.heard;
            attestation = said.asked + said.receipt;
        }
        down += self.append(&coordinator, &entry)?.heard;
        let asking = FRAME + Request::GetBlob { cid: result }.to_bytes()?.len();
        Ok(Said { down, up, attestation, asking })
    }

    fn append(&mut self, key: &SigningKey, entry: &Entry) -> Result<Appended> {
        let envelope = key.sign(entry)?;
        let entry = verify::<Entry>(&envelope)?;
        self.state.apply(TIME, &entry)?;
        let (record, receipt) = self.chain.append(TIME, &entry)?;
        let head = self.coordinator.sign(self.chain.head())?;
        let records = Reply::Records(Records { records: vec![record], head });
        let receipt = Reply::Receipt { receipt: self.coordinator.sign(&receipt)? };
        let append = Request::Append { campaign: self.campaign, entry: envelope };
        Ok(Appended {
            heard: FRAME + records.to_bytes()?.len(),
            asked: FRAME + append.to_bytes()?.len(),
            receipt: FRAME + receipt.to_bytes()?.len(),
        })
    }
}

/// What an entry takes on the wire.
struct Appended {
    /// For everybody who follows the log.
    heard: usize,
    /// For its author to say.
    asked: usize,
    /// For its author to hear.
    receipt: usize,
}

fn key(number: u16) -> SigningKey {
    let mut seed = [1; 32];
    for (at, byte) in seed.iter_mut().zip(number.to_be_bytes()) {
        *at = byte;
    }
    SigningKey::generate(seed)
}
