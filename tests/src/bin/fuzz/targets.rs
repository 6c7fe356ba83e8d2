//! The decoders under test, each with valid messages to start from and what must hold of whatever it accepts.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a target panics to report a finding")]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::str::FromStr;

use lichen_bridge::Message;
use lichen_campaign::{Encoding, Moments, OuterOptimizer, UpdateRule};
use lichen_learn::{BaseOf, Codec, Dataset, OuterState, Residual, Update, outer_step};
use lichen_log::{Chain, Head, LogKey, Receipt, Record};
use lichen_model::{Answers, Parameters, Tensor};
use lichen_net::RequestId;
use lichen_net::hub::{self, Cause, Reason, Records, Reply, Request};
use lichen_net::publishing::Publication;
use lichen_net::rendezvous::{Notice, Refusal, Register};
use lichen_record::{
    AccountId, CampaignId, Cid, Decision, EngineKind, EngineVersion, Entry, Envelope, Evidence, MAX_ENTRY,
    Metrics, RoundNumber, SessionCertificate, Settings, Signable, SigningKey, Verified, decode, encode,
    verify,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{datagrams, differences, peers, publications, snapshots, trainings, trees, webrtc};

/// A decoder under test.
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: &'static str,
    /// Longest input tried.
    pub(crate) cap: usize,
    /// Messages that it must accept.
    pub(crate) valid: Vec<Vec<u8>>,
    /// Whether it accepts an input. Panics if it does wrong.
    pub(crate) accepts: Accepts,
}

type Accepts = Box<dyn Fn(&[u8]) -> bool>;

/// Every decoder that meets bytes from outside.
pub(crate) fn all() -> Vec<Target> {
    let mut targets = vec![
        canonical("entry", &entries()),
        canonical("session", &[session()]),
        canonical("envelope", &envelopes().map(|bytes| Envelope::from_bytes(&bytes).unwrap())),
        canonical("cid", &[Cid::of_raw(b"a"), Cid::of_cbor(b"b")]),
        signed::<Entry>("verify-entry", &entries()),
        signed::<SessionCertificate>("verify-session", &[session()]),
        signed::<Head>("verify-head", &[log().1]),
        signed::<Receipt>("verify-receipt", &[log().2]),
        signed::<LogKey>("verify-log-key", &[LogKey { campaign: campaign(), key: [7; 32] }]),
        signed::<Publication>("verify-publication", &[publications::publication()]),
        canonical("record", &log().0),
        chain(),
        text("text-cid", &[Cid::of_raw(b"a"), Cid::of_cbor(b"b")]),
        text("text-account", &[key(1).account(), key(2).account()]),
        manifest(),
        dataset(),
        update(),
        packed("update-int8", Encoding::Int8),
        packed("update-sign", Encoding::Sign),
        packed("update-sparse", Encoding::Sparse { keep: 3 }),
        differences::difference(),
        residual(),
        outer_state(),
        snapshots::state(),
        trainings::trace(),
        trainings::state(),
        aggregate(),
        safetensors(),
        datagrams::stun(),
        datagrams::turn(),
        datagrams::turn_peer(),
    ];
    targets.extend(messages());
    targets.extend(trees::all());
    targets
}

fn register() -> Register {
    Register { campaign: CampaignId::of_manifest(b"a campaign") }
}

fn notices() -> [Notice; 2] {
    let peers = (1..=3).map(|number| vec![number; 38].into()).collect();
    [Notice::Peers { peers }, Notice::Refused { reason: Refusal::TooMany }]
}

fn messages() -> Vec<Target> {
    let addresses =
        [lichen_net::Command::Connect { address: "/ip4/127.0.0.1/tcp/8080/ws".into(), also: Vec::new() }];
    let frame = lichen_net::Event::Frame { id: RequestId(7), bytes: vec![1, 2, 3] };
    let start = lichen_bridge::Command::Start {
        id: lichen_bridge::CommandId(1),
        relay: lichen_bridge::Relay::default(),
        engine: lichen_bridge::EnginePreference::Auto,
    };
    let round = lichen_bridge::Event::Round {
        number: 3,
        base: Cid::of_raw(b"base"),
        cohort: 2,
        contributions: 1,
        closed: false,
        settled: false,
    };
    let loss = lichen_bridge::LossPoint { step: 1, loss: 0.5 };
    vec![
        through("hub-request", &requests(), Request::to_bytes, Request::from_bytes),
        through("hub-reply", &replies(), Reply::to_bytes, Reply::from_bytes),
        peers::requests(),
        peers::replies(),
        peers::announcements(),
        through("rendezvous-register", &[register()], Register::to_bytes, Register::from_bytes),
        publications::bodies(),
        through("rendezvous-notice", &notices(), Notice::to_bytes, Notice::from_bytes),
        canonical("net-command", &addresses),
        canonical("net-event", std::slice::from_ref(&frame)),
        repeatable("bridge-command", &[start, lichen_bridge::Command::Net(frame)]),
        repeatable("bridge-event", &[round, lichen_bridge::Event::Loss { round: 1, points: vec![loss] }]),
        webrtc::frames(),
        webrtc::signals(),
    ]
}

/// A type in canonical DAG-CBOR: what is accepted encodes to the very same bytes.
fn canonical<T: Serialize + DeserializeOwned + 'static>(name: &'static str, valid: &[T]) -> Target {
    through(name, valid, encode::<T>, |bytes| decode::<T>(bytes, MAX_ENTRY))
}

/// A type with its own pair of functions to and from canonical bytes.
pub(crate) fn through<T, E: Debug + 'static, D: Debug + 'static>(
    name: &'static str,
    valid: &[T],
    to_bytes: impl Fn(&T) -> Result<Vec<u8>, E> + 'static,
    from_bytes: impl Fn(&[u8]) -> Result<T, D> + 'static,
) -> Target {
    Target {
        name,
        cap: 2 * MAX_ENTRY,
        valid: valid.iter().map(|value| to_bytes(value).unwrap()).collect(),
        accepts: Box::new(move |input| match from_bytes(input) {
            Err(_refused) => false,
            Ok(value) => {
                assert_eq!(to_bytes(&value).unwrap(), input, "accepted in another form than its own");
                true
            }
        }),
    }
}

/// Posts of the bridge: what is accepted reads the same after it was written again.
fn repeatable<T: Message + Debug + 'static>(name: &'static str, valid: &[T]) -> Target {
    Target {
        name,
        cap: 2 * MAX_ENTRY,
        valid: valid.chunks(1).chain([valid]).map(|messages| T::to_bytes(messages).unwrap()).collect(),
        accepts: Box::new(move |input| match T::from_bytes(input) {
            Err(_refused) => false,
            Ok(messages) => {
                let bytes = T::to_bytes(&messages).unwrap();
                // Numbers that are none (NaN) are not equal to themselves, but their bytes are.
                assert_eq!(T::to_bytes(&T::from_bytes(&bytes).unwrap()).unwrap(), bytes);
                true
            }
        }),
    }
}

/// Signed messages: nothing is accepted but what was signed.
fn signed<T: Signable + 'static>(name: &'static str, valid: &[T]) -> Target {
    let valid: Vec<Vec<u8>> = valid.iter().map(|message| key(1).sign(message).unwrap()).collect();
    let known: BTreeSet<Vec<u8>> = valid.iter().cloned().collect();
    Target {
        name,
        cap: 2 * MAX_ENTRY,
        valid,
        accepts: Box::new(move |input| {
            let accepted = verify::<T>(input).is_ok();
            assert!(!accepted || known.contains(input), "a forgery is accepted");
            accepted
        }),
    }
}

/// The first record of a log: nothing is accepted but itself.
fn chain() -> Target {
    let (records, ..) = log();
    let first = encode(&records[0]).unwrap();
    Target {
        name: "chain",
        cap: 2 * MAX_ENTRY,
        valid: vec![first.clone()],
        accepts: Box::new(move |input| {
            let Ok(record) = decode::<Record>(input, lichen_log::MAX_RECORD) else { return false };
            let accepted = Chain::new(campaign()).verify_next(&record).is_ok();
            assert!(!accepted || input == first, "a forged record is accepted");
            accepted
        }),
    }
}

/// A type written as text: what is accepted is written in the very same way.
pub(crate) fn text<T: FromStr + ToString>(name: &'static str, valid: &[T]) -> Target {
    Target {
        name,
        cap: 256,
        valid: valid.iter().map(|value| value.to_string().into_bytes()).collect(),
        accepts: Box::new(|input| {
            let Ok(text) = str::from_utf8(input) else { return false };
            let Ok(value) = text.parse::<T>() else { return false };
            assert_eq!(value.to_string(), text, "accepted in another form than its own");
            true
        }),
    }
}

const DIGITS: &str = include_str!("../../../../relay/campaigns/digits/campaign.toml");

fn manifest() -> Target {
    Target {
        name: "manifest",
        cap: 16 * 1024,
        valid: vec![DIGITS.into()],
        accepts: Box::new(|input| {
            let Ok(text) = str::from_utf8(input) else { return false };
            match lichen_campaign::Manifest::parse(text) {
                Ok(manifest) => {
                    assert!(!manifest.explain().is_empty(), "nothing to say");
                    true
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty(), "refused without a reason");
                    false
                }
            }
        }),
    }
}

/// Ten samples of the digits' shape.
fn dataset() -> Target {
    let small = DIGITS
        .replace("samples = 1797", "samples = 10")
        .replace("shard = 480", "shard = 8")
        .replace("batch = 32", "batch = 8");
    let manifest = lichen_campaign::Manifest::parse(&small).unwrap();
    let header = br#"{"x":{"dtype":"U8","shape":[10,64],"data_offsets":[0,640]},"y":{"dtype":"U8","shape":[10],"data_offsets":[640,650]}}"#;
    let data = [&(header.len() as u64).to_le_bytes(), header.as_slice(), &[3; 650]].concat();
    Target {
        name: "dataset",
        cap: 4096,
        valid: vec![data],
        accepts: Box::new(move |input| match Dataset::decode(input, &manifest) {
            Err(_refused) => false,
            Ok(dataset) => {
                assert_eq!((dataset.len(), dataset.width()), (10, 64));
                let (x, y) = dataset.gather(&manifest.data.split.training());
                assert!(matches!(y, Answers::Labels(labels) if labels.iter().all(|label| *label < 10)));
                assert!(x.iter().all(|value| value.is_finite()));
                true
            }
        }),
    }
}

fn update() -> Target {
    let update = Update::new(vec![1.0, -2.5, f32::MIN_POSITIVE, 0.0]).unwrap();
    through("update", &[update], Update::encode, |bytes| Codec::new(Encoding::Dense).decode(bytes, 4))
}

/// More than one block of any encoding, the last of which ends within a byte.
const PACKED: usize = 4096 + 21;

fn packed(name: &'static str, encoding: Encoding) -> Target {
    let codec = Codec::new(encoding);
    Target {
        name,
        cap: 8192,
        valid: vec![codec.encode(&uneven()).unwrap().bytes],
        accepts: Box::new(move |input| match codec.decode(input, PACKED) {
            Err(_refused) => false,
            Ok(update) => {
                assert_eq!(update.values().len(), PACKED);
                assert!(update.values().iter().all(|value| value.is_finite()));
                let set =
                    update.values().chunks(4096).map(|block| block.iter().filter(|v| **v != 0.0).count());
                assert!(encoding != Encoding::Sparse { keep: 3 } || set.max() <= Some(3));
                true
            }
        }),
    }
}

fn residual() -> Target {
    let codec = Codec::new(Encoding::Sparse { keep: 3 });
    let campaign = CampaignId::of_manifest(b"digits");
    let base_of = BaseOf { campaign, codec, parameters: 5 };
    let rule = UpdateRule { max_norm: None, encoding: Encoding::Sparse { keep: 3 }, feedback: Some(0.95) };
    let mut residual = Residual::new(base_of);
    residual
        .pack(
            (RoundNumber(1), Cid::of_raw(b"base")),
            &Update::new(vec![0.5, -1.0, 0.0, 3.0, 1e-9]).unwrap(),
            None,
            &rule,
            10.0,
        )
        .unwrap();
    let decode = move |bytes: &[u8]| Residual::decode(bytes, base_of);
    through("residual", &[Residual::new(base_of), residual], Residual::encode, decode)
}

fn outer_state() -> Target {
    let moments = Moments { rate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-3 };
    let optimizer = OuterOptimizer::Yogi(moments);
    let change = [0.5, -1.0, 0.0, 3.0, 1e-9, -7.0];
    let (base, first) = outer_step(&optimizer, &parameters(), &change, None).unwrap();
    let first = first.unwrap();
    let (_result, second) = outer_step(&optimizer, &base, &change, Some(&first)).unwrap();
    let decode = move |bytes: &[u8]| OuterState::decode(bytes, &optimizer, change.len());
    through("outer-state", &[first, second.unwrap()], OuterState::encode, decode)
}

fn uneven() -> Update {
    Update::new((0..PACKED).map(|index| (index as f32 - 2000.0) * 1e-4).collect()).unwrap()
}

/// Updates as aggregators meet them: whatever they are, the next checkpoint is one.
fn aggregate() -> Target {
    let base = parameters().to_safetensors();
    let good = Update::new(vec![0.5; 6]).unwrap().encode().unwrap();
    Target {
        name: "aggregate",
        cap: 4096,
        valid: vec![good.clone()],
        accepts: Box::new(move |input| {
            let accepted = [(3, good.as_slice()), (480, input)];
            let (cid, checkpoint) = lichen_learn::aggregate_checkpoint(&base, &accepted, 1e3).unwrap();
            assert!(cid.matches(&checkpoint));
            Parameters::from_safetensors(&checkpoint).unwrap();
            Codec::new(Encoding::Dense).decode(input, 6).is_ok()
        }),
    }
}

fn safetensors() -> Target {
    Target {
        name: "safetensors",
        cap: 4096,
        valid: vec![parameters().to_safetensors()],
        accepts: Box::new(|input| {
            let _ = lichen_model::safetensors::read(input);
            let _ = Parameters::import_safetensors(input);
            match Parameters::from_safetensors(input) {
                Err(_refused) => false,
                Ok(parameters) => {
                    assert_eq!(parameters.to_safetensors(), input, "accepted in another form than its own");
                    true
                }
            }
        }),
    }
}

fn key(number: u8) -> SigningKey {
    SigningKey::generate([number; 32])
}

fn campaign() -> CampaignId {
    CampaignId::of_manifest(b"manifest")
}

fn entries() -> [Entry; 18] {
    let campaign = campaign();
    let [base, update, result] = [b"base", b"upda", b"resu"].map(|content| Cid::of_raw(content));
    let round = RoundNumber::FIRST;
    let metrics = Metrics::new(0.25, 0.75, 60).unwrap();
    let engine = Some(EngineVersion { kind: EngineKind::Cpu, version: 1 });
    let contributor = key(9).account();
    let audit = |evidence| Entry::Audit { campaign, round, contributor, found: update, evidence };
    let changed = Settings { deadline_ms: Some(300), learning_rate: Some(0.5), ..Settings::default() };
    [
        Entry::Published { campaign, manifest: campaign.0, base },
        Entry::Joined { campaign, sequence: 1 },
        Entry::Left { campaign, sequence: 1 << 40 },
        Entry::RoundOpened { campaign, round, base },
        Entry::Contribution {
            campaign,
            round,
            base,
            update,
            samples: 480,
            metrics,
            engine: None,
            trace: None,
        },
        Entry::RoundClosed { campaign, round },
        Entry::Attestation { campaign, round, base, result, excluded: 0, state: None, difference: None },
        Entry::Attestation { campaign, round, base, result, excluded: 3, state: None, difference: None },
        Entry::Unavailable { campaign, round, update },
        Entry::Departed { campaign, round, account: key(9).account() },
        Entry::RoundOverdue { campaign, round },
        Entry::Finished { campaign, round },
        Entry::Snapshot { campaign, state: update },
        Entry::Decided { campaign, sequence: 1, decision: Decision::Pause },
        Entry::Decided { campaign, sequence: 2, decision: Decision::Change(changed) },
        Entry::Contribution {
            campaign,
            round,
            base,
            update,
            samples: 480,
            metrics,
            engine,
            trace: Some(result),
        },
        audit(None),
        audit(Some(Evidence { piece: 3, before: Some(base), after: result })),
    ]
}

fn session() -> SessionCertificate {
    SessionCertificate { peer: vec![0, 0x24, 8, 1, 0x12, 0x20], issued: 1_764_000_000_000 }
}

fn envelopes() -> [Vec<u8>; 18] {
    entries().map(|entry| key(1).sign(&entry).unwrap())
}

fn log() -> (Vec<Record>, Head, Receipt) {
    let mut chain = Chain::new(campaign());
    let mut last = None;
    let mut records = Vec::new();
    for envelope in envelopes() {
        let entry: Verified<Entry> = verify(&envelope).unwrap();
        let (record, receipt) = chain.append(1_764_000_000_000, &entry).unwrap();
        records.push(record);
        last = Some(receipt);
    }
    (records, *chain.head(), last.unwrap())
}

fn parameters() -> Parameters {
    let mut parameters = Parameters::new();
    for (name, shape) in [("hidden.bias", vec![2]), ("hidden.weight", vec![2, 2])] {
        let data = vec![0.5; shape.iter().product()];
        parameters.insert(name.into(), Tensor::new(shape, data).unwrap()).unwrap();
    }
    parameters
}

fn requests() -> Vec<Request> {
    let campaign = campaign();
    vec![
        Request::Hello { certificate: key(1).sign(&session()).unwrap() },
        Request::Follow { campaign, from: 0 },
        Request::Watch { campaign, from: 0 },
        Request::Snapshot { campaign },
        Request::Witnessed { campaign },
        Request::Append { campaign, entry: envelopes()[0].clone() },
        Request::GetBlob { cid: campaign.0 },
        Request::PutBlob { bytes: vec![7; 100] },
    ]
}

fn replies() -> Vec<Reply> {
    let (records, head, receipt) = log();
    let account: AccountId = key(1).account();
    let cid = Cid::of_raw(b"blob");
    vec![
        Reply::Welcome { coordinator: account, account, time: 1_764_000_000_000, is_following: true },
        Reply::Snapshot(lichen_log::Beginning { hash: [7; 32], time: 1, record: records[0].clone() }),
        Reply::Witnessed(lichen_log::Witnessed {
            checkpoint: vec![b'a'; 300],
            record: records[0].clone(),
            proof: vec![7; 64],
        }),
        Reply::Records(Records { records, head: key(1).sign(&head).unwrap() }),
        Reply::Notice(hub::Notice { clock_ahead: 86_400, stall: Some(Cause::StoreFull) }),
        Reply::Receipt { receipt: key(1).sign(&receipt).unwrap() },
        Reply::Refused { reason: Reason::NotFound },
        Reply::Blob { bytes: vec![7; 100] },
        Reply::Stored { cid },
    ]
}
