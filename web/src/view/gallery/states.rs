//! Every state that the page can be in, by its name.

use crate::drawing::{Drawing, Point};
use crate::intent::Intent;
use crate::now::{Accuracy, Now};
use crate::site::{Campaign, Cost, Listed, Operator, Site, Unread};
use crate::state::{Account, Effect, Evaluation, Link, Traffic, ViewState, Words};
use lichen_bridge::{
    Card, Checked, Checking, Contribution, ContributionState, Engine, EngineKind, EnginePreference, Event,
    Guess, Guesses, Organiser, Outcome, Phase, Problem, Settings, Show, Statement, Topic,
};
use std::rc::Rc;

pub(super) const NOW: f64 = 20_000.0;

const PURPOSE: &str = "Teaches a small neural network to read handwritten digits, to show that browser tabs can learn together: no tab does all the work, and every result can be checked by anyone.";

pub(super) fn campaign() -> Campaign {
    let statement = |topic: Topic, heading: &str, text: &str| Statement {
        topic,
        heading: heading.to_owned(),
        text: text.to_owned(),
    };
    let card = Card {
        title: "Handwritten digits".to_owned(),
        purpose: PURPOSE.to_owned(),
        organiser: Organiser {
            name: "The Lichen project".to_owned(),
            contact: "ask whoever runs the page that you are reading".to_owned(),
        },
        licence: "CC0-1.0".to_owned(),
        credit: "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998, doi:10.24432/C50P49".to_owned(),
        target_accuracy: Some(0.95),
        mesh: false,
        show: Some(Show {
            width: 8,
            height: 8,
            labels: (0..10).map(|label| label.to_string()).collect(),
            draw: true,
            ..Show::default()
        }),
        statements: vec![
            statement(Topic::Purpose, "What is this for?", PURPOSE),
            statement(Topic::Model, "What is trained?", "A neural network with 2 layers that looks at 64 numbers and tells which of 10 classes it sees. The aim is to get 95 % of unseen samples right."),
            statement(Topic::Data, "On what data?", "A public data set of 1,797 samples. 360 are kept aside to check the model; nobody trains on them. Your device fetches the data set and trains on 480 of the others, drawn anew each round. Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998, doi:10.24432/C50P49 (licence: CC-BY-4.0)."),
            statement(Topic::Leaving, "What leaves my device?", "Only numbers leave your device: how the training on it changed the model, how many samples it used, and how well it did. This goes to the relay that serves this page, which passes it on to the other participants. Each contribution is signed with a key made by your browser and stays in the campaign's public record."),
            statement(Topic::Work, "What does my device do?", "In each round it takes 60 training steps of 32 samples each, on its processor or its graphics processor, whichever turns out faster. Then it adds up everybody's changes and checks the result against the others'."),
            statement(Topic::Duration, "For how long?", "Until you leave, or until the campaign has had its 1,000 rounds, which start at least 1.5 seconds apart. You can pause or leave at any time; closing the page ends it, too."),
            statement(Topic::Organiser, "Who runs this?", "The Lichen project (the operator of this relay)."),
            statement(Topic::Licence, "What becomes of the result?", "Everybody may have the trained model under the licence CC0-1.0."),
        ],
    };
    Campaign {
        id: "bafkreih6x5v3kq7e2w5tqg4t3n4u6y3lq2v7c5s4d3f2g1h6j7k8l9m2n4".to_owned(),
        card,
        operator: Some(Operator {
            name: "City library, computer room".to_owned(),
            link: Some("https://library.example/lichen".to_owned()),
        }),
        cost: Some(Cost { data_bytes: 116_950, model_bytes: 9_840, interval_ms: 1_500, rounds: 1_000 }),
    }
}

pub(super) fn invited() -> ViewState {
    let mut state = ViewState::new(EnginePreference::Auto);
    state.read_site(Ok((campaign(), Site::default())));
    state.read_now(Some(present()));
    state
}

pub(super) fn present() -> Now {
    Now {
        campaign: campaign().id,
        members: 3,
        round: 40,
        settled: 39,
        limit: 1_000,
        checkpoint: Some(update(39).to_string()),
        contributions: 117,
        accuracy: Some(Accuracy { value: 0.97, source: "claimed".to_owned() }),
        ..Now::default()
    }
}

/// Pictures of the digits 0 to 9 by twos and fours, some of them taken for another.
fn guesses(round: u64) -> Event {
    let data = include_bytes!("../../../../relay/campaigns/digits/digits.safetensors");
    let start = data.len() - 1_797 * 65;
    let sample = |place: usize| {
        let index = place * 5;
        let stored = &data[start + index * 64..][..64];
        let label = u32::from(data[start + 1_797 * 64 + index]);
        let guess = if place.is_multiple_of(7) { (label + 5) % 10 } else { label };
        let probability = if guess == label { 0.96 } else { 0.41 };
        let cells = stored.iter().map(|ink| u8::try_from(u32::from(*ink) * 255 / 16).unwrap()).collect();
        Guess { index: u32::try_from(index).unwrap(), label, guess, probability, cells }
    };
    let samples = (0..24).map(sample).collect();
    Event::Guesses(Guesses {
        round: Some(round),
        checkpoint: update(round),
        right: Some((351, 360)),
        samples,
    })
}

/// Somebody who looks at the model without taking part, and has drawn a seven.
pub(super) fn looking() -> ViewState {
    let mut state = invited();
    state.click(Intent::Look, 1.0);
    let effects = state.apply(Event::Ready { version: lichen_bridge::VERSION }, 2.0);
    let answer = |effects: &[Effect]| {
        let id = effects.iter().find_map(|effect| match effect {
            Effect::Send(command) => command.id(),
            _ => None,
        });
        Event::Answered { id: id.unwrap(), outcome: Outcome::Done }
    };
    state.apply(answer(&effects), 3.0);
    let effects = state.read_now(Some(present()));
    state.apply(guesses(39), 4.0);
    state.apply(answer(&effects), 5.0);
    let mut seven = Drawing::default();
    seven.begin(Point::new(0.25, 0.2));
    seven.extend(Point::new(0.75, 0.2));
    seven.extend(Point::new(0.4, 0.85));
    let effects = state.click(Intent::Draw(Rc::new(seven)), 6.0);
    let Event::Answered { id, .. } = answer(&effects) else { unreachable!() };
    let probabilities = vec![0.0, 0.05, 0.03, 0.02, 0.0, 0.01, 0.0, 0.51, 0.02, 0.36];
    state.apply(Event::Read { id, probabilities }, 7.0);
    state
}

/// A tab whose campaign is done.
pub(super) fn finished() -> ViewState {
    let mut state = training();
    state.apply(Event::Status(Phase::Finished), NOW);
    state
}

/// A tab whose campaign has reached its goal, which ends it.
pub(super) fn at_goal() -> ViewState {
    let mut state = training();
    state.apply(Event::Status(Phase::GoalReached), NOW);
    state
}

/// A tab that waits for its organiser, who has changed something.
pub(super) fn on_hold() -> ViewState {
    let mut state = training();
    let settings = Settings { learning_rate: Some(0.001), ..Settings::default() };
    state.apply(Event::SettingsChanged { round: 12, time: 1_796_096_000_000, settings }, NOW);
    state.apply(Event::Status(Phase::OnHold), NOW);
    state
}

/// A tab whose campaign its organiser has ended for good.
pub(super) fn retired() -> ViewState {
    let mut state = training();
    state.apply(Event::Status(Phase::Retired), NOW);
    state
}

/// Somebody who comes while the campaign is paused.
pub(super) fn invited_in_a_pause() -> ViewState {
    let mut state = invited();
    state.read_now(Some(Now { paused: true, ..present() }));
    state
}

/// Somebody who comes when all is done.
pub(super) fn too_late() -> ViewState {
    let mut state = invited();
    state.read_now(Some(Now { finished: true, settled: 1_000, round: 1_000, members: 0, ..present() }));
    state
}

pub(super) fn joined(phase: Phase) -> ViewState {
    let mut state = invited();
    state.click(Intent::Join, 1_000.0);
    state.words = Words::Verified(Rc::new(campaign()));
    state.link = Link::Open {
        address: "/ip4/127.0.0.1/tcp/8080/ws/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
            .to_owned(),
        round_trip: Some(3),
    };
    state.apply(Event::Status(phase), NOW);
    state
}

/// A tab of a mesh: two peers, one of them only just found.
pub(super) fn meshed() -> ViewState {
    let mut state = training();
    state.audited = Some(lichen_bridge::Audited { confirmed: 1, earn: 3, expelled: false });
    let peer = |name: &str, path, round_trip, dialled| lichen_net::Peer {
        peer: name.as_bytes().to_vec(),
        address: format!("/ip4/127.0.0.1/tcp/8080/ws/p2p/12D3KooWQYhT/p2p-circuit/webrtc/p2p/12D3KooW{name}"),
        path,
        round_trip,
        dialled,
        received: 1_204_311,
        sent: 982_113,
    };
    let peers = vec![
        peer("Aq7ZbY2dVt", lichen_net::Path::Direct, Some(4), true),
        peer("Bk3XcW9eUs", lichen_net::Path::Relayed, None, false),
    ];
    state.meet();
    state.observe(&lichen_net::Event::PeersChanged { peers }, NOW);
    state
}

/// A tab of a mesh in a network that lets nobody through.
pub(super) fn walled_in() -> ViewState {
    let mut state = training();
    state.meet();
    state.observe(&lichen_net::Event::NoDirectPath { peer: vec![1] }, NOW);
    state
}

pub(super) fn update(round: u64) -> lichen_record::Cid {
    lichen_record::Cid::of_raw(&round.to_be_bytes())
}

pub(super) fn training() -> ViewState {
    let mut state = joined(Phase::Training { round: 24, step: 37, steps: 60 });
    let did = |tail: &str| format!("did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU{tail}");
    state.account = Some(Account { did: did("2169"), new: true });
    state.members = vec![did("2169"), did("77aB"), did("Qq3z")];
    state.member_count = 3;
    state.are_members_known = true;
    state.round = Some(crate::state::Round { number: 24, cohort: 3, contributions: 1, settled: false });
    state.history = Rc::new((0..24u32).map(result).collect());
    state.engine = Some(Engine {
        kind: EngineKind::Cpu,
        cpu_ms: Some(0.06),
        gpu_ms: Some(4.1),
        threads: 1,
        samples_per_second: Some(182_340.0),
        why: "The processor is faster for a model this small: 0.06 ms a step against 4.1 ms.".to_owned(),
    });
    (state.own_loss, state.own_loss_round) = (Some(0.214), 24);
    state.apply(guesses(23), NOW);
    state.traffic = Traffic { received: 1_934_221, sent: 482_113 };
    for round in 18..24 {
        let index = 7 * round + 3;
        let state_of = |round| match round {
            23 => ContributionState::Sent,
            20 => ContributionState::Refused { reason: "The round was closed already.".to_owned() },
            _ => ContributionState::Recorded { index },
        };
        let contribution =
            Contribution { round, update: update(round), samples: 480, state: state_of(round) };
        state.apply(Event::Contribution(contribution), NOW);
    }
    state
}

pub(super) fn result(round: u32) -> Evaluation {
    let progress = f64::from(round) / 23.0;
    Evaluation {
        round: u64::from(round),
        checkpoint: update(u64::from(round) + 1000).to_string(),
        loss: 2.3 * (-3.1 * progress).exp() + 0.13,
        accuracy: 0.97 - 0.88 * (-4.2 * progress).exp(),
        samples: 360,
    }
}

/// Campaigns to choose from.
fn listed() -> Vec<Listed> {
    let one = |id: &str, title: &str, standing: &str| {
        let [id, title, standing] = [id, title, standing].map(str::to_owned);
        Listed { id, title, standing }
    };
    vec![
        one(&campaign().id, "Handwritten digits", ""),
        one("bafkreitides", "Tides", "paused"),
        one("bafkreibirds", "Birds", "a later word"),
    ]
}

/// A relay with several campaigns, and an address that names none of them.
pub(super) fn several() -> [ViewState; 2] {
    let mut several = ViewState::new(EnginePreference::Auto);
    several.read_site(Ok((campaign(), Site { campaigns: listed(), ..Site::default() })));
    let mut unknown = ViewState::new(EnginePreference::Auto);
    let problem = Problem {
        message: "The campaign that this address names is not here.".to_owned(),
        remedy: "Choose one of those below, or ask whoever gave you the address for the right one."
            .to_owned(),
    };
    unknown.read_site(Err(Unread { problem, campaigns: listed() }));
    [several, unknown]
}

/// A check that is under way, one that found nothing wrong, and one that did, the last while taking part.
pub(super) fn checks() -> [ViewState; 3] {
    let checked = |right: bool, verdict: &str, details: &[&str]| {
        let details = details.iter().map(|words| (*words).to_owned()).collect();
        Event::Checked(Checked { right, verdict: verdict.to_owned(), details })
    };
    let mut under_way = invited();
    let mut right = invited();
    let mut wrong = training();
    for state in [&mut under_way, &mut right, &mut wrong] {
        state.click(Intent::Check, NOW);
    }
    let what = "Computing each result again".to_owned();
    under_way.checker_told(Event::Checking(Checking { what, done: 17, total: 37 }));
    right.checker_told(checked(
        true,
        "Every one of the 412 signatures and all 37 results were checked by this tab: nothing is wrong.",
        &[
            "The model is what 117\u{a0}contributions by 3\u{a0}people come to, and nothing else.",
            "411\u{a0}entries and 1.6\u{a0}MB of data, in 0.4\u{a0}s.",
        ],
    ));
    wrong.checker_told(checked(
        false,
        "The result of round 12 is not what its contributions come to.",
        &[
            "Do not rely on this model.",
            "In detail: round 12: the accepted updates give bafkreia5, the log settled bafkreib7",
        ],
    ));
    [under_way, right, wrong]
}

pub(super) fn states() -> Vec<(&'static str, ViewState)> {
    let missing = Problem {
        message: "The campaign’s description could not be fetched (status 503).".to_owned(),
        remedy: "Check your connection, then try again.".to_owned(),
    };
    let mut unread = ViewState::new(EnginePreference::Auto);
    unread.read_site(Err(missing.clone().into()));
    let mut offline = training();
    offline.link = Link::Lost { reason: "the connection was lost".to_owned(), retry_at: Some(NOW + 2_600.0) };
    let mut paused = training();
    paused.click(Intent::Pause, NOW);
    paused.notice = Some(missing.clone());
    let mut left = training();
    left.click(Intent::Leave, NOW);
    left.closed();
    let mut failed = training();
    failed.broke(missing);
    let mut two_histories = failed.clone();
    two_histories.witnessed = Some(1_204);
    let evidence = Event::Evidence(format!(
        "two histories of 1204 entries\nthis-tab: signed head {}\n",
        "a7".repeat(250)
    ));
    two_histories.apply(evidence, NOW);
    let [several, unknown] = several();
    let [check_under_way, check_right, check_wrong] = checks();
    vec![
        ("several", several),
        ("unknown", unknown),
        ("reading", ViewState::new(EnginePreference::Auto)),
        ("missing", unread),
        ("idle", invited()),
        ("looking", looking()),
        ("finished", finished()),
        ("at-goal", at_goal()),
        ("too-late", too_late()),
        ("mesh", meshed()),
        ("walled-in", walled_in()),
        ("checking", joined(Phase::CatchingUp { done: 120, total: 900 })),
        ("training", training()),
        ("paused", paused),
        ("offline", offline),
        ("standby", joined(Phase::WaitingForOtherTab)),
        ("left", left),
        ("failed", failed),
        ("check-under-way", check_under_way),
        ("check-right", check_right),
        ("check-wrong", check_wrong),
        ("two-histories", two_histories),
        ("not-drawn", joined(Phase::WaitingForTurn { round: 23, drawn: 8, members: 40 })),
        ("on-hold", on_hold()),
        ("retired", retired()),
        ("invited-in-a-pause", invited_in_a_pause()),
    ]
}
