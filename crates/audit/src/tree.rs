//! What is signed about the log's tree, held against the records as they are read.

use lichen_campaign::Witnesses;
use lichen_log::tree::{Edge, leaf_hash};
use lichen_log::{LogKey, Record, SignedCheckpoint, VerifierKey, check_ed25519};
use lichen_record::{AccountId, CampaignId, encode, verify};
use serde::Serialize;

use crate::Fault;

/// Signed checkpoints of a log, before its records are read.
pub struct Tree {
    coordinator: AccountId,
    /// The relay's newest first, then what it says that witnesses have seen, and those that others were shown.
    checkpoints: Vec<SignedCheckpoint>,
    /// How many others were shown.
    others: u64,
    edge: Edge,
}

/// What was found right about the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TreeReport {
    /// Records of the relay's checkpoint.
    pub records: u64,
    /// Checkpoints from elsewhere that the log is consistent with.
    pub others: u64,
    /// Names of the witnesses asked for that have signed the relay's checkpoint.
    pub witnesses: Vec<String>,
}

impl Tree {
    /// Reads the certificate of the log's key and checkpoints that it signed.
    pub fn open(
        campaign: CampaignId,
        certificate: &[u8],
        served: &[u8],
        witnessed: Option<&[u8]>,
        others: &[Vec<u8>],
    ) -> Result<Self, Fault> {
        let fault = |what: &str, error: &dyn std::fmt::Display| Fault::Tree(format!("{what}: {error}"));
        let certificate = verify::<LogKey>(certificate).map_err(|error| fault("the log's key", &error))?;
        if certificate.get().campaign != campaign {
            return Err(fault("the log's key", &"it is certified for another campaign"));
        }
        let key = LogKey::verifier(&certificate).map_err(|error| fault("the log's key", &error))?;
        let mut checkpoints = Vec::new();
        let notes = std::iter::once(served).chain(witnessed);
        for note in notes.chain(others.iter().map(Vec::as_slice)) {
            let checkpoint = SignedCheckpoint::open(note, &key, check_ed25519);
            checkpoints.push(checkpoint.map_err(|error| fault("a checkpoint of the log's tree", &error))?);
        }
        let others = others.len() as u64;
        Ok(Self { coordinator: certificate.account(), checkpoints, others, edge: Edge::default() })
    }

    /// How many records the checkpoints are of.
    #[must_use]
    pub fn sizes(&self) -> Vec<u64> {
        self.checkpoints.iter().map(|one| one.checkpoint().size()).collect()
    }

    /// How many records of the log enough of the witnesses have seen whom the campaign wants.
    pub(super) fn seen_by(&self, witnesses: &Witnesses) -> Result<u64, Fault> {
        let signed = |one: &SignedCheckpoint| {
            let has_signed =
                |key: &&VerifierKey| matches!(one.cosigned_by(key, check_ed25519), Ok(Some(_time)));
            witnesses.keys.iter().filter(has_signed).count()
        };
        let counted = self.checkpoints.iter().map(|one| (signed(one), one.checkpoint().size()));
        let (quorum, mut most, mut seen) = (witnesses.quorum as usize, 0, None);
        for (signed, size) in counted {
            most = most.max(signed);
            seen = seen.max((signed >= quorum).then_some(size));
        }
        seen.ok_or(Fault::Quorum { signed: most, quorum })
    }

    /// Takes in the next record; wherever a checkpoint ends, its root has to be the one of the records.
    pub(super) fn take(&mut self, record: &Record) -> Result<(), Fault> {
        let leaf = encode(record).map_err(|error| Fault::Tree(error.to_string()))?;
        self.edge.append(leaf_hash(&leaf));
        let size = self.edge.size();
        let ends_here = |one: &&SignedCheckpoint| one.checkpoint().size() == size;
        // The root costs more than the record's leaf, and few records have a checkpoint.
        if !self.checkpoints.iter().any(|one| ends_here(&one)) {
            return Ok(());
        }
        let root = self.edge.root();
        let other = self.checkpoints.iter().filter(ends_here).find(|one| *one.checkpoint().root() != root);
        let Some(other) = other else { return Ok(()) };
        // One of the same key that is not the same shows it even to whoever does not read the records.
        let beside = self.checkpoints.iter().filter(ends_here).find(|one| !one.is_same(other));
        let beside = beside.or(self.checkpoints.first()).filter(|one| !one.is_same(other));
        let [checkpoint, other] = [Some(other), beside].map(|one| one.map(|one| one.note().to_string()));
        Err(Fault::Equivocation { size, checkpoint: checkpoint.unwrap_or_default(), other })
    }

    /// Who must sign the log's heads, and how many records there must be at least.
    pub(super) fn check_end(&self, coordinator: AccountId, found: u64) -> Result<(), Fault> {
        if self.coordinator != coordinator {
            let (certified, signs) = (self.coordinator, coordinator);
            return Err(Fault::Tree(format!("{certified} certified the log's key, {signs} signs its heads")));
        }
        let signed = self.checkpoints.iter().map(|one| one.checkpoint().size()).max().unwrap_or_default();
        if signed > found { Err(Fault::LogEnds { found, signed }) } else { Ok(()) }
    }

    /// What it came to, once the records are read. At least so many of these witnesses have to have signed.
    pub fn report(&self, witnesses: &[VerifierKey], quorum: usize) -> Result<TreeReport, Fault> {
        let fault = |error: &dyn std::fmt::Display| Fault::Tree(error.to_string());
        let served = self.checkpoints.first().ok_or_else(|| fault(&"no checkpoint"))?;
        let mut signed = Vec::new();
        for witness in witnesses {
            if served.cosigned_by(witness, check_ed25519).map_err(|error| fault(&error))?.is_some() {
                signed.push(witness.name().to_owned());
            }
        }
        if signed.len() < quorum {
            return Err(Fault::Quorum { signed: signed.len(), quorum });
        }
        Ok(TreeReport { records: served.checkpoint().size(), others: self.others, witnesses: signed })
    }
}
