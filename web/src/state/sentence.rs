//! The state in one sentence: what the status bar says, what assistive technology is told, what automation reads.

use super::{Link, Run, ViewState};
use crate::format;
use lichen_bridge::Phase;
use lichen_net::hub::Cause;

/// Seconds by which the record's time may be ahead of the relay's clock before a visitor is told.
const CLOCK_WORTH_SAYING: u64 = 60;

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

    /// Nothing moves.
    pub(super) fn stalled(text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new("stalled", Lamp::Bad, Progress::None, text).advise(advice)
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
                Sentence::new("leaving", Lamp::Off, Progress::Open, "Leaving: signing off at the relay.")
            }
            Run::Left => self.farewell(),
            Run::Failed(problem) => {
                Sentence::new("failed", Lamp::Bad, Progress::None, problem.message.clone())
                    .advise(problem.remedy.clone())
            }
            Run::Paused => {
                Sentence::new("paused", Lamp::Off, Progress::None, "Paused: nothing is being trained.")
                    .advise("Resume whenever you like; the others continue meanwhile.")
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
        if let Some(silence) = self.silence(now) {
            return silence;
        }
        let Some(phase) = &self.phase else {
            return Sentence::new("starting", Lamp::Busy, Progress::Open, "Starting the worker.");
        };
        match (phase, &self.link) {
            (Phase::Finished | Phase::GoalReached, _) => self.finished(),
            (Phase::Retired, _) => retired(),
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
                "The relay that accepts contributions cannot be reached.",
            )
            .advise("Another relay serves the record. What this tab has learned is kept and sent later."),
            (Phase::Offline { .. }, Link::Open { .. } | Link::Connecting | Link::Closed)
            | (Phase::Connecting, _) => {
                Sentence::new("connecting", Lamp::Busy, Progress::Open, "Connecting to the relay.")
            }
            (phase, _) => self.stalled(phase).unwrap_or_else(|| self.connected(phase, now)),
        }
    }

    /// What keeps the campaign from going on, where this tab would only wait for it.
    fn stalled(&self, phase: &Phase) -> Option<Sentence> {
        let is_waiting = matches!(
            phase,
            Phase::WaitingForRound
                | Phase::WaitingForTurn { .. }
                | Phase::Sending
                | Phase::WaitingForClose
                | Phase::Aggregating
                | Phase::CatchingUp { .. }
                | Phase::Stalled(_)
        );
        let (text, advice) = standstill(self.stall.filter(|_cause| is_waiting)?)?;
        Some(Sentence::new("stalled", Lamp::Bad, Progress::None, text).advise(advice))
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
            Phase::WaitingForTurn { round, drawn, members } => waiting_for_turn(*round, *drawn, *members),
            Phase::Aggregating => {
                Sentence::new("aggregating", Lamp::Good, Progress::Open, "Combining everybody's updates.")
            }
            Phase::WaitingForRound => {
                let waiting = self.waiting_for_round(now);
                match self.clock_ahead {
                    0..CLOCK_WORTH_SAYING => waiting,
                    _ => waiting.advise(
                        "The relay's clock has been wrong, so times in the record may be off. Training is not \
                            affected.",
                    ),
                }
            }
            Phase::OnHold => {
                Sentence::new("on-hold", Lamp::Off, Progress::None, "The organiser has paused this campaign.")
                    .advise("Nothing is being trained. This tab goes on by itself when the campaign does.")
            }
            Phase::Idle | Phase::Paused => {
                Sentence::new("starting", Lamp::Busy, Progress::Open, "Getting ready to take part.")
            }
            Phase::Stalled(problem) => Sentence::stalled(problem.message.clone(), problem.remedy.clone()),
            Phase::Connecting
            | Phase::Offline { .. }
            | Phase::WaitingForOtherTab
            | Phase::Finished
            | Phase::GoalReached
            | Phase::Retired
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
            let text = "Your part is done. Everybody's results are being collected.";
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
        let what = if self.ended_at_goal() { "The goal is reached" } else { "The campaign is over" };
        let text = match self.accuracy() {
            Some(accuracy) => {
                format!("{what}: the model gets {} right. Thank you.", format::percent(accuracy))
            }
            None if self.ended_at_goal() => format!("{what}. Thank you."),
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
        let name = &campaign.card.title;
        let doing = match self.sentence(now).key {
            "idle" | "left" => return format!("{name} · Lichen"),
            "paused" => "Paused",
            "standby" => "Standing by",
            "offline" => "Offline",
            "failed" => "Stopped",
            "stalled" => "Stalled",
            "finished" | "retired" => "Finished",
            "on-hold" => "Waiting",
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
            "offline" => "Offline. This tab reconnects automatically.".to_owned(),
            "checking" => "Checking the record.".to_owned(),
            _ => sentence.text,
        }
    }

    /// The highest mark that the model has reached during this visit. It is told once: accuracy wavers, and a mark that
    /// is lost and reached again is no news.
    pub(crate) fn milestone(&self) -> Option<String> {
        let accuracy = self.best?;
        if self.target().is_some_and(|target| accuracy >= target) {
            return Some("The target accuracy is reached.".to_owned());
        }
        [0.9, 0.75, 0.5]
            .into_iter()
            .find(|mark| accuracy >= *mark)
            .map(|mark| format!("Accuracy is above {:.0} percent.", mark * 100.0))
    }
}

fn retired() -> Sentence {
    let text = "The organiser has ended this campaign for good. Thank you.";
    Sentence::new("retired", Lamp::Off, Progress::None, text)
        .advise("Nothing is being trained any more. You can close this page.")
}

/// Why this tab does nothing now, and when it does.
fn waiting_for_turn(round: u64, drawn: u32, members: u32) -> Sentence {
    let text = format!(
        "It is not this tab's turn in round {round}: {} of the {} who take part were drawn by lot.",
        format::count(u64::from(drawn)),
        format::count(u64::from(members.max(drawn)))
    );
    let turn = match members.div_ceil(drawn.max(1)) {
        0 | 1 => "Its turn comes in one of the next rounds".to_owned(),
        2 => "Its turn comes about every second round".to_owned(),
        rounds => format!("Its turn comes about every {} rounds", format::count(u64::from(rounds))),
    };
    Sentence::new("waiting", Lamp::Good, Progress::None, text)
        .advise(format!("{turn}. Leave this page open."))
}

/// What happened, and what the visitor can do; none where the tab says it better itself.
fn standstill(cause: Cause) -> Option<(&'static str, &'static str)> {
    Some(match cause {
        Cause::StoreFull | Cause::StoreFailing => (
            "The relay cannot save anything: its disk is full or failing.",
            "What this tab has learned is kept here and sent later. If this continues, tell the people who run \
                this site.",
        ),
        Cause::CampaignFull => (
            "This campaign has used up its space at the relay, which accepts no more contributions to it.",
            "Tell the people who run this site: they can give it more.",
        ),
        Cause::Contributions => (
            "This round needs more people than are here.",
            "It continues when they arrive. Leave this page open, or invite somebody.",
        ),
        Cause::Conflict => (
            "The results of this round contradict each other, so none counts.",
            "The next round begins by itself. Tell the people who run this site: a computer is faulty or lying.",
        ),
        Cause::UpdateMissing | Cause::Aggregation => (
            "The relay cannot combine this round's updates.",
            "None of your contributions is lost. Tell the people who run this site.",
        ),
        Cause::Leader => return None,
        _ => (
            "The relay has stopped making progress.",
            "None of your contributions is lost. If this continues, tell the people who run this site.",
        ),
    })
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
        .advise(format!("Because {reason}. Nothing is lost: this tab continues where it stopped."))
}
