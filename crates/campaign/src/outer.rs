//! `[outer]`: how a round's combined update changes the model.

use alloc::format;
use alloc::vec::Vec;

use toml::de::DeTable;

use crate::Fault;
use crate::reader::Reader;

/// `[outer]`: what is done with a round's combined update. The table may be left out: then it is added to the model.
///
/// The other optimisers carry something over from round to round, which is attested beside the checkpoint. What each
/// computes is said in the `learn` crate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum OuterOptimizer {
    /// `"mean"`: it is added as it is.
    #[default]
    Mean,
    /// `"momentum"`: earlier updates go on in it, less with each round (`FedAvgM`; Hsu et al., 2019).
    Momentum(Momentum),
    /// `"nesterov"`: the same, looking one step ahead (the outer optimiser of `DiLoCo`; Douillard et al., 2023).
    Nesterov(Momentum),
    /// `"adam"`: each value has a step size of its own (`FedAdam`; Reddi et al., 2021).
    Adam(Moments),
    /// `"yogi"`: the same, with step sizes that change more slowly (`FedYogi`; Reddi et al., 2021).
    Yogi(Moments),
}

/// What the optimisers with one moment take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    /// What a step is multiplied with: 1 for `"momentum"` and 0.7 for `"nesterov"` unless given.
    pub rate: f64,
    /// The share of earlier updates that goes on: 0.5 for `"momentum"` and 0.9 for `"nesterov"` unless given.
    pub momentum: f64,
}

/// What the optimisers with two moments take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// About the largest step of a value: 0.01 unless given.
    pub rate: f64,
    /// The share of earlier updates in the first moment: 0.9 unless given.
    pub beta1: f64,
    /// The share of earlier squares in the second moment: 0.99 unless given.
    pub beta2: f64,
    /// What is added to the second moment's root: 0.001 unless given.
    pub epsilon: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Mean,
    Momentum,
    Nesterov,
    Adam,
    Yogi,
}

const WORDS: [(&str, Word); 5] = [
    ("mean", Word::Mean),
    ("momentum", Word::Momentum),
    ("nesterov", Word::Nesterov),
    ("adam", Word::Adam),
    ("yogi", Word::Yogi),
];

impl OuterOptimizer {
    /// The word for it in a manifest.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Momentum(_) => "momentum",
            Self::Nesterov(_) => "nesterov",
            Self::Adam(_) => "adam",
            Self::Yogi(_) => "yogi",
        }
    }

    /// How many numbers it carries over from round to round for each of the model's: none, one or two.
    #[must_use]
    pub const fn moments(&self) -> usize {
        match self {
            Self::Mean => 0,
            Self::Momentum(_) | Self::Nesterov(_) => 1,
            Self::Adam(_) | Self::Yogi(_) => 2,
        }
    }
}

pub(crate) fn read_outer(table: Option<&DeTable<'_>>, faults: &mut Vec<Fault>) -> Option<OuterOptimizer> {
    let Some(_given) = table else { return Some(OuterOptimizer::Mean) };
    let mut reader = Reader::new("outer", table, faults);
    let word = reader.choice("optimizer", &WORDS);
    let rate = reader.optional_number("rate", 1e-6..=10.0);
    let momentum = reader.optional_number("momentum", 0.0..=0.999);
    let [beta1, beta2] = ["beta1", "beta2"].map(|key| reader.optional_number(key, 0.0..=0.9999));
    let epsilon = reader.optional_number("epsilon", 1e-12..=1.0);
    if let Some(word) = word {
        let given = [
            ("rate", rate),
            ("momentum", momentum),
            ("beta1", beta1),
            ("beta2", beta2),
            ("epsilon", epsilon),
        ];
        for (key, _value) in given.iter().filter(|(_key, value)| matches!(value, Some(Some(_given)))) {
            refuse_strange(&mut reader, word, key);
        }
    }
    reader.finish();
    let (rate, momentum, beta1, beta2, epsilon) = (rate?, momentum?, beta1?, beta2?, epsilon?);
    let one = |rate_else: f64, momentum_else: f64| Momentum {
        rate: rate.unwrap_or(rate_else),
        momentum: momentum.unwrap_or(momentum_else),
    };
    let two = Moments {
        rate: rate.unwrap_or(0.01),
        beta1: beta1.unwrap_or(0.9),
        beta2: beta2.unwrap_or(0.99),
        epsilon: epsilon.unwrap_or(1e-3),
    };
    Some(match word? {
        Word::Mean => OuterOptimizer::Mean,
        Word::Momentum => OuterOptimizer::Momentum(one(1.0, 0.5)),
        Word::Nesterov => OuterOptimizer::Nesterov(one(0.7, 0.9)),
        Word::Adam => OuterOptimizer::Adam(two),
        Word::Yogi => OuterOptimizer::Yogi(two),
    })
}

/// Records a fault if the optimiser has no such parameter.
fn refuse_strange(reader: &mut Reader<'_, '_>, word: Word, key: &str) {
    let known: &[&str] = match word {
        Word::Mean => &[],
        Word::Momentum | Word::Nesterov => &["rate", "momentum"],
        Word::Adam | Word::Yogi => &["rate", "beta1", "beta2", "epsilon"],
    };
    if known.contains(&key) {
        return;
    }
    let name = WORDS.iter().find(|(_name, known)| *known == word).map_or("", |(name, _word)| name);
    let problem = match known {
        [] => format!(
            "has no meaning for \"{name}\", which adds the update as it is: choose another outer.optimizer"
        ),
        _ => format!("has no meaning for \"{name}\", which has {}: leave it out", known.join(", ")),
    };
    reader.fault::<()>(key, &problem);
}
