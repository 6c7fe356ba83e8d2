//! Results of checking updates, so that an update named by many entries is read only once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lichen_net::hub::Reason;
use lichen_record::Cid;
use tokio::sync::OnceCell;

/// Outcomes remembered; then all are forgotten.
const REMEMBERED: usize = 1024;

type Outcome = Arc<OnceCell<Result<(), Reason>>>;

/// The outcome for each update, or that it is being found out.
#[derive(Default)]
pub(crate) struct Checked {
    outcomes: Mutex<HashMap<Cid, Outcome>>,
}

impl Checked {
    /// What a check finds; whoever asks for the same meanwhile waits for it. Only what follows from the bytes is
    /// remembered.
    pub(crate) async fn check<F: Future<Output = Result<(), Reason>>>(
        &self,
        update: &Cid,
        find: impl FnOnce() -> F,
    ) -> Result<(), Reason> {
        let cell = self.cell(update);
        let outcome = *cell.get_or_init(find).await;
        if matches!(outcome, Err(Reason::UpdateMissing | Reason::Internal | Reason::Busy)) {
            self.outcomes().remove(update);
        }
        outcome
    }

    fn cell(&self, update: &Cid) -> Outcome {
        let mut outcomes = self.outcomes();
        if outcomes.len() >= REMEMBERED && !outcomes.contains_key(update) {
            // Those under way go on for whoever waits for them.
            outcomes.clear();
        }
        Arc::clone(outcomes.entry(*update).or_default())
    }

    // Each change is one call of the map, whatever happened to another thread.
    fn outcomes(&self) -> MutexGuard<'_, HashMap<Cid, Outcome>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn an_update_that_many_name_is_checked_once() {
        let (checked, checks) = (Checked::default(), AtomicUsize::new(0));
        let cid = Cid::of_raw(b"an update");
        let check = || {
            checked.check(&cid, || async {
                checks.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Err(Reason::UpdateShape)
            })
        };
        let outcomes = futures::future::join_all((0..100).map(|_| check())).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Err(Reason::UpdateShape)));
        assert_eq!(checks.load(Ordering::Relaxed), 1);
        for number in 0..3 * REMEMBERED {
            checked.check(&Cid::of_raw(&number.to_le_bytes()), || async { Ok(()) }).await.unwrap();
            assert!(checked.outcomes().len() <= REMEMBERED);
        }
    }

    #[tokio::test]
    async fn one_that_was_missing_is_looked_for_again() {
        let (checked, cid) = (Checked::default(), Cid::of_raw(b"an update"));
        let missing = checked.check(&cid, || async { Err(Reason::UpdateMissing) }).await;
        assert_eq!(missing, Err(Reason::UpdateMissing));
        assert_eq!(checked.check(&cid, || async { Ok(()) }).await, Ok(()));
    }
}
