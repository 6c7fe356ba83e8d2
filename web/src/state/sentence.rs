//! The state in one sentence: what the status bar says, what assistive technology is told, what automation reads.

use super::{Link, Run, ViewState};
use crate::format;
use lichen_bridge::Phase;

/// A wait of no more seconds than this is not counted down: the text would change faster than it is read.
const SOON_S: f64 = 3.0;

/// What the status bar shows at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sentence {
    /// One word for automation: the `data-state` attribute.
    pub(crate) key: &'static str,
    /// The sentence itself.
    pub(crate) text: String,
    /// What it means for the visitor, or what to do next.
    pub(crate) advice: Option<String>,
    /// The lamp beside it.
    pub(crate) lamp: Lamp,
    /// Progress of what is going on, when it has any.
    pub(crate) progress: Progress,
}

/// The status bar's lamp; the sentence says the same in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lamp {
    /// Nothing runs.
    Off,
    /// Something is under way.
    Busy,
    /// All is well.
    Good,
    /// Something is wrong.
    Bad,
}

/// Progress of what is going on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Progress {
    /// Nothing to wait for.
    None,
    /// Under way, with no known end.
    Open,
    /// So much of so much.
    Of {
        /// Done.
        done: f64,
        /// All.
        all: f64,
    },
}

impl Sentence {
    fn new(key: &'static str, lamp: Lamp, progress: Progress, text: impl Into<String>) -> Self {
        Self { key, text: text.into(), advice: None, lamp, progress }
    }

    fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

impl ViewState {
    /// The state in one sentence, at `now` on the page's clock.
    pub(crate) fn sentence(&self, now: f64) -> Sentence {
        match &self.run {
            Run::Idle => Sentence::new("idle", Lamp::Off, Progress::None, "Nothing is running."),
            Run::Leaving => {
                Sentence::new("leaving", Lamp::Off, Progress::Open, "Leaving: saying goodbye to the relay.")
            }
            Run::Left => self.farewell(),
            Run::Failed(problem) => {
                Sentence::new("failed", Lamp::Bad, Progress::None, problem.message.clone())
                    .advise(problem.remedy.clone())
            }
            Run::Paused => {
                Sentence::new("paused", Lamp::Off, Progress::None, "Paused: nothing is being trained.")
                    .advise("Resume whenever you like; the others go on meanwhile.")
            }
            Run::Joined => self.at_work(now),
        }
    }

    fn farewell(&self) -> Sentence {
        let sentence = Sentence::new("left", Lamp::Off, Progress::None, "You have left. Nothing is running.");
        match self.recorded {
            0 => sentence,
            recorded => sentence.advise(format!(
                "{} of yours {} in the record. Thank you.",
                format::plural(recorded, "contribution", "contributions"),
                if recorded == 1 { "stays" } else { "stay" }
            )),
        }
    }

    fn at_work(&self, now: f64) -> Sentence {
        let Some(phase) = &self.phase else {
            return Sentence::new("starting", Lamp::Busy, Progress::Open, "Starting the worker.");
        };
        match (phase, &self.link) {
            (Phase::Finished, _) => self.finished(),
            (Phase::WaitingForOtherTab, _) => Sentence::new(
                "standby",
                Lamp::Off,
                Progress::None,
                "Another tab of this browser is taking part.",
            )
            .advise("This one takes over when that one is closed."),
            (_, Link::Lost { reason, retry_at }) => offline(reason, *retry_at, now),
            (Phase::Offline { retry_in: None }, Link::Open { .. }) => Sentence::new(
                "offline",
                Lamp::Bad,
                Progress::Open,
                "The relay that takes contributions is away.",
            )
            .advise("Another one serves the record. What this tab has learned waits and is sent by itself."),
            (Phase::Offline { .. }, Link::Open { .. } | Link::Connecting | Link::Closed)
            | (Phase::Connecting, _) => {
                Sentence::new("connecting", Lamp::Busy, Progress::Open, "Connecting to the relay.")
            }
            (phase, _) => self.connected(phase, now),
        }
    }

    fn connected(&self, phase: &Phase, now: f64) -> Sentence {
        match phase {
            Phase::CatchingUp { done, total } if *total > 0 => Sentence::new(
                "checking",
                Lamp::Busy,
                Progress::Of { done: *done as f64, all: *total as f64 },
                format!("Checking the record: {} of {}.", format::count(*done), format::count(*total)),
            ),
            Phase::CatchingUp { .. } => Sentence::new(
                "checking",
                Lamp::Busy,
                Progress::Open,
                "Checking the record, the data and the model.",
            ),
            Phase::Training { round, step, steps } => Sentence::new(
                "training",
                Lamp::Good,
                Progress::Of { done: f64::from(*step), all: f64::from((*steps).max(1)) },
                format!("Training in round {round}: step {step} of {steps}."),
            ),
            Phase::Sending => {
                Sentence::new("sending", Lamp::Good, Progress::Open, "Sending what this tab has learned.")
            }
            Phase::WaitingForClose => self.waiting_for_others(),
            Phase::Aggregating => {
                Sentence::new("aggregating", Lamp::Good, Progress::Open, "Combining everybody's updates.")
            }
            Phase::WaitingForRound => self.waiting_for_round(now),
            Phase::Idle | Phase::Paused => {
                Sentence::new("starting", Lamp::Busy, Progress::Open, "Getting ready to take part.")
            }
            Phase::Connecting
            | Phase::Offline { .. }
            | Phase::WaitingForOtherTab
            | Phase::Finished
            | Phase::Failed(_) => {
                Sentence::new("connecting", Lamp::Busy, Progress::Open, "Connecting to the relay.")
            }
        }
    }

    /// Whether the sentence names a time that passes.
    pub(crate) fn counts_down(&self, now: f64) -> bool {
        let waits = self.run == Run::Joined && self.phase == Some(Phase::WaitingForRound);
        waits && self.next_round_at().is_some_and(|at| (at - now) / 1000.0 > SOON_S)
    }

    /// What happens next, and when, where it is known.
    fn waiting_for_round(&self, now: f64) -> Sentence {
        let has_given = self.round.is_some_and(|round| self.contributions.contains_key(&round.number));
        let done = if has_given { "Your part is done. " } else { "" };
        let people = match self.member_count {
            0 | 1 => String::new(),
            people => format!(" with {}", format::plural(people, "person", "people")),
        };
        let seconds = self.next_round_at().map(|at| ((at - now) / 1000.0).ceil());
        let when = match seconds {
            Some(seconds) if seconds > SOON_S => format!("in {}", format::wait(seconds)),
            _ => "in a moment".to_owned(),
        };
        let text = format!("{done}The next round starts {when}{people}.");
        Sentence::new("waiting", Lamp::Good, Progress::Open, text)
    }

    fn waiting_for_others(&self) -> Sentence {
        let Some(round) = self.round.filter(|round| round.cohort > round.contributions) else {
            let text = "Your part is done. Everybody's is being collected.";
            return Sentence::new("waiting", Lamp::Good, Progress::Open, text);
        };
        let missing = u64::from(round.cohort - round.contributions);
        Sentence::new(
            "waiting",
            Lamp::Good,
            Progress::Of { done: f64::from(round.contributions), all: f64::from(round.cohort) },
            format!(
                "Your part of round {} is done. {} still at work.",
                round.number,
                if missing == 1 {
                    "One other tab is".to_owned()
                } else {
                    format!("{} other tabs are", format::count(missing))
                }
            ),
        )
    }

    fn finished(&self) -> Sentence {
        let text = match self.accuracy() {
            Some(accuracy) => {
                format!(
                    "The campaign is over: the model gets {} right. Thank you.",
                    format::percent(accuracy)
                )
            }
            None => "The campaign is over: all rounds are done. Thank you.".to_owned(),
        };
        Sentence::new("finished", Lamp::Good, Progress::None, text)
            .advise("Nothing is being trained any more. You can try the model below, or close this page.")
    }

    /// The window's title, so that a tab in the background still shows what it does.
    pub(crate) fn title(&self, now: f64) -> String {
        let Some(campaign) = self.campaign() else {
            return "Lichen: train a model together".to_owned();
        };
        let name = &campaign.title;
        let doing = match self.sentence(now).key {
            "idle" | "left" => return format!("{name} · Lichen"),
            "paused" => "Paused",
            "standby" => "Standing by",
            "offline" => "Offline",
            "failed" => "Stopped",
            "finished" => "Finished",
            _ => "Running",
        };
        match self.accuracy() {
            Some(accuracy) => format!("{doing} · {} · {name}", format::percent(accuracy)),
            None => format!("{doing} · {name}"),
        }
    }

    /// What assistive technology is told: only changes that matter to a listener, never each step or round.
    pub(crate) fn announcement(&self, now: f64) -> String {
        let sentence = self.sentence(now);
        match sentence.key {
            "idle" => String::new(),
            "training" | "sending" | "aggregating" | "waiting" => "Taking part.".to_owned(),
            "offline" => "Offline. This tab tries again by itself.".to_owned(),
            "checking" => "Checking the record.".to_owned(),
            _ => sentence.text,
        }
    }

    /// The highest mark that the model has reached during this visit. It is told once: accuracy wavers, and a mark that
    /// is lost and reached again is no news.
    pub(crate) fn milestone(&self) -> Option<String> {
        let accuracy = self.best?;
        if self.target().is_some_and(|target| accuracy >= target) {
            return Some("The accuracy aimed at is reached.".to_owned());
        }
        [0.9, 0.75, 0.5]
            .into_iter()
            .find(|mark| accuracy >= *mark)
            .map(|mark| format!("Accuracy is above {:.0} percent.", mark * 100.0))
    }
}

fn offline(reason: &str, retry_at: Option<f64>, now: f64) -> Sentence {
    let Some(retry_at) = retry_at else {
        return Sentence::new("offline", Lamp::Bad, Progress::None, format!("Offline: {reason}."))
            .advise("Leave, reload the page, and join again.");
    };
    let seconds = ((retry_at - now) / 1000.0).ceil();
    let text = if seconds < 1.0 {
        "Offline: trying again now.".to_owned()
    } else {
        format!("Offline: trying again in {seconds:.0} s.")
    };
    Sentence::new("offline", Lamp::Bad, Progress::Open, text)
        .advise(format!("Because {reason}. Nothing is lost: this tab goes on where it was."))
}
