//! Blobs for whoever speaks IPFS. What helia makes of them is in `tests/node`.

use std::fs;

use lichen_testkit::http::Response;

use crate::campaign::join_and_wait_for_round;
use crate::process::Relay;
use crate::tab::Tab;

const RAW: (&str, &str) = ("Accept", "application/vnd.ipld.raw");
const CAR: (&str, &str) = ("Accept", "application/vnd.ipld.car");
const UNKNOWN: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.header(name).unwrap_or_else(|| panic!("{name} is missing: {:?}", answer.headers))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_comes_with_what_the_specification_asks_for() {
    let relay = Relay::start().await;
    let id = relay.info().await.campaign.0;
    let plain = relay.get(&format!("blob/{id}")).await;
    let asked = relay.get(&format!("ipfs/{id}?format=raw")).await;
    assert_eq!((asked.status, &asked.body), (200, &plain.body));
    let (length, path) = (plain.body.len().to_string(), format!("/ipfs/{id}"));
    for (name, value) in [
        ("content-type", "application/vnd.ipld.raw"),
        ("content-length", &length),
        ("content-disposition", &format!("attachment; filename=\"{id}.bin\"")),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "public, max-age=29030400, immutable"),
        ("etag", &format!("\"{id}.raw\"")),
        ("accept-ranges", "none"),
        ("x-ipfs-path", &path),
        ("x-ipfs-roots", &id.to_string()),
        ("access-control-allow-origin", "*"),
        ("cross-origin-resource-policy", "cross-origin"),
    ] {
        assert_eq!(header(&asked, name), value, "{name}");
    }
    assert_eq!((asked.header("vary"), asked.header("content-location")), (None, None));
    let accepted = relay.get_with(&format!("ipfs/{id}"), &[RAW]).await;
    assert_eq!((accepted.status, &accepted.body), (200, &plain.body));
    assert_eq!((header(&accepted, "vary"), header(&accepted, "content-location")), ("accept", "?format=raw"));
    let named = relay.get(&format!("ipfs/{id}?format=raw&filename=model.toml")).await;
    assert_eq!(header(&named, "content-disposition"), "attachment; filename=\"model.toml\"");
    assert_eq!(header(&plain, "cross-origin-resource-policy"), "same-origin", "elsewhere it stays as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_holds_the_one_block() {
    let relay = Relay::start().await;
    let id = relay.info().await.campaign.0;
    let block = relay.get(&format!("ipfs/{id}?format=raw")).await.body;
    let whole = relay.get(&format!("ipfs/{id}?format=car")).await;
    assert_eq!(header(&whole, "content-type"), "application/vnd.ipld.car; version=1; order=dfs; dups=n");
    assert_eq!(header(&whole, "content-disposition"), format!("attachment; filename=\"{id}.car\""));
    assert!(whole.body.ends_with(&[&id.to_bytes()[..], &block].concat()));
    let mut etags = vec![header(&whole, "etag").to_owned()];
    for query in
        ["&dag-scope=block", "&dag-scope=entity", "&dag-scope=all", "&entity-bytes=0:9", "&car-dups=y"]
    {
        let part = relay.get(&format!("ipfs/{id}?format=car{query}")).await;
        assert_eq!((part.status, &part.body), (200, &whole.body), "{query}");
        etags.push(header(&part, "etag").to_owned());
    }
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), 6, "{etags:?}");
    let accepted = relay
        .get_with(&format!("ipfs/{id}"), &[("Accept", "application/vnd.ipld.car; dups=y; order=unk")])
        .await;
    assert_eq!(header(&accepted, "content-type"), "application/vnd.ipld.car; version=1; order=dfs; dups=y");
    let location = header(&accepted, "content-location");
    assert_eq!(location, "?format=car&car-version=1&car-order=dfs&car-dups=y");
    assert_eq!(relay.get(&format!("ipfs/{id}{location}")).await.body, accepted.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_it_gets_nothing_twice_and_who_asks_wrongly_learns_why() {
    let relay = Relay::start().await;
    let id = relay.info().await.campaign.0;
    let etag = format!("\"{id}.raw\"");
    let known = relay.get_with(&format!("ipfs/{id}?format=raw"), &[("If-None-Match", &etag)]).await;
    assert_eq!((known.status, known.body.len(), header(&known, "etag")), (304, 0, etag.as_str()));
    let other = relay.get_with(&format!("ipfs/{id}?format=car"), &[("If-None-Match", &etag)]).await;
    assert_eq!(other.status, 200, "an archive is not the block");
    let of_unknown = format!("\"{UNKNOWN}.raw\"");
    let foreign = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKmZmD";
    for (path, accept, status, said) in [
        (format!("ipfs/{UNKNOWN}?format=raw"), None, 404, "not held here"),
        (format!("ipfs/{UNKNOWN}?format=car"), None, 404, "not held here"),
        (
            format!("ipfs/{UNKNOWN}?format=raw"),
            Some(("If-None-Match", of_unknown.as_str())),
            404,
            "not held here",
        ),
        (
            format!("ipfs/{UNKNOWN}?format=raw"),
            Some(("Cache-Control", "only-if-cached")),
            412,
            "not held here",
        ),
        (format!("ipfs/{foreign}?format=raw"), None, 404, "not held here"),
        ("ipfs/nonsense?format=raw".to_owned(), None, 400, "not a content id"),
        (format!("ipfs/{id}"), None, 400, "?format=raw"),
        (format!("ipfs/{id}"), Some(("Accept", "text/html")), 406, "?format=raw"),
        (format!("ipfs/{id}?format=tar"), None, 406, "?format=raw"),
        (format!("ipfs/{id}?format=car&car-version=2"), None, 406, "version 1"),
        (format!("ipfs/{id}?format=car&dag-scope=some"), None, 400, "dag-scope"),
        (format!("ipfs/{id}?format=car&entity-bytes=99999999:*"), None, 400, "fewer bytes"),
        (format!("ipfs/{id}?format=raw&format=car"), None, 400, "twice"),
        (format!("ipfs/{id}/below?format=raw"), None, 400, "no path"),
        (format!("ipfs/{id}/below"), Some(CAR), 404, "not held here"),
        (format!("ipfs/{id}?format=raw"), Some(("Service-Worker", "script")), 400, "service worker"),
    ] {
        let answer = relay.get_with(&path, accept.as_slice()).await;
        assert!(
            answer.status == status && answer.text().contains(said),
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
        assert_eq!(header(&answer, "access-control-allow-origin"), "*", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_find_out_that_it_is_a_gateway() {
    let relay = Relay::start().await;
    let probe = relay.get("ipfs/bafkqaaa?format=raw").await;
    assert_eq!((probe.status, probe.body.len()), (200, 0));
    assert_eq!(relay.get_with("ipfs/bafkqaaa", &[RAW]).await.status, 200);
    let archive = relay.get_with("ipfs/bafkqaaa", &[CAR]).await;
    assert_eq!(archive.status, 200);
    assert!(archive.body.windows(4).any(|four| four == [1, 0x55, 0, 0]), "its root is the id");
    assert_eq!(relay.get("ipfs/bafkqabtimvwgy3yk?format=raw").await.text(), "hello\n");
    let id = relay.info().await.campaign.0;
    for (method, path, status) in [
        ("HEAD", "bafkqaaa?format=raw", 200),
        ("HEAD", &format!("{id}?format=raw"), 200),
        ("HEAD", &format!("{UNKNOWN}?format=raw"), 404),
        ("OPTIONS", &format!("{id}/"), 204),
    ] {
        let (head, body) = ask(&relay, method, path).await;
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")) && body.is_empty(),
            "{method} {path}: {head} {body:?}"
        );
        assert!(head.contains("access-control-allow-methods: get, head, options"), "{head}");
    }
    let (head, _none) = ask(&relay, "HEAD", &format!("{id}?format=raw")).await;
    let length = relay.get(&format!("blob/{id}")).await.body.len();
    assert!(head.contains(&format!("content-length: {length}")), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_damaged_breaks_off() {
    let relay = Relay::start().await;
    let tab = Tab::start(&relay, 1).await;
    let (_round, base) = join_and_wait_for_round(&tab).await;
    let right = relay.get(&format!("ipfs/{base}?format=raw")).await.body;
    assert!(base.matches(&right));
    let file = relay.data().join("blobs").join(base.to_string());
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    for form in ["raw", "car"] {
        let (_head, body) = ask(&relay, "GET", &format!("{base}?format={form}")).await;
        assert!(body.len() < right.len(), "{form}: all of it came");
    }
}

/// What a request for a block is answered with: head and body.
async fn ask(relay: &Relay, method: &str, path: &str) -> (String, Vec<u8>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let mut stream = relay.connect().await;
    let request = format!("{method} /ipfs/{path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(crate::PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    // The head of what breaks off in its first part never comes.
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |end| end + 4);
    let body = answer.split_off(end);
    (String::from_utf8(answer).unwrap().to_ascii_lowercase(), body)
}
