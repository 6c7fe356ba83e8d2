//! What every piece of a session's work may use: the machine, the way to the page, and what is known of the campaign.

use std::cell::Cell;
use std::rc::Rc;

use futures::lock::Mutex;
use lichen_bridge::Problem;
use lichen_learn::{Dataset, Residual};
use lichen_record::{AccountId, Cid};
use lichen_store::Blobs;

use crate::Platform;
use crate::hub::{Hub, Outbox};
use crate::mesh::Mesh;
use crate::obstacles::Obstacles;
use crate::progress::Progress;
use crate::setup::Setup;

/// What every piece of work needs.
pub(crate) struct Context<P> {
    pub(crate) platform: Rc<P>,
    pub(crate) out: Outbox,
    pub(crate) hub: Rc<Hub>,
    pub(crate) mesh: Rc<Mesh>,
    pub(crate) setup: Rc<Setup>,
    pub(crate) progress: Progress,
    pub(crate) obstacles: Obstacles,
    pub(crate) account: AccountId,
    current_training: Cell<u64>,
    /// Rounds that settled while this session was open.
    pub(crate) settled: Cell<u64>,
    /// Whether the model that the campaign begins with is on this device.
    pub(crate) is_first_model_drawn: Mutex<bool>,
    pub(crate) dataset: Mutex<Option<Rc<Dataset>>>,
    /// What packing left out of this tab's updates, once it is read from this device.
    pub(crate) residual: Mutex<Option<Residual>>,
}

impl<P: Platform> Context<P> {
    pub(crate) fn new(
        platform: Rc<P>,
        out: Outbox,
        hub: Rc<Hub>,
        mesh: Rc<Mesh>,
        setup: Rc<Setup>,
        account: AccountId,
    ) -> Self {
        Self {
            platform,
            out,
            hub,
            mesh,
            setup,
            progress: Progress::new(),
            obstacles: Obstacles::default(),
            account,
            current_training: Cell::new(0),
            settled: Cell::new(0),
            is_first_model_drawn: Mutex::new(false),
            dataset: Mutex::new(None),
            residual: Mutex::new(None),
        }
    }

    /// Ends the training under way, if there is one, and names the next.
    ///
    /// A training is told to stop and never dropped half way: a GPU would still be at work on its buffers.
    pub(crate) fn next_training(&self) -> TrainingTicket {
        self.current_training.set(self.current_training.get().wrapping_add(1));
        TrainingTicket(self.current_training.get())
    }

    /// Whether nobody has ended this training.
    pub(crate) fn is_wanted(&self, ticket: TrainingTicket) -> bool {
        self.current_training.get() == ticket.0
    }

    /// Keeps a blob on this device; whether it is there now.
    pub(crate) async fn keep(&self, cid: &Cid, bytes: &[u8]) -> bool {
        let kept = self.platform.blobs().put(cid, bytes).await;
        self.obstacles.kept(&kept);
        kept.is_ok()
    }

    /// Keeps a blob that others have too, for as long as there is room; whether it is there now.
    pub(crate) async fn keep_for_now(&self, cid: &Cid, bytes: &[u8]) -> bool {
        let kept = self.platform.blobs().put_for_now(cid, bytes).await;
        self.obstacles.kept(&kept);
        kept.is_ok()
    }

    /// Notes that a round settled: what is being pulled for an earlier one is not waited for any longer.
    pub(crate) fn count_settled(&self) {
        self.settled.set(self.settled.get().wrapping_add(1));
    }
}

/// Names one training, so that a stopped one can tell that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TrainingTicket(u64);

/// Why a piece of work came to nothing.
pub(crate) enum Failure {
    /// Something was missing or went wrong that may be right next time.
    Retry,
    /// The numbers grew beyond all bounds, as they would again.
    Diverged,
    /// It will never work here.
    Fatal(Problem),
}
