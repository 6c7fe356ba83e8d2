//! How a campaign is doing here: what keeps the relay from its part in it, told alike by readiness, metrics, the log, and to
//! the tabs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lichen_net::hub::{Cause, Notice};
use lichen_store::StoreError;
use tokio::sync::watch;

use crate::operating::campaign_metrics::CampaignMetrics;
use crate::operating::clock;
use crate::operating::unpinned::Unpinned;

/// How often the relay looks after itself.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longest that one write may take before the disk counts as failing, in milliseconds.
const WRITE_PATIENCE_MS: u64 = 10_000;

/// A clock set by less than this, in milliseconds, is not worth a word: time servers do that.
const JUMP_TO_SAY: u64 = 30_000;

/// Bytes written to see whether a disk that had no room for a blob has some again.
const PROBE: usize = 256 * 1024;

/// What may keep the campaign from going on, one cause each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Writing the log.
    Log,
    /// Keeping blobs.
    Blobs,
    /// Free disk space beyond the log's reserve.
    Space,
    /// The round's next step.
    Round,
    /// The relay that this one follows.
    Leader,
    /// What the campaign's blobs may take.
    Quota,
}

const PARTS: usize = 6;

/// How a campaign is doing.
pub(crate) struct Condition {
    found: Mutex<Found>,
    notice: watch::Sender<Notice>,
    /// Since when a write to the log has been under way, by the steady clock in milliseconds; 0 where none is.
    writing: AtomicU64,
    metrics: Arc<CampaignMetrics>,
}

#[derive(Default)]
struct Found {
    stalls: [Option<Cause>; PARTS],
    is_ending: bool,
}

/// Why requests should go elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unready {
    #[error("ending")]
    Ending,
    #[error("not ready: {0}")]
    Stalled(Cause),
}

impl Condition {
    /// All is well.
    pub(crate) fn new(metrics: Arc<CampaignMetrics>) -> Arc<Self> {
        for cause in Cause::ALL {
            metrics.stalled(cause, false);
        }
        let (found, notice) = (Mutex::default(), watch::Sender::new(Notice::default()));
        Arc::new(Self { found, notice, writing: AtomicU64::new(0), metrics })
    }

    /// Takes in what keeps a part from going on, or that nothing does; `detail` is for the log, which has one line for each
    /// change.
    pub(crate) fn set(&self, part: Part, cause: Option<Cause>, detail: &dyn std::fmt::Display) {
        let mut found = self.found();
        let before = match found.stalls.get_mut(part as usize) {
            Some(place) if *place != cause => std::mem::replace(place, cause),
            _ => return,
        };
        if let Some(before) = before {
            self.metrics.stalled(before, found.stalls.contains(&Some(before)));
        }
        let gravest = gravest(&found.stalls);
        drop(found);
        self.notice.send_if_modified(|notice| std::mem::replace(&mut notice.stall, gravest) != gravest);
        if let Some(cause) = cause {
            self.metrics.stalled(cause, true);
        }
        // Whoever follows a leader says more about it.
        if part != Part::Leader {
            say(self.metrics.name(), part, cause, detail);
        }
    }

    /// What keeps a part from going on.
    pub(crate) fn of(&self, part: Part) -> Option<Cause> {
        self.found().stalls.get(part as usize).copied().flatten()
    }

    /// Notes by how many milliseconds the log's time is ahead of the machine's.
    pub(crate) fn set_clock_ahead(&self, milliseconds: u64) {
        let seconds = milliseconds / 1_000;
        // The two clocks are read one after the other: a second more or less is no change.
        self.notice.send_if_modified(|notice| {
            let is_change = notice.clock_ahead.abs_diff(seconds) > 1;
            if is_change {
                notice.clock_ahead = seconds;
            }
            is_change
        });
    }

    /// Whether requests are welcome; where the campaign stands still for want of people, with the cause.
    pub(crate) fn readiness(&self) -> Result<Option<Cause>, Unready> {
        let found = self.found();
        match gravest(&found.stalls) {
            _ if found.is_ending => Err(Unready::Ending),
            Some(cause) if cause.is_the_relays() => Err(Unready::Stalled(cause)),
            cause => Ok(cause),
        }
    }

    /// Requests are not welcome any more.
    pub(crate) fn end(&self) {
        self.found().is_ending = true;
    }

    /// What tabs are told, now and whenever it changes.
    pub(crate) fn notices(&self) -> watch::Receiver<Notice> {
        self.notice.subscribe()
    }

    /// Notes that a write to the log begins.
    pub(crate) fn begin_write(&self) {
        self.writing.store(clock::steady().max(1), Ordering::Relaxed);
    }

    /// Notes that it is over.
    pub(crate) fn end_write(&self) {
        self.writing.store(0, Ordering::Relaxed);
    }

    fn check_write(&self) {
        let since = self.writing.load(Ordering::Relaxed);
        let taken = clock::steady().saturating_sub(since);
        if since > 0 && taken >= WRITE_PATIENCE_MS {
            let detail = format!("a write to the log has not ended for {}", clock::in_words(taken));
            self.set(Part::Log, Some(Cause::StoreFailing), &detail);
        }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // What was found stays true whatever happened to another thread: nothing in between can fail.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after what says nothing by itself, for as long as the relay runs: a write that does not end, a disk that has room
/// again, a clock that was set, and which campaign is full. All campaigns share the disk and the clock.
pub(crate) async fn watch(
    conditions: impl Fn() -> Vec<(Arc<Condition>, bool)>,
    data: PathBuf,
    unpinned: Arc<Unpinned>,
) {
    let mut jump_said = 0;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let conditions = conditions();
        let is_short = unpinned.is_short_of_space().then_some(Cause::StoreFull);
        let lacks_room = conditions.iter().any(|(one, _is_full)| one.of(Part::Blobs).is_some());
        let has_room = lacks_room && has_room(data.clone()).await;
        for (condition, is_full) in conditions {
            condition.check_write();
            let cause = is_full.then_some(Cause::CampaignFull);
            condition.set(Part::Quota, cause, &"give it more, or have its manifest keep less");
            condition.set(Part::Space, is_short, &"what is left is the log's reserve");
            if has_room {
                condition.set(Part::Blobs, None, &"");
            }
        }
        jump_said = say_jump(jump_said);
    }
}

/// Writes the one line for a change.
fn say(campaign: &str, part: Part, cause: Option<Cause>, detail: &dyn std::fmt::Display) {
    match cause {
        None => tracing::info!(campaign, ?part, "it goes on again"),
        Some(cause) if cause.is_the_relays() => {
            tracing::error!(campaign, ?part, cause = cause.label(), "it does not go on: {cause}: {detail}");
        }
        Some(cause) => {
            tracing::warn!(campaign, ?part, cause = cause.label(), "it does not go on: {cause}: {detail}");
        }
    }
}

fn gravest(stalls: &[Option<Cause>; PARTS]) -> Option<Cause> {
    Cause::ALL.into_iter().find(|cause| stalls.contains(&Some(*cause)))
}

/// What a store's error says about the disk; none where it is about something else.
pub(crate) const fn store_cause(error: &StoreError) -> Option<Cause> {
    match error {
        StoreError::NoSpace => Some(Cause::StoreFull),
        StoreError::Medium(_) => Some(Cause::StoreFailing),
        StoreError::TooLarge { .. }
        | StoreError::Mismatch { .. }
        | StoreError::Damaged { .. }
        | StoreError::DamagedRecord { .. }
        | StoreError::NotNext { .. }
        | StoreError::Missing { .. } => None,
    }
}

/// Whether the folder's disk takes a file of some size.
async fn has_room(data: PathBuf) -> bool {
    let probe = move || {
        let file = data.join("room.probe");
        let written = std::fs::write(&file, vec![1; PROBE]).is_ok();
        // What could be written in part is taken away just the same.
        let _gone = std::fs::remove_file(&file);
        written
    };
    tokio::task::spawn_blocking(probe).await.unwrap_or(false)
}

/// Says once that the machine's clock was set; what was said last.
fn say_jump(said: i64) -> i64 {
    let jumped = clock::jumped_by();
    let change = jumped.saturating_sub(said);
    if change.unsigned_abs() < JUMP_TO_SAY {
        return said;
    }
    let way = if change > 0 { "forward (or the machine slept)" } else { "back" };
    tracing::warn!(
        "this machine's clock was set {way} by {}: rounds and passwords go by elapsed time and do not mind; the log's \
         entries keep the old time until the relay is started again",
        clock::in_words(change.unsigned_abs())
    );
    jumped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operating::metrics::Metrics;

    #[test]
    fn the_gravest_cause_is_told_until_it_is_over() {
        let metrics = Metrics::new();
        let condition = Condition::new(metrics.of_campaign("digits".into()));
        let mut notices = condition.notices();
        assert_eq!(condition.readiness(), Ok(None));
        condition.set(Part::Round, Some(Cause::Contributions), &"one of two");
        assert_eq!(condition.readiness(), Ok(Some(Cause::Contributions)));
        condition.set(Part::Log, Some(Cause::StoreFull), &"no space");
        assert_eq!(condition.readiness(), Err(Unready::Stalled(Cause::StoreFull)));
        assert_eq!(notices.borrow_and_update().stall, Some(Cause::StoreFull));
        let metric = |cause: &str, value: u8| {
            let text = metrics.text().unwrap();
            assert!(
                text.contains(&format!("lichen_stalled{{cause=\"{cause}\",campaign=\"digits\"}} {value}\n")),
                "{text}"
            );
        };
        metric("store_full", 1);
        metric("contributions", 1);
        metric("conflict", 0);
        condition.set(Part::Log, None, &"");
        metric("store_full", 0);
        assert_eq!(notices.borrow_and_update().stall, Some(Cause::Contributions));
        condition.set(Part::Round, None, &"");
        assert_eq!(*notices.borrow_and_update(), Notice::default());
        condition.set(Part::Round, None, &"");
        assert!(!notices.has_changed().unwrap(), "nothing has changed");
        condition.end();
        assert_eq!(condition.readiness(), Err(Unready::Ending));
    }

    #[test]
    fn a_clock_that_is_a_second_off_is_no_news() {
        let condition = Condition::new(Metrics::new().of_campaign("digits".into()));
        let mut notices = condition.notices();
        condition.set_clock_ahead(86_400_900);
        assert_eq!(notices.borrow_and_update().clock_ahead, 86_400);
        condition.set_clock_ahead(86_401_100);
        assert!(!notices.has_changed().unwrap());
    }
}
