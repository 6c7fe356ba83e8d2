//! One connection of a peer, and what it may have under way.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lichen_net::MAX_IN_FLIGHT;
use lichen_net::hub::Reason;
use lichen_net::swarm::libp2p::PeerId;
use lichen_record::AccountId;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::fairness::pace::GRACE;
use crate::fairness::rates::network;
use crate::hosting::Hosted;

/// Most large replies and uploads of one connection at a time; more wait. A tab fetches four blobs at a time.
const MAX_TRANSFERS: usize = 8;

/// Most streams of one connection that follow the log. A tab has one; those that it gave up are known to be gone only when
/// something is written to them.
const MAX_FOLLOWS: usize = 16;

/// One connection of a peer.
pub(crate) struct Session {
    peer: PeerId,
    /// The network that it comes from.
    network: IpAddr,
    account: watch::Sender<Option<AccountId>>,
    attendance: Mutex<Attendance>,
    in_flight: Semaphore,
    /// Large replies and uploads under way.
    transfers: Semaphore,
    follows: Semaphore,
    registrations: AtomicUsize,
    opened: Instant,
}

/// Whom a session counts as present, and where.
#[derive(Default)]
struct Attendance {
    account: Option<AccountId>,
    /// The campaigns that it has named, the last one last.
    campaigns: Vec<Arc<Hosted>>,
    is_over: bool,
}

impl Session {
    /// The connection of a peer that comes from this address.
    pub(crate) fn new(peer: PeerId, address: Option<IpAddr>) -> Self {
        Self {
            peer,
            // Every socket has an address; those without share one.
            network: network(address.unwrap_or(Ipv4Addr::UNSPECIFIED.into())),
            account: watch::Sender::new(None),
            attendance: Mutex::default(),
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            transfers: Semaphore::new(MAX_TRANSFERS),
            follows: Semaphore::new(MAX_FOLLOWS),
            registrations: AtomicUsize::new(0),
            opened: Instant::now(),
        }
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> PeerId {
        self.peer
    }

    /// The network that it comes from.
    pub(crate) fn network(&self) -> IpAddr {
        self.network
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

    pub(super) fn account(&self) -> Result<AccountId, Reason> {
        self.account.borrow().ok_or(Reason::NotIntroduced)
    }

    pub(super) fn introduce(&self, account: AccountId) {
        self.account.send_replace(Some(account));
        let mut attendance = self.attendance();
        // A hello may be answered after the connection is gone.
        if attendance.is_over || attendance.account == Some(account) {
            return;
        }
        let before = attendance.account.replace(account);
        for presence in attendance.campaigns.iter().filter_map(|hosted| hosted.ledger.presence()) {
            presence.came(account);
            before.iter().for_each(|before| presence.went(*before));
        }
    }

    /// Takes part in a campaign, as well as in those that it has named before: a tab of one campaign that is closed is gone,
    /// whatever other tabs the same account has open here.
    pub(super) fn attend(&self, hosted: &Arc<Hosted>) {
        let mut attendance = self.attendance();
        let known = attendance.campaigns.iter().position(|one| Arc::ptr_eq(one, hosted));
        match known {
            Some(known) => {
                attendance.campaigns.get_mut(known..).into_iter().for_each(|rest| rest.rotate_left(1))
            }
            None => {
                attendance.campaigns.push(Arc::clone(hosted));
                if let Some((account, presence)) = attendance.account.zip(hosted.ledger.presence()) {
                    presence.came(account);
                }
            }
        }
    }

    /// The campaign that it has named last.
    pub(super) fn campaign(&self) -> Option<Arc<Hosted>> {
        self.attendance().campaigns.last().map(Arc::clone)
    }

    /// The connection is gone.
    pub(crate) fn end(&self) {
        let mut attendance = self.attendance();
        attendance.is_over = true;
        let Some(account) = attendance.account.take() else { return };
        let campaigns = std::mem::take(&mut attendance.campaigns);
        campaigns
            .iter()
            .filter_map(|hosted| hosted.ledger.presence())
            .for_each(|presence| presence.went(account));
    }

    fn attendance(&self) -> MutexGuard<'_, Attendance> {
        // It stays right whatever happened to another thread: nothing in between can fail.
        self.attendance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets one more request be under way, unless there are too many.
    pub(super) fn begin(&self) -> Option<SemaphorePermit<'_>> {
        self.in_flight.try_acquire().ok()
    }

    /// Lets one more stream follow the log, unless there are too many.
    pub(super) fn begin_following(&self) -> Option<SemaphorePermit<'_>> {
        self.follows.try_acquire().ok()
    }

    /// Waits until one more transfer may be under way.
    pub(super) async fn begin_transfer(&self) -> Option<SemaphorePermit<'_>> {
        let permit = tokio::time::timeout(GRACE, self.transfers.acquire()).await;
        permit.ok().and_then(Result::ok)
    }
}
