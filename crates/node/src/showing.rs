//! What people are shown of the model: its guesses about some held-out samples, and what it reads in a drawing.

use std::cell::RefCell;

use lichen_bridge::{Event, Guess, Guesses, Problem};
use lichen_campaign::{Manifest, Show};
use lichen_engine::Predictor;
use lichen_learn::Dataset;
use lichen_model::{Answers, Parameters};
use lichen_record::Cid;

use crate::Platform;
use crate::hub::Outbox;

/// Samples shown.
const SHOWN: usize = 24;

/// Held-out samples looked at to say how many a model gets right, where nobody measures that anyway.
const COUNTED: usize = 500;

/// The model that is shown at the moment, and the samples that it is shown by.
///
/// No borrow is held over a wait: a drawing may be read between two guesses.
#[derive(Default)]
pub(crate) struct Showing(RefCell<Option<Shown>>);

struct Shown {
    predictor: Predictor,
    samples: Vec<Sample>,
}

/// A sample, ready for the model and for the eye.
struct Sample {
    index: u32,
    label: u32,
    values: Vec<f32>,
    cells: Vec<u8>,
}

/// Which checkpoint is shown.
#[derive(Clone, Copy)]
pub(crate) struct Of {
    /// The round that settled it; none for the campaign's first.
    pub(crate) round: Option<u64>,
    pub(crate) checkpoint: Cid,
    /// Whether to count how many of the held-out samples it gets right.
    pub(crate) count: bool,
}

impl Showing {
    /// Shows what a checkpoint says of the samples, with turns for others between them; nothing where the manifest shows
    /// none.
    pub(crate) async fn show<P: Platform>(
        &self,
        platform: &P,
        out: &Outbox,
        manifest: &Manifest,
        dataset: &Dataset,
        (of, parameters): (Of, &Parameters),
    ) -> Result<(), Problem> {
        let Some(show) = &manifest.show else { return Ok(()) };
        self.load(show, manifest, dataset, parameters)?;
        let mut samples = Vec::new();
        while let Some(guess) = self.guess(samples.len())? {
            samples.push(guess);
            platform.yield_now().await;
        }
        let right = if of.count { Some(self.count(platform, manifest, dataset).await?) } else { None };
        let Of { round, checkpoint, .. } = of;
        out(Event::Guesses(Guesses { round, checkpoint, right, samples }));
        Ok(())
    }

    /// The probability of each class for a drawing.
    pub(crate) fn read(&self, manifest: &Manifest, cells: &[u8]) -> Result<Vec<f32>, Problem> {
        let mut shown = self.0.borrow_mut();
        let (Some(shown), Some(show)) = (&mut *shown, &manifest.show) else { return Err(not_here()) };
        let values: Vec<f32> = cells.iter().map(|cell| stored(*cell, show) * manifest.data.scale).collect();
        shown.predictor.predict(&values).map_err(|error| unreadable(&error))
    }

    fn load(
        &self,
        show: &Show,
        manifest: &Manifest,
        dataset: &Dataset,
        parameters: &Parameters,
    ) -> Result<(), Problem> {
        let mut shown = self.0.borrow_mut();
        let shown = match &mut *shown {
            Some(shown) => shown,
            none => none.insert(Shown {
                predictor: Predictor::new(&manifest.model).map_err(|error| unreadable(&error))?,
                samples: samples(show, manifest, dataset),
            }),
        };
        shown.predictor.load(parameters).map_err(|error| unreadable(&error))
    }

    /// What the model says of one of the samples; none after the last.
    fn guess(&self, place: usize) -> Result<Option<Guess>, Problem> {
        let mut shown = self.0.borrow_mut();
        let Some(Shown { predictor, samples }) = &mut *shown else { return Ok(None) };
        let Some(Sample { index, label, values, cells }) = samples.get(place) else { return Ok(None) };
        let said = predictor.predict(values).map_err(|error| unreadable(&error))?;
        let (guess, probability) = likeliest(&said);
        Ok(Some(Guess { index: *index, label: *label, guess, probability, cells: cells.clone() }))
    }

    /// How many of the held-out samples the model gets right, of how many.
    async fn count<P: Platform>(
        &self,
        platform: &P,
        manifest: &Manifest,
        dataset: &Dataset,
    ) -> Result<(u32, u32), Problem> {
        let mut counted = (0, 0);
        for index in manifest.measured().into_iter().take(COUNTED) {
            if let Some((label, values)) = sample(dataset, index) {
                let said = match &mut *self.0.borrow_mut() {
                    Some(shown) => shown.predictor.predict(&values).map_err(|error| unreadable(&error))?,
                    None => break,
                };
                counted = (counted.0 + u32::from(likeliest(&said).0 == label), counted.1 + 1);
            }
            platform.yield_now().await;
        }
        Ok(counted)
    }
}

/// The class of the largest probability, the first of several.
fn likeliest(probabilities: &[f32]) -> (u32, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, &probability) in (0..).zip(probabilities) {
        if probability > best.1 {
            best = (class, probability);
        }
    }
    best
}

/// Held-out samples of every class, in turn, as the data has them: the same for everybody.
fn samples(show: &Show, manifest: &Manifest, dataset: &Dataset) -> Vec<Sample> {
    let held_out = manifest.measured();
    let mut by_class: Vec<Vec<u32>> = vec![Vec::new(); show.labels.len()];
    let most = SHOWN.div_ceil(show.labels.len().max(1));
    for index in held_out {
        let Some((label, _values)) = sample(dataset, index) else { continue };
        if let Some(class) = by_class.get_mut(label as usize).filter(|class| class.len() < most) {
            class.push(index);
        }
    }
    let turns = (0..most).flat_map(|turn| by_class.iter().filter_map(move |class| class.get(turn)));
    let chosen = turns.take(SHOWN).filter_map(|&index| {
        let (label, values) = sample(dataset, index)?;
        let cells = values.iter().map(|value| ink(*value / manifest.data.scale, show)).collect();
        Some(Sample { index, label, values, cells })
    });
    chosen.collect()
}

/// One sample's class and values; none where it has no class, or several.
fn sample(dataset: &Dataset, index: u32) -> Option<(u32, Vec<f32>)> {
    let (values, answers) = dataset.gather(&[index]);
    match &answers {
        Answers::Labels(labels) if labels.len() == 1 => labels.first().map(|label| (*label, values)),
        _ => None,
    }
}

/// The ink of a stored value.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped just before")]
fn ink(stored: f32, show: &Show) -> u8 {
    (stored / show.full * 255.0).clamp(0.0, 255.0).round() as u8
}

/// The stored value of so much ink.
fn stored(ink: u8, show: &Show) -> f32 {
    f32::from(ink) / 255.0 * show.full
}

fn not_here() -> Problem {
    Problem {
        message: "The model is not on this device yet.".into(),
        remedy: "Wait a moment, then draw again.".into(),
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Problem {
    Problem {
        message: format!("The model cannot be shown on this device: {error}."),
        remedy: "Tell the people who run this campaign.".into(),
    }
}
