//! The log for tabs: a page of it, or page after page as it grows.

use std::net::IpAddr;
use std::time::Duration;

use lichen_log::{Beginning, Record, Witnessed};
use lichen_net::hub::{FOLLOW_KEEP_ALIVE, MAX_RECORDS, Notice, Reason, Reply};
use lichen_net::swarm::frame::{self, FrameError};
use lichen_net::swarm::libp2p::swarm::Stream;
use tokio::sync::watch;

use super::reasons::internal;
use super::{Hub, Session, send};
use crate::fairness::pace::{GRACE, Pace};
use crate::fairness::shares::Place;
use crate::hosting::{Hosted, Page};
use crate::log::ledger::SignedHead;

/// Replies that are no longer than this need no place among the large ones, in bytes: an entry that was just appended is
/// told to everybody at once.
const SMALL: usize = 4 * 1024;

impl Hub {
    /// Records of a campaign's log and a head that is not behind them.
    pub(crate) async fn read_log(&self, hosted: &Hosted, from: u64, limit: u32) -> Result<Page, Reason> {
        let head = hosted.ledger.head().borrow().clone();
        page(hosted, from, limit as usize, &head).await
    }

    /// Where the log may be begun: at its newest snapshot.
    pub(super) async fn snapshot(&self, hosted: &Hosted) -> Result<Reply, Reason> {
        let place = hosted.ledger.head().borrow().snapshot.ok_or(Reason::NotFound)?;
        let records = self.disk.records(hosted.id(), place.saturating_sub(1), 2).await.map_err(internal)?;
        let [before, record] = <[Record; 2]>::try_from(records).map_err(|_fewer| Reason::NotFound)?;
        Ok(Reply::Snapshot(Beginning { hash: before.hash, time: before.time, record }))
    }

    /// What enough witnesses have signed last, with the way from the last record to what they signed.
    pub(super) async fn witnessed(&self, hosted: &Hosted) -> Result<Reply, Reason> {
        let (size, checkpoint) = hosted.checkpoints.witnessed().ok_or(Reason::NotFound)?;
        let last = size.checked_sub(1).ok_or(Reason::NotFound)?;
        let records = self.disk.records(hosted.id(), last, 1).await.map_err(internal)?;
        let record = records.into_iter().next().ok_or(Reason::NotFound)?;
        let proof = self.disk.inclusion(hosted.id(), last, size).await.map_err(internal)?;
        let proof = proof.ok_or(Reason::NotFound)?.concat();
        Ok(Reply::Witnessed(Witnessed { checkpoint, record, proof }))
    }

    /// Waits until the log is longer than `length`, for at most `longest`.
    pub(crate) async fn grown_beyond(&self, hosted: &Hosted, length: u64, longest: Duration) {
        let mut heads = hosted.ledger.head();
        tokio::select! {
            _grown = heads.wait_for(|head| head.length > length) => {}
            () = tokio::time::sleep(longest) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Sends page after page until the peer goes away, and each notice.
    pub(super) async fn follow(
        &self,
        session: &Session,
        stream: &mut Stream,
        hosted: &Hosted,
        mut from: u64,
        mut notices: Option<watch::Receiver<Notice>>,
    ) -> Result<Result<(), FrameError>, Reason> {
        let Some(_one) = session.begin_following() else {
            self.metrics.limit("follows_per_connection");
            return Err(Reason::Busy);
        };
        let _place = self.follows.take(session.network()).ok_or(Reason::Busy)?;
        let mut heads = hosted.ledger.head();
        // A copy may lack what the tab has seen at the leader: that is no false log, but nothing to follow either.
        if hosted.ledger.is_following() && from > heads.borrow().length {
            return Err(Reason::Behind);
        }
        // That all is well need not be said to whoever has just come.
        let mut told = Notice::default();
        loop {
            let notice = notices.as_mut().map_or(told, |notices| *notices.borrow_and_update());
            if std::mem::replace(&mut told, notice) != notice
                && let Err(error) = send(stream, &Reply::Notice(notice)).await
            {
                return Ok(Err(error));
            }
            let head = heads.borrow_and_update().clone();
            let page = page(hosted, from, MAX_RECORDS, &head).await?;
            from = from.saturating_add(page.count() as u64);
            if let Err(error) = self.send_page(session, stream, &page).await? {
                return Ok(Err(error));
            }
            drop(page);
            if from < head.length {
                continue;
            }
            let keep_alive = Duration::from_millis(FOLLOW_KEEP_ALIVE.into());
            tokio::select! {
                changed = heads.changed() => if changed.is_err() {
                    return Ok(Ok(()));
                },
                () = changed(&mut notices) => {}
                () = tokio::time::sleep(keep_alive) => {}
                () = self.stop.cancelled() => return Ok(Ok(())),
            }
        }
    }

    async fn send_page(
        &self,
        session: &Session,
        stream: &mut Stream,
        page: &Page,
    ) -> Result<Result<(), FrameError>, Reason> {
        let is_small = page.records().len() <= SMALL;
        let _place = if is_small { None } else { Some(self.place_to_send(session).await?) };
        let begin = page.begin_reply();
        let mut pace = Pace::new();
        let patience = |moved| {
            pace.moved(moved);
            pace.patience()
        };
        let sent = frame::write_parts(stream, &[&begin, page.records()], patience).await;
        if matches!(sent, Err(FrameError::Stalled)) {
            self.metrics.limit("slow_readers");
        }
        Ok(sent)
    }

    /// A place among the large replies, once the connection and its network have one.
    pub(super) async fn place_to_send<'a>(&self, session: &'a Session) -> Result<Sending<'a>, Reason> {
        let own = session.begin_transfer().await.ok_or(Reason::Busy)?;
        let place = self.place_in(session.network()).await.ok_or(Reason::Busy)?;
        Ok(Sending { _own: own, _place: place })
    }

    async fn place_in(&self, network: IpAddr) -> Option<Place> {
        self.replies.wait(network, GRACE).await
    }
}

async fn page(hosted: &Hosted, from: u64, limit: usize, head: &SignedHead) -> Result<Page, Reason> {
    hosted.pages.page(from, limit.min(MAX_RECORDS), head).await.map_err(internal)
}

/// Waits for another notice; for ever where none are wanted, or none can come any more.
async fn changed(notices: &mut Option<watch::Receiver<Notice>>) {
    let is_changed = match notices {
        Some(notices) => notices.changed().await.is_ok(),
        None => false,
    };
    if !is_changed {
        std::future::pending().await
    }
}

/// A large reply under way.
pub(super) struct Sending<'a> {
    _own: tokio::sync::SemaphorePermit<'a>,
    _place: Place,
}
