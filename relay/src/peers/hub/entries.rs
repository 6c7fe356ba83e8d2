//! Entries on their way into the log, and what is checked of the blobs that they name.

use std::time::Instant;

use lichen_campaign::{Manifest, Settlement, Transport};
use lichen_log::Receipt;
use lichen_net::hub::{Reason, Reply};
use lichen_record::{CampaignId, Cid, Entry, Evidence, Verified, verify};
use lichen_round::Rules;
use lichen_settle::{Trace, state_length};
use lichen_store::Blobs;

use super::reasons::{append_reason, internal, update_reason, verify_reason};
use super::{Hub, Session};

/// Bytes of an update besides its values; far more than there are.
const UPDATE_WRAPPING: usize = 256;

/// Copies of an update in memory while it is decoded: as it came, its packed values, and the form that it is compared with.
/// What comes of it is counted beside them.
const COPIES: usize = 3;

/// How long the blobs are that a campaign's trainings are checked by.
#[derive(Clone, Copy)]
pub(crate) struct Lengths {
    /// The trace that a contribution names.
    trace: usize,
    /// A state that evidence begins with.
    state: usize,
}

impl Lengths {
    pub(crate) fn of(manifest: &Manifest) -> anyhow::Result<Self> {
        let trace = Trace::length(Rules::from(manifest).states());
        Ok(Self { trace, state: state_length(manifest)? })
    }
}

impl Hub {
    pub(super) async fn append(
        &self,
        session: &Session,
        campaign: CampaignId,
        entry: &[u8],
    ) -> Result<Reply, Reason> {
        let account = session.account()?;
        let signer = self.signer.as_ref().ok_or(Reason::Following)?;
        let now = Instant::now();
        if !self.entries_per_address.take(session.network(), 1, now) {
            return Err(Reason::QuotaAddress);
        }
        if !self.entries.take(account, 1, now) {
            return Err(Reason::QuotaEntries);
        }
        self.check_campaign(campaign)?;
        let entry = verify::<Entry>(entry).map_err(|error| verify_reason(&error))?;
        if entry.account() != account {
            return Err(Reason::WrongAccount);
        }
        match self.transport {
            Transport::Relay => self.check_update(&entry).await?,
            Transport::Peers => {}
        }
        self.check_evidence(&entry).await?;
        match self.settlement {
            Settlement::Coordinator => {}
            Settlement::Contributors => self.check_attested(&entry).await?,
        }
        let receipt =
            self.ledger.append(entry, session.network()).await.map_err(|error| append_reason(&error))?;
        let receipt = signer.sign::<Receipt>(&receipt).map_err(internal)?;
        Ok(Reply::Receipt { receipt })
    }

    /// Checks the update that a contribution names, once the fold would take the contribution. Each is read and checked
    /// once, however many name it.
    async fn check_update(&self, entry: &Verified<Entry>) -> Result<(), Reason> {
        let Entry::Contribution { update, .. } = entry.get() else { return Ok(()) };
        self.ledger.admit(entry.clone()).await.map_err(|error| append_reason(&error))?;
        self.checked.check(update, || self.decode_update(update)).await
    }

    async fn decode_update(&self, update: &Cid) -> Result<(), Reason> {
        let reader = self.disk.read(update).await.map_err(internal)?.ok_or(Reason::UpdateMissing)?;
        let length = usize::try_from(reader.length()).unwrap_or(usize::MAX);
        let unpacked = self.parameters.saturating_mul(size_of::<f32>());
        // Packed in another way, it may be longer than this campaign's are.
        if length > unpacked.saturating_add(UPDATE_WRAPPING) {
            return Err(Reason::UpdateShape);
        }
        let _room = self.workspace.reserve(length.saturating_mul(COPIES).saturating_add(unpacked)).await;
        let bytes = self.disk.get(update).await.map_err(internal)?.ok_or(Reason::UpdateMissing)?;
        let (codec, parameters, max_norm) = (self.codec, self.parameters, self.max_norm);
        let decode = move || codec.decode_within(&bytes, parameters, max_norm).map(drop);
        let decoded = tokio::task::spawn_blocking(decode);
        decoded.await.map_err(internal)?.map_err(|error| update_reason(&error))
    }

    /// Checks that what a training is to be checked by is here, once the fold would take the entry: wherever updates go, it is had
    /// from the relay.
    async fn check_evidence(&self, entry: &Verified<Entry>) -> Result<(), Reason> {
        let (cid, length, missing) = match entry.get() {
            Entry::Contribution { trace: Some(trace), .. } => {
                (trace, self.evidence.trace, Reason::TraceMissing)
            }
            Entry::Audit { evidence: Some(Evidence { before: Some(before), .. }), .. } => {
                (before, self.evidence.state, Reason::EvidenceMissing)
            }
            _ => return Ok(()),
        };
        self.ledger.admit(entry.clone()).await.map_err(|error| append_reason(&error))?;
        let reader = self.disk.read(cid).await.map_err(internal)?.ok_or(missing)?;
        if reader.length() == length as u64 { Ok(()) } else { Err(missing) }
    }

    /// Checks that what is attested is here, once the fold would take the attestation.
    async fn check_attested(&self, entry: &Verified<Entry>) -> Result<(), Reason> {
        let Entry::Attestation { result, state, .. } = entry.get() else { return Ok(()) };
        self.ledger.admit(entry.clone()).await.map_err(|error| append_reason(&error))?;
        for cid in [*result].iter().chain(state) {
            if !self.disk.has(cid).await.map_err(internal)? {
                return Err(Reason::CheckpointMissing);
            }
        }
        Ok(())
    }
}
