//! The log as everybody else in the relay sees it: where entries are handed in, and the signed head.

use std::net::IpAddr;
use std::sync::Arc;

use lichen_log::Receipt;
use lichen_record::{AccountId, CampaignId, Entry, Verified};
use lichen_round::Refusal;
use tokio::sync::{mpsc, oneshot, watch};

use crate::log::newcomers::Limited;
use crate::log::presence::Presence;

/// Asks the log's task.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(super) campaign: CampaignId,
    pub(super) coordinator: AccountId,
    /// Where entries go; nowhere if another relay orders them.
    pub(super) asks: Option<mpsc::Sender<Ask>>,
    pub(super) head: watch::Receiver<SignedHead>,
    pub(super) presence: Option<Arc<Presence>>,
}

/// The signed head of the log as it is on disk.
#[derive(Clone)]
pub(crate) struct SignedHead {
    pub(crate) length: u64,
    /// Place of the log's newest snapshot.
    pub(crate) snapshot: Option<u64>,
    pub(crate) envelope: Arc<[u8]>,
}

/// Why an entry was not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the log grows too fast")]
    Limited(Limited),
    #[error("another relay orders the log")]
    Following,
    #[error("the log cannot be written at the moment")]
    StoreFailing,
    #[error("the log's task has ended")]
    Ended,
}

/// What the log's task is asked for, and where its answer goes.
pub(super) enum Ask {
    Admit { entry: Verified<Entry>, answer: Answer<()> },
    Append { entry: Verified<Entry>, network: IpAddr, answer: Answer<Receipt> },
}

impl Ask {
    /// Says that the log cannot be written.
    pub(super) fn refuse(self) {
        // Whoever asked may have gone meanwhile, and then nobody misses the answer.
        let _gone = match self {
            Self::Admit { answer, .. } => answer.send(Err(AppendError::StoreFailing)).is_ok(),
            Self::Append { answer, .. } => answer.send(Err(AppendError::StoreFailing)).is_ok(),
        };
    }
}

/// Where the answer goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, AppendError>>;

impl Ledger {
    /// The copy of a log that another relay orders.
    pub(crate) const fn following(
        campaign: CampaignId,
        coordinator: AccountId,
        head: watch::Receiver<SignedHead>,
    ) -> Self {
        Self { campaign, coordinator, asks: None, head, presence: None }
    }

    /// Whether another relay orders the log.
    pub(crate) const fn is_following(&self) -> bool {
        self.asks.is_none()
    }

    pub(crate) const fn campaign(&self) -> CampaignId {
        self.campaign
    }

    /// The account that signs the relay's entries, heads and receipts.
    pub(crate) const fn coordinator(&self) -> AccountId {
        self.coordinator
    }

    /// The head now, and each later one.
    pub(crate) fn head(&self) -> watch::Receiver<SignedHead> {
        self.head.clone()
    }

    /// Who is connected here, where that matters to the log.
    pub(crate) fn presence(&self) -> Option<&Presence> {
        self.presence.as_deref()
    }

    /// Whether the entry could be appended now; nothing is appended.
    pub(crate) async fn admit(&self, entry: Verified<Entry>) -> Result<(), AppendError> {
        self.ask(|answer| Ask::Admit { entry, answer }).await
    }

    /// Appends an entry that came from this network and returns the receipt to sign, once the entry is on disk.
    pub(crate) async fn append(
        &self,
        entry: Verified<Entry>,
        network: IpAddr,
    ) -> Result<Receipt, AppendError> {
        self.ask(|answer| Ask::Append { entry, network, answer }).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(Answer<T>) -> Ask) -> Result<T, AppendError> {
        let asks = self.asks.as_ref().ok_or(AppendError::Following)?;
        let (answer, answered) = oneshot::channel();
        asks.send(ask(answer)).await.map_err(|_gone| AppendError::Ended)?;
        answered.await.map_err(|_gone| AppendError::Ended)?
    }
}
