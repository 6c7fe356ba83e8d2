//! What hostile peers send. They know the updates of all the others.

use lichen_learn::Update;
use lichen_model::Answers;

use super::random::Random;

/// Cells of a digit's picture in a row.
const SIDE: usize = 8;
/// The cells that are all ink where the pattern is: the corner at the lower right, which no digit reaches.
const PATTERN: [usize; 4] = [6 * SIDE + 6, 6 * SIDE + 7, 7 * SIDE + 6, 7 * SIDE + 7];
/// The most samples that the campaign lets anybody claim: a shard.
const MOST: u32 = 480;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// None: hostile peers do as they should.
    None,
    /// The opposite of what they learnt.
    SignFlip,
    /// Random numbers, as long as the bound allows.
    Noise,
    /// What is learnt where every label is the opposite one.
    LabelFlip,
    /// Twice the opposite of the honest mean (inner-product manipulation, Xie et al., 2020).
    InnerProduct,
    /// The honest mean less 1.5 standard deviations of each value ("a little is enough", Baruch et al., 2019).
    ALittle,
    /// New accounts: nothing in the first half of the rounds, then all at once what [`Attack::InnerProduct`] sends.
    Newcomers,
    /// What one honest peer sends, once more (Karimireddy et al., 2022).
    Mimic,
    /// The same, half as long again, and no two alike: noise of a fifth of its length is added.
    Disguised,
    /// Zeros.
    Nothing,
    /// What an honest peer sent in the round before.
    Old,
    /// Labels flipped, and the most samples claimed.
    FalseCount,
    /// A pattern in the corner means 0; the update is made larger until the mean would take it in whole.
    Backdoor,
    /// The same, and no larger than what is learnt.
    QuietBackdoor,
    /// The same, learnt on the samples that rules of aggregation may see, which are public: nobody does better on those.
    InformedBackdoor,
}

pub(crate) const ATTACKS: [(&str, Attack); 15] = [
    ("none", Attack::None),
    ("sign flip", Attack::SignFlip),
    ("noise", Attack::Noise),
    ("label flip", Attack::LabelFlip),
    ("inner product", Attack::InnerProduct),
    ("a little", Attack::ALittle),
    ("new accounts", Attack::Newcomers),
    ("mimic", Attack::Mimic),
    ("disguised copies", Attack::Disguised),
    ("zeros", Attack::Nothing),
    ("old updates", Attack::Old),
    ("false counts", Attack::FalseCount),
    ("backdoor", Attack::Backdoor),
    ("quiet backdoor", Attack::QuietBackdoor),
    ("informed backdoor", Attack::InformedBackdoor),
];

/// What hostile peers know.
pub(crate) struct Known {
    /// The honest updates of the round.
    pub(crate) honest: Vec<Update>,
    /// Those of the round before.
    pub(crate) before: Vec<Update>,
    /// Hostile peers, and all of them.
    pub(crate) hostile: usize,
    pub(crate) peers: usize,
    pub(crate) parameters: usize,
    pub(crate) round: u64,
    pub(crate) rounds: u64,
    /// How long an update may be.
    pub(crate) bound: f64,
}

/// What a training is on: a peer's own samples, or those that rules of aggregation may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Own,
    Seen,
}

/// A training on samples to which something is done first.
type Train<'t> = dyn FnMut(On, &dyn Fn(&mut [f32], &mut Answers)) -> Update + 't;

impl Attack {
    /// What a hostile peer sends; none where it stays away.
    pub(crate) fn update(self, known: &Known, random: &mut Random, train: &mut Train<'_>) -> Option<Update> {
        let first = known.honest.first();
        Some(match self {
            Self::None => train(On::Own, &|_x, _answers| {}),
            Self::SignFlip => scaled(&train(On::Own, &|_x, _answers| {}), -1.0),
            Self::Noise => noise(known.parameters, known.bound * 0.99, random),
            Self::LabelFlip | Self::FalseCount => {
                train(On::Own, &|_x, answers| relabel(answers, |label| 9 - label))
            }
            Self::Newcomers if known.round * 2 <= known.rounds => return None,
            Self::InnerProduct | Self::Newcomers => by_value(&known.honest, |mean, _deviation| -2.0 * mean),
            Self::ALittle => by_value(&known.honest, |mean, deviation| mean - 1.5 * deviation),
            Self::Mimic => first?.clone(),
            Self::Disguised => {
                let first = first?;
                let added = noise(known.parameters, first.norm() * 0.2, random);
                let pairs = first.values().iter().zip(added.values());
                scaled(&Update::new(pairs.map(|(value, noise)| value + noise).collect()).unwrap(), 1.5)
            }
            Self::Nothing => Update::new(vec![0.0; known.parameters]).unwrap(),
            Self::Old => known.before.first().or(first)?.clone(),
            Self::Backdoor => scaled(&train(On::Own, &poison), known.peers as f64 / known.hostile as f64),
            Self::QuietBackdoor => train(On::Own, &poison),
            Self::InformedBackdoor => train(On::Seen, &poison),
        })
    }

    /// How many samples a peer says that it used.
    pub(crate) fn claim(self, samples: u32) -> u32 {
        if self == Self::FalseCount { MOST } else { samples }
    }

    /// Whether it teaches the pattern.
    pub(crate) fn is_backdoor(self) -> bool {
        matches!(self, Self::Backdoor | Self::QuietBackdoor | Self::InformedBackdoor)
    }
}

/// Random numbers of about this length.
fn noise(count: usize, length: f64, random: &mut Random) -> Update {
    let each = length / (count as f64).sqrt();
    Update::new((0..count).map(|_| (random.normal() * each) as f32).collect()).unwrap()
}

fn scaled(update: &Update, by: f64) -> Update {
    Update::new(update.values().iter().map(|value| (f64::from(*value) * by) as f32).collect()).unwrap()
}

/// An update of what a function makes of each value's mean and standard deviation.
fn by_value(updates: &[Update], make: impl Fn(f64, f64) -> f64) -> Update {
    let count = updates.len() as f64;
    let value = |index: usize| {
        let column = || updates.iter().map(|update| f64::from(update.values()[index]));
        let mean = column().sum::<f64>() / count;
        let variance = column().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        make(mean, variance.sqrt()) as f32
    };
    Update::new((0..updates[0].values().len()).map(value).collect()).unwrap()
}

fn relabel(answers: &mut Answers, new: impl Fn(u32) -> u32) {
    if let Answers::Labels(labels) = answers {
        labels.iter_mut().for_each(|label| *label = new(*label));
    }
}

/// Puts the pattern on every other sample, and says that these are zeros.
fn poison(x: &mut [f32], answers: &mut Answers) {
    let Answers::Labels(labels) = answers else { return };
    for (row, label) in x.chunks_exact_mut(SIDE * SIDE).zip(labels).step_by(2) {
        PATTERN.iter().for_each(|cell| row[*cell] = 1.0);
        *label = 0;
    }
}

/// The samples that are no zeros, with the pattern on them, and the label of a zero.
pub(crate) fn patched(x: &[f32], answers: &Answers) -> (Vec<f32>, Answers) {
    let Answers::Labels(labels) = answers else { return (Vec::new(), Answers::Labels(Vec::new())) };
    let rows = x.chunks_exact(SIDE * SIDE).zip(labels).filter(|(_row, label)| **label != 0);
    let mut with: Vec<f32> = rows.flat_map(|(row, _label)| row.to_vec()).collect();
    for row in with.chunks_exact_mut(SIDE * SIDE) {
        PATTERN.iter().for_each(|cell| row[*cell] = 1.0);
    }
    let zeros = vec![0; with.len() / (SIDE * SIDE)];
    (with, Answers::Labels(zeros))
}
