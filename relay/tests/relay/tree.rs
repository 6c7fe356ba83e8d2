//! The log's tree over HTTP, judged by another implementation of C2SP's specifications: it verifies the checkpoint, the
//! tiles and the entries of a running relay, and proofs from them.

use std::collections::BTreeMap;

use lichen_log::{
    Ed25519Claim, Ed25519Key, KeyKind, LogKey, SignedCheckpoint, VerifierKey, Witnessed, check_ed25519,
};
use lichen_net::hub::{Reason, Records, Reply, Request};
use lichen_record::{AccountId, CampaignId, Entry, decode, encode, verify};
use serde::Deserialize;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Hash, HashReader, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record,
    prove_tree, record_hash, stored_hash_index,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::PATIENCE;
use crate::campaign::changed;
use crate::process::Relay;
use crate::tab::{Tab, refused};

/// Enough for a full tile, a partial one, and a level above.
const ENTRIES: u64 = 300;

const FAST: [&str; 3] = [
    "--entries-per-minute=1000000",
    "--entries-per-minute-per-address=1000000",
    "--entries-per-second=100000",
];

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Info {
    campaign: CampaignId,
    coordinator: AccountId,
    log_key: Option<Key>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Key {
    vkey: String,
    certificate: String,
}

/// What a relay shows of a tree, as an outside client fetches it.
#[derive(Clone, PartialEq)]
struct Shown {
    vkey: String,
    note: Vec<u8>,
    size: u64,
    /// By path.
    files: BTreeMap<String, Vec<u8>>,
}

async fn info(relay: &Relay) -> Info {
    serde_json::from_slice(&relay.get("lichen.json").await.body).unwrap()
}

async fn get(relay: &Relay, path: &str) -> (u16, Vec<u8>) {
    let campaign = relay.info().await.campaign;
    let answer = relay.get(&format!("log/{campaign}/{path}")).await;
    (answer.status, answer.body)
}

/// A path of theirs as tlog-tiles has it: they leave the height in, and have another name for entries.
fn path(tile: &Tile) -> String {
    tile.path().replacen("tile/8/", "tile/", 1).replacen("tile/data/", "tile/entries/", 1)
}

/// The checkpoint once it is of this many records, and every file of that tree.
async fn fetch(relay: &Relay, size: u64) -> Shown {
    let vkey = info(relay).await.log_key.unwrap().vkey;
    let newest = async {
        loop {
            let (_status, note) = get(relay, "checkpoint").await;
            if String::from_utf8_lossy(&note).lines().nth(1) == Some(&size.to_string()) {
                return note;
            }
            tokio::task::yield_now().await;
        }
    };
    let note = timeout(PATIENCE, newest).await.expect("no checkpoint of that size");
    let mut files = BTreeMap::new();
    for mut tile in Tile::new_tiles(8, 0, size) {
        let mut paths = vec![path(&tile)];
        if tile.level() == 0 {
            tile.set_is_data();
            paths.push(path(&tile));
        }
        for path in paths {
            let (status, bytes) = get(relay, &path).await;
            assert_eq!(status, 200, "{path}");
            files.insert(path, bytes);
        }
    }
    Shown { vkey, note, size, files }
}

impl TileReader for Shown {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        Ok(tiles.iter().map(|tile| self.files[&path(tile)].clone()).collect())
    }

    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

impl Shown {
    /// What an outside client believes of it after all its checks: the root and the entries, in order.
    fn judge(&self) -> Result<(Hash, Vec<Vec<u8>>), String> {
        let said = |error: &dyn std::fmt::Debug| format!("{error:?}");
        let note = Note::from_bytes(&self.note).map_err(|error| said(&error))?;
        let verifier = StandardVerifier::new(&self.vkey).map_err(|error| said(&error))?;
        let (verified, _unknown) =
            note.verify(&VerifierList::new(vec![Box::new(verifier)])).map_err(|error| said(&error))?;
        if verified.len() != 1 {
            return Err("not signed".into());
        }
        let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|error| said(&error))?;
        let (size, root) = (checkpoint.size(), *checkpoint.hash());
        let reader = TileHashReader::new(size, root, self);
        let indexes: Vec<u64> = (0..size).map(|index| stored_hash_index(0, index)).collect();
        let hashes = reader.read_hashes(&indexes).map_err(|error| said(&error))?;

        let mut entries = Vec::new();
        for (path, bundle) in self.files.iter().filter(|(path, _bytes)| path.contains("entries")) {
            let mut rest = bundle.as_slice();
            while let [high, low, after @ ..] = rest {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let (entry, after) = after.split_at_checked(length).ok_or_else(|| format!("{path} ends"))?;
                entries.push(entry.to_vec());
                rest = after;
            }
        }
        if entries.len() != hashes.len() {
            return Err(format!("{} entries", entries.len()));
        }
        for (index, (entry, hash)) in (0..).zip(entries.iter().zip(&hashes)) {
            if record_hash(entry) != *hash {
                return Err(format!("entry {index} is not the leaf"));
            }
            let proof = prove_record(size, index, &reader).map_err(|error| said(&error))?;
            check_record(&proof, size, root, index, *hash).map_err(|error| said(&error))?;
        }
        Ok((root, entries))
    }

    fn changed(&self, path: &str) -> Self {
        let mut other = self.clone();
        *other.files.get_mut(path).unwrap().last_mut().unwrap() ^= 1;
        other
    }
}

/// Has a tab come and go until the log has so many records.
async fn grow(relay: &Relay, tab: &Tab, from: u64, length: u64) {
    let campaign = tab.campaign;
    let mut sequence = from;
    while relay.length().await < length {
        tab.append_well(&Entry::Joined { campaign, sequence }).await;
        tab.append_well(&Entry::Left { campaign, sequence: sequence + 1 }).await;
        sequence += 2;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outside_client_verifies_the_whole_log() {
    let mut relay = Relay::start_with(&FAST).await;
    let first = fetch(&relay, 1).await;
    let (old_root, _entries) = first.judge().unwrap();
    let tab = Tab::start(&relay, 1).await;
    grow(&relay, &tab, 1, ENTRIES).await;
    let size = relay.length().await;
    let shown = fetch(&relay, size).await;
    let (root, entries) = shown.judge().unwrap();

    let campaign = relay.info().await.campaign;
    let mut records = Vec::new();
    while (records.len() as u64) < size {
        let page = relay.get(&format!("log/{campaign}?from={}", records.len())).await.body;
        records.extend(decode::<Records>(&page, 1 << 20).unwrap().records);
    }
    let records: Vec<Vec<u8>> = records.iter().map(|record| encode(record).unwrap()).collect();
    assert!(entries == records, "its entries are the records, in order");
    let reader = TileHashReader::new(size, root, &shown);
    let proof = prove_tree(size, 1, &reader).unwrap();
    check_tree(&proof, size, root, 1, old_root).unwrap();

    // It would say so.
    let tiles: Vec<&String> = shown.files.keys().collect();
    assert!(tiles.len() == 5 && tiles.iter().any(|path| path.starts_with("tile/1/")), "{tiles:?}");
    for path in tiles {
        assert!(shown.changed(path).judge().is_err(), "{path}");
    }
    let forged = String::from_utf8(shown.note.clone()).unwrap().replacen(&size.to_string(), "299", 1);
    assert!(Shown { note: forged.into_bytes(), ..shown.clone() }.judge().is_err());

    let key = info(&relay).await.log_key;
    relay.kill_and_restart().await;
    assert_eq!(info(&relay).await.log_key, key);
    assert!(fetch(&relay, size).await == shown, "a start changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_are_kept_for_ever_and_checkpoints_are_not() {
    let relay = Relay::start().await;
    Tab::start(&relay, 1).await.join(1).await;
    let campaign = relay.info().await.campaign;
    let get = async |path: &str| relay.get(&format!("log/{campaign}/{path}")).await;
    for (path, kind, cache) in [
        ("checkpoint", "text/plain; charset=utf-8", "public, max-age=2"),
        ("tile/0/000.p/1", "application/octet-stream", "public, max-age=31536000, immutable"),
        ("tile/entries/000.p/1", "application/octet-stream", "public, max-age=31536000, immutable"),
    ] {
        let answer = get(path).await;
        let headers = (answer.header("content-type"), answer.header("cache-control"));
        assert_eq!((answer.status, headers), (200, (Some(kind), Some(cache))), "{path}");
    }
    for (path, status) in [
        ("tile/0/000", 404),
        ("tile/0/000.p/200", 404),
        ("tile/1/000.p/1", 404),
        ("tile/entries/001.p/1", 404),
        ("tile/0/0", 400),
        ("tile/0/000.p/0", 400),
        ("tile/0/000.p/256", 400),
        ("tile/64/000", 400),
        ("tile/x/000", 400),
    ] {
        let answer = get(path).await;
        assert_eq!((answer.status, answer.header("cache-control")), (status, None), "{path}");
    }
    let other = CampaignId::of_manifest(b"another");
    for path in ["checkpoint", "tile/0/000.p/1"] {
        assert_eq!(relay.get(&format!("log/{other}/{path}")).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_coordinator_certifies_the_logs_key() {
    use base64::Engine;
    let relay = Relay::start().await;
    let info = info(&relay).await;
    let key = info.log_key.unwrap();
    let certificate = base64::engine::general_purpose::STANDARD.decode(key.certificate).unwrap();
    let certificate = verify::<LogKey>(&certificate).unwrap();
    assert_eq!((certificate.account(), certificate.get().campaign), (info.coordinator, info.campaign));
    let verifier = LogKey::verifier(&certificate).unwrap();
    assert_eq!(verifier.to_string(), key.vkey);
    let (_status, note) = get(&relay, "checkpoint").await;
    let signed = SignedCheckpoint::open(&note, &verifier, check_ed25519).unwrap();
    assert_eq!(signed.checkpoint().origin(), lichen_log::origin(info.campaign, &info.coordinator));
}

/// Sends a relay what a witness sends; the answer's status.
async fn post(relay: &Relay, note: &[u8]) -> u16 {
    let campaign = relay.info().await.campaign;
    let mut stream = relay.connect().await;
    let head = format!(
        "POST /log/{campaign}/cosignature HTTP/1.1\r\nHost: relay\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        note.len()
    );
    stream.write_all(&[head.as_bytes(), note].concat()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_witness_signs_below_the_checkpoint_and_nobody_else_does() {
    let (key, strange) = (Ed25519Key::from_seed(&[7; 32]).unwrap(), Ed25519Key::from_seed(&[8; 32]).unwrap());
    let named =
        |key: &Ed25519Key| VerifierKey::new("witness.example", KeyKind::Cosignature, key.public()).unwrap();
    let (witness, stranger) = (named(&key), named(&strange));
    let mut relay = Relay::start_with(&["--witness", &witness.to_string()]).await;
    let verifier: VerifierKey = info(&relay).await.log_key.unwrap().vkey.parse().unwrap();
    let newest = async |relay: &Relay| {
        let (_status, note) = get(relay, "checkpoint").await;
        SignedCheckpoint::open(&note, &verifier, check_ed25519).unwrap()
    };
    let plain = newest(&relay).await;
    let mut strangers = plain.clone();
    strangers.cosign(&stranger, 5, |text| strange.sign(text));
    let mut forged = plain.clone();
    forged.cosign(&witness, 5, |text| strange.sign(text));
    for (note, status) in [
        (plain.to_bytes(), 403),
        (strangers.to_bytes(), 403),
        (forged.to_bytes(), 400),
        (b"nothing".to_vec(), 400),
        (vec![b'a'; 20_000], 413),
    ] {
        assert_eq!(post(&relay, &note).await, status);
    }
    assert_eq!(newest(&relay).await, plain);
    let mut cosigned = strangers;
    cosigned.cosign(&witness, 6, |text| key.sign(text));
    assert_eq!(post(&relay, &cosigned.to_bytes()).await, 200);
    let shown = newest(&relay).await;
    assert_eq!(shown.cosigned_by(&witness, check_ed25519), Ok(Some(6)));
    assert_eq!(shown.cosigned_by(&stranger, check_ed25519), Ok(None));

    // A copy has it, too, and takes none itself.
    let follower = Relay::start_with(&["--follow", &relay.url]).await;
    let copied = async {
        while get(&follower, "checkpoint").await.1 != shown.to_bytes() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, copied).await.expect("the checkpoint was not copied");
    assert_eq!(info(&follower).await.log_key, info(&relay).await.log_key);
    assert_eq!(get(&follower, "tile/0/000.p/1").await, get(&relay, "tile/0/000.p/1").await);
    assert_eq!(post(&follower, &cosigned.to_bytes()).await, 403);

    // The next checkpoint is another one.
    Tab::start(&relay, 1).await.join(1).await;
    let next = async {
        while newest(&relay).await.checkpoint().size() == 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, next).await.expect("there was no newer checkpoint");
    assert_eq!(post(&relay, &cosigned.to_bytes()).await, 409);
    relay.kill().await;
}

/// What a relay says that enough witnesses have seen.
async fn witnessed(tab: &Tab) -> Option<Witnessed> {
    match tab.ask(Request::Witnessed { campaign: tab.campaign }).await {
        Reply::Witnessed(witnessed) => Some(witnessed),
        reply => {
            assert_eq!(refused(&reply), Reason::NotFound);
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_manifests_witnesses_have_seen_is_kept_and_proven() {
    let keys = [7, 8].map(|seed| Ed25519Key::from_seed(&[seed; 32]).unwrap());
    let named = |(key, number): (&Ed25519Key, u8)| {
        VerifierKey::new(&format!("w{number}.example"), KeyKind::Cosignature, key.public()).unwrap()
    };
    let witnesses = keys.iter().zip(1..).map(named).collect::<Vec<_>>();
    let texts: Vec<String> = witnesses.iter().map(ToString::to_string).collect();
    let folder = changed("[rounds]", &format!("[log]\nwitnesses = {texts:?}\n\n[rounds]"));
    let relay = Relay::start_with(&["--campaign", folder.path().to_str().unwrap()]).await;
    let follower = Relay::start_with(&["--follow", &relay.url]).await;
    let tab = Tab::start(&relay, 1).await;
    let info = info(&relay).await;
    let log_key = info.log_key.unwrap();
    let verifier: VerifierKey = log_key.vkey.parse().unwrap();
    let (_status, plain) = get(&relay, "checkpoint").await;
    let mut note = SignedCheckpoint::open(&plain, &verifier, check_ed25519).unwrap();
    for (key, witness) in keys.iter().zip(&witnesses) {
        assert_eq!(witnessed(&tab).await, None, "fewer than two");
        assert_eq!(get(&relay, "witnessed").await.0, 404);
        note.cosign(witness, 6, |text| key.sign(text));
        assert_eq!(post(&relay, &note.to_bytes()).await, 200, "the operator need not name them");
    }
    let seen = witnessed(&tab).await.unwrap();
    assert_eq!(get(&relay, "witnessed").await, (200, seen.checkpoint.clone()));
    let check = async |claim: &Ed25519Claim| claim.is_true(check_ed25519);
    let head = seen.check_by((info.campaign, &info.coordinator), (&witnesses, 2), check).await.unwrap();
    let (records, _head) = tab.read(1).await;
    assert_eq!((head.length, head.hash), (1, records[0].hash));
    let reader = Tab::start(&follower, 2).await;
    let copied = async {
        while witnessed(&reader).await.as_ref() != Some(&seen) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, copied).await.expect("a copy has the same");

    // The next checkpoint, which nobody has signed yet, takes nothing away.
    tab.join(1).await;
    let next = async {
        while get(&relay, "checkpoint").await.1 == note.to_bytes() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, next).await.expect("there was no newer checkpoint");
    assert_eq!(witnessed(&tab).await, Some(seen));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_takes_over_signs_on_with_the_same_key() {
    let mut leader = Relay::start().await;
    let tab = Tab::start(&leader, 1).await;
    tab.join(1).await;
    let mut follower = Relay::start_with(&["--follow", &leader.url]).await;
    let length = leader.length().await;
    follower.metric_reaches("lichen_log_length", length).await;
    let (key, shown) = (info(&leader).await.log_key, fetch(&leader, length).await);
    std::fs::copy(leader.data.path().join("account.key"), follower.data.path().join("account.key")).unwrap();
    leader.kill().await;
    follower.kill().await;
    follower.promote().await;
    assert_eq!(info(&follower).await.log_key, key);
    let (old_root, entries) = shown.judge().unwrap();
    let size = follower.length().await;
    let later = fetch(&follower, size).await;
    let (root, later_entries) = later.judge().unwrap();
    assert!(later_entries.starts_with(&entries));
    let reader = TileHashReader::new(size, root, &later);
    check_tree(&prove_tree(size, length, &reader).unwrap(), size, root, length, old_root).unwrap();
}
