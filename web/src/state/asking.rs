//! The commands that the worker is given, and what each answer changes.

use super::{Asked, Effect, Run, ViewState, WorkerStage};
use lichen_bridge::{Command, CommandId, Outcome, Problem};

impl ViewState {
    pub(super) fn tell_if_taking_part(&mut self, asked: Asked) -> Vec<Effect> {
        if self.worker == WorkerStage::TakingPart { vec![self.ask(asked)] } else { Vec::new() }
    }

    pub(super) fn ready(&mut self, version: u32) -> Vec<Effect> {
        if version != lichen_bridge::VERSION {
            return self.broke(Problem {
                message: "The page and its worker have different versions.".to_owned(),
                remedy: "Reload the page to update both.".to_owned(),
            });
        }
        let start = self.ask(Asked::Start);
        if self.is_taking_part() { vec![Effect::StartSwarm, start] } else { vec![start] }
    }

    pub(super) fn answered(&mut self, id: CommandId, outcome: Outcome) -> Vec<Effect> {
        let Some(asked) = self.asked.remove(&id) else {
            return Vec::new();
        };
        match (asked, outcome) {
            (Asked::Start, Outcome::Done) if !self.is_taking_part() => self.prepared_to_look(),
            (Asked::Start, Outcome::Done) => self.prepared(),
            (Asked::Read, outcome) => self.reading_ended(id, result(outcome)),
            (Asked::Look, outcome) => {
                self.looked(result(outcome));
                Vec::new()
            }
            (Asked::Leave, _) => self.closed(),
            (_, Outcome::Done) => Vec::new(),
            (Asked::Start | Asked::Join, Outcome::Refused(problem)) => self.broke(problem),
            (Asked::RelayOnly, Outcome::Refused(problem)) => {
                self.notice = Some(problem);
                Vec::new()
            }
            (Asked::Pause, Outcome::Refused(problem)) => {
                self.turn_back(&Run::Paused, Run::Joined, problem);
                Vec::new()
            }
            (Asked::Resume, Outcome::Refused(problem)) => {
                self.turn_back(&Run::Joined, Run::Paused, problem);
                Vec::new()
            }
        }
    }

    /// Undoes a click that the worker refused, unless another came after it.
    fn turn_back(&mut self, from: &Run, to: Run, problem: Problem) {
        if self.run == *from {
            self.run = to;
            self.notice = Some(problem);
        }
    }

    pub(super) fn ask(&mut self, asked: Asked) -> Effect {
        self.last_id = self.last_id.wrapping_add(1);
        let id = CommandId(self.last_id);
        self.asked.insert(id, asked);
        Effect::Send(match asked {
            Asked::Start => Command::Start { id, relay: self.site.relay.clone(), engine: self.preference },
            Asked::Join => Command::Join { id },
            Asked::Pause => Command::Pause { id },
            Asked::Resume => Command::Resume { id },
            Asked::Leave => Command::Leave { id },
            Asked::RelayOnly => Command::RelayOnly { id, on: self.relay_only },
            Asked::Read => Command::Read { id, cells: self.picture() },
            Asked::Look => {
                let now = self.now.clone().unwrap_or_default();
                let checkpoint = now.checkpoint.clone().unwrap_or_default();
                Command::Look { id, checkpoint, round: now.settled }
            }
        })
    }
}

fn result(outcome: Outcome) -> Result<(), Problem> {
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::Refused(problem) => Err(problem),
    }
}
