//! The asynchronous jobs of a session: fetching, training, publishing, and trying again.

use std::cell::Cell;
use std::rc::Rc;

use futures::lock::Mutex;
use futures::{StreamExt, stream};
use lichen_bridge::{EnginePreference, Problem};
use lichen_learn::{Dataset, difference};
use lichen_log::Receipt;
use lichen_net::hub::{Reason, Reply, Request};
use lichen_record::{AccountId, Cid, Entry, RoundNumber, SessionCertificate, Verified, verify};
use lichen_round::{Input, Refusal, Ticket};
use lichen_store::Blobs;

use crate::blobs::{CHECKPOINT_LIMIT_MS, checkpoint, dataset, obtain};
use crate::hub::{Hub, HubError, Outbox};
use crate::log_reader::{Batch, LogFault, LogReader};
use crate::mesh::{Mesh, Serving};
use crate::settling::{self, Settling};
use crate::setup::Setup;
use crate::signing::sign;
use crate::stall::Obstacles;
use crate::training::{Assignment, Task, Trained, Training};
use crate::view::Progress;
use crate::{Platform, Unkept};

/// How long the driver waits before it tries again what the relay did not answer, in milliseconds: at first, and at most.
const RETRY_MS: u32 = 1_000;
const LONGEST_RETRY_MS: u32 = 30_000;

/// How often is looked whether the device still keeps the account's key, in milliseconds.
const CHECK_KEPT_MS: u32 = 3_000;

/// Updates fetched at a time: from the relay, and in a mesh, where the puller itself keeps to a measure.
const FETCHES_AT_A_TIME: usize = 4;
const PULLS_AT_A_TIME: usize = 64;

/// How often an attestation looks whether another has put the checkpoint at the relay, in milliseconds, and how often
/// before it does so itself, for each contributor before the own.
const PUT_WAIT_MS: u32 = 150;
const PUT_WAITS: usize = 4;

/// Most times that one attestation puts the checkpoint at the relay.
const MOST_PUTS: usize = 2;

/// What every piece of work needs.
pub(crate) struct Shared<P> {
    pub(crate) platform: Rc<P>,
    pub(crate) out: Outbox,
    pub(crate) hub: Rc<Hub>,
    pub(crate) mesh: Rc<Mesh>,
    pub(crate) setup: Rc<Setup>,
    pub(crate) progress: Progress,
    pub(crate) obstacles: Obstacles,
    account: AccountId,
    current_training: Cell<u64>,
    /// Rounds that settled while this session was open.
    pub(crate) settled: Cell<u64>,
    is_first_model_drawn: Mutex<bool>,
    pub(crate) dataset: Mutex<Option<Rc<Dataset>>>,
    training: Mutex<Training>,
    pub(crate) settling: Settling,
}

impl<P: Platform> Shared<P> {
    pub(crate) fn new(
        platform: Rc<P>,
        out: Outbox,
        hub: Rc<Hub>,
        mesh: Rc<Mesh>,
        setup: Rc<Setup>,
        account: AccountId,
        preference: EnginePreference,
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
            training: Mutex::new(Training::new(preference)),
            settling: Settling::default(),
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

    /// Notes that a round settled: what is being pulled for an earlier one is not waited for any longer.
    pub(crate) fn count_settled(&self) {
        self.settled.set(self.settled.get().wrapping_add(1));
    }
}

/// A piece of work that is done.
pub(crate) enum Done<P: Platform> {
    /// This is the device's only tab in the campaign.
    Led(Result<P::Lease, Problem>),
    /// The session cannot go on.
    Broken(Problem),
    /// A second has passed.
    Tick,
    /// The time for goodbyes has passed.
    GoodbyeOver,
    /// The relay knows the account; its log is signed by this one.
    Welcomed { coordinator: AccountId, is_following: bool },
    /// A part of the log is read.
    Log(Result<Box<(Batch, LogReader<P>)>, LogFault>),
    /// What the device keeps for the account was looked after.
    Checked(Result<(), Unkept>),
    /// It is time to read the log again.
    ReadLog,
    /// A blob is on this device, or could not be got.
    Fetched { cid: Cid, is_here: bool },
    /// A training has ended.
    Trained { ticket: TrainingTicket, round: RoundNumber, base: Cid, result: Result<Trained, Failure> },
    /// An update is at the relay, or could not be handed over.
    Published { round: RoundNumber, update: Option<Cid> },
    /// An entry is signed.
    Signed { ticket: Ticket, entry: Entry, envelope: Vec<u8> },
    /// The relay gave a receipt, a reason for refusing, or no answer.
    Appended { ticket: Ticket, id: Cid, outcome: Result<Verified<Receipt>, Option<String>> },
    /// A round's result is computed, or something for it could not be got.
    Aggregated { round: RoundNumber, excluded: u32, result: Result<Cid, Vec<Cid>> },
    /// Nobody waits for this.
    Nothing,
}

/// Names one training, so that a stopped one can tell that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TrainingTicket(u64);

/// Why a training came to nothing.
pub(crate) enum Failure {
    /// Something was missing or went wrong that may be right next time.
    Retry,
    /// The numbers grew beyond all bounds, as they would again.
    Diverged,
    /// It will never work here.
    Fatal(Problem),
}

/// Waits to be the device's only tab in the campaign.
pub(crate) async fn lead<P: Platform>(shared: Rc<Shared<P>>) -> Done<P> {
    Done::Led(shared.platform.lease(&shared.setup.campaign).await)
}

/// Waits for about a second.
pub(crate) async fn tick<P: Platform>(shared: Rc<Shared<P>>) -> Done<P> {
    shared.platform.sleep(1_000).await;
    Done::Tick
}

/// Does what needs no relay while the connection is made: draws the first model and measures the engines.
pub(crate) async fn prepare<P: Platform>(shared: Rc<Shared<P>>) -> Done<P> {
    if let Err(problem) = draw_first_model(&shared).await {
        return Done::Broken(problem);
    }
    match shared.training.lock().await.choose(&shared).await {
        Ok(()) => Done::Nothing,
        Err(problem) => Done::Broken(problem),
    }
}

/// Draws the model that the campaign begins with onto this device, unless that is done.
async fn draw_first_model<P: Platform>(shared: &Shared<P>) -> Result<(), Problem> {
    let mut is_drawn = shared.is_first_model_drawn.lock().await;
    if !*is_drawn {
        let (cid, parameters) = shared.setup.initial()?;
        // Not kept, it is fetched instead.
        let _kept = shared.keep(&cid, &parameters.to_safetensors()).await;
        *is_drawn = true;
    }
    Ok(())
}

/// Tells the relay which account this connection acts for.
pub(crate) async fn introduce<P: Platform>(shared: Rc<Shared<P>>, peer: Vec<u8>) -> Done<P> {
    let mut wait = RETRY_MS;
    loop {
        let certificate = SessionCertificate { peer: peer.clone(), issued: shared.platform.now() };
        let certificate = match sign(&*shared.platform, shared.account, &certificate).await {
            Ok(certificate) => certificate,
            Err(problem) => return Done::Broken(problem),
        };
        match shared.hub.ask(&Request::Hello { certificate }).await {
            Ok(Reply::Welcome { coordinator, account, is_following, .. }) if account == shared.account => {
                shared.obstacles.refused(None);
                return Done::Welcomed { coordinator, is_following };
            }
            Err(HubError::Refused(Reason::CertificateExpired)) => {
                return Done::Broken(Problem {
                    message: "The relay's clock and this device's clock differ by more than a week.".into(),
                    remedy: "Check this device's date and time and join again. If they are right, the relay's are \
                             wrong: tell the people who run this site."
                        .into(),
                });
            }
            Err(error) => shared.obstacles.refused_by(&error),
            Ok(_) => {}
        }
        shared.platform.sleep(wait).await;
        wait = wait.saturating_mul(2).min(LONGEST_RETRY_MS);
    }
}

/// Gets the campaign's data onto this device, so that it is here when the first round wants it.
pub(crate) async fn fetch_data<P: Platform>(shared: Rc<Shared<P>>) -> Done<P> {
    match dataset(&shared).await {
        Err(Failure::Fatal(problem)) => Done::Broken(problem),
        Ok(_) | Err(Failure::Retry | Failure::Diverged) => Done::Nothing,
    }
}

/// Waits before the log is read again, longer each time in a row that it could not be.
pub(crate) async fn pause_before_reading<P: Platform>(shared: Rc<Shared<P>>, times: u32) -> Done<P> {
    let doubled = RETRY_MS.saturating_mul(1_u32.checked_shl(times.saturating_sub(1)).unwrap_or(u32::MAX));
    shared.platform.sleep(doubled.min(LONGEST_RETRY_MS)).await;
    Done::ReadLog
}

/// Looks, after a while, whether the device still keeps the account's key.
pub(crate) async fn check_kept<P: Platform>(shared: Rc<Shared<P>>) -> Done<P> {
    shared.platform.sleep(CHECK_KEPT_MS).await;
    Done::Checked(shared.platform.check_kept().await)
}

/// Gets a blob onto this device.
pub(crate) async fn fetch<P: Platform>(shared: Rc<Shared<P>>, cid: Cid) -> Done<P> {
    // It may be the first model, which is on its way onto this device: in a mesh nobody else may have it, and finding
    // that out takes seconds.
    if let Err(problem) = draw_first_model(&shared).await {
        return Done::Broken(problem);
    }
    if shared.platform.blobs().has(&cid).await.unwrap_or(false) {
        return Done::Fetched { cid, is_here: true };
    }
    let until = shared.platform.elapsed().saturating_add(CHECKPOINT_LIMIT_MS);
    let is_here = match obtain(&shared, &cid, until).await {
        Some(bytes) => shared.keep(&cid, &bytes).await,
        None => false,
    };
    if is_here {
        shared.mesh.offer(cid);
    }
    Done::Fetched { cid, is_here }
}

/// Trains for a round, from a checkpoint that is on this device.
pub(crate) async fn train<P: Platform>(
    shared: Rc<Shared<P>>,
    ticket: TrainingTicket,
    assignment: Assignment,
) -> Done<P> {
    let (round, base) = (assignment.round, assignment.base);
    let result = async {
        let parameters = checkpoint(&shared, &base).await.ok_or(Failure::Retry)?;
        let dataset = dataset(&shared).await?;
        let mut training = shared.training.lock().await;
        training.choose(&shared).await.map_err(Failure::Fatal)?;
        training.run(&shared, &dataset, Task { ticket, base: parameters, assignment }).await
    };
    let result = result.await;
    Done::Trained { ticket, round, base, result }
}

/// Hands the update that a training gave to the relay, or in a mesh offers it to peers.
pub(crate) async fn publish<P: Platform>(shared: Rc<Shared<P>>, trained: Rc<Trained>) -> Done<P> {
    let round = trained.round;
    let update = async {
        let update = difference(&trained.base, &trained.parameters).ok()?;
        // Nobody takes a longer one: what this tab has learned goes in as far as it may.
        let update = update.clipped(shared.setup.max_norm).encode().ok()?;
        let cid = Cid::of_raw(&update);
        // Kept here too, so that the own update need not be fetched for aggregation.
        let is_kept = shared.keep(&cid, &update).await;
        if shared.mesh.is_on() {
            if !is_kept {
                return None;
            }
            offer_own(&shared, cid, update).await;
            return Some(cid);
        }
        match shared.hub.ask(&Request::PutBlob { bytes: update }).await {
            Ok(Reply::Stored { cid: stored }) if stored == cid => Some(cid),
            Ok(_) => None,
            Err(error) => {
                shared.obstacles.refused_by(&error);
                None
            }
        }
    };
    Done::Published { round, update: update.await }
}

/// Offers the own update to peers, and where one may be out of reach gives the relay a copy first.
async fn offer_own<P: Platform>(shared: &Shared<P>, cid: Cid, update: Vec<u8>) {
    shared.mesh.set_unpinned(cid);
    shared.mesh.offer(cid);
    shared.mesh.announce();
    if shared.mesh.take_unpinned().is_some() {
        // Refused, it is still to be had from here.
        let _kept = shared.hub.ask(&Request::PutBlob { bytes: update }).await;
    }
}

/// Gives the relay a copy of the own update, as somebody turned out to be out of reach.
pub(crate) async fn pin<P: Platform>(shared: Rc<Shared<P>>, cid: Cid) -> Done<P> {
    if let Ok(Some(bytes)) = shared.platform.blobs().get(&cid).await {
        let _kept = shared.hub.ask(&Request::PutBlob { bytes }).await;
    }
    Done::Nothing
}

/// Answers a peer.
pub(crate) async fn serve<P: Platform>(shared: Rc<Shared<P>>, serving: Serving) -> Done<P> {
    let blob = match shared.mesh.held(&serving.cid) {
        Some(held) => Some(held),
        None => shared.platform.blobs().get(&serving.cid).await.ok().flatten().map(Rc::new),
    };
    shared.mesh.serve(&serving, blob);
    Done::Nothing
}

/// Signs an entry.
pub(crate) async fn sign_entry<P: Platform>(shared: Rc<Shared<P>>, ticket: Ticket, entry: Entry) -> Done<P> {
    match sign(&*shared.platform, shared.account, &entry).await {
        Ok(envelope) => Done::Signed { ticket, entry, envelope },
        Err(problem) => Done::Broken(problem),
    }
}

/// Has a signed entry appended to the log.
pub(crate) async fn append<P: Platform>(
    shared: Rc<Shared<P>>,
    ticket: Ticket,
    id: Cid,
    entry: Vec<u8>,
    checkpoint: Option<(Cid, usize)>,
) -> Done<P> {
    let request = Request::Append { campaign: shared.setup.campaign, entry };
    let mut answer = shared.hub.ask(&request).await;
    if let Some((cid, rank)) = checkpoint {
        let mut waits = rank.min(PUT_WAITS) * PUT_WAITS;
        let mut puts = 0;
        while matches!(answer, Err(HubError::Refused(Reason::CheckpointMissing))) {
            // In the order of contributions, so that not everybody puts it.
            if waits > 0 {
                waits -= 1;
                shared.platform.sleep(PUT_WAIT_MS).await;
            } else {
                puts += 1;
                // A relay that never finds what it was given is asked again later, with a pause.
                if puts > MOST_PUTS || !put(&shared, &cid).await {
                    break;
                }
            }
            answer = shared.hub.ask(&request).await;
        }
    }
    let outcome = match answer {
        Ok(Reply::Receipt { receipt }) => verify::<Receipt>(&receipt).map_err(|_unsigned| None),
        // The entry stands already: the log tells the rest.
        Err(HubError::Refused(Reason::Inadmissible(Refusal::Duplicate))) => Err(None),
        Err(HubError::Refused(reason)) => Err(Some(reason.to_string())),
        _ => Err(None),
    };
    Done::Appended { ticket, id, outcome }
}

/// Puts a blob that is on this device at the relay; whether it is there now.
async fn put<P: Platform>(shared: &Shared<P>, cid: &Cid) -> bool {
    let Ok(Some(bytes)) = shared.platform.blobs().get(cid).await else { return false };
    matches!(shared.hub.ask(&Request::PutBlob { bytes }).await, Ok(Reply::Stored { cid: stored }) if stored == *cid)
}

/// Computes a round's result.
pub(crate) async fn aggregate<P: Platform>(
    shared: Rc<Shared<P>>,
    round: RoundNumber,
    base: Cid,
    inputs: Vec<Input>,
    excluded: u32,
) -> Done<P> {
    let result = match updates(&shared, inputs).await {
        Ok(updates) => settling::combine(&shared, round, base, &updates).await.ok_or(Vec::new()),
        Err(missing) => Err(missing),
    };
    Done::Aggregated { round, excluded, result }
}

/// The updates with their weights, in the order given; or those that nobody gave.
async fn updates<P: Platform>(
    shared: &Rc<Shared<P>>,
    inputs: Vec<Input>,
) -> Result<Vec<(u32, Vec<u8>)>, Vec<Cid>> {
    let at_a_time = if shared.mesh.is_on() { PULLS_AT_A_TIME } else { FETCHES_AT_A_TIME };
    let until = shared.platform.elapsed().saturating_add(shared.mesh.limit_ms());
    let got: Vec<_> =
        stream::iter(inputs)
            .map(|Input { samples, update: cid, .. }| async move {
                (samples, cid, update(shared, &cid, until).await)
            })
            .buffered(at_a_time)
            .collect()
            .await;
    let missing: Vec<Cid> =
        got.iter().filter(|(_samples, _cid, bytes)| bytes.is_none()).map(|(_samples, cid, _)| *cid).collect();
    if !missing.is_empty() {
        return Err(missing);
    }
    Ok(got.into_iter().filter_map(|(samples, _cid, bytes)| Some((samples, bytes?))).collect())
}

/// An update's bytes; in a mesh they are kept, so that peers can have them from here.
async fn update<P: Platform>(shared: &Shared<P>, cid: &Cid, until: u64) -> Option<Vec<u8>> {
    if let Ok(Some(bytes)) = shared.platform.blobs().get(cid).await {
        return Some(bytes);
    }
    let bytes = obtain(shared, cid, until).await?;
    if shared.mesh.is_on() && shared.keep(cid, &bytes).await {
        shared.mesh.offer(*cid);
    }
    Some(bytes)
}

/// Keeps small bytes on this device.
pub(crate) async fn save<P: Platform>(shared: Rc<Shared<P>>, name: String, bytes: Vec<u8>) -> Done<P> {
    // What is kept is for showing after a reload; the log has it all the same.
    let _kept = shared.platform.save(&name, &bytes).await;
    Done::Nothing
}

/// Removes blobs from this device; peers may have one of them for a while yet.
pub(crate) async fn remove<P: Platform>(
    shared: Rc<Shared<P>>,
    cids: Vec<Cid>,
    before: Option<Cid>,
) -> Done<P> {
    if let Some(before) = before
        && let Ok(Some(bytes)) = shared.platform.blobs().get(&before).await
    {
        shared.mesh.hold_before(before, bytes);
    }
    for cid in cids {
        // What stays takes room and does no harm.
        let _removed = shared.platform.blobs().remove(&cid).await;
    }
    Done::Nothing
}
