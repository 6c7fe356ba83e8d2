//! Serves the hub protocol: one stream, one request.
//!
//! The way of an entry: size cap, decode, session, quota, signature, account, admission by the fold, and for a
//! contribution the update itself; in a mesh, where updates go from tab to tab, for an attestation the checkpoint, so that
//! none settles that nobody can have. Then the log appends it, and the receipt is signed. Whatever fails first is the
//! reason of the refusal; a refusal is counted and has changed nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use futures::AsyncWriteExt;
use lichen_campaign::Topology;
use lichen_learn::{Update, UpdateError};
use lichen_log::Receipt;
use lichen_net::hub::{
    CampaignStatus, FOLLOW_KEEP_ALIVE, MAX_RECORDS, MAX_SMALL_REQUEST, Reason, Records, Reply, Request,
};
use lichen_net::swarm::frame::{self, FrameError};
use lichen_net::swarm::libp2p::PeerId;
use lichen_net::swarm::libp2p::swarm::Stream;
use lichen_net::{MAX_FRAME, MAX_IN_FLIGHT};
use lichen_record::{
    AccountId, CampaignId, Cid, DecodeError, Entry, SessionCertificate, Verified, VerifyError, verify,
};
use lichen_store::{Blobs, Disk, StoreError};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::ledger::{AppendError, Ledger, SignedHead};
use crate::metrics::Metrics;
use crate::quota::Quota;
use crate::signer::Signer;

/// Longest time in which no byte of a request or a reply moves.
const PATIENCE: Duration = Duration::from_secs(20);

/// How far a session certificate's time may be from the relay's clock.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Memory for large frames under way, in KiB, over all connections.
const TRANSFER_KIB: usize = 512 * 1024;

/// What all sessions share.
pub(crate) struct Hub {
    ledger: Ledger,
    disk: Disk,
    /// None where another relay orders the log.
    signer: Option<Signer>,
    parameters: usize,
    topology: Topology,
    metrics: Arc<Metrics>,
    entries: Quota,
    blob_bytes: Quota,
    transfers: Semaphore,
    stop: CancellationToken,
}

/// What a [`Hub`] is made of.
pub(crate) struct HubParts {
    pub(crate) ledger: Ledger,
    pub(crate) disk: Disk,
    /// None where another relay orders the log.
    pub(crate) signer: Option<Signer>,
    /// Number of the model's parameters.
    pub(crate) parameters: usize,
    /// Which way updates go.
    pub(crate) topology: Topology,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) entries_per_minute: u32,
    pub(crate) blob_bytes_per_minute: u32,
    pub(crate) stop: CancellationToken,
}

/// A request that was read.
struct Incoming<'a> {
    request: Request,
    /// Whether its bytes are taken from the account's allowance already.
    is_charged: bool,
    /// Held while the request is in memory.
    _memory: SemaphorePermit<'a>,
}

/// One connection of a peer.
pub(crate) struct Session {
    peer: PeerId,
    account: watch::Sender<Option<AccountId>>,
    in_flight: Semaphore,
    registrations: AtomicUsize,
    opened: Instant,
}

impl Session {
    pub(crate) fn new(peer: PeerId) -> Self {
        Self {
            peer,
            account: watch::Sender::new(None),
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            registrations: AtomicUsize::new(0),
            opened: Instant::now(),
        }
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> PeerId {
        self.peer
    }

    /// How long it has been connected.
    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// The account, once the session has said hello.
    pub(crate) async fn introduced(&self) -> AccountId {
        let mut accounts = self.account.subscribe();
        match accounts.wait_for(Option::is_some).await.map(|account| *account) {
            Ok(Some(account)) => account,
            // The sender is part of this session: it is not gone.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// How many registrations at the rendezvous this session has under way.
    pub(crate) fn registrations(&self) -> &AtomicUsize {
        &self.registrations
    }

    fn account(&self) -> Result<AccountId, Reason> {
        self.account.borrow().ok_or(Reason::NotIntroduced)
    }

    fn introduce(&self, account: AccountId) {
        self.account.send_replace(Some(account));
    }
}

impl Hub {
    pub(crate) fn new(parts: HubParts) -> Self {
        Self {
            ledger: parts.ledger,
            disk: parts.disk,
            signer: parts.signer,
            parameters: parts.parameters,
            topology: parts.topology,
            metrics: parts.metrics,
            entries: Quota::per_minute(parts.entries_per_minute),
            blob_bytes: Quota::per_minute(parts.blob_bytes_per_minute),
            transfers: Semaphore::new(TRANSFER_KIB),
            stop: parts.stop,
        }
    }

    /// Reads the request on a stream and answers it.
    pub(crate) async fn serve(&self, session: &Session, mut stream: Stream) {
        if let Err(error) = self.exchange(session, &mut stream).await {
            tracing::debug!(peer = %session.peer, %error, "a stream broke");
        }
        // The peer may be gone already.
        let _closed = tokio::time::timeout(PATIENCE, stream.close()).await;
    }

    async fn exchange(&self, session: &Session, stream: &mut Stream) -> Result<(), FrameError> {
        let Ok(_in_flight) = session.in_flight.try_acquire() else {
            return self.refuse(stream, Reason::Busy).await;
        };
        let Incoming { request, is_charged, _memory } = match self.read(session, stream).await {
            Ok(Some(incoming)) => incoming,
            Ok(None) => return Ok(()),
            Err(reason) => return self.refuse(stream, reason).await,
        };
        self.metrics.request(kind(&request));
        match self.answer(session, stream, request, is_charged).await {
            Ok(sent) => sent,
            Err(reason) => self.refuse(stream, reason).await,
        }
    }

    async fn refuse(&self, stream: &mut Stream, reason: Reason) -> Result<(), FrameError> {
        self.metrics.refuse(reason);
        send(stream, &Reply::Refused { reason }).await
    }

    /// Reads one request; a large frame only from a session that has an account with that much allowance left, and
    /// within the memory there is.
    async fn read(&self, session: &Session, stream: &mut Stream) -> Result<Option<Incoming<'_>>, Reason> {
        let Some(length) =
            frame::read_length(stream, PATIENCE).await.map_err(|error| frame_reason(&error))?
        else {
            return Ok(None);
        };
        if length > MAX_FRAME {
            return Err(Reason::TooLarge);
        }
        let is_large = length > MAX_SMALL_REQUEST;
        if is_large {
            self.charge_bytes(session.account()?, length)?;
        }
        let memory = self.transfers.try_acquire_many(kib(length)).map_err(|_full| Reason::Busy)?;
        let bytes =
            frame::read_content(stream, length, PATIENCE).await.map_err(|error| frame_reason(&error))?;
        let request = Request::from_bytes(&bytes).map_err(|error| decode_reason(&error))?;
        Ok(Some(Incoming { request, is_charged: is_large, _memory: memory }))
    }

    /// Answers a request, or says why not. What is sent may break off.
    async fn answer(
        &self,
        session: &Session,
        stream: &mut Stream,
        request: Request,
        is_charged: bool,
    ) -> Result<Result<(), FrameError>, Reason> {
        let reply = match request {
            Request::Hello { certificate } => self.hello(session, &certificate)?,
            Request::Campaigns => Reply::Campaigns { campaigns: self.campaigns() },
            Request::ReadLog { campaign, from, limit } => {
                Reply::Records(self.read_log(campaign, from, limit).await?)
            }
            Request::Follow { campaign, from } => return self.follow(stream, campaign, from).await,
            Request::Append { campaign, entry } => self.append(session, campaign, &entry).await?,
            Request::GetBlob { cid } => return self.get_blob(stream, &cid).await,
            Request::PutBlob { bytes } => self.put_blob(session, &bytes, is_charged).await?,
        };
        Ok(send(stream, &reply).await)
    }

    fn hello(&self, session: &Session, certificate: &[u8]) -> Result<Reply, Reason> {
        let certificate = verify::<SessionCertificate>(certificate).map_err(|error| verify_reason(&error))?;
        let SessionCertificate { peer, issued } = certificate.get();
        if *peer != session.peer.to_bytes() {
            return Err(Reason::WrongPeer);
        }
        let time = clock::now();
        if u128::from(time.abs_diff(*issued)) > CLOCK_TOLERANCE.as_millis() {
            return Err(Reason::CertificateExpired);
        }
        let account = certificate.account();
        session.introduce(account);
        Ok(Reply::Welcome {
            coordinator: self.ledger.coordinator(),
            account,
            time,
            is_following: self.ledger.is_following(),
        })
    }

    /// The campaigns kept here.
    pub(crate) fn campaigns(&self) -> Vec<CampaignStatus> {
        let length = self.ledger.head().borrow().length;
        vec![CampaignStatus { campaign: self.ledger.campaign(), length }]
    }

    /// Records and a head that is not behind them.
    pub(crate) async fn read_log(
        &self,
        campaign: CampaignId,
        from: u64,
        limit: u32,
    ) -> Result<Records, Reason> {
        self.check_campaign(campaign)?;
        let head = self.ledger.head().borrow().clone();
        self.records(from, limit as usize, &head).await
    }

    /// Waits until the log is longer than this, but not longer than so long.
    pub(crate) async fn grown_beyond(&self, length: u64, longest: Duration) {
        let mut heads = self.ledger.head();
        tokio::select! {
            _grown = heads.wait_for(|head| head.length > length) => {}
            () = tokio::time::sleep(longest) => {}
            () = self.stop.cancelled() => {}
        }
    }

    async fn records(&self, from: u64, limit: usize, head: &SignedHead) -> Result<Records, Reason> {
        // What was written after this head was signed is not its to vouch for.
        let left = usize::try_from(head.length.saturating_sub(from)).unwrap_or(usize::MAX);
        let limit = limit.min(MAX_RECORDS).min(left);
        let records = self.disk.records(self.ledger.campaign(), from, limit).await;
        Ok(Records { records: records.map_err(internal)?, head: head.envelope.to_vec() })
    }

    async fn follow(
        &self,
        stream: &mut Stream,
        campaign: CampaignId,
        mut from: u64,
    ) -> Result<Result<(), FrameError>, Reason> {
        self.check_campaign(campaign)?;
        let mut heads = self.ledger.head();
        // A copy may lack what the tab has seen at the leader: that is no false log, but nothing to follow either.
        if self.ledger.is_following() && from > heads.borrow().length {
            return Err(Reason::Behind);
        }
        loop {
            let head = heads.borrow_and_update().clone();
            let records = self.records(from, MAX_RECORDS, &head).await?;
            from = from.saturating_add(records.records.len() as u64);
            if let Err(error) = send(stream, &Reply::Records(records)).await {
                return Ok(Err(error));
            }
            if from < head.length {
                continue;
            }
            let keep_alive = Duration::from_millis(FOLLOW_KEEP_ALIVE.into());
            tokio::select! {
                changed = heads.changed() => if changed.is_err() {
                    return Ok(Ok(()));
                },
                () = tokio::time::sleep(keep_alive) => {}
                () = self.stop.cancelled() => return Ok(Ok(())),
            }
        }
    }

    async fn append(&self, session: &Session, campaign: CampaignId, entry: &[u8]) -> Result<Reply, Reason> {
        let account = session.account()?;
        let signer = self.signer.as_ref().ok_or(Reason::Following)?;
        if !self.entries.take(account, 1, Instant::now()) {
            return Err(Reason::QuotaEntries);
        }
        self.check_campaign(campaign)?;
        let entry = verify::<Entry>(entry).map_err(|error| verify_reason(&error))?;
        if entry.account() != account {
            return Err(Reason::WrongAccount);
        }
        match self.topology {
            Topology::Hub => self.check_update(&entry).await?,
            Topology::Mesh => self.check_checkpoint(&entry).await?,
        }
        let receipt = self.ledger.append(entry).await.map_err(|error| append_reason(&error))?;
        let receipt = signer.sign::<Receipt>(&receipt).map_err(internal)?;
        Ok(Reply::Receipt { receipt })
    }

    /// Checks the update that a contribution names, once the fold would take the contribution.
    async fn check_update(&self, entry: &Verified<Entry>) -> Result<(), Reason> {
        let Entry::Contribution { update, .. } = entry.get() else { return Ok(()) };
        self.ledger.admit(entry.clone()).await.map_err(|error| append_reason(&error))?;
        let bytes = self.disk.get(update).await.map_err(internal)?.ok_or(Reason::UpdateMissing)?;
        let parameters = self.parameters;
        let decoded = tokio::task::spawn_blocking(move || Update::decode(&bytes, parameters).map(drop));
        decoded.await.map_err(internal)?.map_err(|error| update_reason(&error))
    }

    /// Checks that the checkpoint that is attested is here, once the fold would take the attestation.
    async fn check_checkpoint(&self, entry: &Verified<Entry>) -> Result<(), Reason> {
        let Entry::Checkpointed { result, .. } = entry.get() else { return Ok(()) };
        self.ledger.admit(entry.clone()).await.map_err(|error| append_reason(&error))?;
        if self.disk.has(result).await.map_err(internal)? { Ok(()) } else { Err(Reason::CheckpointMissing) }
    }

    async fn get_blob(&self, stream: &mut Stream, cid: &Cid) -> Result<Result<(), FrameError>, Reason> {
        let bytes = self.disk.get(cid).await.map_err(internal)?.ok_or(Reason::NotFound)?;
        // A reply waits for memory where a request is refused: it is the relay's own.
        let _memory = self.transfers.acquire_many(kib(bytes.len())).await.map_err(internal)?;
        Ok(send(stream, &Reply::Blob { bytes }).await)
    }

    async fn put_blob(&self, session: &Session, bytes: &[u8], is_charged: bool) -> Result<Reply, Reason> {
        let account = session.account()?;
        if self.ledger.is_following() {
            return Err(Reason::Following);
        }
        if !is_charged {
            self.charge_bytes(account, bytes.len())?;
        }
        let cid = Cid::of_raw(bytes);
        match self.disk.put(&cid, bytes).await {
            Ok(()) => {}
            Err(StoreError::TooLarge { .. }) => return Err(Reason::TooLarge),
            Err(error) => return Err(internal(error)),
        }
        self.metrics.blobs_stored.inc();
        self.metrics.blob_bytes_stored.inc_by(bytes.len() as u64);
        Ok(Reply::Stored { cid })
    }

    fn charge_bytes(&self, account: AccountId, amount: usize) -> Result<(), Reason> {
        if self.blob_bytes.take(account, amount, Instant::now()) {
            return Ok(());
        }
        match self.topology {
            Topology::Hub => Err(Reason::QuotaBytes),
            Topology::Mesh => {
                self.metrics.limit("pinned_bytes");
                Err(Reason::QuotaPinned)
            }
        }
    }

    fn check_campaign(&self, campaign: CampaignId) -> Result<(), Reason> {
        if campaign == self.ledger.campaign() { Ok(()) } else { Err(Reason::UnknownCampaign) }
    }

    /// The blob of this id.
    pub(crate) async fn blob(&self, cid: &Cid) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk.get(cid).await
    }
}

async fn send(stream: &mut Stream, reply: &Reply) -> Result<(), FrameError> {
    let bytes = reply.to_bytes().map_err(|error| FrameError::Stream(std::io::Error::other(error)))?;
    frame::write(stream, &bytes, PATIENCE).await
}

const fn kind(request: &Request) -> &'static str {
    match request {
        Request::Hello { .. } => "hello",
        Request::Campaigns => "campaigns",
        Request::ReadLog { .. } => "read_log",
        Request::Follow { .. } => "follow",
        Request::Append { .. } => "append",
        Request::GetBlob { .. } => "get_blob",
        Request::PutBlob { .. } => "put_blob",
    }
}

/// Memory for so many bytes, in KiB; at least one.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

const fn frame_reason(error: &FrameError) -> Reason {
    match error {
        FrameError::TooLong { .. } => Reason::TooLarge,
        FrameError::Truncated | FrameError::Stalled | FrameError::Stream(_) => Reason::Truncated,
    }
}

const fn decode_reason(error: &DecodeError) -> Reason {
    match error {
        DecodeError::TooLarge { .. } => Reason::TooLarge,
        DecodeError::NotCanonical => Reason::NotCanonical,
        _ => Reason::Malformed,
    }
}

const fn verify_reason(error: &VerifyError) -> Reason {
    match error {
        VerifyError::Envelope(error) | VerifyError::Payload(error) => decode_reason(error),
        VerifyError::Malformed | VerifyError::HighS | VerifyError::Signature => Reason::WrongSignature,
        _ => Reason::Malformed,
    }
}

const fn update_reason(error: &UpdateError) -> Reason {
    match error {
        UpdateError::Count { .. } | UpdateError::Length { .. } | UpdateError::Shapes => Reason::UpdateShape,
        UpdateError::NotFinite { .. } => Reason::UpdateNotFinite,
        _ => Reason::UpdateMalformed,
    }
}

const fn append_reason(error: &AppendError) -> Reason {
    match error {
        AppendError::Refused(refusal) => Reason::Inadmissible(*refusal),
        AppendError::Following => Reason::Following,
        AppendError::Ended => Reason::Busy,
    }
}

fn internal(error: impl std::fmt::Display) -> Reason {
    tracing::error!("a request failed: {error}");
    Reason::Internal
}
