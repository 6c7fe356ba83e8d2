//! What hostile peers send. They know the updates of all the others.

use lichen_learn::Update;
use lichen_model::Answers;

use crate::random::Random;

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
    /// What one honest peer sends, once more (Karimireddy et al., 2022).
    Mimic,
    /// Nothing, or what somebody sent in the round before.
    FreeRide,
    /// Labels flipped, and the most samples claimed.
    FalseCount,
    /// A pattern in the corner means 0; the update is made larger until the mean would take it in whole.
    Backdoor,
}

pub(crate) const ATTACKS: [(&str, Attack); 10] = [
    ("none", Attack::None),
    ("sign flip", Attack::SignFlip),
    ("noise", Attack::Noise),
    ("label flip", Attack::LabelFlip),
    ("inner product", Attack::InnerProduct),
    ("a little", Attack::ALittle),
    ("mimic", Attack::Mimic),
    ("free riders", Attack::FreeRide),
    ("false counts", Attack::FalseCount),
    ("backdoor", Attack::Backdoor),
];

/// What a hostile peer knows.
pub(crate) struct Known<'k> {
    /// The honest updates of the round.
    pub(crate) honest: &'k [Update],
    /// All updates of the round before.
    pub(crate) before: &'k [Update],
    /// Which peer it is.
    pub(crate) peer: usize,
    /// How many there are of its kind.
    pub(crate) hostile: usize,
}

/// A training on samples to which something is done first.
type Train<'t> = dyn Fn(&dyn Fn(&mut [f32], &mut Answers)) -> Update + 't;

impl Attack {
    pub(crate) fn update(
        self,
        known: &Known<'_>,
        random: &mut Random,
        bound: f64,
        train: &Train<'_>,
    ) -> Update {
        match self {
            Self::None => train(&|_x, _answers| {}),
            Self::SignFlip => scaled(&train(&|_x, _answers| {}), -1.0),
            Self::Noise => {
                let each = bound * 0.99 / (known.honest[0].values().len() as f64).sqrt();
                Update::new(
                    known.honest[0].values().iter().map(|_| (random.normal() * each) as f32).collect(),
                )
                .unwrap()
            }
            Self::LabelFlip | Self::FalseCount => train(&|_x, answers| relabel(answers, |label| 9 - label)),
            Self::InnerProduct => by_value(known.honest, |mean, _deviation| -2.0 * mean),
            Self::ALittle => by_value(known.honest, |mean, deviation| mean - 1.5 * deviation),
            Self::Mimic => known.honest[0].clone(),
            Self::FreeRide => match known.before.first() {
                Some(old) if known.peer.is_multiple_of(2) => old.clone(),
                _ => scaled(&known.honest[0], 0.0),
            },
            Self::Backdoor => {
                let learnt = train(&|x, answers| poison(x, answers));
                let all = (known.honest.len() + known.hostile) as f64;
                scaled(&learnt, all / known.hostile as f64)
            }
        }
    }

    /// How many samples a peer says that it used.
    pub(crate) fn claim(self, samples: u32) -> u32 {
        if self == Self::FalseCount { MOST } else { samples }
    }
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
