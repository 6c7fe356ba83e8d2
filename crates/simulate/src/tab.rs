//! A tab: the real participant with its own copy of the log, or with a fold that it shares with tabs that have read as much.

use std::collections::BTreeMap;
use std::rc::Rc;

use lichen_log::{Receipt, Record, Replica};
use lichen_record::{AccountId, Cid, RoundNumber, SigningKey, Verified};
use lichen_round::{CampaignState, Participant, ParticipantAction, ParticipantEvent};

use crate::hostile::Bent;
use crate::mesh::Mesh;
use crate::prefix::Prefix;

/// What a tab knows of the log.
pub(crate) enum Holding {
    /// It reads and folds every record itself.
    Own(Option<Box<Replica>>),
    /// It holds what was read and folded once for all who have read as much; nothing before the first frame.
    Shared(Option<Rc<Prefix>>),
}

/// An own entry on its way, until its record and its receipt are here.
#[derive(Default)]
pub(crate) struct Pending {
    pub(crate) record: Option<Record>,
    pub(crate) receipt: Option<Verified<Receipt>>,
}

/// A page that is open.
pub(crate) struct Tab {
    pub(crate) participant: Participant,
    pub(crate) holding: Holding,
    pub(crate) is_live: bool,
    /// Work under way, counted so that what was stopped comes to nothing.
    pub(crate) training: u64,
    pub(crate) repetition: u64,
    /// The update that the last training gave.
    pub(crate) trained: Option<(RoundNumber, Vec<f32>)>,
    pub(crate) pending: BTreeMap<Cid, Pending>,
    pub(crate) mesh: Option<Box<Mesh>>,
    pub(crate) is_distrusting: bool,
}

impl Tab {
    pub(crate) fn handle(&mut self, now: u64, event: ParticipantEvent) -> Vec<ParticipantAction> {
        match &self.holding {
            Holding::Own(_) | Holding::Shared(None) => self.participant.handle(now, event),
            Holding::Shared(Some(prefix)) => {
                let mut state = prefix.state.borrow_mut();
                self.participant.exchange(&mut state);
                let actions = self.participant.handle(now, event);
                self.participant.exchange(&mut state);
                actions
            }
        }
    }

    pub(crate) fn with_state<R>(&self, look: impl FnOnce(&CampaignState) -> R) -> R {
        match &self.holding {
            Holding::Own(_) | Holding::Shared(None) => look(self.participant.state()),
            Holding::Shared(Some(prefix)) => look(&prefix.state.borrow()),
        }
    }

    /// Records that it has read.
    pub(crate) fn length(&self) -> usize {
        match &self.holding {
            Holding::Own(replica) => {
                replica.as_ref().map_or(0, |it| usize::try_from(it.length()).unwrap_or(0))
            }
            Holding::Shared(prefix) => prefix.as_ref().map_or(0, |prefix| prefix.length()),
        }
    }
}

/// What a tab's device keeps of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// When it was written.
    pub(crate) at: u64,
    /// Whether its bytes are not all there.
    pub(crate) is_torn: bool,
}

/// A person with a device, whether or not the page is open.
pub(crate) struct Peer {
    pub(crate) key: SigningKey,
    pub(crate) account: AccountId,
    /// How it errs, if it is hostile.
    pub(crate) bent: Option<Bent>,
    pub(crate) tab: Option<Tab>,
    /// Counts the page's openings.
    pub(crate) life: u64,
    /// The present connection, 0 while there is none.
    pub(crate) connection: u64,
    pub(crate) connections: u64,
    /// When the last frame on it arrives: they come in order.
    pub(crate) last_frame: u64,
    /// When something was heard last.
    pub(crate) heard: u64,
    pub(crate) asleep_until: u64,
    /// Nothing gets out, or in, until then.
    pub(crate) up_from: u64,
    pub(crate) down_from: u64,
    /// The clock's error, and how fast it runs, in thousandths.
    pub(crate) clock: u64,
    pub(crate) pace: u64,
    /// How long a training takes.
    pub(crate) training_ms: u64,
    pub(crate) shelf: BTreeMap<Cid, Kept>,
    /// Whether every record is folded here.
    pub(crate) folds: bool,
    /// The longest log that it has believed in this opening.
    pub(crate) traffic: Traffic,
}

/// What a tab moved.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) entries_up: u64,
    pub(crate) log_down: u64,
    pub(crate) blobs_up: u64,
    pub(crate) blobs_down: u64,
    pub(crate) peers: u64,
    pub(crate) messages: u64,
}

impl Peer {
    /// The device's clock.
    pub(crate) const fn now(&self, now: u64) -> u64 {
        self.clock.saturating_add(now.saturating_mul(self.pace) / 1_000)
    }

    pub(crate) fn has(&self, cid: &Cid) -> bool {
        self.shelf.get(cid).is_some_and(|kept| !kept.is_torn)
    }

    pub(crate) fn keep(&mut self, now: u64, cid: Cid) {
        self.shelf.insert(cid, Kept { at: now, is_torn: false });
    }
}
