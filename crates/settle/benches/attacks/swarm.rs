//! A swarm that trains the shipped digits campaign, some of its peers hostile; no guard, so that the rule is seen alone.

use futures::executor::block_on;
use lichen_campaign::{AggregationRule, Manifest};
use lichen_engine::{EngineKind, Evaluator, Trainer};
use lichen_learn::{Aggregation, Codec, Dataset, Update, difference, max_norm};
use lichen_model::{Answers, Parameters, initial_parameters};

use crate::hostile::{Attack, Known, patched};
use crate::random::Random;

const MANIFEST: &str = include_str!("../../../../relay/campaigns/digits/campaign.toml");
const DATA: &[u8] = include_bytes!("../../../../relay/campaigns/digits/digits.safetensors");

/// Peers of every swarm.
pub(crate) const PEERS: usize = 20;
/// A peer has at least so many samples: with fewer there is nothing to train on.
const FEWEST: usize = 10;
/// Rounds that the result is the mean of.
const LAST: usize = 3;

/// How the training samples are spread over the peers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Spread {
    /// Every peer has as many of each kind.
    Even,
    /// Each class is spread by shares drawn from Dirichlet(0.1): most peers know one or two classes.
    ByLabel,
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    pub(crate) spread: Spread,
    pub(crate) rule: AggregationRule,
    pub(crate) attack: Attack,
    /// Hostile peers among all.
    pub(crate) hostile: usize,
    /// Whether the hostile peers are left out instead: what the others reach by themselves.
    pub(crate) without: bool,
    pub(crate) rounds: usize,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// Accuracy on the held-out samples, over the last rounds.
    pub(crate) accuracy: f64,
    /// How many held-out samples of other classes are taken for a 0 where they have the pattern.
    pub(crate) backdoor: f64,
}

pub(crate) struct Swarm {
    pub(crate) manifest: Manifest,
    data: Dataset,
    max_norm: f64,
}

impl Swarm {
    pub(crate) fn new() -> Self {
        let manifest = Manifest::parse(MANIFEST).unwrap();
        let data = Dataset::decode(DATA, &manifest).unwrap();
        let max_norm = max_norm(&manifest).unwrap();
        Self { manifest, data, max_norm }
    }

    pub(crate) fn run(&self, trial: &Trial) -> Outcome {
        let peers = self.spread(trial.spread);
        let mut base = initial_parameters(&self.manifest.model, self.manifest.rounds.seed).unwrap();
        let codec = Codec::new(self.manifest.update.encoding);
        let mut before: Vec<Update> = Vec::new();
        let mut outcomes = Vec::new();
        for round in 0..trial.rounds {
            let updates = self.updates(trial, &peers, &base, round, &before);
            let mut aggregation =
                Aggregation::new(&base.to_safetensors(), codec, self.max_norm, &trial.rule).unwrap();
            for (samples, update) in &updates {
                assert!(aggregation.add(*samples, &update.encode().unwrap()), "within the bound");
            }
            before = updates.into_iter().map(|(_samples, update)| update).collect();
            base = aggregation.finish();
            if round + LAST >= trial.rounds {
                outcomes.push(self.measure(&base));
            }
        }
        let mean = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / outcomes.len() as f64;
        Outcome { accuracy: mean(|one| one.accuracy), backdoor: mean(|one| one.backdoor) }
    }

    /// Every peer's update with the samples that it claims, hostile peers in between the others.
    fn updates(
        &self,
        trial: &Trial,
        peers: &[Vec<u32>],
        base: &Parameters,
        round: usize,
        before: &[Update],
    ) -> Vec<(u32, Update)> {
        let is_hostile = |peer: usize| (peer * trial.hostile) % PEERS + trial.hostile >= PEERS;
        let seed = |peer: usize| (round * PEERS + peer) as u64;
        let honest: Vec<Update> = (0..PEERS)
            .filter(|peer| !is_hostile(*peer))
            .map(|peer| self.trained(&peers[peer], base, seed(peer), |_x, _answers| {}))
            .collect();
        let mut left = honest.iter();
        let mut updates = Vec::new();
        for (peer, own) in peers.iter().enumerate() {
            let samples = own.len() as u32;
            if !is_hostile(peer) {
                updates.push((samples, left.next().unwrap().clone()));
            } else if !trial.without {
                let known = Known { honest: &honest, before, peer, hostile: trial.hostile };
                let train =
                    |spoil: &dyn Fn(&mut [f32], &mut Answers)| self.trained(own, base, seed(peer), spoil);
                let update = trial.attack.update(&known, &mut Random(seed(peer)), self.max_norm, &train);
                updates.push((trial.attack.claim(samples), update.clipped(self.max_norm)));
            }
        }
        updates
    }

    /// What a peer learns that trains by the manifest on what is done to its samples.
    fn trained(
        &self,
        samples: &[u32],
        base: &Parameters,
        seed: u64,
        spoil: impl Fn(&mut [f32], &mut Answers),
    ) -> Update {
        let train = &self.manifest.train;
        let mut random = Random(seed ^ 0x5eed);
        let mut order: Vec<u32> = Vec::new();
        let trained = block_on(async {
            let mut trainer = Trainer::new(EngineKind::Cpu, &self.manifest.model, train).await.unwrap();
            trainer.load(base, seed).await.unwrap();
            for _ in 0..train.steps {
                while order.len() < train.batch {
                    let mut epoch = samples.to_vec();
                    random.shuffle(&mut epoch);
                    order.extend(epoch);
                }
                let batch: Vec<u32> = order.drain(..train.batch).collect();
                let (mut x, mut answers) = self.data.gather(&batch);
                spoil(&mut x, &mut answers);
                trainer.step(&x, &answers).await.unwrap();
            }
            trainer.parameters().await.unwrap()
        });
        difference(base, &trained).unwrap()
    }

    fn measure(&self, parameters: &Parameters) -> Outcome {
        let (x, answers) = self.data.gather(&self.manifest.data.split.held_out());
        let mut evaluator = Evaluator::new(&self.manifest.model);
        let accuracy = evaluator.evaluate(parameters, &x, &answers).unwrap().accuracy;
        let (x, answers) = patched(&x, &answers);
        let backdoor = evaluator.evaluate(parameters, &x, &answers).unwrap().accuracy;
        Outcome { accuracy, backdoor }
    }

    /// The training samples of each peer.
    fn spread(&self, spread: Spread) -> Vec<Vec<u32>> {
        let mut random = Random(11);
        let mut samples = self.manifest.data.split.training();
        random.shuffle(&mut samples);
        let mut peers = vec![Vec::new(); PEERS];
        match spread {
            Spread::Even => {
                for (index, sample) in samples.into_iter().enumerate() {
                    peers[index % PEERS].push(sample);
                }
            }
            Spread::ByLabel => {
                for class in 0..self.manifest.data.classes.unwrap() {
                    let of_class = samples.iter().filter(|sample| self.label(**sample) == class);
                    let of_class: Vec<u32> = of_class.copied().collect();
                    let (mut at, mut sum) = (0, 0.0);
                    for (peer, share) in random.dirichlet(0.1, PEERS).into_iter().enumerate() {
                        sum += share;
                        let end = if peer + 1 == PEERS {
                            of_class.len()
                        } else {
                            (sum * of_class.len() as f64) as usize
                        };
                        peers[peer].extend(&of_class[at..end.max(at)]);
                        at = end.max(at);
                    }
                }
                fill_up(&mut peers);
            }
        }
        peers
    }

    fn label(&self, sample: u32) -> u32 {
        match self.data.gather(&[sample]).1 {
            Answers::Labels(labels) => labels[0],
            Answers::Values(_) => 0,
        }
    }
}

/// Whoever has too few samples gets some of whoever has most.
fn fill_up(peers: &mut [Vec<u32>]) {
    while let Some(poor) = peers.iter().position(|samples| samples.len() < FEWEST) {
        let rich = (0..peers.len()).max_by_key(|peer| peers[*peer].len()).unwrap();
        let sample = peers[rich].pop().unwrap();
        peers[poor].push(sample);
    }
}
