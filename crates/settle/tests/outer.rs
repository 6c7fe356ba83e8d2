//! Rounds that an outer optimiser takes on: what it carries over belongs to the checkpoint.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use futures::executor::block_on;
use lichen_campaign::Manifest;
use lichen_learn::{Dataset, OuterState, Update, outer_step};
use lichen_model::{Parameters, initial_parameters};
use lichen_record::Cid;
use lichen_settle::{SettleError, Settled, Settler, guarded};

const MANIFEST: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");
const DATA: &[u8] = include_bytes!("../../../relay/campaigns/digits/digits.safetensors");
const OPTIMIZERS: [&str; 4] = ["momentum", "nesterov", "adam", "yogi"];

struct Campaign {
    manifest: Manifest,
    settler: Settler,
    base: Parameters,
    state: Option<Vec<u8>>,
}

impl Campaign {
    fn new(optimizer: &str) -> Self {
        let text = format!("{MANIFEST}\n[outer]\noptimizer = \"{optimizer}\"\n");
        let manifest = Manifest::parse(&text).unwrap();
        let data = Dataset::decode(DATA, &manifest).unwrap();
        let settler = Settler::new(&manifest, data.choose(&guarded(&manifest))).unwrap();
        let base = initial_parameters(&manifest.model, manifest.rounds.seed).unwrap();
        Self { manifest, settler, base, state: None }
    }

    /// An update that is the same number for every parameter.
    fn update(&self, value: f32) -> Update {
        Update::new(vec![value; self.base.elements()]).unwrap()
    }

    fn try_settle(&mut self, updates: &[Update]) -> Result<Settled, SettleError> {
        let bytes = self.base.to_safetensors();
        let mut aggregation = self.settler.aggregation(&bytes).unwrap();
        for update in updates {
            assert!(aggregation.add(480, &update.encode().unwrap()));
        }
        let state = self.state.as_deref();
        block_on(self.settler.settle(&Cid::of_raw(&bytes), state, aggregation, async || {}))
    }

    /// A round that changes the model, from which the campaign goes on.
    fn round(&mut self, updates: &[Update]) -> Settled {
        let settled = self.try_settle(updates).unwrap();
        self.base = Parameters::from_safetensors(settled.checkpoint.as_ref().unwrap()).unwrap();
        self.state = settled.next_state.clone();
        settled
    }
}

#[test]
fn each_round_takes_the_step_that_follows_from_the_one_before() {
    for optimizer in OPTIMIZERS {
        let mut campaign = Campaign::new(optimizer);
        for (index, value) in [1e-3, -2e-3, 5e-4].into_iter().enumerate() {
            let (base, before) = (campaign.base.clone(), campaign.state.clone());
            let settled = campaign.round(&[campaign.update(value), campaign.update(value)]);
            let outer = campaign.manifest.outer;
            let before = before.map(|bytes| OuterState::decode(&bytes, &outer, base.elements()).unwrap());
            let change = vec![f64::from(value); base.elements()];
            let (result, next) = outer_step(&outer, &base, &change, before.as_ref()).unwrap();
            assert_eq!((&campaign.base, settled.set_aside), (&result, None), "{optimizer}");
            assert_eq!(settled.result, Cid::of_raw(&result.to_safetensors()));
            let next = next.unwrap();
            assert_eq!(next.steps(), index as u64 + 1);
            assert_eq!(campaign.state, Some(next.encode().unwrap()), "{optimizer}");
            assert_eq!(settled.state, campaign.state.as_deref().map(Cid::of_raw));
        }
    }
}

#[test]
fn what_the_guard_turns_down_leaves_the_state() {
    let mut campaign = Campaign::new("nesterov");
    let wild = campaign.update(0.4);
    let settled = campaign.try_settle(std::slice::from_ref(&wild)).unwrap();
    assert!(settled.set_aside.is_some());
    assert_eq!((settled.state, settled.next_state), (None, None), "there was none yet");
    campaign.round(&[campaign.update(1e-4)]);
    let settled = campaign.try_settle(&[wild]).unwrap();
    assert!(settled.set_aside.is_some() && settled.checkpoint.is_none());
    assert_eq!(settled.result, Cid::of_raw(&campaign.base.to_safetensors()));
    assert_eq!((settled.state, settled.next_state), (campaign.state.as_deref().map(Cid::of_raw), None));
}

#[test]
fn without_an_update_that_counts_there_is_no_step() {
    let mut campaign = Campaign::new("momentum");
    campaign.round(&[campaign.update(1e-3)]);
    let settled = campaign.try_settle(&[]).unwrap();
    assert_eq!((settled.result, settled.checkpoint), (Cid::of_raw(&campaign.base.to_safetensors()), None));
    assert_eq!(settled.state, campaign.state.as_deref().map(Cid::of_raw));
    // An update of nothing is one: the earlier one goes on.
    assert!(campaign.try_settle(&[campaign.update(0.0)]).unwrap().checkpoint.is_some());
}

#[test]
fn bytes_that_are_no_state_settle_nothing() {
    for optimizer in OPTIMIZERS {
        let mut campaign = Campaign::new(optimizer);
        campaign.state = Some(b"junk".to_vec());
        let refused = campaign.try_settle(&[campaign.update(1e-3)]);
        assert!(matches!(refused, Err(SettleError::State(_))), "{refused:?}");
    }
}

#[test]
fn the_mean_carries_nothing_over() {
    let mut campaign = Campaign::new("mean");
    let settled = campaign.round(&[campaign.update(1e-3)]);
    assert_eq!((settled.state, settled.next_state), (None, None));
}
