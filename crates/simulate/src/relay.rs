//! A relay: the real coordinator and chain, on a disk that may not keep what it was given.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use lichen_bucket::Bucket;
use lichen_log::{Authority, Chain, Replica};
use lichen_record::{AccountId, Cid, Entry, SigningKey, Verified};
use lichen_round::{CampaignState, Coordinator, CoordinatorEvent, Ticket};

use crate::campaign::Campaign;
use crate::prefix::{Branch, Prefix};

/// Most requests that are ordered and written together, as a real relay's.
pub(crate) const BATCH: usize = 256;

/// What waits for the relay's attention, in order.
pub(crate) enum Ask {
    Append { peer: usize, connection: u64, ticket: Option<Ticket>, entry: Rc<Verified<Entry>> },
    Event(Box<CoordinatorEvent>),
    Presence { account: AccountId, is_here: bool },
}

/// Somebody's entry that is in the log, and of which they are told once it is written.
pub(crate) struct Receipt {
    pub(crate) peer: usize,
    pub(crate) connection: u64,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) index: usize,
}

/// What is ordered, and not written yet.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) receipts: Vec<Receipt>,
    /// Work that the coordinator asked for.
    pub(crate) work: Vec<lichen_round::CoordinatorAction>,
    pub(crate) has_records: bool,
}

/// The relay that orders the log.
pub(crate) struct Relay {
    pub(crate) key: SigningKey,
    pub(crate) coordinator: Coordinator,
    pub(crate) chain: Chain,
    pub(crate) branch: Rc<Branch>,
    /// Records that are on the disk, and that others may have heard of.
    pub(crate) written: usize,
    pub(crate) inbox: VecDeque<Ask>,
    pub(crate) batch: Option<Batch>,
    pub(crate) is_turn_due: bool,
    pub(crate) is_push_due: bool,
    /// Counts its starts: what belongs to an earlier one comes to nothing.
    pub(crate) life: u64,
    pub(crate) is_up: bool,
    /// What its machine's clock shows beside the world's, in milliseconds.
    pub(crate) clock: i64,
    /// What the log's time is ahead of its clock.
    pub(crate) ahead: u64,
    pub(crate) pinned: BTreeSet<Cid>,
    /// Updates that were looked at, and whether they may be contributed.
    pub(crate) checked: BTreeMap<Cid, bool>,
    /// Who is connected, and by which of their connections.
    pub(crate) sessions: BTreeMap<usize, u64>,
    /// Who reads the log as it grows, over the same connection.
    pub(crate) following: BTreeMap<usize, u64>,
    /// How many connections an account has.
    pub(crate) here: BTreeMap<AccountId, usize>,
    /// What was shown last.
    pub(crate) shown: Option<Rc<Prefix>>,
    /// Reads the log as anybody does, for what is shown.
    pub(crate) reader: Replica,
    /// Entries that each account may still append.
    pub(crate) allowances: BTreeMap<AccountId, Bucket>,
}

impl Relay {
    pub(crate) fn new(campaign: &Campaign, key: SigningKey) -> Self {
        let state = CampaignState::new(campaign.id, campaign.rules);
        let account = key.account();
        let reader = Replica::new(campaign.id, Authority::Account(account), campaign.initial);
        Self {
            coordinator: Coordinator::new(account, state, campaign.initial),
            chain: Chain::new(campaign.id),
            branch: Rc::default(),
            written: 0,
            inbox: VecDeque::new(),
            batch: None,
            is_turn_due: false,
            is_push_due: false,
            life: 0,
            is_up: true,
            clock: 0,
            ahead: 0,
            pinned: BTreeSet::from([campaign.initial]),
            checked: BTreeMap::new(),
            sessions: BTreeMap::new(),
            following: BTreeMap::new(),
            here: BTreeMap::new(),
            shown: None,
            reader,
            allowances: BTreeMap::new(),
            key,
        }
    }

    pub(crate) fn account(&self) -> AccountId {
        self.key.account()
    }

    pub(crate) fn state(&self) -> &CampaignState {
        self.coordinator.state()
    }

    /// The machine's clock.
    pub(crate) const fn steady(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.clock)
    }

    /// The log's time.
    pub(crate) const fn time(&self, now: u64) -> u64 {
        self.steady(now).saturating_add(self.ahead)
    }

    /// When the log's time will be this.
    pub(crate) fn world_time(&self, now: u64, time: u64) -> u64 {
        now + time.saturating_sub(self.time(now))
    }
}
