//! Hostile bytes on every request, in both topologies: each is refused for its own reason, counted, and changes nothing.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use lichen_campaign::Encoding;
use lichen_learn::{Codec, Update};
use lichen_net::MAX_FRAME;
use lichen_net::hub::{Reason, Reply, Request};
use lichen_net::swarm::frame;
use lichen_net::swarm::libp2p::swarm::Stream;
use lichen_record::{CampaignId, Cid, Entry, Envelope, Metrics, RoundNumber, SigningKey, encode};
use lichen_round::Refusal;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::campaign::{
    BOTH, PARAMETERS, Topology, changed, contribution, join_and_wait_for_round, start, update,
};
use crate::process::Relay;
use crate::streams::Streams;
use crate::tab::{Tab, now, refused};

/// Sees that a relay refuses, counts, and leaves its log as it is.
struct Refusals<'a> {
    relay: &'a Relay,
}

impl Refusals<'_> {
    async fn expect(&self, what: &str, reason: Reason, reply: impl Future<Output = Reply>) {
        let label = reason.label();
        let count = async || self.relay.refusals().await.get(label).copied().unwrap_or_default();
        let (length, counted) = (self.relay.length().await, count().await);
        assert_eq!(refused(&reply.await), reason, "{what}");
        assert_eq!(self.relay.length().await, length, "{what} changed the log");
        assert_eq!(count().await, counted + 1, "{what} was not counted as {label}");
    }
}

/// How tabs of earlier versions asked for records over a stream.
fn old_read(campaign: CampaignId) -> Vec<u8> {
    [&b"\xa1\x68read-log\xa3\x64from\x01\x65limit\x01\x68campaign"[..], &encode(&campaign).unwrap()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_none() {
    for topology in BOTH {
        let (relay, _folder) = start(topology, &[]).await;
        let tab = Tab::start(&relay, 1).await;
        let refusals = Refusals { relay: &relay };
        let get = Request::GetBlob { cid: tab.campaign.0 }.to_bytes().unwrap();

        for (what, bytes) in [
            ("nothing", vec![]),
            ("no CBOR", vec![0xff; 40]),
            ("another type", encode(&7_u64).unwrap()),
            ("an unknown request", encode("no-such-request").unwrap()),
            ("a request of earlier versions", encode("campaigns").unwrap()),
            ("another one", old_read(tab.campaign)),
            ("bytes after the end", [get.clone(), vec![0]].concat()),
            ("a cut message", get[..get.len() - 1].to_vec()),
            ("an unknown field", b"\xa1\x68get-blob\xa1\x63bad\x01".to_vec()),
        ] {
            refusals.expect(what, Reason::Malformed, tab.ask_bytes(bytes)).await;
        }
        let follow = Request::Follow { campaign: tab.campaign, from: 1 }.to_bytes().unwrap();
        let at = follow.windows(6).position(|window| window == b"\x64from\x01").unwrap();
        let long_integer = [&follow[..at + 5], &[0x18, 0x01], &follow[at + 6..]].concat();
        refusals.expect("an integer in two bytes", Reason::NotCanonical, tab.ask_bytes(long_integer)).await;
        let entry = vec![0; 9_000];
        let append = Request::Append { campaign: tab.campaign, entry };
        refusals.expect("a long request", Reason::TooLarge, tab.ask(append)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_not_theirs() {
    for topology in BOTH {
        let (relay, _folder) = start(topology, &[]).await;
        let tab = Tab::connect(&relay, 1).await;
        let refusals = Refusals { relay: &relay };
        let hello = |certificate| tab.ask(Request::Hello { certificate });
        let joined = Entry::Joined { campaign: tab.campaign, sequence: 1 };

        refusals.expect("no hello", Reason::NotIntroduced, tab.append(&joined)).await;
        refusals
            .expect("no hello", Reason::NotIntroduced, tab.ask(Request::PutBlob { bytes: vec![1] }))
            .await;
        let large = Request::PutBlob { bytes: vec![1; 20_000_000] };
        refusals.expect("a large frame without hello", Reason::NotIntroduced, tab.ask(large)).await;

        let other = Tab::connect(&relay, 2).await;
        refusals.expect("another's certificate", Reason::WrongPeer, hello(other.certificate(now()))).await;
        let old = now() - 8 * 24 * 60 * 60 * 1000;
        refusals.expect("an old one", Reason::CertificateExpired, hello(tab.certificate(old))).await;
        refusals.expect("a future one", Reason::CertificateExpired, hello(tab.certificate(u64::MAX))).await;
        let mut forged = tab.certificate(now());
        *forged.last_mut().unwrap() ^= 1;
        refusals.expect("a forged one", Reason::WrongSignature, hello(forged)).await;
        let entry = tab.key.sign(&joined).unwrap();
        refusals.expect("an entry for one", Reason::WrongSignature, hello(entry)).await;

        refusals.expect("still no hello", Reason::NotIntroduced, tab.append(&joined)).await;
        assert!(matches!(tab.hello().await, Reply::Welcome { .. }));
        tab.append_well(&joined).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_are_not_what_they_say() {
    for topology in BOTH {
        let (relay, _folder) = start(topology, &[]).await;
        let tab = Tab::start(&relay, 1).await;
        let refusals = Refusals { relay: &relay };
        let joined = Entry::Joined { campaign: tab.campaign, sequence: 1 };
        let envelope = tab.key.sign(&joined).unwrap();

        for at in [envelope.len() - 1, envelope.len() - 40] {
            let mut forged = envelope.clone();
            forged[at] ^= 1;
            refusals.expect("a wrong signature", Reason::WrongSignature, tab.append_bytes(forged)).await;
        }
        let read = Envelope::from_bytes(&envelope).unwrap();
        let high = [&envelope[..envelope.len() - 32], &negated(&read.signature()[32..])[..]].concat();
        refusals.expect("a high signature", Reason::WrongSignature, tab.append_bytes(high)).await;
        refusals
            .expect(
                "a certificate as entry",
                Reason::WrongSignature,
                tab.append_bytes(tab.certificate(now())),
            )
            .await;
        let cut = envelope[..envelope.len() - 1].to_vec();
        refusals.expect("a cut entry", Reason::Malformed, tab.append_bytes(cut)).await;
        refusals.expect("an empty entry", Reason::Malformed, tab.append_bytes(vec![])).await;
        refusals.expect("a long entry", Reason::TooLarge, tab.append_bytes(vec![0; 5_000])).await;
        let stranger = SigningKey::generate([9; 32]).sign(&joined).unwrap();
        refusals.expect("another's entry", Reason::WrongAccount, tab.append_bytes(stranger)).await;

        let elsewhere = CampaignId::of_manifest(b"another campaign");
        let entry = tab.key.sign(&joined).unwrap();
        let append = Request::Append { campaign: elsewhere, entry };
        refusals.expect("an unknown campaign", Reason::UnknownCampaign, tab.ask(append)).await;
        for request in [
            Request::Follow { campaign: elsewhere, from: 0 },
            Request::Watch { campaign: elsewhere, from: 0 },
        ] {
            refusals.expect("an unknown log", Reason::UnknownCampaign, tab.ask(request)).await;
        }
        let entry = Entry::Joined { campaign: elsewhere, sequence: 1 };
        let reason = Reason::Inadmissible(Refusal::WrongCampaign);
        refusals.expect("another campaign's entry", reason, tab.append(&entry)).await;
        let get = Request::GetBlob { cid: Cid::of_raw(b"nowhere") };
        refusals.expect("an unknown blob", Reason::NotFound, tab.ask(get)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_may_not_stand_there() {
    for topology in BOTH {
        let (relay, _folder) = start(topology, &[]).await;
        let tab = Tab::start(&relay, 1).await;
        let refusals = Refusals { relay: &relay };
        let inadmissible = Reason::Inadmissible;
        let campaign = tab.campaign;
        let (base, cid) = (tab.campaign.0, tab.put(update(0.01)).await);

        let early = contribution(&tab, RoundNumber::FIRST, base, cid);
        refusals.expect("no round", inadmissible(Refusal::RoundNotOpen), tab.append(&early)).await;
        let (round, base) = join_and_wait_for_round(&tab).await;

        let bystander = Tab::start(&relay, 2).await;
        for (what, refusal, entry) in [
            ("a replay", Refusal::StaleSequence, Entry::Joined { campaign, sequence: 1 }),
            ("joining twice", Refusal::Duplicate, Entry::Joined { campaign, sequence: 2 }),
            ("publishing", Refusal::NotFirst, Entry::Published { campaign, manifest: base, base }),
            ("opening", Refusal::NotCoordinator, Entry::RoundOpened { campaign, round: round.next(), base }),
            ("going back", Refusal::NotCoordinator, Entry::RoundOpened { campaign, round, base: campaign.0 }),
            ("closing", Refusal::NotCoordinator, Entry::RoundClosed { campaign, round }),
            (
                "another's departure",
                Refusal::NotCoordinator,
                Entry::Departed { campaign, round, account: bystander.account() },
            ),
            ("ending the campaign", Refusal::NotCoordinator, Entry::Finished { campaign, round }),
            (
                "a report",
                if topology == Topology::Hub { Refusal::CoordinatorSettles } else { Refusal::RoundNotClosed },
                Entry::Unavailable { campaign, round, update: cid },
            ),
            (
                "attesting early",
                Refusal::RoundNotClosed,
                Entry::Attestation {
                    campaign,
                    round,
                    base,
                    result: base,
                    excluded: 0,
                    state: None,
                    difference: None,
                },
            ),
            ("another round", Refusal::WrongRound, contribution(&tab, round.next(), base, cid)),
            ("another base", Refusal::WrongBase, contribution(&tab, round, campaign.0, cid)),
        ] {
            refusals.expect(what, inadmissible(refusal), tab.append(&entry)).await;
        }
        let strangers = contribution(&bystander, round, base, cid);
        refusals.expect("not joined", inadmissible(Refusal::NotAMember), bystander.append(&strangers)).await;
        let mut heavy = contribution(&tab, round, base, cid);
        if let Entry::Contribution { samples, .. } = &mut heavy {
            *samples = 1_000_000;
        }
        refusals.expect("a false weight", inadmissible(Refusal::WrongSamples), tab.append(&heavy)).await;

        for (what, refusal, loss, steps) in [
            ("a loss below nothing", Refusal::ImpossibleLoss, -1e308, 60),
            ("a loss beyond measure", Refusal::ImpossibleLoss, 1e308, 60),
            ("no step", Refusal::WrongSteps, 0.5, 0),
            ("a step too many", Refusal::WrongSteps, 0.5, 61),
        ] {
            let mut boast = contribution(&tab, round, base, cid);
            if let Entry::Contribution { metrics, .. } = &mut boast {
                *metrics = Metrics::new(loss, 1.0, steps).unwrap();
            }
            refusals.expect(what, inadmissible(refusal), tab.append(&boast)).await;
        }

        bystander.join(1).await;
        let entry = contribution(&tab, round, base, cid);
        tab.append_well(&entry).await;
        refusals.expect("a replay", inadmissible(Refusal::Duplicate), tab.append(&entry)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_that_are_none_of_this_model() {
    // In a mesh the relay has no updates to look at: the contributors do that.
    let relay = Relay::start().await;
    let tab = Tab::start(&relay, 1).await;
    let refusals = Refusals { relay: &relay };
    let (round, base) = join_and_wait_for_round(&tab).await;

    let missing = contribution(&tab, round, base, Cid::of_raw(b"not stored"));
    refusals.expect("no update", Reason::UpdateMissing, tab.append(&missing)).await;
    let good = update(0.01);
    let not_finite = |hostile: f32| {
        let mut bytes = good.clone();
        let value = 0.01_f32.to_le_bytes();
        let at = bytes.windows(4).position(|window| window == value).unwrap();
        bytes[at..at + 4].copy_from_slice(&hostile.to_le_bytes());
        bytes
    };
    let of = |count| Update::new(vec![0.01; count]).unwrap().encode().unwrap();
    for (what, reason, bytes) in [
        ("not a number", Reason::UpdateNotFinite, not_finite(f32::NAN)),
        ("infinity", Reason::UpdateNotFinite, not_finite(f32::INFINITY)),
        ("one value less", Reason::UpdateShape, of(PARAMETERS - 1)),
        ("one value more", Reason::UpdateShape, of(PARAMETERS + 1)),
        ("no value", Reason::UpdateShape, of(0)),
        ("a cut update", Reason::UpdateMalformed, good[..good.len() - 1].to_vec()),
        ("a manifest", Reason::UpdateMalformed, tab.get(tab.campaign.0).await),
        ("nothing", Reason::UpdateMalformed, vec![]),
    ] {
        let cid = tab.put(bytes).await;
        let entry = contribution(&tab, round, base, cid);
        refusals.expect(what, reason, tab.append(&entry)).await;
    }
    let cid = tab.put(good).await;
    tab.append_well(&contribution(&tab, round, base, cid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_that_are_packed_in_another_way() {
    let update = Update::new(vec![0.01; PARAMETERS]).unwrap();
    let of = |encoding| Codec::new(encoding).encode(&update).unwrap().bytes;
    let all = [Encoding::Dense, Encoding::Int8, Encoding::Sign, Encoding::Sparse { keep: 64 }];
    for ours in all {
        // Audits want that nothing which was left out is sent later; dense updates leave nothing out.
        let rest = if ours == Encoding::Dense { "" } else { "feedback = 0\n" };
        let rounds = format!("[update]\ncodec = \"{}\"\n{rest}\n[rounds]", ours.word());
        let folder = changed("[rounds]", &rounds);
        let relay = Relay::start_with(&["--campaign", folder.path().to_str().unwrap()]).await;
        let tab = Tab::start(&relay, 1).await;
        let refusals = Refusals { relay: &relay };
        let (round, base) = join_and_wait_for_round(&tab).await;
        for theirs in all.into_iter().filter(|theirs| *theirs != ours) {
            let entry = contribution(&tab, round, base, tab.put(of(theirs)).await);
            refusals.expect(theirs.word(), Reason::UpdateEncoding, tab.append(&entry)).await;
        }
        let mut broken = of(ours);
        broken.truncate(broken.len() - 1);
        let entry = contribution(&tab, round, base, tab.put(broken).await);
        refusals.expect("a cut update", Reason::UpdateMalformed, tab.append(&entry)).await;
        let entry = contribution(&tab, round, base, tab.put(of(ours)).await);
        tab.append_well(&entry).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_break_off() {
    for topology in BOTH {
        let (relay, _folder) = start(topology, &[]).await;
        let refusals = Refusals { relay: &relay };
        let mut streams = Streams::open(&relay).await;
        let whole = Request::GetBlob { cid: Cid::of_raw(b"nowhere") }.to_bytes().unwrap();
        let length = u32::try_from(whole.len()).unwrap().to_be_bytes();

        for (what, reason, bytes) in [
            ("half a length", Reason::Truncated, length[..2].to_vec()),
            ("no content", Reason::Truncated, length.to_vec()),
            ("half the content", Reason::Truncated, [&length[..], &whole[..4]].concat()),
            ("the longest length", Reason::TooLarge, u32::MAX.to_be_bytes().to_vec()),
            ("a length over the cap", Reason::TooLarge, (MAX_FRAME as u32 + 1).to_be_bytes().to_vec()),
            ("a large frame of a stranger", Reason::NotIntroduced, 100_000_u32.to_be_bytes().to_vec()),
        ] {
            let stream = streams.next().await;
            refusals.expect(what, reason, half_closed(stream, bytes)).await;
        }
        // A stream that says nothing at all is no request.
        let mut silent = streams.next().await;
        silent.close().await.unwrap();
        assert_eq!(silent.read(&mut [0; 10]).await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_hold_per_account() {
    for topology in BOTH {
        // In a mesh the relay takes only what a tab has it keep, by a quota of its own.
        let (bytes, quota) = match topology {
            Topology::Hub => ("--blob-bytes-per-minute", Reason::QuotaBytes),
            Topology::Mesh => ("--pinned-bytes-per-minute", Reason::QuotaPinned),
        };
        let options = ["--entries-per-minute", "3", bytes, "1000"];
        let (relay, _folder) = start(topology, &options).await;
        let tab = Tab::start(&relay, 1).await;
        let refusals = Refusals { relay: &relay };
        let campaign = tab.campaign;
        for sequence in 1..=3 {
            let entry = if sequence % 2 == 1 {
                Entry::Joined { campaign, sequence }
            } else {
                Entry::Left { campaign, sequence }
            };
            tab.append_well(&entry).await;
        }
        let left = Entry::Left { campaign, sequence: 4 };
        refusals.expect("the fourth entry", Reason::QuotaEntries, tab.append(&left)).await;
        tab.put(vec![1; 900]).await;
        let more = Request::PutBlob { bytes: vec![2; 900] };
        refusals.expect("900 bytes more", quota, tab.ask(more)).await;
        let large = Request::PutBlob { bytes: vec![4; 10_000] };
        refusals.expect("a large blob, by its length", quota, tab.ask(large)).await;
        let other = Tab::start(&relay, 2).await;
        other.join(1).await;
        other.put(vec![3; 900]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_and_random_damage_do_no_harm() {
    for topology in BOTH {
        let (relay, _folder) = start(topology, &["--entries-per-minute", "100000"]).await;
        let tab = Tab::start(&relay, 1).await;
        let entry = tab.key.sign(&Entry::Joined { campaign: tab.campaign, sequence: 1 }).unwrap();
        let request = Request::Append { campaign: tab.campaign, entry }.to_bytes().unwrap();
        let mut runner = TestRunner::deterministic();
        let any_bytes = proptest::collection::vec(proptest::num::u8::ANY, 0..300);
        let damage = (0..request.len(), 1..=255_u8);
        for _ in 0..300 {
            let bytes = any_bytes.new_tree(&mut runner).unwrap().current();
            refused(&tab.ask_bytes(bytes).await);
            let (at, with) = damage.new_tree(&mut runner).unwrap().current();
            let mut damaged = request.clone();
            damaged[at] ^= with;
            refused(&tab.ask_bytes(damaged).await);
        }
        assert_eq!(relay.length().await, 1);
        assert!(matches!(tab.ask_bytes(request).await, Reply::Receipt { .. }));
    }
}

/// The other signature over the same message: the order of P-256 minus `s`.
fn negated(s: &[u8]) -> [u8; 32] {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let mut negated = [0; 32];
    let mut borrow = 0;
    for place in (0..32).rev() {
        let difference = i16::from(ORDER[place]) - i16::from(s[place]) - borrow;
        borrow = i16::from(difference < 0);
        negated[place] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    negated
}

/// Writes these bytes, ends its half of the stream, and reads the reply.
async fn half_closed(mut stream: Stream, bytes: Vec<u8>) -> Reply {
    stream.write_all(&bytes).await.unwrap();
    stream.close().await.unwrap();
    let reply = frame::read(&mut stream, 1000, Duration::from_secs(10)).await.unwrap().unwrap();
    Reply::from_bytes(&reply).unwrap()
}
