//! Peers that learn the digits together, some of them hostile if one likes, in one thread and without a network. Rounds are
//! computed by the settler, as in tabs and relays.

pub(crate) mod hostile;
mod random;
mod shards;

use futures::executor::block_on;
use lichen_campaign::Manifest;
use lichen_engine::{EngineKind, Evaluator, Trainer};
use lichen_learn::{BaseOf, Codec, Dataset, Residual, Update, difference};
use lichen_model::{Answers, Parameters, initial_parameters};
use lichen_record::{CampaignId, Cid, RoundNumber};
use lichen_settle::{Settler, guarded};

use hostile::{Attack, Known, On, patched};
use random::Random;
pub(crate) use shards::Shards;
use shards::{labels, split};

const SHIPPED: &str = include_str!("../../../../relay/campaigns/digits/campaign.toml");
pub(crate) const DATA: &[u8] = include_bytes!("../../../../relay/campaigns/digits/digits.safetensors");

/// The shipped manifest without its tables on aggregation and audits, so that others may follow.
pub(crate) fn plain() -> &'static str {
    SHIPPED.split("[aggregation]").next().unwrap()
}

/// What is learnt from, where it is not the digits.
#[derive(Clone, Debug)]
pub(crate) struct Material {
    /// The data file.
    pub(crate) data: Vec<u8>,
    /// Of what kind each sample is, where that is not its label.
    pub(crate) kinds: Option<Vec<u32>>,
    /// Most held-out samples that accuracy is measured on.
    pub(crate) measured: usize,
}

/// Who learns, and by which rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    /// The campaign's manifest. It should turn the guard off or make it wide, or that is measured as well.
    pub(crate) manifest: &'a str,
    pub(crate) peers: usize,
    pub(crate) shards: Shards,
    pub(crate) seed: u64,
    pub(crate) rounds: u64,
    pub(crate) attack: Attack,
    /// Hostile peers among all.
    pub(crate) hostile: usize,
    /// Whether the hostile peers stay away instead: what the others reach by themselves.
    pub(crate) without: bool,
    pub(crate) measured: Measured,
    /// The digits unless given.
    pub(crate) material: Option<&'a Material>,
}

/// Which held-out samples accuracy is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measured {
    All,
    /// The second, fourth and so on: no rule of aggregation sees them.
    EveryOther,
}

impl<'a> Setting<'a> {
    /// Where everybody is honest.
    pub(crate) const fn honest(
        manifest: &'a str,
        peers: usize,
        shards: Shards,
        seed: u64,
        rounds: u64,
    ) -> Self {
        let (attack, measured) = (Attack::None, Measured::All);
        let (hostile, without, material) = (0, false, None);
        Self { manifest, peers, shards, seed, rounds, attack, hostile, without, measured, material }
    }
}

/// The shipped campaign's manifest without a guard (or with one that lets nearly everything pass, where the rule needs its
/// samples), so that the rule is seen alone, and with this said of
/// aggregation.
pub(crate) fn digits(aggregation: &str) -> String {
    let guard = if aggregation.contains("zeno") || aggregation.contains("fltrust") {
        "loss_factor = 1000\naccuracy_drop = 1"
    } else {
        "samples = 0"
    };
    format!("{}\n[guard]\n{guard}\n[aggregation]\n{aggregation}\n", plain())
}

/// The shipped campaign's manifest with a wider model, whose 19,210 parameters are five chunks of the sparse encoding, with
/// shorter rounds, and without a guard.
pub(crate) fn wider() -> String {
    let text = plain().replace("units = 32", "units = 256").replace("steps = 60", "steps = 20");
    format!("{text}\n[guard]\nsamples = 0\n")
}

/// The same with this said of updates.
pub(crate) fn wide(update: &str) -> String {
    format!("{}\n[update]\n{update}\n", wider())
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Accuracy on the held-out samples after every round.
    pub(crate) accuracy: Vec<f64>,
    /// After every round, how many held-out samples of other classes are taken for a 0 where they have the pattern.
    pub(crate) backdoor: Vec<f64>,
    /// Bytes of an update.
    pub(crate) bytes: usize,
    pub(crate) parameters: usize,
}

impl Outcome {
    pub(crate) fn last(&self) -> f64 {
        self.accuracy.last().copied().unwrap_or(0.0)
    }
}

/// An update, as everybody reads it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) is_hostile: bool,
    pub(crate) update: Update,
}

/// One of those who learn.
struct Peer {
    samples: Vec<u32>,
    random: Random,
    residual: Residual,
    accepted: Option<(RoundNumber, Cid)>,
    is_hostile: bool,
}

/// A campaign with its model as far as it has come.
struct Swarm<'a> {
    setting: &'a Setting<'a>,
    manifest: Manifest,
    codec: Codec,
    data: Dataset,
    base: Parameters,
    /// What the outer optimiser carries over.
    state: Option<Vec<u8>>,
    settler: Settler,
    trainer: Trainer,
    evaluator: Evaluator,
    /// What honest peers sent in the round before.
    before: Vec<Update>,
    /// All of this round's updates.
    sent: Vec<Sent>,
}

/// Has these peers learn together for so many rounds.
pub(crate) fn learn(setting: &Setting<'_>) -> Outcome {
    watch(setting, &mut |_sent| {})
}

/// The same, and shows what was sent in each round.
pub(crate) fn watch(setting: &Setting<'_>, look: &mut dyn FnMut(&[Sent])) -> Outcome {
    let mut swarm = Swarm::new(setting);
    let mut peers = swarm.peers();
    let parameters = swarm.base.elements();
    let mut outcome = Outcome { parameters, ..Outcome::default() };
    for round in 1..=setting.rounds {
        outcome.bytes = swarm.round(RoundNumber(round), &mut peers);
        look(&swarm.sent);
        let (accuracy, backdoor) = swarm.measure();
        outcome.accuracy.push(accuracy);
        outcome.backdoor.push(backdoor);
    }
    outcome
}

impl<'a> Swarm<'a> {
    fn new(setting: &'a Setting<'a>) -> Self {
        let manifest = Manifest::parse(setting.manifest).unwrap();
        let bytes = setting.material.map_or(DATA, |material| &material.data);
        let data = Dataset::decode(bytes, &manifest).unwrap();
        let base = initial_parameters(&manifest.model, setting.seed).unwrap();
        let settler = Settler::new(&manifest, data.choose(&guarded(&manifest))).unwrap();
        let trainer = block_on(Trainer::new(EngineKind::Cpu, &manifest.model, &manifest.train)).unwrap();
        let (codec, evaluator) = (Codec::new(manifest.update.encoding), Evaluator::new(&manifest.model));
        Self {
            setting,
            manifest,
            codec,
            data,
            base,
            state: None,
            settler,
            trainer,
            evaluator,
            before: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// The peers in the order of their accounts, hostile ones in between the others.
    fn peers(&self) -> Vec<Peer> {
        let Setting { manifest, peers, shards, seed, hostile, .. } = *self.setting;
        let campaign = CampaignId::of_manifest(manifest.as_bytes());
        let base_of = BaseOf { campaign, codec: self.codec, parameters: self.base.elements() };
        let kinds = self.setting.material.and_then(|material| material.kinds.clone());
        let kinds = kinds.unwrap_or_else(|| labels(&self.data));
        let parts = split(&kinds, self.manifest.data.split.training(), peers, shards, seed);
        let peer = |(index, samples)| Peer {
            samples,
            random: Random::new(seed * 1000 + index as u64),
            residual: Residual::new(base_of),
            accepted: None,
            is_hostile: (index * hostile) % peers + hostile >= peers,
        };
        parts.into_iter().enumerate().map(peer).collect()
    }

    /// One round of all, after which the base is what came of it; bytes of the last update.
    fn round(&mut self, round: RoundNumber, peers: &mut [Peer]) -> usize {
        let base = self.base.to_safetensors();
        let blobs = self.updates((round, Cid::of_raw(&base)), peers);
        let mut sum = self.settler.aggregation(&base).unwrap();
        for (_is_hostile, samples, update) in &blobs {
            assert!(sum.add(*samples, update), "it counts");
        }
        let decoded = |(is_hostile, _samples, blob): &(bool, u32, Vec<u8>)| Sent {
            is_hostile: *is_hostile,
            update: self.codec.decode(blob, self.base.elements()).unwrap(),
        };
        self.sent = blobs.iter().map(decoded).collect();
        let (cid, state) = (Cid::of_raw(&base), self.state.as_deref());
        let settled = block_on(self.settler.settle(&cid, state, sum, async || {})).unwrap();
        if let Some(set_aside) = settled.set_aside {
            eprintln!("the guard turned a round down, which is measured as well: {set_aside:?}");
        }
        if let Some(checkpoint) = settled.checkpoint {
            self.base = Parameters::from_safetensors(&checkpoint).unwrap();
            self.state = settled.next_state;
        }
        blobs.last().unwrap().2.len()
    }

    /// Every peer's update with the samples that it claims, and whether it is hostile.
    fn updates(&mut self, round: (RoundNumber, Cid), peers: &mut [Peer]) -> Vec<(bool, u32, Vec<u8>)> {
        let honest: Vec<Vec<u8>> = peers
            .iter_mut()
            .filter(|peer| !peer.is_hostile)
            .map(|peer| {
                let change = self.trained(&peer.samples, &mut peer.random, &|_x, _answers| {});
                self.packed(round, peer, &change)
            })
            .collect();
        let decoded = honest.iter().map(|blob| self.codec.decode(blob, self.base.elements()).unwrap());
        let known = Known {
            honest: decoded.collect(),
            before: std::mem::take(&mut self.before),
            hostile: self.setting.hostile,
            peers: self.setting.peers,
            parameters: self.base.elements(),
            round: round.0.0,
            rounds: self.setting.rounds,
            bound: self.settler.max_norm(),
        };
        let mut left = honest.into_iter();
        let mut blobs = Vec::new();
        for peer in peers {
            let samples = u32::try_from(peer.samples.len()).unwrap();
            if !peer.is_hostile {
                blobs.push((false, samples, left.next().unwrap()));
            } else if !self.setting.without
                && let Some(update) = self.hostile(&known, peer)
            {
                let packed = self.codec.encode_within(&update, known.bound).unwrap();
                blobs.push((true, self.setting.attack.claim(samples), packed.bytes));
            }
        }
        self.before = known.honest;
        blobs
    }

    fn hostile(&mut self, known: &Known, peer: &mut Peer) -> Option<Update> {
        let (attack, mut random) = (self.setting.attack, Random::new(peer.random.next()));
        let mut train = |on, spoil: &dyn Fn(&mut [f32], &mut Answers)| match on {
            On::Own => self.trained(&peer.samples, &mut peer.random, spoil),
            On::Seen => {
                let seen: Vec<u32> = self.manifest.data.split.held_out().into_iter().step_by(2).collect();
                self.trained(&seen, &mut peer.random, spoil)
            }
        };
        attack.update(known, &mut random, &mut train)
    }

    /// A peer's update as it sends it.
    fn packed(&self, round: (RoundNumber, Cid), peer: &mut Peer, change: &Update) -> Vec<u8> {
        let (rule, bound) = (&self.manifest.update, self.settler.max_norm());
        let update = match rule.feedback {
            None => change.clone().clipped(bound).encode().unwrap(),
            Some(_share) => peer.residual.pack(round, change, peer.accepted, rule, bound).unwrap(),
        };
        peer.accepted = Some((round.0, Cid::of_raw(&update)));
        update
    }

    /// What is learnt by the manifest's steps on these samples, to which something is done first.
    fn trained(
        &mut self,
        samples: &[u32],
        random: &mut Random,
        spoil: &dyn Fn(&mut [f32], &mut Answers),
    ) -> Update {
        let train = &self.manifest.train;
        let trained = block_on(async {
            self.trainer.load(&self.base, random.next()).await.unwrap();
            for _step in 0..train.steps {
                let draw = |_sample| samples[random.below(samples.len())];
                let batch: Vec<u32> = (0..train.batch).map(draw).collect();
                let (mut x, mut answers) = self.data.gather(&batch);
                spoil(&mut x, &mut answers);
                self.trainer.step(&x, &answers).await.unwrap();
            }
            self.trainer.parameters().await.unwrap()
        });
        difference(&self.base, &trained).unwrap()
    }

    /// Accuracy, and how often the pattern is taken for a 0; the latter only where somebody teaches it.
    fn measure(&mut self) -> (f64, f64) {
        let mut held_out = self.manifest.data.split.held_out();
        if let Some(material) = self.setting.material {
            let every = held_out.len().div_ceil(material.measured);
            held_out = held_out.into_iter().step_by(every).collect();
        }
        let measured: Vec<u32> = match self.setting.measured {
            Measured::All => held_out,
            Measured::EveryOther => held_out.into_iter().skip(1).step_by(2).collect(),
        };
        let (x, answers) = self.data.gather(&measured);
        let mut accuracy =
            |x: &[f32], answers| self.evaluator.evaluate(&self.base, x, answers).unwrap().accuracy;
        let of_all = accuracy(&x, &answers);
        if !self.setting.attack.is_backdoor() {
            return (of_all, 0.0);
        }
        let (with_pattern, zeros) = patched(&x, &answers);
        (of_all, accuracy(&with_pattern, &zeros))
    }
}
