//! The one checked copy of a log, whoever keeps it: a tab, a relay, an auditor.

use lichen_record::{AccountId, CampaignId, Cid, Entry, Verified, VerifyError, verify};

use crate::{Beginning, Chain, ChainError, Head, HeadError, Record};

/// What makes a head believable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The signature of this account, which is known beforehand.
    Account(AccountId),
    /// The signature of whoever published the campaign: for auditors, who know nothing but the campaign's id.
    Publisher,
}

/// Why something is not part of a replica's log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// The head is not a well-formed, rightly signed one.
    #[error("the head: {0}")]
    Signature(VerifyError),
    /// The head cannot be believed.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A record does not continue the chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The campaign was published by another than the one who signs the log's heads.
    #[error(
        "its first entry is not by the coordinator: {found} published the campaign, {signer} signs its heads"
    )]
    Publisher {
        /// Who published it.
        found: AccountId,
        /// Who has to have.
        signer: AccountId,
    },
    /// The campaign begins with another model than its manifest gives.
    #[error(
        "it does not begin with the model that the campaign describes: it says {published}, not {expected}"
    )]
    Base {
        /// As computed from the manifest.
        expected: Cid,
        /// As published.
        published: Cid,
    },
}

impl ReplicaError {
    /// Whether the log is not at fault: it goes on with an entry that only a later version of this program knows.
    #[must_use]
    pub const fn is_later(&self) -> bool {
        matches!(self, Self::Chain(ChainError::Later { .. }))
    }

    /// Whether the log is not at fault: its signatures could not be checked, and may be another time.
    #[must_use]
    pub const fn is_unable(&self) -> bool {
        matches!(
            self,
            Self::Signature(VerifyError::Unable)
                | Self::Chain(ChainError::Entry { error: VerifyError::Unable, .. })
        )
    }
}

/// A log as far as it has been read and checked: the chain, every signature, its beginning, and the signed head.
///
/// Whether an entry may stand where it stands is for the round protocol to say, which folds what this gives out. To take
/// a page as a whole or not at all, work on a clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Who signs the heads, as far as that is known.
    signer: Option<AccountId>,
    initial: Cid,
    chain: Chain,
    head: Option<Head>,
}

impl Replica {
    /// The copy of a campaign's log without any records. `initial` is the checkpoint that the manifest gives.
    #[must_use]
    pub fn new(campaign: CampaignId, authority: Authority, initial: Cid) -> Self {
        let signer = match authority {
            Authority::Account(account) => Some(account),
            Authority::Publisher => None,
        };
        Self { signer, initial, chain: Chain::new(campaign), head: None }
    }

    /// The copy of a log that begins with this record instead of its first one: that is to be taken next. What came before is
    /// the coordinator's word, and no copy with it tells whether it is true.
    #[must_use]
    pub const fn beginning(campaign: CampaignId, signer: AccountId, initial: Cid, with: &Beginning) -> Self {
        let head = Head { campaign, length: with.record.index, hash: with.hash };
        Self { signer: Some(signer), initial, chain: Chain::at(head, with.time), head: None }
    }

    /// Takes in a signed head that comes with the next `records` records; says how long the log is.
    ///
    /// # Errors
    /// [`ReplicaError`] if the authority did not sign it, if it is of another log, or if it does not cover what is here
    /// and comes with it; the replica is then unchanged.
    pub fn believe(&mut self, envelope: &[u8], records: usize) -> Result<u64, ReplicaError> {
        self.believe_checked(verify(envelope), records)
    }

    /// [`Replica::believe`] with a head whose signature was checked already, or was found to be wrong.
    ///
    /// # Errors
    /// The same.
    pub fn believe_checked(
        &mut self,
        head: Result<Verified<Head>, VerifyError>,
        records: usize,
    ) -> Result<u64, ReplicaError> {
        let signed = head.map_err(ReplicaError::Signature)?;
        let (signer, head) = (signed.account(), *signed.get());
        if self.signer.is_some_and(|known| known != signer) {
            return Err(HeadError::Signer(signer).into());
        }
        if head.campaign != self.campaign() {
            return Err(HeadError::Campaign(head.campaign).into());
        }
        let found = self.length().saturating_add(records as u64);
        if head.length < found {
            return Err(HeadError::Length { signed: head.length, found }.into());
        }
        check_end(&self.chain, Some(&head))?;
        (self.signer, self.head) = (Some(signer), Some(head));
        Ok(head.length)
    }

    /// Forgets how long the log is said to be: whoever is asked next has to say it again.
    pub fn forget_head(&mut self) {
        self.head = None;
    }

    /// Checks the next record and moves on to it.
    ///
    /// # Errors
    /// [`ReplicaError`] naming what is wrong; the replica is then unchanged.
    pub fn take(&mut self, record: &Record) -> Result<Verified<Entry>, ReplicaError> {
        self.next(|chain| chain.verify_next(record))
    }

    /// [`Replica::take`] with an entry whose signature was checked already, or was found to be wrong.
    ///
    /// # Errors
    /// The same.
    pub fn take_checked(
        &mut self,
        record: &Record,
        entry: Result<Verified<Entry>, VerifyError>,
    ) -> Result<Verified<Entry>, ReplicaError> {
        self.next(|chain| chain.take_next(record, entry))
    }

    fn next(
        &mut self,
        take: impl FnOnce(&mut Chain) -> Result<Verified<Entry>, ChainError>,
    ) -> Result<Verified<Entry>, ReplicaError> {
        let mut chain = self.chain.clone();
        let entry = take(&mut chain)?;
        self.check_beginning(&entry)?;
        check_end(&chain, self.head.as_ref())?;
        if matches!(entry.get(), Entry::Published { .. }) {
            self.signer = Some(entry.account());
        }
        self.chain = chain;
        Ok(entry)
    }

    /// The campaign whose log it is.
    #[must_use]
    pub const fn campaign(&self) -> CampaignId {
        self.chain.head().campaign
    }

    /// The checkpoint that the campaign begins with.
    #[must_use]
    pub const fn initial(&self) -> Cid {
        self.initial
    }

    /// Number of records here, or before.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.chain.length()
    }

    /// Number of records that the last head covers, 0 before the first.
    #[must_use]
    pub fn signed_length(&self) -> u64 {
        self.head.map_or(0, |head| head.length)
    }

    /// Who signs the log's heads, as far as that is known.
    #[must_use]
    pub const fn signer(&self) -> Option<AccountId> {
        self.signer
    }

    /// Whether everything that the last head covers is here. Before the first head nothing is known of the log's end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.head.is_some_and(|head| self.length() >= head.length)
    }

    /// The chain, to append to.
    #[must_use]
    pub fn into_chain(self) -> Chain {
        self.chain
    }

    /// A campaign begins with the model that its manifest gives, published by the account that signs its log.
    fn check_beginning(&self, entry: &Verified<Entry>) -> Result<(), ReplicaError> {
        let Entry::Published { base, .. } = entry.get() else { return Ok(()) };
        let found = entry.account();
        if let Some(signer) = self.signer.filter(|signer| *signer != found) {
            return Err(ReplicaError::Publisher { found, signer });
        }
        if *base != self.initial {
            return Err(ReplicaError::Base { expected: self.initial, published: *base });
        }
        Ok(())
    }
}

/// Where the records reach the signed head, both must be the same log.
fn check_end(chain: &Chain, head: Option<&Head>) -> Result<(), HeadError> {
    match head {
        Some(head) if head.length == chain.length() && head != chain.head() => {
            Err(HeadError::Hash { length: head.length })
        }
        _ => Ok(()),
    }
}
