//! Golden vectors made by other people's code (`golden/generate.mjs`): JavaScript's DAG-CBOR, WebCrypto's signatures.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use lichen_record::{
    AccountId, CampaignId, Cid, Decision, EngineKind, EngineVersion, Entry, Envelope, Evidence, Metrics,
    RoundNumber, SessionCertificate, Settings, Signable, SigningKey, VerifyError, encode, signing_bytes,
    verify,
};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/envelopes.json")).unwrap()
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn entry(name: &str, account: AccountId) -> Option<Entry> {
    let [manifest, base, update, result] =
        ["manifest", "base", "update", "result"].map(|content| Cid::of_raw(content.as_bytes()));
    let campaign = CampaignId::of_manifest(b"manifest");
    let contribution = |engine, trace| Entry::Contribution {
        campaign,
        round: RoundNumber(23),
        base,
        update,
        samples: 480,
        metrics: Metrics::new(core::f64::consts::LN_2, 0.8125, 60).unwrap(),
        engine,
        trace,
    };
    let audit = |evidence| Entry::Audit {
        campaign,
        round: RoundNumber(22),
        contributor: account,
        found: update,
        evidence,
    };
    let state = Cid::of_raw(b"state");
    let by_cpu = EngineVersion { kind: EngineKind::Cpu, version: 1 };
    let attestation = |excluded, state, difference| Entry::Attestation {
        campaign,
        round: RoundNumber(255),
        base,
        result,
        excluded,
        state,
        difference,
    };
    let decided = |sequence, decision| Entry::Decided { campaign, sequence, decision };
    let all =
        Settings { deadline_ms: Some(90_000), target_accuracy: Some(0.96875), learning_rate: Some(0.002) };
    Some(match name {
        "published" => Entry::Published { campaign, manifest, base },
        "joined" => Entry::Joined { campaign, sequence: 1 },
        "left" => Entry::Left { campaign, sequence: 1 << 32 },
        "round-opened" => Entry::RoundOpened { campaign, round: RoundNumber::FIRST, base },
        "contribution" => contribution(None, None),
        "contribution-by-cpu" => contribution(Some(by_cpu), None),
        "contribution-with-trace" => contribution(Some(by_cpu), Some(state)),
        "contribution-by-gpu" => {
            contribution(Some(EngineVersion { kind: EngineKind::Gpu, version: 300 }), None)
        }
        "round-closed" => Entry::RoundClosed { campaign, round: RoundNumber(24) },
        "checkpointed" => attestation(0, None, None),
        "checkpointed-without" => attestation(2, None, None),
        "checkpointed-with-state" => attestation(0, Some(state), None),
        "checkpointed-with-difference" => attestation(0, None, Some(update)),
        "unavailable" => Entry::Unavailable { campaign, round: RoundNumber(256), update },
        "departed" => Entry::Departed { campaign, round: RoundNumber(65_536), account },
        "audit" => audit(None),
        "audit-with-evidence" => audit(Some(Evidence { piece: 300, before: Some(state), after: result })),
        "audit-with-evidence-from-the-base" => {
            audit(Some(Evidence { piece: 0, before: None, after: result }))
        }
        "round-overdue" => Entry::RoundOverdue { campaign, round: RoundNumber(25) },
        "snapshot" => Entry::Snapshot { campaign, state },
        "decided-pause" => decided(1, Decision::Pause),
        "decided-resume" => decided(24, Decision::Resume),
        "decided-finish" => decided(256, Decision::Finish),
        "decided-retire" => decided(1 << 32, Decision::Retire),
        "decided-change" => decided(2, Decision::Change(all)),
        "decided-change-of-one" => {
            decided(3, Decision::Change(Settings { learning_rate: Some(0.001), ..Settings::default() }))
        }
        "finished" => Entry::Finished { campaign, round: RoundNumber(65_537) },
        _ => return None,
    })
}

fn session() -> SessionCertificate {
    let peer = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20].into_iter().chain(0..32).collect();
    SessionCertificate { peer, issued: 1_764_000_000_000 }
}

fn check<T: Signable + PartialEq + core::fmt::Debug>(message: &T, account: AccountId, vector: &Value) {
    let payload = unhex(&vector["payload"]);
    assert_eq!(encode(message).unwrap(), payload);
    assert_eq!(signing_bytes::<T>(&account, &payload), unhex(&vector["signed"]));

    let envelope = Envelope::assemble(account, payload, &unhex(&vector["signature"])).unwrap();
    let bytes = envelope.to_bytes().unwrap();
    assert_eq!(bytes, unhex(&vector["envelope"]));

    let verified = verify::<T>(&bytes).unwrap();
    assert_eq!(verified.get(), message);
    assert_eq!(verified.account(), account);
    assert_eq!(verified.id().to_string(), vector["id"].as_str().unwrap());
    assert_eq!(verified.envelope_bytes(), bytes);
}

#[test]
fn entries_and_signatures_of_webcrypto_agree() {
    let golden = golden();
    let account: AccountId = golden["account"].as_str().unwrap().parse().unwrap();
    let mut seen = 0;
    for vector in golden["vectors"].as_array().unwrap() {
        if let Some(entry) = entry(vector["name"].as_str().unwrap(), account) {
            check(&entry, account, vector);
            seen += 1;
        } else if vector["name"] == "session" {
            check(&session(), account, vector);
            seen += 1;
        }
    }
    assert_eq!(seen, 56, "twenty-eight messages, each with a low and a high signature");
}

#[test]
fn the_upper_form_of_a_signature_is_refused() {
    let golden = golden();
    let high: Vec<_> = golden["vectors"].as_array().unwrap().iter().filter(|v| v["high"] == true).collect();
    assert_eq!(high.len(), 30);
    for vector in high {
        let mut envelope = unhex(&vector["envelope"]);
        let signature = unhex(&vector["signature"]);
        let start = envelope.len() - signature.len();
        envelope[start..].copy_from_slice(&signature);
        assert_eq!(verify::<Entry>(&envelope), Err(VerifyError::HighS));
    }
}

#[test]
fn a_signature_does_not_pass_in_another_domain() {
    let golden = golden();
    for vector in golden["vectors"].as_array().unwrap().iter().filter(|v| v["domain"] != "entry") {
        assert_eq!(verify::<Entry>(&unhex(&vector["envelope"])), Err(VerifyError::Signature));
    }
}

#[test]
fn accounts_are_named_as_elsewhere() {
    let golden = golden();
    let account = AccountId::from_sec1(&unhex(&golden["point"])).unwrap();
    assert_eq!(account.to_string(), golden["account"].as_str().unwrap());
    let secret: [u8; 32] = unhex(&golden["secret"]).try_into().unwrap();
    assert_eq!(SigningKey::from_bytes(&secret).unwrap().account(), account);

    // A test vector of the W3C did:key specification for P-256: its x coordinate, the y coordinate being odd.
    let did = "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169";
    let account: AccountId = did.parse().unwrap();
    let compressed = unhex(&"037f235830dd3defa722ef1aa249d6a0ddbba4f990b0817538933f573640653542".into());
    assert_eq!(account.as_bytes().as_slice(), compressed);
    assert_eq!(account.to_string(), did);
}

#[test]
fn content_ids_are_named_as_elsewhere() {
    let golden = golden();
    for (content, name) in golden["cids"].as_object().unwrap() {
        assert_eq!(Cid::of_raw(content.as_bytes()).to_string(), name.as_str().unwrap());
    }
    // Widely quoted: "foo" as a raw block, the empty map as a dag-cbor block.
    assert_eq!(
        Cid::of_raw(b"foo").to_string(),
        "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy"
    );
    assert_eq!(
        Cid::of_cbor(&[0xa0]).to_string(),
        "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"
    );
}
