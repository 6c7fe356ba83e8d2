//! Serves the hub protocol: one stream, one request.
//!
//! The way of an entry: size cap, decode, session, quota, signature, account, admission by the fold, and for a
//! contribution the update itself; in a mesh, where updates go from tab to tab, for an attestation the checkpoint, so that
//! none settles that nobody can have. Then the log appends it, and the receipt is signed. Whatever fails first is the
//! reason of the refusal; a refusal is counted and has changed nothing.
//!
//! What a peer sends or does not read takes little memory: small requests are read whole, blobs go to and from the disk in
//! parts, pages of the log are one copy for everybody, and large replies have places that networks share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::AsyncWriteExt;
use lichen_net::MAX_FRAME;
use lichen_net::hub::{MAX_SMALL_REQUEST, Reason, Reply, Request};
use lichen_net::swarm::frame::{self, FrameError};
use lichen_net::swarm::libp2p::swarm::Stream;
use lichen_record::{CampaignId, SessionCertificate, verify};
use lichen_store::Disk;
use tokio_util::sync::CancellationToken;

use crate::fairness::shares::{Place, Shares};
use crate::fairness::workspace::Workspace;
use crate::hosting::{Campaigns, Hosted};
use crate::operating::clock;
use crate::operating::metrics::Metrics;
use crate::operating::unpinned::Unpinned;

mod blobs;
mod entries;
mod log;
mod reasons;
mod session;

pub(crate) use session::Session;

use reasons::{decode_reason, frame_reason, verify_reason};

/// Longest time in which no byte of a request or a reply moves.
const PATIENCE: Duration = Duration::from_secs(20);

/// How far a session certificate's time may be from the relay's clock, as it is or as it was at the start and has gone on
/// since: a clock that is set while the relay runs keeps nobody out. One that is a day off is common, and harmless here:
/// whoever has an old certificate still lacks the connection's own key.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long not to say again that somebody's clock is far from ours, in milliseconds.
const SAY_AGAIN_MS: u64 = 600_000;

/// Most streams served at a time, and how many for each connection that a network may have: a tab has two that stay open
/// and a few that come and go.
const STREAMS: usize = 32 * 1024;
const STREAMS_EACH: usize = 8;

/// Most streams that follow the log.
const FOLLOWS: usize = 16 * 1024;

/// Most large replies under way: each takes up to a part of a blob and what waits in its stream, some 250 KiB.
const REPLIES: usize = 512;
const REPLIES_PER_NETWORK: usize = 128;

/// Most uploads under way.
const UPLOADS: usize = 512;
const UPLOADS_PER_NETWORK: usize = 128;

/// What all sessions share.
pub(crate) struct Hub {
    campaigns: Arc<Campaigns>,
    disk: Disk,
    unpinned: Arc<Unpinned>,
    metrics: Arc<Metrics>,
    /// Streams under way, those that follow the log, large replies, and uploads.
    streams: Arc<Shares>,
    follows: Arc<Shares>,
    replies: Arc<Shares>,
    uploads: Arc<Shares>,
    workspace: Arc<Workspace>,
    /// When it may be said again that somebody's clock is far from ours.
    clocks_said: AtomicU64,
    stop: CancellationToken,
}

/// What a [`Hub`] is made of.
pub(crate) struct HubParts {
    pub(crate) campaigns: Arc<Campaigns>,
    pub(crate) disk: Disk,
    pub(crate) unpinned: Arc<Unpinned>,
    pub(crate) metrics: Arc<Metrics>,
    /// Most connections of a network, which what else it may have follows from.
    pub(crate) connections_per_network: usize,
    pub(crate) stop: CancellationToken,
}

impl Hub {
    pub(crate) fn new(parts: HubParts) -> Self {
        let per_network = parts.connections_per_network;
        let shares = |name, all, of_network| Shares::new(name, all, of_network, &parts.metrics);
        Self {
            streams: shares("streams_per_address", STREAMS, per_network.saturating_mul(STREAMS_EACH)),
            follows: shares("follows_per_address", FOLLOWS, per_network),
            replies: shares("replies_per_address", REPLIES, REPLIES_PER_NETWORK),
            uploads: shares("uploads_per_address", UPLOADS, UPLOADS_PER_NETWORK),
            workspace: Arc::new(Workspace::new()),
            campaigns: parts.campaigns,
            disk: parts.disk,
            unpinned: parts.unpinned,
            metrics: parts.metrics,
            clocks_said: AtomicU64::new(0),
            stop: parts.stop,
        }
    }

    /// Lets one more stream of a session be served, unless its network has too many.
    pub(crate) fn admit(&self, session: &Session) -> Option<Place> {
        self.streams.take(session.network())
    }

    /// Reads the request on a stream and answers it.
    pub(crate) async fn serve(&self, session: &Session, mut stream: Stream, _place: Place) {
        if let Err(error) = self.exchange(session, &mut stream).await {
            tracing::debug!(peer = %session.peer(), %error, "a stream broke");
        }
        // The peer may be gone already.
        let _closed = tokio::time::timeout(PATIENCE, stream.close()).await;
    }

    async fn exchange(&self, session: &Session, stream: &mut Stream) -> Result<(), FrameError> {
        let Some(_in_flight) = session.begin() else {
            return self.refuse(stream, Reason::Busy).await;
        };
        match self.read_and_answer(session, stream).await {
            Ok(sent) => sent,
            Err(reason) => self.refuse(stream, reason).await,
        }
    }

    async fn refuse(&self, stream: &mut Stream, reason: Reason) -> Result<(), FrameError> {
        self.metrics.refuse(reason);
        send(stream, &Reply::Refused { reason }).await
    }

    /// Reads one request and answers it, or returns why not. The inner result says whether the answer was sent.
    async fn read_and_answer(
        &self,
        session: &Session,
        stream: &mut Stream,
    ) -> Result<Result<(), FrameError>, Reason> {
        let length = frame::read_length(stream, PATIENCE).await.map_err(|error| frame_reason(&error))?;
        let Some(length) = length else { return Ok(Ok(())) };
        if length > MAX_FRAME {
            return Err(Reason::TooLarge);
        }
        if length > MAX_SMALL_REQUEST {
            let reply = self.take_blob(session, stream, length).await?;
            self.metrics.request("put_blob");
            return Ok(send(stream, &reply).await);
        }
        let bytes = frame::read_part(stream, length, PATIENCE).await.map_err(|error| frame_reason(&error))?;
        let request = Request::from_bytes(&bytes).map_err(|error| decode_reason(&error))?;
        drop(bytes);
        self.metrics.request(kind(&request));
        self.answer(session, stream, request).await
    }

    /// Answers a request, or returns why not. The inner result says whether the answer was sent.
    async fn answer(
        &self,
        session: &Session,
        stream: &mut Stream,
        request: Request,
    ) -> Result<Result<(), FrameError>, Reason> {
        let reply = match request {
            Request::Hello { certificate } => self.hello(session, &certificate)?,
            Request::Follow { campaign, from } => {
                let hosted = self.attend(session, campaign)?;
                return self.follow(session, stream, &hosted, from, None).await;
            }
            Request::Watch { campaign, from } => {
                let hosted = self.attend(session, campaign)?;
                let notices = hosted.condition.notices();
                return self.follow(session, stream, &hosted, from, Some(notices)).await;
            }
            Request::Snapshot { campaign } => self.snapshot(&*self.attend(session, campaign)?).await?,
            Request::Witnessed { campaign } => self.witnessed(&*self.attend(session, campaign)?).await?,
            Request::Append { campaign, entry } => self.append(session, campaign, &entry).await?,
            Request::GetBlob { cid } => return self.get_blob(session, stream, &cid).await,
            Request::PutBlob { bytes } => self.put_blob(session, bytes).await?,
        };
        Ok(send(stream, &reply).await)
    }

    fn hello(&self, session: &Session, certificate: &[u8]) -> Result<Reply, Reason> {
        let certificate = verify::<SessionCertificate>(certificate).map_err(|error| verify_reason(&error))?;
        let SessionCertificate { peer, issued } = certificate.get();
        if *peer != session.peer().to_bytes() {
            return Err(Reason::WrongPeer);
        }
        let time = clock::wall();
        let off = time.abs_diff(*issued).min(clock::steady().abs_diff(*issued));
        if u128::from(off) > CLOCK_TOLERANCE.as_millis() {
            self.say_clocks_differ(time, *issued);
            return Err(Reason::CertificateExpired);
        }
        let account = certificate.account();
        session.introduce(account);
        // One account has the coordinator's role in all campaigns.
        let ledger = &self.campaigns.first().ledger;
        let (coordinator, is_following) = (ledger.coordinator(), ledger.is_following());
        Ok(Reply::Welcome { coordinator, account, time, is_following })
    }

    /// Whether blobs are refused because what is left of the disk is the log's.
    pub(crate) fn is_short_of_space(&self) -> bool {
        self.unpinned.is_short_of_space()
    }

    /// Says that somebody's clock is far from ours, at most once in a while: it may be ours that is wrong.
    fn say_clocks_differ(&self, own: u64, other: u64) {
        let now = clock::steady();
        let next = self.clocks_said.load(Ordering::Relaxed);
        if now < next {
            return;
        }
        self.clocks_said.store(now.saturating_add(SAY_AGAIN_MS), Ordering::Relaxed);
        let differ = clock::in_words(own.abs_diff(other));
        tracing::warn!(
            "a visitor's clock and this machine's differ by {differ}: if more come, check the one here"
        );
    }

    /// The campaign that a session names, and takes part in from then on.
    fn attend(&self, session: &Session, campaign: CampaignId) -> Result<Arc<Hosted>, Reason> {
        let hosted = self.campaigns.get(campaign).ok_or(Reason::UnknownCampaign)?;
        session.attend(&hosted);
        Ok(hosted)
    }

    /// The campaign that a session has named last; the first one for whoever has named none.
    fn campaign_of(&self, session: &Session) -> Arc<Hosted> {
        session.campaign().unwrap_or_else(|| Arc::clone(self.campaigns.first()))
    }
}

async fn send(stream: &mut Stream, reply: &Reply) -> Result<(), FrameError> {
    let bytes = reply.to_bytes().map_err(|error| FrameError::Stream(std::io::Error::other(error)))?;
    frame::write(stream, &bytes, PATIENCE).await
}

const fn kind(request: &Request) -> &'static str {
    match request {
        Request::Hello { .. } => "hello",
        Request::Follow { .. } => "follow",
        Request::Watch { .. } => "watch",
        Request::Snapshot { .. } => "snapshot",
        Request::Witnessed { .. } => "witnessed",
        Request::Append { .. } => "append",
        Request::GetBlob { .. } => "get_blob",
        Request::PutBlob { .. } => "put_blob",
    }
}
