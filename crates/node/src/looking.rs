//! A look at the model without taking part: plain requests to where the page came from, and nothing else.

use lichen_bridge::Problem;
use lichen_learn::Dataset;
use lichen_model::Parameters;
use lichen_record::Cid;
use lichen_store::Blobs;

use crate::Platform;
use crate::hub::Outbox;
use crate::setup::Setup;
use crate::showing::Of;

/// Shows what the checkpoint says of some held-out samples.
pub(crate) async fn look<P: Platform>(
    platform: &P,
    out: &Outbox,
    setup: &Setup,
    checkpoint: &str,
    round: u64,
) -> Result<(), Problem> {
    let manifest = &setup.manifest;
    if manifest.show.is_none() {
        return Err(problem(&"this campaign does not say how", "There is nothing to do."));
    }
    let checkpoint: Cid = checkpoint.parse().map_err(|error| problem(&error, AGAIN))?;
    let data = obtain(platform, &manifest.data.cid).await?;
    let dataset = Dataset::decode(&data, manifest).map_err(|error| problem(&error, TELL))?;
    // Whoever takes part next has it here already; not kept, it is fetched again.
    let _kept = platform.blobs().put(&manifest.data.cid, &data).await;
    let (initial, first) = setup.initial()?;
    let parameters = if checkpoint == initial {
        first
    } else {
        let bytes = obtain(platform, &checkpoint).await?;
        Parameters::from_safetensors(&bytes).map_err(|error| problem(&error, TELL))?
    };
    let of = Of { round: (round > 0).then_some(round), checkpoint, count: true };
    setup.showing.show(platform, out, manifest, &dataset, (of, &parameters)).await
}

const AGAIN: &str = "Try again in a moment.";
const TELL: &str = "Tell the people who run this campaign.";

/// A blob's checked bytes, from this device or from where the page came from.
async fn obtain<P: Platform>(platform: &P, cid: &Cid) -> Result<Vec<u8>, Problem> {
    if let Ok(Some(bytes)) = platform.blobs().get(cid).await {
        return Ok(bytes);
    }
    let bytes = platform.blob(cid).await?;
    if !cid.matches(&bytes) {
        return Err(problem(&"what the relay sent is not what it names", TELL));
    }
    Ok(bytes)
}

fn problem(error: &dyn std::fmt::Display, remedy: &str) -> Problem {
    Problem { message: format!("The model cannot be shown: {error}."), remedy: remedy.into() }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use futures::StreamExt;
    use futures::channel::mpsc::unbounded;
    use lichen_bridge::{Command, CommandId, EnginePreference, Event, Guesses, Outcome, Relay};
    use lichen_campaign::Manifest;
    use lichen_engine::Evaluator;
    use lichen_model::initial_parameters;
    use lichen_record::{CampaignId, SigningKey};

    use super::*;
    use crate::native::{Device, Native};

    const MANIFEST: &[u8] = include_bytes!("../../../relay/campaigns/digits/campaign.toml");
    const DATA: &[u8] = include_bytes!("../../../relay/campaigns/digits/digits.safetensors");

    /// What a node says to these commands before anybody has joined.
    async fn said(site: Vec<Vec<u8>>, commands: Vec<Command>) -> Vec<Event> {
        let platform =
            Native::new(Device::new(SigningKey::generate([1; 32])), MANIFEST.to_vec()).with_site(site);
        let (sender, received) = unbounded();
        let relay = Relay { campaign: CampaignId::of_manifest(MANIFEST).to_string(), ..Relay::default() };
        let start = Command::Start { id: CommandId(0), relay, engine: EnginePreference::Cpu };
        for command in [start].into_iter().chain(commands) {
            sender.unbounded_send(command).unwrap();
        }
        drop(sender);
        let (emit, events) = unbounded();
        crate::run(platform, received, move |event| emit.unbounded_send(event).unwrap()).await;
        events.collect().await
    }

    fn look(checkpoint: Cid, round: u64) -> Command {
        Command::Look { id: CommandId(1), checkpoint: checkpoint.to_string(), round }
    }

    fn outcome(events: &[Event], asked: CommandId) -> &Outcome {
        let answered = events.iter().find_map(|event| match event {
            Event::Answered { id, outcome } if *id == asked => Some(outcome),
            _ => None,
        });
        answered.unwrap()
    }

    fn guesses(events: &[Event]) -> &Guesses {
        let found = events.iter().find_map(|event| match event {
            Event::Guesses(guesses) => Some(guesses),
            _ => None,
        });
        found.unwrap()
    }

    /// Another checkpoint than the first, and how many of the held-out samples an evaluation finds right.
    async fn other() -> (Vec<u8>, f64) {
        let manifest = Manifest::from_bytes(MANIFEST).unwrap();
        let parameters = initial_parameters(&manifest.model, 99).unwrap();
        let dataset = Dataset::decode(DATA, &manifest).unwrap();
        let (x, answers) = dataset.gather(&manifest.data.split.held_out());
        let accuracy = Evaluator::new(&manifest.model).evaluate(&parameters, &x, &answers).unwrap().accuracy;
        (parameters.to_safetensors(), accuracy)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn whoever_looks_sees_guesses_and_makes_no_key_and_no_connection() {
        let (checkpoint, accuracy) = other().await;
        let cid = Cid::of_raw(&checkpoint);
        let events = said(vec![DATA.to_vec(), checkpoint], vec![look(cid, 3)]).await;
        assert_eq!(outcome(&events, CommandId(1)), &Outcome::Done);
        assert!(!events.iter().any(|event| matches!(event, Event::Identity { .. } | Event::Net(_))));
        let shown = guesses(&events);
        assert_eq!((shown.round, shown.checkpoint, shown.samples.len()), (Some(3), cid, 24));
        let (right, of) = shown.right.unwrap();
        assert_eq!((of, f64::from(right) / 360.0), (360, accuracy));
        for label in 0..10 {
            assert!(shown.samples.iter().filter(|sample| sample.label == label).count() >= 2, "{label}");
        }
        for sample in &shown.samples {
            assert!(sample.index % 5 == 0, "sample {} is one to train on", sample.index);
            assert!((0.1..=1.0).contains(&sample.probability) && sample.cells.len() == 64);
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_sample_drawn_cell_by_cell_is_read_as_it_is_guessed() {
        let manifest = Manifest::from_bytes(MANIFEST).unwrap();
        let initial = Cid::of_raw(&initial_parameters(&manifest.model, 7).unwrap().to_safetensors());
        // The first checkpoint follows from the manifest: nobody needs to hand it out.
        let site = vec![DATA.to_vec()];
        let samples = guesses(&said(site.clone(), vec![look(initial, 0)]).await).samples.clone();
        let reads = samples
            .iter()
            .zip(10..)
            .map(|(sample, id)| Command::Read { id: CommandId(id), cells: sample.cells.clone() });
        let events = said(site, std::iter::once(look(initial, 0)).chain(reads).collect()).await;
        let mut read = events.iter().filter_map(|event| match event {
            Event::Read { probabilities, .. } => Some(probabilities),
            _ => None,
        });
        for sample in &samples {
            let probabilities = read.next().unwrap();
            assert_eq!(probabilities.len(), 10);
            assert!((probabilities[sample.guess as usize] - sample.probability).abs() < 0.02, "{sample:?}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_not_what_it_is_called_is_not_shown() {
        let (checkpoint, _) = other().await;
        let cid = Cid::of_raw(&checkpoint);
        let mut changed = checkpoint.clone();
        *changed.last_mut().unwrap() ^= 1;
        let foreign = Cid::of_raw(b"no model");
        for (site, command) in [
            (vec![DATA.to_vec(), changed], look(cid, 1)),
            (vec![checkpoint.clone()], look(cid, 1)),
            (vec![DATA.to_vec(), b"no model".to_vec()], look(foreign, 1)),
            (Vec::new(), Command::Look { id: CommandId(1), checkpoint: "nonsense".into(), round: 1 }),
            (Vec::new(), Command::Read { id: CommandId(1), cells: vec![0; 64] }),
        ] {
            let events = said(site, vec![command]).await;
            assert!(matches!(outcome(&events, CommandId(1)), Outcome::Refused(_)), "{events:?}");
            assert!(!events.iter().any(|event| matches!(event, Event::Guesses(_) | Event::Read { .. })));
        }
        let short = Command::Read { id: CommandId(2), cells: vec![0; 63] };
        let events = said(vec![DATA.to_vec(), checkpoint], vec![look(cid, 1), short]).await;
        assert!(matches!(outcome(&events, CommandId(2)), Outcome::Refused(_)), "{events:?}");
    }
}
