//! What `lichen check` says about updates, rounds' results and the end.

use std::time::{Duration, Instant};

use futures::executor::block_on;
use lichen_campaign::{Manifest, Settlement, UpdateRule, places_for_newcomers};
use lichen_learn::{Codec, Dataset, max_norm};
use lichen_model::initial_parameters;
use lichen_record::Cid;
use lichen_settle::{Settler, guarded};

/// How long updates may be and what guards the rounds' results, in two lines.
pub(crate) fn describe(manifest: &Manifest, data: &[u8]) -> anyhow::Result<String> {
    let bound = max_norm(manifest)?;
    let whose = match manifest.update.max_norm {
        Some(_given) => "as update.max_norm says",
        None => "by default: update.max_norm sets it, and `lichen train --json` tells an honest one's",
    };
    let packed = describe_packing(manifest)?;
    let told = describe_telling(manifest)?;
    Ok(format!(
        "update norm  at most {bound:.4} ({whose})\n{packed}\n{told}{}",
        describe_guard(manifest, data)?
    ))
}

/// How updates are packed and what one takes, in one line.
fn describe_packing(manifest: &Manifest) -> anyhow::Result<String> {
    let UpdateRule { encoding, feedback, .. } = manifest.update;
    let parameters = initial_parameters(&manifest.model, manifest.rounds.seed)?.elements();
    let bytes = Codec::new(encoding).data_len(parameters);
    let kept =
        feedback.map_or(String::new(), |share| format!("; a tab keeps {share} of what that leaves out"));
    Ok(format!("update codec {}: about {bytes} bytes an update{kept}", encoding.word()))
}

/// Who attests results and how tabs get them, in a line each where that is not as usual.
fn describe_telling(manifest: &Manifest) -> anyhow::Result<String> {
    let mut text = describe_waiting(manifest);
    if let Some(budget) = manifest.train.budget {
        text.push_str(&format!(
            "local work   {} to {} steps, as many as a device comes to in {} s; updates count by their own numbers of steps\n",
            budget.least, manifest.train.steps, budget.seconds
        ));
    }
    if let Some(cohort) = manifest.rounds.cohort {
        let new = places_for_newcomers(cohort);
        text.push_str(&format!(
            "cohort       {cohort} members train in a round, drawn by lot where more are there, and up to {new} more of those \
             who have yet to contribute; whoever goes is replaced\n"
        ));
    }
    if let Some(committee) = manifest.rounds.committee {
        let by = match manifest.rounds.settlement {
            Settlement::Coordinator => "the coordinator and ",
            Settlement::Contributors => "",
        };
        text.push_str(&format!(
            "committee    results are attested by {by}{committee} contributors, drawn by lot in each round\n"
        ));
    }
    if let Some(encoding) = manifest.result_codec {
        let parameters = initial_parameters(&manifest.model, manifest.rounds.seed)?.elements();
        let bytes = Codec::new(encoding).data_len(parameters);
        text.push_str(&format!(
            "result codec {}: about {bytes} bytes a result for a tab that has the one before\n",
            encoding.word()
        ));
    }
    Ok(text)
}

/// What becomes of a round that too few contribute to, in a line.
fn describe_waiting(manifest: &Manifest) -> String {
    let rounds = &manifest.rounds;
    let (minimum, deadline) = (rounds.minimum, Duration::from_millis(rounds.deadline_ms));
    match rounds.extensions {
        Some(extensions) => {
            let longest = deadline.saturating_mul(extensions.saturating_add(1));
            format!(
                "waiting      a round with fewer than {minimum} contributions after {deadline:?} is extended {extensions} times \
                 and skipped after {longest:?}; none opens while fewer than {minimum} members are there\n"
            )
        }
        None => format!(
            "waiting      a round waits for {minimum} contributions for as long as it takes: rounds.extensions has it skipped\n"
        ),
    }
}

/// What will happen when the goal is reached, in one line.
pub(crate) fn describe_goal(manifest: &Manifest) -> String {
    let rounds = manifest.rounds.limit;
    match (manifest.ends_at(), manifest.campaign.target_accuracy) {
        (Some(goal), _) => format!(
            "goal         {goal}: the campaign ends when two consecutive rounds reach it on the held-out samples, \
                or after {rounds} rounds"
        ),
        (None, Some(goal)) => format!(
            "goal         {goal}: people are thanked when it is reached, and the campaign continues until round \
                {rounds} \
             (campaign.at_target = \"finish\" ends it)"
        ),
        (None, None) => format!("goal         none: the campaign runs until round {rounds}"),
    }
}

/// What the organiser may decide while the campaign is under way, in a few lines.
pub(crate) fn describe_organiser(manifest: &Manifest) -> String {
    let Some(account) = manifest.campaign.organiser_account else {
        return "organiser    decides nothing once the campaign is under way: campaign.organiser.account would let an account \
                pause and end it"
            .into();
    };
    let mut text = format!("organiser    {account} may pause, resume, finish and retire the campaign");
    match manifest.changes.explain() {
        none if none.is_empty() => text.push_str(", and change nothing ([changes] says what)"),
        all => {
            for (what, how_far) in all {
                text.push_str(&format!("\n             and change {what}: {how_far}"));
            }
        }
    }
    text
}

fn describe_guard(manifest: &Manifest, data: &[u8]) -> anyhow::Result<String> {
    if manifest.guard.samples == 0 {
        return Ok("guard        off: one hostile participant can spoil the model. Leave guard.samples out, or set it to \
                   more than 0"
            .into());
    }
    let mut settler = Settler::new(manifest, Dataset::decode_samples(data, manifest, &guarded(manifest))?)?;
    let parameters = initial_parameters(&manifest.model, manifest.rounds.seed)?;
    let initial = Cid::of_raw(&parameters.to_safetensors());
    let began = Instant::now();
    let quality = block_on(settler.quality(&initial, &parameters, async || {}))?;
    let seconds = began.elapsed().as_secs_f64();
    let samples = quality.map_or(0, |quality| quality.samples);
    let mut text = format!(
        "guard        a round's result is measured on {samples} held-out samples, which takes {seconds:.2} s here"
    );
    #[expect(clippy::cast_precision_loss, reason = "an interval is at most a day")]
    let interval = manifest.rounds.interval_ms as f64 / 1000.0;
    if seconds > interval.max(1.0) {
        text.push_str(": that is long beside rounds.interval_seconds, so set guard.samples to fewer");
    }
    Ok(text)
}
