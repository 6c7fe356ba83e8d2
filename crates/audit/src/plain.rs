//! What an audit comes to, in plain words: for whoever looks at a model and knows nothing of how it is made.

use lichen_bridge::{Checked, Checking};
use lichen_log::ChainError;
use lichen_record::RoundNumber;

use crate::{BlobRole, Fault, Progress, Report, SourceError};

/// How far an audit is.
#[must_use]
pub fn under_way(progress: Progress) -> Checking {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let (what, done, total) = match progress {
        Progress::Records(done, total) => {
            ("Checking each entry of the record and its signature", done, total)
        }
        Progress::Rounds(done, total) => ("Computing each result again", done, total),
        Progress::Trainings(done, total) => ("Settling disputes about trainings again", done, total),
        Progress::Evaluating => ("Measuring the model", 0, 0),
    };
    Checking { what: what.to_owned(), done: small(done), total: small(total) }
}

/// What was found right, in so many seconds.
#[must_use]
pub fn right(report: &Report, seconds: f64) -> Checked {
    let mut details = vec![model(report)];
    if report.rounds_not_recomputed > 0 {
        let results = plural(report.rounds_not_recomputed, "result", "results");
        details.push(format!(
            "{results} could not be computed again: what goes into them went from tab to tab and is not kept. More than \
             half of those who contributed said what they come to."
        ));
    }
    if let Some(best) = &report.best {
        let round = count(best.round.0);
        details
            .push(format!("It was better after round {round}: the people who run this can go back to that."));
    }
    if report.contradictions > 0 {
        let people = plural(report.contradictions, "person", "people");
        details.push(format!("{people} signed something that the record proves false. It did not count."));
    }
    if report.contributions > 0 {
        details.push(trainings(report));
    }
    if report.tree.is_some() {
        details.push("The record’s summary, which others can compare, is that of these entries.".to_owned());
    }
    if let Some(seen) = report.witnessed {
        details
            .push(format!("Witnesses whom the campaign names have seen the first {} entries.", count(seen)));
    }
    let entries = plural(report.records, "entry", "entries");
    details.push(format!("{entries} and {} of data, in {seconds:.1}\u{a0}s.", bytes(report.blob_bytes)));
    Checked { right: true, verdict: verdict(report), details }
}

/// What was found wrong, where, and what that means.
#[must_use]
pub fn wrong(fault: &Fault) -> Checked {
    let (verdict, meaning) = explain(fault);
    Checked { right: false, verdict, details: vec![meaning.to_owned(), format!("In detail: {fault}")] }
}

fn verdict(report: &Report) -> String {
    let signatures = count(report.signatures);
    let rounds = report.rounds - report.rounds_not_recomputed.min(report.rounds);
    let results = match (rounds, report.rounds) {
        (_, 0) => String::new(),
        (1, 1) => " and the only result".to_owned(),
        (some, all) if some < all => format!(" and {} of the {} results", count(some), count(all)),
        (all, _) => format!(" and all {} results", count(all)),
    };
    let were = if results.is_empty() { "was" } else { "were" };
    format!("Every one of the {signatures} signatures{results} {were} checked by this tab: nothing is wrong.")
}

/// What the model is, and how good.
fn model(report: &Report) -> String {
    let (right, samples) = ((report.accuracy * 100.0 + 1e-9).floor(), count(report.held_out));
    let made = match report.contributions {
        0 => "It is the model that the campaign began with".to_owned(),
        contributions => format!(
            "The model is what {} by {} come to{}",
            plural(contributions, "contribution", "contributions"),
            plural(report.contributors, "person", "people"),
            if report.rounds_not_recomputed == 0 { ", and nothing else" } else { "" },
        ),
    };
    format!("{made}. It gets {right:.0} of 100 right, of {samples} examples that nobody trains on.")
}

/// What nobody can see from here.
fn trainings(report: &Report) -> String {
    let here = "What was trained on each device cannot be seen in its contribution, and this tab has repeated no training.";
    let others = match report.trainings_audited {
        0 => "Nobody else has, either.".to_owned(),
        audited => format!("Members have repeated {} of them.", count(audited)),
    };
    let disputes = match report.disputes_settled {
        0 => String::new(),
        1 => " The piece that they disagreed about was computed here again.".to_owned(),
        settled => {
            format!(" The {} pieces that they disagreed about were computed here again.", count(settled))
        }
    };
    format!("{here} {others}{disputes}")
}

const CHANGED: &str = "Either it was changed after it was signed, or this server shows something else than others saw. Do \
    not rely on this model before the people who run the campaign have explained it.";
const FALSE: &str = "Somebody has entered what the rules do not allow or what does not follow from the contributions. Do \
    not rely on this model before the people who run the campaign have explained it.";
const INCOMPLETE: &str = "So the rest cannot be checked. That may be a fault of this server or of the connection: try \
    again later, and tell the people who run the campaign if it stays so.";

fn explain(fault: &Fault) -> (String, &'static str) {
    match fault {
        Fault::Log { from, .. } => {
            (format!("Entry {} of the record cannot be read.", place(*from)), INCOMPLETE)
        }
        Fault::Later { .. } | Fault::Chain(ChainError::Later { .. }) => (
            "The record goes on with something that this page is too old to know.".to_owned(),
            "Nothing is wrong so far. Reload the page, then check again.",
        ),
        Fault::Chain(error) => {
            (format!("Entry {} of the record is not as it was signed.", place(error.index())), CHANGED)
        }
        Fault::Inadmissible { index, .. } => {
            (format!("Entry {} of the record breaks the campaign’s rules.", place(*index)), FALSE)
        }
        Fault::LogEnds { found, signed } => (
            format!("The record ends after entry {}, and {} were signed.", count(*found), count(*signed)),
            CHANGED,
        ),
        Fault::Equivocation { .. } => ("There are two versions of this record.".to_owned(), CHANGED),
        Fault::Tree(_) => ("The record’s summary is not as it has to be.".to_owned(), CHANGED),
        Fault::Quorum { signed, quorum } => (
            format!("Only {signed} of the {quorum} witnesses whom the campaign wants have seen the record."),
            INCOMPLETE,
        ),
        Fault::Empty => ("The record is empty.".to_owned(), INCOMPLETE),
        Fault::HeadSignature(_) | Fault::Head(_) => {
            ("The end of the record is not rightly signed.".to_owned(), CHANGED)
        }
        Fault::Blob { role, error: SourceError::NotFound, .. } => {
            (format!("{} is not there, though the record names it.", named(*role)), INCOMPLETE)
        }
        Fault::Blob { role, .. } => (format!("{} cannot be fetched.", named(*role)), INCOMPLETE),
        Fault::BlobDiffers { role, .. } => {
            (format!("{} is not the one that the record names.", named(*role)), CHANGED)
        }
        Fault::Manifest(_) | Fault::Campaign(_) => {
            ("The campaign’s description cannot be used.".to_owned(), FALSE)
        }
        Fault::Initial { .. } => {
            ("The record does not begin with the model that the campaign describes.".to_owned(), FALSE)
        }
        Fault::Checkpoint { round, .. } => {
            (format!("The result of round {} is not what its contributions come to.", count(round.0)), FALSE)
        }
        Fault::Round { round, .. } => {
            (format!("The result of round {} cannot be computed again.", count(round.0)), INCOMPLETE)
        }
        Fault::Training { round, .. } => {
            (format!("What was decided about a training of round {} is false.", count(round.0)), FALSE)
        }
        Fault::GoalNotReached { .. } => {
            ("The campaign was ended as if its goal were reached, and it is not.".to_owned(), FALSE)
        }
        Fault::Broken { .. } => (
            "The record is right, and the model is broken: no training mends it.".to_owned(),
            "The people who run the campaign have to go back to an earlier result.",
        ),
    }
}

fn named(role: BlobRole) -> String {
    match role {
        BlobRole::Manifest => "The campaign’s description".to_owned(),
        BlobRole::Data => "The campaign’s data".to_owned(),
        BlobRole::Update(round) => format!("A contribution to round {}", count(round.0)),
        BlobRole::Checkpoint(RoundNumber(0)) => "The model that the campaign began with".to_owned(),
        BlobRole::Checkpoint(round) => format!("The model after round {}", count(round.0)),
        BlobRole::OuterState(round) => format!("What goes with the model after round {}", count(round.0)),
        BlobRole::Evidence(round) => format!("What a training of round {} is checked by", count(round.0)),
    }
}

/// People count from one.
fn place(index: u64) -> String {
    count(index.saturating_add(1))
}

fn plural(value: u64, one: &str, many: &str) -> String {
    format!("{}\u{a0}{}", count(value), if value == 1 { one } else { many })
}

/// A count with a thin space between thousands.
fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

fn bytes(value: u64) -> String {
    match value {
        0..1_000 => format!("{value}\u{a0}B"),
        1_000..1_000_000 => format!("{:.1}\u{a0}kB", value as f64 / 1e3),
        _ => format!("{:.1}\u{a0}MB", value as f64 / 1e6),
    }
}
