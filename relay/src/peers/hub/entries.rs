//! Entries on their way into the log, and what is checked of the blobs that they name.

use std::net::IpAddr;
use std::time::Instant;

use lichen_campaign::{Settlement, Transport};
use lichen_log::Receipt;
use lichen_net::hub::{Reason, Reply};
use lichen_record::{CampaignId, Cid, Entry, Evidence, Verified, verify};
use lichen_store::Blobs;

use super::reasons::{append_reason, internal, update_reason, verify_reason};
use super::{Hub, Session};
use crate::hosting::{Checks, Hosted};
use crate::log::campaign::UPDATE_WRAPPING;

/// Copies of an update in memory while it is decoded: as it came, its packed values, and the form that it is compared with.
/// What comes of it is counted beside them.
const COPIES: usize = 3;

impl Hub {
    pub(super) async fn append(
        &self,
        session: &Session,
        campaign: CampaignId,
        entry: &[u8],
    ) -> Result<Reply, Reason> {
        let account = session.account()?;
        let hosted = self.attend(session, campaign)?;
        let signer = hosted.signer.as_ref().ok_or(Reason::Following)?;
        let now = Instant::now();
        if !hosted.quotas.entries_per_address.take(session.network(), 1, now) {
            return Err(Reason::QuotaAddress);
        }
        if !hosted.quotas.entries.take(account, 1, now) {
            return Err(Reason::QuotaEntries);
        }
        let entry = verify::<Entry>(entry).map_err(|error| verify_reason(&error))?;
        if entry.account() != account {
            return Err(Reason::WrongAccount);
        }
        // Whatever else names blobs belongs to a round that is under way.
        if matches!(entry.get(), Entry::Contribution { .. }) && hosted.room.is_full() {
            return Err(Reason::CampaignFull);
        }
        match hosted.checks.transport {
            Transport::Relay => self.check_update(&hosted, &entry).await?,
            Transport::Peers => {}
        }
        self.check_evidence(&hosted, &entry).await?;
        match hosted.checks.settlement {
            Settlement::Coordinator => {}
            Settlement::Contributors => self.check_attested(&hosted, &entry).await?,
        }
        let receipt =
            hosted.ledger.append(entry, session.network()).await.map_err(|error| append_reason(&error))?;
        let receipt = signer.sign::<Receipt>(&receipt).map_err(internal)?;
        Ok(Reply::Receipt { receipt })
    }

    /// Appends an organiser's decision, whoever brings it, and gives the signed receipt.
    pub(crate) async fn decide(
        &self,
        hosted: &Hosted,
        network: IpAddr,
        entry: &[u8],
    ) -> Result<Vec<u8>, Reason> {
        let decided = self.take_decision(hosted, network, entry).await;
        decided.inspect_err(|reason| self.metrics.refuse(*reason))
    }

    async fn take_decision(&self, hosted: &Hosted, network: IpAddr, entry: &[u8]) -> Result<Vec<u8>, Reason> {
        let signer = hosted.signer.as_ref().ok_or(Reason::Following)?;
        if !hosted.quotas.entries_per_address.take(network, 1, Instant::now()) {
            return Err(Reason::QuotaAddress);
        }
        let entry = verify::<Entry>(entry).map_err(|error| verify_reason(&error))?;
        // Whoever says something else has a connection, and is there for as long as that stands.
        if !matches!(entry.get(), Entry::Decided { .. }) {
            return Err(Reason::Malformed);
        }
        let receipt = hosted.ledger.append(entry, network).await.map_err(|error| append_reason(&error))?;
        signer.sign::<Receipt>(&receipt).map_err(internal)
    }

    /// Checks the update that a contribution names, once the fold would take the contribution. Each is read and checked
    /// once, however many name it.
    async fn check_update(&self, hosted: &Hosted, entry: &Verified<Entry>) -> Result<(), Reason> {
        let Entry::Contribution { update, .. } = entry.get() else { return Ok(()) };
        hosted.ledger.admit(entry.clone()).await.map_err(|error| append_reason(&error))?;
        hosted.checks.checked.check(update, || self.decode_update(&hosted.checks, update)).await?;
        // It may have been dropped since it was checked; if not, it stays for long enough now.
        if self.disk.touch(update).await.map_err(internal)? { Ok(()) } else { Err(Reason::UpdateMissing) }
    }

    async fn decode_update(&self, checks: &Checks, update: &Cid) -> Result<(), Reason> {
        let reader = self.disk.read(update).await.map_err(internal)?.ok_or(Reason::UpdateMissing)?;
        let length = usize::try_from(reader.length()).unwrap_or(usize::MAX);
        let unpacked = checks.parameters.saturating_mul(size_of::<f32>());
        // Packed in another way, it may be longer than this campaign's are.
        if length > unpacked.saturating_add(UPDATE_WRAPPING) {
            return Err(Reason::UpdateShape);
        }
        let _room = self.workspace.reserve(length.saturating_mul(COPIES).saturating_add(unpacked)).await;
        let bytes = self.disk.get(update).await.map_err(internal)?.ok_or(Reason::UpdateMissing)?;
        let (codec, parameters, max_norm) = (checks.codec, checks.parameters, checks.max_norm);
        let decode = move || codec.decode_within(&bytes, parameters, max_norm).map(drop);
        let decoded = tokio::task::spawn_blocking(decode);
        decoded.await.map_err(internal)?.map_err(|error| update_reason(&error))
    }

    /// Checks that what a training is to be checked by is here, once the fold would take the entry: wherever updates go, it is had
    /// from the relay.
    async fn check_evidence(&self, hosted: &Hosted, entry: &Verified<Entry>) -> Result<(), Reason> {
        let (cid, length, missing) = match entry.get() {
            Entry::Contribution { trace: Some(trace), .. } => {
                (trace, hosted.checks.trace_length, Reason::TraceMissing)
            }
            Entry::Audit { evidence: Some(Evidence { before: Some(before), .. }), .. } => {
                (before, hosted.checks.state_length, Reason::EvidenceMissing)
            }
            _ => return Ok(()),
        };
        hosted.ledger.admit(entry.clone()).await.map_err(|error| append_reason(&error))?;
        if !self.disk.touch(cid).await.map_err(internal)? {
            return Err(missing);
        }
        let reader = self.disk.read(cid).await.map_err(internal)?.ok_or(missing)?;
        if reader.length() == length as u64 { Ok(()) } else { Err(missing) }
    }

    /// Checks that what is attested is here, once the fold would take the attestation.
    async fn check_attested(&self, hosted: &Hosted, entry: &Verified<Entry>) -> Result<(), Reason> {
        let Entry::Attestation { result, state, .. } = entry.get() else { return Ok(()) };
        hosted.ledger.admit(entry.clone()).await.map_err(|error| append_reason(&error))?;
        for cid in [*result].iter().chain(state) {
            if !self.disk.touch(cid).await.map_err(internal)? {
                return Err(Reason::CheckpointMissing);
            }
        }
        Ok(())
    }
}
