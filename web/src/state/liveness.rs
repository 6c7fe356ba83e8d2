//! Whether the worker still answers: it says so about once a second.

use super::reduce::Effect;
use super::sentence::Sentence;
use super::{Run, Threads, ViewState, WorkerStage};
use lichen_bridge::Problem;

/// How often the page looks, in milliseconds.
pub(crate) const WATCH_MS: u32 = 5_000;

/// Longest time between two looks of a page that is awake, in milliseconds.
const AWAKE_MS: f64 = 15_000.0;

/// Longest silence without a word about it, in milliseconds: a single step of training may take seconds.
const SILENCE_MS: f64 = 20_000.0;

/// Longest silence of a worker with several threads, in milliseconds: one of them may have died, and the others would wait
/// for it for ever.
const DEADLOCK_MS: f64 = 30_000.0;

impl ViewState {
    /// Looks, at `now` on the page's clock, whether the worker still answers.
    pub(crate) fn watch(&mut self, now: f64) -> Vec<Effect> {
        let passed = now - std::mem::replace(&mut self.watched_at, now);
        if passed > AWAKE_MS {
            // The device slept, and the worker with it.
            self.heard_at = now;
        }
        let is_stuck = now - self.heard_at > DEADLOCK_MS;
        let has_threads = self.threads.wanted > 1 && self.worker == WorkerStage::TakingPart;
        if is_stuck && has_threads && self.run == Run::Joined { self.use_one_thread(now) } else { Vec::new() }
    }

    /// The worker said something.
    pub(super) fn hear(&mut self, now: f64) {
        self.heard_at = now;
    }

    /// What to say of a worker that says nothing.
    pub(super) fn silence(&self, now: f64) -> Option<Sentence> {
        if now - self.heard_at <= SILENCE_MS {
            return None;
        }
        Some(match self.worker {
            WorkerStage::Loading => Sentence::stalled(
                "The code that trains is still being loaded.",
                "The connection may be slow. If this continues, reload the page.",
            ),
            WorkerStage::Prepared | WorkerStage::TakingPart => Sentence::stalled(
                "The training part of this page has not answered for a while.",
                "It may be busy with one long step. If this continues, reload the page and join again.",
            ),
        })
    }

    /// Begins anew with one thread.
    fn use_one_thread(&mut self, now: f64) -> Vec<Effect> {
        self.threads = Threads::new(1, self.threads.most);
        let mut effects = vec![Effect::Close];
        effects.extend(self.start_anew(now));
        self.notice = Some(Problem {
            message: "Training with several threads stopped responding.".to_owned(),
            remedy: "Training continues with one thread from the last settled round.".to_owned(),
        });
        effects
    }
}
