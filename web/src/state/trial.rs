//! What the visitor is shown of the model: its guesses about samples, and what it reads in a drawing.

use super::{Asked, Effect, Run, ViewState, WorkerStage};
use crate::drawing::Drawing;
use crate::now::Now;
use lichen_bridge::{CommandId, Guess, Guesses, Problem};
use std::rc::Rc;

/// What is shown of the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Trial {
    /// How far showing it has come, for whoever does not take part.
    pub(crate) stage: TrialStage,
    /// What the model says of the samples.
    pub(crate) guesses: Option<Rc<Guesses>>,
    /// Samples that it had wrong the time before, and has right now, by their index.
    pub(crate) turned: Rc<Vec<u32>>,
    /// What is drawn.
    pub(crate) drawing: Rc<Drawing>,
    /// The probability of each class for it.
    pub(crate) reading: Option<Rc<Vec<f32>>>,
    /// Why a drawing was not read.
    pub(crate) unread: Option<Problem>,
    /// The reading that is under way, and whether more was drawn meanwhile.
    asked: Option<(CommandId, bool)>,
}

/// How far showing the model has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum TrialStage {
    /// Nobody has asked for it.
    #[default]
    Unasked,
    /// The model is being fetched.
    Loading,
    /// It is here.
    Shown,
    /// It could not be had.
    Failed(Problem),
}

impl Trial {
    /// What is kept when the visitor joins.
    pub(super) fn kept(&self) -> Self {
        Self {
            guesses: self.guesses.clone(),
            drawing: self.drawing.clone(),
            reading: self.reading.clone(),
            ..Self::default()
        }
    }

    /// The worker is gone: what was seen stays, and nothing more is under way.
    pub(super) fn rest(&mut self) {
        self.stage = TrialStage::Unasked;
        self.asked = None;
    }

    /// Samples that it has right, of those shown.
    pub(crate) fn right(&self) -> usize {
        self.guesses.iter().flat_map(|guesses| &guesses.samples).filter(|sample| is_right(sample)).count()
    }
}

/// Whether the model takes a sample for what it is.
pub(crate) fn is_right(sample: &Guess) -> bool {
    sample.guess == sample.label
}

impl ViewState {
    /// Whether the visitor takes part, or is about to.
    pub(crate) fn is_taking_part(&self) -> bool {
        matches!(self.run, Run::Joined | Run::Paused | Run::Leaving)
    }

    /// Whether a model is here that can read a drawing.
    pub(crate) fn can_read(&self) -> bool {
        self.worker != WorkerStage::Loading && self.trial.guesses.is_some()
    }

    /// Asks for the model, to look at it without taking part.
    pub(super) fn look(&mut self) -> Vec<Effect> {
        let shows = self.campaign().is_some_and(|campaign| campaign.card.show.is_some());
        if self.is_taking_part() || !shows || self.trial.stage == TrialStage::Loading {
            return Vec::new();
        }
        self.trial.stage = TrialStage::Loading;
        self.is_now_fresh = false;
        if self.is_looking {
            return vec![Effect::ReadNow];
        }
        self.is_looking = true;
        vec![Effect::StartWorker, Effect::ReadNow]
    }

    /// Takes in where the campaign is, as the relay says; nothing where it does not.
    pub(crate) fn read_now(&mut self, now: Option<Now>) -> Vec<Effect> {
        if let Some(now) = now {
            self.now = Some(Rc::new(now));
        }
        self.is_now_fresh = true;
        self.look_if_ready()
    }

    /// Asks the worker for guesses once it listens and it is known which checkpoint to show.
    pub(super) fn look_if_ready(&mut self) -> Vec<Effect> {
        let is_due = self.trial.stage == TrialStage::Loading
            && self.worker == WorkerStage::Prepared
            && self.is_now_fresh
            && !self.is_taking_part();
        if !is_due {
            return Vec::new();
        }
        if self.present().is_none_or(|now| now.checkpoint.is_none()) {
            self.trial.stage = TrialStage::Failed(Problem {
                message: "The relay does not say which model is current.".to_owned(),
                remedy: "Try again in a moment.".to_owned(),
            });
            return Vec::new();
        }
        vec![self.ask(Asked::Look)]
    }

    /// The look ended.
    pub(super) fn looked(&mut self, outcome: Result<(), Problem>) {
        self.trial.stage = match outcome {
            Ok(()) => TrialStage::Shown,
            Err(problem) => TrialStage::Failed(problem),
        };
    }

    /// The worker broke while the visitor was only looking.
    pub(super) fn look_broke(&mut self, problem: Problem) -> Vec<Effect> {
        if !self.is_looking {
            return Vec::new();
        }
        self.is_looking = false;
        self.trial.stage = TrialStage::Failed(problem);
        self.asked.clear();
        self.worker = WorkerStage::Loading;
        vec![Effect::Close]
    }

    /// Takes in what a checkpoint says of the samples.
    pub(super) fn guessed(&mut self, guesses: Guesses) {
        let was_wrong = |index: u32| {
            let before = self.trial.guesses.iter().flat_map(|before| &before.samples);
            before.filter(|sample| sample.index == index).any(|sample| !is_right(sample))
        };
        let right = guesses.samples.iter().filter(|sample| is_right(sample));
        let turned = right.map(|sample| sample.index).filter(|index| was_wrong(*index)).collect();
        self.trial.turned = Rc::new(turned);
        self.trial.guesses = Some(Rc::new(guesses));
    }

    /// Takes in a drawing, and has it read.
    pub(super) fn draw(&mut self, drawing: Rc<Drawing>) -> Vec<Effect> {
        self.trial.drawing = drawing;
        self.trial.unread = None;
        if self.trial.drawing.is_empty() {
            self.trial.reading = None;
            // What is under way is about a drawing that is gone.
            self.trial.asked = None;
            return Vec::new();
        }
        self.read_drawing()
    }

    /// Has the drawing read, one reading at a time.
    fn read_drawing(&mut self) -> Vec<Effect> {
        if !self.can_read() {
            return Vec::new();
        }
        if let Some((_id, has_more)) = &mut self.trial.asked {
            *has_more = true;
            return Vec::new();
        }
        let effect = self.ask(Asked::Read);
        self.trial.asked = Some((CommandId(self.last_id), false));
        vec![effect]
    }

    /// Takes in what the model says of a drawing, unless that was cleared meanwhile.
    pub(super) fn read(&mut self, id: CommandId, probabilities: Vec<f32>) {
        if self.trial.asked.is_some_and(|(asked, _)| asked == id) {
            self.trial.reading = Some(Rc::new(probabilities));
        }
    }

    /// A reading has ended: on to what was drawn meanwhile.
    pub(super) fn reading_ended(&mut self, id: CommandId, outcome: Result<(), Problem>) -> Vec<Effect> {
        let Some((_, has_more)) = self.trial.asked.take_if(|(asked, _)| *asked == id) else {
            return Vec::new();
        };
        if let Err(problem) = outcome {
            self.trial.reading = None;
            self.trial.unread = Some(problem);
            return Vec::new();
        }
        if has_more { self.read_drawing() } else { Vec::new() }
    }

    /// The picture of the drawing, as the model takes it.
    pub(super) fn picture(&self) -> Vec<u8> {
        let show = self.campaign().and_then(|campaign| campaign.card.show.as_ref());
        show.map_or_else(Vec::new, |show| self.trial.drawing.cells(show.width, show.height))
    }
}
