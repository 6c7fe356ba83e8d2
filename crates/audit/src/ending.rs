//! Whether a coordinator that ended a campaign at its goal did so rightly.

use lichen_campaign::Manifest;
use lichen_model::Parameters;
use lichen_record::RoundNumber;
use lichen_settle::Gauge;
use serde::Serialize;

use crate::Fault;

/// The end of a campaign at its goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ending {
    /// The last round.
    pub round: RoundNumber,
    /// The accuracy at which the campaign ends, 0 to 1.
    pub goal: f64,
    /// What the last round began with gets right of the held-out samples, 0 to 1.
    pub accuracy_before: f64,
    /// What it settled with gets right of them.
    pub accuracy: f64,
}

/// Measures again what the coordinator ended the campaign for: what the round began with, and what it settled with.
pub(super) async fn check(
    manifest: &Manifest,
    data: &[u8],
    (round, goal): (RoundNumber, Option<f64>),
    checkpoints: [&[u8]; 2],
) -> Result<Ending, Fault> {
    let fault = |problem: String| Fault::Round { round, problem };
    let gauge = Gauge::new(manifest, data).map_err(|error| Fault::Campaign(format!("data: {error}")))?;
    let (Some(mut gauge), Some(goal)) = (gauge, goal) else {
        return Err(fault("the campaign has no goal to end at".into()));
    };
    let mut measure = async |bytes: &[u8]| {
        let parameters = Parameters::from_safetensors(bytes).map_err(|error| fault(error.to_string()))?;
        let quality = gauge.measure(&parameters, async || {}).await;
        let quality = quality.map_err(|error| fault(error.to_string()))?;
        match Gauge::reaches(&quality, goal) {
            true => Ok(quality.accuracy),
            false => Err(Fault::GoalNotReached { round, accuracy: quality.accuracy, goal }),
        }
    };
    let [before, after] = checkpoints;
    Ok(Ending { round, goal, accuracy_before: measure(before).await?, accuracy: measure(after).await? })
}
