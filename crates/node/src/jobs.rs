//! The pieces of work of a session, each a future of its own, and what they come to.

mod fetching;
mod handing_over;
mod repeating;

use std::rc::Rc;

use futures::lock::Mutex;
use lichen_bridge::Problem;
use lichen_log::{Head, Receipt};
use lichen_net::hub::{Reason, Reply, Request};
use lichen_record::{AccountId, Cid, Entry, Evidence, RoundNumber, SessionCertificate, Verified};
use lichen_round::{Input, Outcome, Ticket};
use lichen_store::Blobs;

use crate::beginning::Begun;
use crate::blobs::{checkpoint, dataset};
use crate::context::{Context, Failure, TrainingTicket};
use crate::hub::HubError;
use crate::log_reader::{Batch, LogFault, LogReader};
use crate::settling::{self, Combined, Settling};
use crate::signing::sign;
use crate::training::{Assignment, Task, Trained, Training};
use crate::witnessing::Unwitnessed;
use crate::{Platform, Unkept, evaluating};

pub(crate) use fetching::{fetch, fetch_data};
pub(crate) use handing_over::{Attested, append, pin, publish, serve};
pub(crate) use repeating::repeat_training;

use fetching::{draw_first_model, updates};

/// How long the driver waits before it tries again what the relay did not answer, in milliseconds: at first, and at most.
const RETRY_MS: u32 = 1_000;
const LONGEST_RETRY_MS: u32 = 30_000;

/// How often is looked whether the device still keeps the account's key, in milliseconds.
const CHECK_KEPT_MS: u32 = 3_000;

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
    /// Where the log is begun is known: at a snapshot, or where it was left.
    Begun(Result<Option<Box<Begun>>, LogFault>),
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
    Aggregated { round: RoundNumber, excluded: u32, result: Result<Combined, Vec<Cid>> },
    /// A training was repeated, or could not be.
    Repeated { round: RoundNumber, contributor: AccountId, found: Option<(Cid, Option<Evidence>)> },
    /// What witnesses have seen of the log, or why that is not known.
    Witnessed(Result<Head, Unwitnessed>),
    /// Another tab was shown this head, which the account has signed: the envelope as well.
    Heard(Verified<Head>, Vec<u8>),
    /// Nobody waits for this.
    Nothing,
}

/// Waits to be the device's only tab in the campaign.
pub(crate) async fn lead<P: Platform>(context: Rc<Context<P>>) -> Done<P> {
    Done::Led(context.platform.lease(&context.setup.campaign).await)
}

/// Waits for about a second.
pub(crate) async fn tick<P: Platform>(context: Rc<Context<P>>) -> Done<P> {
    context.platform.sleep(1_000).await;
    Done::Tick
}

/// Does what needs no relay while the connection is made: draws the first model and measures the engines.
pub(crate) async fn prepare<P: Platform>(context: Rc<Context<P>>, training: Rc<Mutex<Training>>) -> Done<P> {
    if let Err(problem) = draw_first_model(&context).await {
        return Done::Broken(problem);
    }
    match training.lock().await.choose(&context).await {
        Ok(()) => Done::Nothing,
        Err(problem) => Done::Broken(problem),
    }
}

/// Tells the relay which account this connection acts for.
pub(crate) async fn introduce<P: Platform>(context: Rc<Context<P>>, peer: Vec<u8>) -> Done<P> {
    let mut wait = RETRY_MS;
    loop {
        let certificate = SessionCertificate { peer: peer.clone(), issued: context.platform.now() };
        let certificate = match sign(&*context.platform, context.account, &certificate).await {
            Ok(certificate) => certificate,
            Err(problem) => return Done::Broken(problem),
        };
        match context.hub.ask(&Request::Hello { certificate }).await {
            Ok(Reply::Welcome { coordinator, account, is_following, .. }) if account == context.account => {
                context.obstacles.refused(None);
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
            Err(error) => context.obstacles.refused_by(&error),
            Ok(_) => {}
        }
        context.platform.sleep(wait).await;
        wait = wait.saturating_mul(2).min(LONGEST_RETRY_MS);
    }
}

/// Waits before the log is read again, longer each time in a row that it could not be.
pub(crate) async fn pause_before_reading<P: Platform>(context: Rc<Context<P>>, times: u32) -> Done<P> {
    let doubled = RETRY_MS.saturating_mul(1_u32.checked_shl(times.saturating_sub(1)).unwrap_or(u32::MAX));
    context.platform.sleep(doubled.min(LONGEST_RETRY_MS)).await;
    Done::ReadLog
}

/// Looks, after a while, whether the device still keeps the account's key.
pub(crate) async fn check_kept<P: Platform>(context: Rc<Context<P>>) -> Done<P> {
    context.platform.sleep(CHECK_KEPT_MS).await;
    Done::Checked(context.platform.check_kept().await)
}

/// Trains for a round, from a checkpoint that is on this device.
pub(crate) async fn train<P: Platform>(
    context: Rc<Context<P>>,
    training: Rc<Mutex<Training>>,
    ticket: TrainingTicket,
    assignment: Assignment,
) -> Done<P> {
    let (round, base) = (assignment.round, assignment.base);
    let result = async {
        let parameters = checkpoint(&context, &base).await.ok_or(Failure::Retry)?;
        let dataset = dataset(&context).await?;
        let mut training = training.lock().await;
        training.choose(&context).await.map_err(Failure::Fatal)?;
        training.run(&context, &dataset, Task { ticket, base: parameters, assignment }).await
    };
    let result = result.await;
    Done::Trained { ticket, round, base, result }
}

/// Signs an entry.
pub(crate) async fn sign_entry<P: Platform>(
    context: Rc<Context<P>>,
    ticket: Ticket,
    entry: Entry,
) -> Done<P> {
    match sign(&*context.platform, context.account, &entry).await {
        Ok(envelope) => Done::Signed { ticket, entry, envelope },
        Err(problem) => Done::Broken(problem),
    }
}

/// Computes a round's result.
pub(crate) async fn aggregate<P: Platform>(
    context: Rc<Context<P>>,
    settling: Rc<Settling>,
    round: RoundNumber,
    base: Outcome,
    inputs: Vec<Input>,
    excluded: u32,
) -> Done<P> {
    let result = match updates(&context, inputs).await {
        Ok(updates) => settling::combine(&context, &settling, round, base, &updates).await.ok_or(Vec::new()),
        Err(missing) => Err(missing),
    };
    Done::Aggregated { round, excluded, result }
}

/// Measures a settled checkpoint and shows the result.
pub(crate) async fn evaluate<P: Platform>(
    context: Rc<Context<P>>,
    settling: Rc<Settling>,
    round: RoundNumber,
    checkpoint: Cid,
) -> Done<P> {
    evaluating::evaluate(&context, &settling, round, checkpoint).await;
    Done::Nothing
}

/// Keeps small bytes on this device.
pub(crate) async fn save<P: Platform>(context: Rc<Context<P>>, name: String, bytes: Vec<u8>) -> Done<P> {
    // What is kept is for showing after a reload; the log has it all the same.
    let _kept = context.platform.save(&name, &bytes).await;
    Done::Nothing
}

/// Removes blobs from this device; peers may have one of them for a while yet.
pub(crate) async fn remove<P: Platform>(
    context: Rc<Context<P>>,
    cids: Vec<Cid>,
    before: Option<Cid>,
) -> Done<P> {
    if let Some(before) = before
        && let Ok(Some(bytes)) = context.platform.blobs().get(&before).await
    {
        context.mesh.hold_before(before, bytes);
    }
    // What stays takes room and does no harm.
    let _removed = context.platform.blobs().remove(&cids).await;
    Done::Nothing
}
