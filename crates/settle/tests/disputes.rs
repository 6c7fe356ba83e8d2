//! Every way to lie about a training, with real trainings of the digits campaign, and how it ends.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::LazyLock;

use futures::executor::block_on;
use lichen_campaign::{Manifest, training_seed};
use lichen_learn::Dataset;
use lichen_model::initial_parameters;
use lichen_record::{Cid, Evidence, RoundNumber, SigningKey};
use lichen_settle::{Claim, Course, Dispute, Parting, Repeated, Ruling, Trace, repeat, rule};

const MANIFEST: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");
const DATA: &[u8] = include_bytes!("../../../relay/campaigns/digits/digits.safetensors");

/// A state after every ten steps, and one after the last five.
const EVERY: u32 = 10;
const STEPS: u32 = 55;
const STATES: u32 = 6;

/// One training, and its honest contribution.
struct Case {
    manifest: Manifest,
    base: Vec<u8>,
    shard: Dataset,
    seed: u64,
    update: Cid,
    trace: Trace,
    /// The blobs of its states.
    states: Vec<Vec<u8>>,
}

static CASE: LazyLock<Case> = LazyLock::new(|| {
    let text = MANIFEST.replace("steps = 60", "steps = 55");
    let manifest = Manifest::parse(&text.replace("share = 0.1", &format!("every = {EVERY}"))).unwrap();
    let base = initial_parameters(&manifest.model, 7).unwrap().to_safetensors();
    let (round, account) = (RoundNumber(1), SigningKey::generate([1; 32]).account());
    let shard = manifest.data.split.shard(7, round, &account);
    let shard = Dataset::decode_samples(DATA, &manifest, &shard).unwrap();
    let (update, trace) = (Cid::of_raw(b""), Trace::default());
    let seed = training_seed(7, round, &account);
    let mut case = Case { manifest, base, shard, seed, update, trace, states: Vec::new() };
    // What nobody claims parts from the claim everywhere, and so tells its states one by one.
    for place in 0..=STATES {
        let claim = Claim { update: Cid::of_raw(b"none"), trace: Some(case.trace_wrong_from(place).id()) };
        let wrong = case.trace_wrong_from(place);
        let parting = repeat_in(&case, &claim, Some(wrong.bytes())).parting;
        if let Some(Parting { piece, before, after }) = parting
            && piece == place
        {
            case.states.extend(before);
            if place < STATES {
                case.trace.push(&after);
            } else {
                case.update = after;
            }
        }
    }
    case
});

impl Case {
    fn course(&self) -> Course<'_> {
        let learning_rate = self.manifest.train.learning_rate;
        Course { base: &self.base, shard: &self.shard, steps: STEPS, seed: self.seed, learning_rate }
    }

    /// The honest trace up to a place, and nonsense from there on.
    fn trace_wrong_from(&self, place: u32) -> Trace {
        let kept = self.trace.bytes().get(..Trace::length(place)).unwrap();
        let junk = vec![7; Trace::length(STATES) - kept.len()];
        Trace::decode(&[kept, &junk].concat(), STATES).unwrap()
    }

    fn claim(&self, update: Cid, trace: &Trace) -> Claim {
        Claim { update, trace: Some(trace.id()) }
    }
}

fn repeat_in(case: &Case, claim: &Claim, trace: Option<&[u8]>) -> Repeated {
    block_on(repeat(&case.manifest, &case.course(), claim, trace, async || {})).unwrap()
}

/// What an honest auditor says of this claim, whose trace is to be had.
fn audit(claim: &Claim, trace: &Trace) -> Repeated {
    repeat_in(&CASE, claim, Some(trace.bytes()))
}

/// The evidence, and the blob that goes with it.
fn evidence(parting: Option<Parting>) -> (Evidence, Option<Vec<u8>>) {
    let Parting { piece, before, after } = parting.unwrap();
    (Evidence { piece, before: before.as_deref().map(Cid::of_raw), after }, before)
}

fn judge(claim: &Claim, trace: &[u8], evidence: &Evidence, before: Option<&[u8]>) -> (Ruling, u32) {
    let dispute = Dispute { claim, evidence, trace, before };
    block_on(rule(&CASE.manifest, &CASE.course(), &dispute, async || {})).unwrap()
}

fn junk() -> Cid {
    Cid::of_raw(b"junk")
}

#[test]
fn the_case_is_what_it_says() {
    assert_eq!((CASE.states.len(), CASE.trace.bytes().len()), (6, Trace::length(STATES)));
    assert!(CASE.states.iter().zip(0..).all(|(state, place)| CASE.trace.has(place, &Cid::of_raw(state))));
    let honest = CASE.claim(CASE.update, &CASE.trace);
    assert_eq!(audit(&honest, &CASE.trace), Repeated { found: CASE.update, parting: None });
    assert_eq!(repeat_in(&CASE, &honest, None), Repeated { found: CASE.update, parting: None });
    let untraced = Claim { trace: None, ..honest };
    assert_eq!(repeat_in(&CASE, &untraced, None), Repeated { found: CASE.update, parting: None });
}

/// A liar whose trace goes wrong at some place, whatever its update is: the piece before that place shows it.
#[test]
fn a_state_that_no_step_gives_is_shown_by_one_piece() {
    for (place, steps) in [(0, 10), (1, 10), (4, 10), (5, 5)] {
        let trace = CASE.trace_wrong_from(place);
        let claim = CASE.claim(junk(), &trace);
        let repeated = audit(&claim, &trace);
        assert_eq!(repeated.found, CASE.update);
        let (evidence, before) = evidence(repeated.parting);
        assert_eq!((evidence.piece, evidence.before.is_none()), (place, place == 0));
        assert_eq!(judge(&claim, trace.bytes(), &evidence, before.as_deref()), (Ruling::Refuted, steps));
    }
}

/// One wrong hash in the middle of an honest trace, beside the right update: the contribution names what is not so.
#[test]
fn a_wrong_state_beside_the_right_update_is_found_out_too() {
    let mut bytes = CASE.trace.bytes().to_vec();
    bytes[2 * 32 + 5] ^= 1;
    let trace = Trace::decode(&bytes, STATES).unwrap();
    let claim = CASE.claim(CASE.update, &trace);
    let repeated = audit(&claim, &trace);
    assert_eq!(repeated.found, CASE.trace.id());
    let (evidence, before) = evidence(repeated.parting);
    assert_eq!(evidence.piece, 2);
    assert_eq!(judge(&claim, trace.bytes(), &evidence, before.as_deref()), (Ruling::Refuted, 10));
}

#[test]
fn another_update_than_an_honest_trace_leads_to_takes_no_step() {
    let claim = CASE.claim(junk(), &CASE.trace);
    for trace in [Some(CASE.trace.bytes()), None] {
        let repeated = repeat_in(&CASE, &claim, trace);
        assert_eq!(repeated.found, CASE.update);
        let (evidence, before) = evidence(repeated.parting);
        assert_eq!((evidence.piece, evidence.after), (STATES, CASE.update));
        assert_eq!(judge(&claim, CASE.trace.bytes(), &evidence, before.as_deref()), (Ruling::Refuted, 0));
    }
}

/// Without the trace nobody can say where it is wrong, but that it is: the whole training decides.
#[test]
fn a_trace_that_is_withheld_or_has_another_length_saves_nobody() {
    let trace = CASE.trace_wrong_from(3);
    for update in [junk(), CASE.update] {
        let claim = CASE.claim(update, &trace);
        let expected = if update == CASE.update { CASE.trace.id() } else { CASE.update };
        for unusable in [None, Some(&[][..]), Some(&trace.bytes()[1..])] {
            assert_eq!(repeat_in(&CASE, &claim, unusable), Repeated { found: expected, parting: None });
        }
        let accused = Evidence { piece: 0, before: None, after: Cid::of_raw(&CASE.states[0]) };
        assert_eq!(judge(&claim, &trace.bytes()[1..], &accused, None), (Ruling::Unsettled, 0));
    }
}

#[test]
fn who_accuses_an_honest_contributor_of_a_right_piece_is_wrong() {
    let claim = CASE.claim(CASE.update, &CASE.trace);
    let trace = CASE.trace.bytes();
    let first = Evidence { piece: 0, before: None, after: junk() };
    assert_eq!(judge(&claim, trace, &first, None), (Ruling::Stands, 10));
    let before = Some(Cid::of_raw(&CASE.states[3]));
    let later = Evidence { piece: 4, before, after: junk() };
    assert_eq!(judge(&claim, trace, &later, Some(&CASE.states[3])), (Ruling::Stands, 10));
    let before = Some(Cid::of_raw(&CASE.states[5]));
    let last = Evidence { piece: STATES, before, after: junk() };
    assert_eq!(judge(&claim, trace, &last, Some(&CASE.states[5])), (Ruling::Stands, 0));
}

/// A state that the contributor never named says nothing of it, and need not even be fetched.
#[test]
fn who_begins_with_another_state_is_wrong() {
    let claim = CASE.claim(CASE.update, &CASE.trace);
    let trace = CASE.trace.bytes();
    for state in [&CASE.states[2], &b"no state at all".to_vec()] {
        let evidence = Evidence { piece: 4, before: Some(Cid::of_raw(state)), after: junk() };
        for blob in [Some(state.as_slice()), None] {
            assert_eq!(judge(&claim, trace, &evidence, blob), (Ruling::Stands, 0));
        }
    }
}

#[test]
fn where_both_are_wrong_or_the_state_is_gone_the_whole_training_decides() {
    let trace = CASE.trace_wrong_from(4);
    let claim = CASE.claim(junk(), &trace);
    let before = Some(Cid::of_raw(&CASE.states[3]));
    let both = Evidence { piece: 4, before, after: junk() };
    assert_eq!(judge(&claim, trace.bytes(), &both, Some(&CASE.states[3])), (Ruling::Unsettled, 10));
    assert_eq!(judge(&claim, trace.bytes(), &both, None), (Ruling::Unsettled, 0));
    let beyond = Evidence { piece: STATES + 1, before, after: junk() };
    assert_eq!(judge(&claim, trace.bytes(), &beyond, None), (Ruling::Unsettled, 0));
    // Both name a state that is none: the blob is there, and nothing comes of it.
    let mut bytes = trace.bytes().to_vec();
    bytes[3 * 32..4 * 32].copy_from_slice(junk().digest());
    let claim = CASE.claim(junk(), &Trace::decode(&bytes, STATES).unwrap());
    let invented = Evidence { before: Some(junk()), ..both };
    assert_eq!(judge(&claim, &bytes, &invented, Some(b"junk")), (Ruling::Unsettled, 0));
}
