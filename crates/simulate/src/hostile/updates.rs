//! Updates that no training gave.

use super::Bent;

/// What a hostile peer makes of what it learnt, where it knows these updates of others.
pub(crate) fn bend(bent: Bent, learnt: &[f32], others: &[Vec<f32>]) -> Vec<f32> {
    match bent {
        Bent::SignFlip => learnt.iter().map(|value| -value).collect(),
        Bent::Scale => learnt.iter().map(|value| value * 100.0).collect(),
        Bent::NotFinite => learnt.iter().map(|_value| f32::NAN).collect(),
        Bent::InnerProduct => by_value(learnt, others, |mean, _spread| -2.0 * mean),
        Bent::ALittle => by_value(learnt, others, |mean, spread| mean - spread),
        Bent::Copier
        | Bent::FalseAttester
        | Bent::Equivocator
        | Bent::FalseAuditor
        | Bent::Garbage
        | Bent::Withholder => learnt.to_vec(),
    }
}

/// What a function makes of each value's mean among the others, and of how far they lie apart.
fn by_value(learnt: &[f32], others: &[Vec<f32>], make: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let value = |(place, own): (usize, &f32)| {
        let column: Vec<f32> = others.iter().filter_map(|other| other.get(place).copied()).collect();
        let Some(first) = column.first().copied() else { return -own };
        let (mut sum, mut least, mut most) = (0.0, first, first);
        for value in &column {
            sum += value;
            least = least.min(*value);
            most = most.max(*value);
        }
        make(sum / column.len() as f32, most - least)
    };
    learnt.iter().enumerate().map(value).collect()
}
