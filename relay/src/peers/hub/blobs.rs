//! Blobs on their way in and out, in parts: no more than a part of one is in memory, however large it is and however many
//! are under way.

use std::time::{Duration, Instant};

use lichen_campaign::Transport;
use lichen_net::hub::{Cause, MAX_SMALL_REQUEST, Reason, Reply, parts};
use lichen_net::swarm::frame::{self, FrameError, PartsWriter};
use lichen_net::swarm::libp2p::swarm::Stream;
use lichen_record::{AccountId, Cid, MAX_BLOB};
use lichen_store::{BlobReader, Blobs, PART, StoreError};

use super::reasons::{frame_reason, internal};
use super::{Hub, Session};
use crate::fairness::pace::Pace;
use crate::hosting::Hosted;
use crate::operating::condition::{Part, store_cause};
use crate::operating::unpinned::{Claim, Whose};

impl Hub {
    /// The blob of this id, to be read in parts.
    pub(crate) async fn blob(&self, cid: &Cid) -> Result<Option<BlobReader>, StoreError> {
        self.disk.read(cid).await
    }

    /// Whether the blob of this id is here.
    pub(crate) async fn holds(&self, cid: &Cid) -> Result<bool, StoreError> {
        self.disk.has(cid).await
    }

    pub(super) async fn get_blob(
        &self,
        session: &Session,
        stream: &mut Stream,
        cid: &Cid,
    ) -> Result<Result<(), FrameError>, Reason> {
        let _place = self.place_to_send(session).await?;
        let reader = self.disk.read(cid).await.map_err(internal)?.ok_or(Reason::NotFound)?;
        let sent = send_blob(stream, reader).await;
        if matches!(sent, Err(FrameError::Stalled)) {
            self.metrics.limit("slow_readers");
        }
        Ok(sent)
    }

    /// Takes a blob from a frame whose length was just read. Only from a session that has an account with that much
    /// allowance left.
    pub(super) async fn take_blob(
        &self,
        session: &Session,
        stream: &mut Stream,
        frame: usize,
    ) -> Result<Reply, Reason> {
        let account = session.account()?;
        let hosted = self.campaign_of(session);
        self.charge_bytes(&hosted, account, frame)?;
        if hosted.ledger.is_following() {
            return Err(Reason::Following);
        }
        // A frame as long as this holds a blob or is none of this protocol.
        let length = parts::put_blob_in(frame).ok_or(Reason::TooLarge)?;
        if length > MAX_BLOB {
            return Err(Reason::TooLarge);
        }
        let own = session.begin_transfer().await.ok_or(Reason::Busy)?;
        let _place = self.uploads.take(session.network()).ok_or(Reason::Busy)?;
        let claim = self.claim(account, session, length).await?;
        let cid = self.receive(stream, length).await?;
        drop(own);
        claim.stored(cid);
        self.count_stored(length);
        Ok(Reply::Stored { cid })
    }

    /// Room for a blob that no entry names yet.
    async fn claim(&self, account: AccountId, session: &Session, length: usize) -> Result<Claim<'_>, Reason> {
        self.unpinned.claim(Whose { account, network: session.network() }, length as u64).await
    }

    async fn receive(&self, stream: &mut Stream, length: usize) -> Result<Cid, Reason> {
        let mut pace = Pace::new();
        let head = parts::put_blob(length);
        if self.read_part(stream, head.len(), &mut pace).await? != head {
            // Nothing but a blob may be as long as this.
            return Err(Reason::TooLarge);
        }
        let mut writer = self.disk.write();
        let mut left = length;
        while left > 0 {
            let part = self.read_part(stream, left.min(PART), &mut pace).await?;
            left -= part.len();
            writer.add(part).await.map_err(|error| self.store_reason(&error))?;
        }
        writer.finish().await.map_err(|error| self.store_reason(&error))
    }

    async fn read_part(
        &self,
        stream: &mut Stream,
        length: usize,
        pace: &mut Pace,
    ) -> Result<Vec<u8>, Reason> {
        let part = frame::read_part(stream, length, pace.patience()).await;
        if matches!(part, Err(FrameError::Stalled)) {
            self.metrics.limit("slow_senders");
        }
        let part = part.map_err(|error| frame_reason(&error))?;
        pace.moved(part.len());
        Ok(part)
    }

    /// Stores a small blob, which came whole.
    pub(super) async fn put_blob(&self, session: &Session, bytes: Vec<u8>) -> Result<Reply, Reason> {
        let account = session.account()?;
        let hosted = self.campaign_of(session);
        if hosted.ledger.is_following() {
            return Err(Reason::Following);
        }
        let length = bytes.len();
        self.charge_bytes(&hosted, account, length)?;
        let claim = self.claim(account, session, length).await?;
        let mut writer = self.disk.write();
        writer.add(bytes).await.map_err(|error| self.store_reason(&error))?;
        let cid = writer.finish().await.map_err(|error| self.store_reason(&error))?;
        claim.stored(cid);
        self.count_stored(length);
        Ok(Reply::Stored { cid })
    }

    fn count_stored(&self, length: usize) {
        self.set_blobs(None, &"");
        self.metrics.blobs_stored.inc();
        self.metrics.blob_bytes_stored.inc_by(length as u64);
    }

    /// A full or failing disk shows in the relay's readiness, and is tried again automatically.
    fn store_reason(&self, error: &StoreError) -> Reason {
        if matches!(error, StoreError::TooLarge { .. }) {
            return Reason::TooLarge;
        }
        let Some(cause) = store_cause(error) else { return internal(error) };
        if matches!(error, StoreError::NoSpace) {
            self.metrics.limit("disk");
        }
        self.set_blobs(Some(cause), error);
        Reason::StoreFailing
    }

    /// All campaigns keep their blobs on the same disk.
    fn set_blobs(&self, cause: Option<Cause>, detail: &dyn std::fmt::Display) {
        for hosted in self.campaigns.all() {
            hosted.condition.set(Part::Blobs, cause, detail);
        }
    }

    fn charge_bytes(&self, hosted: &Hosted, account: AccountId, amount: usize) -> Result<(), Reason> {
        if hosted.quotas.blob_bytes.take(account, amount, Instant::now()) {
            return Ok(());
        }
        match hosted.checks.transport {
            Transport::Relay => Err(Reason::QuotaBytes),
            Transport::Peers => {
                self.metrics.limit("pinned_bytes");
                Err(Reason::QuotaPinned)
            }
        }
    }
}

/// Sends a blob as a reply. If the blob turns out to be damaged, the reply is cut off and is not a valid one.
async fn send_blob(stream: &mut Stream, mut reader: BlobReader) -> Result<(), FrameError> {
    let broken = |error: StoreError| {
        tracing::error!("a blob cannot be sent: {error}");
        FrameError::Stream(std::io::Error::other(error))
    };
    let length = usize::try_from(reader.length()).unwrap_or(usize::MAX);
    let head = parts::blob(length);
    let mut writer = PartsWriter::new(head.len().saturating_add(length))?;
    let mut pace = Pace::new();
    let mut step = async |bytes: &[u8], patience: Duration| writer.add(stream, bytes, patience).await;
    pace.moved(step(&head, pace.patience()).await?);
    while let Some(part) = reader.next().await.map_err(broken)? {
        pace.moved(step(&part, pace.patience()).await?);
    }
    writer.finish(stream, pace.patience()).await
}

const _: () = assert!(MAX_SMALL_REQUEST < PART, "what comes whole is small");
