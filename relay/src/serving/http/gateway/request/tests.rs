//! What requests of the gateway ask for, in every form that they may have.

use axum::extract::Query;
use axum::http::{HeaderValue, Uri};
use proptest::prelude::*;

use super::*;

const CID: &str = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq";

fn negotiated(query: &str, accept: Option<&str>) -> Result<Negotiated, Unanswerable> {
    let uri: Uri = format!("/?{query}").parse().unwrap();
    let Query(parameters) = Query::<Parameters>::try_from_uri(&uri).unwrap();
    let accept = accept.map(|accept| (ACCEPT, HeaderValue::from_str(accept).unwrap()));
    Negotiated::of(&parameters, &accept.into_iter().collect())
}

fn archive(query: &str, accept: Option<&str>) -> String {
    match negotiated(query, accept).unwrap().format {
        Format::Car(archive) => archive.to_string(),
        Format::Raw => panic!("{query} {accept:?}"),
    }
}

#[test]
fn the_address_goes_before_accept() {
    let raw = |is_in_address, depends_on_accept| {
        Ok(Negotiated { format: Format::Raw, is_in_address, depends_on_accept })
    };
    assert_eq!(negotiated("format=raw", None), raw(true, false));
    assert_eq!(negotiated("format=raw", Some("*/*")), raw(true, false));
    assert_eq!(negotiated("format=raw", Some(RAW)), raw(true, false));
    assert_eq!(negotiated("format=raw", Some(CAR)), raw(false, false));
    assert_eq!(negotiated("", Some(RAW)), raw(false, true));
    assert_eq!(
        archive("format=car&car-dups=y", Some("application/vnd.ipld.car; dups=n")),
        archive("format=car&car-dups=y", None)
    );
    assert!(archive("format=car", Some("application/vnd.ipld.car; order=unk; dups=y")).contains("dups=y"));
    assert!(!negotiated("format=car", Some("application/vnd.ipld.car;dups=y")).unwrap().is_in_address);
}

#[test]
fn the_best_of_what_is_accepted_and_had_is_given() {
    for (accept, form) in [
        ("application/vnd.ipld.car;order=foo, application/vnd.ipld.car;order=dfs;dups=y;q=0.5", "car"),
        ("application/vnd.ipld.car;q=0.5, application/vnd.ipld.raw", "bin"),
        ("application/vnd.ipld.car;q=0.501, application/vnd.ipld.raw;q=0.5", "car"),
        ("Application/Vnd.Ipld.Raw;q=1.000", "bin"),
        ("text/html, application/vnd.ipld.raw;q=0.001", "bin"),
    ] {
        assert_eq!(negotiated("", Some(accept)).unwrap().format.ending(), form, "{accept}");
    }
    for (query, accept, why) in [
        ("", None, Unanswerable::NoFormat),
        ("", Some("*/*"), Unanswerable::NoFormat),
        ("", Some("text/html, */*;q=0.1"), Unanswerable::Format),
        ("", Some("application/vnd.ipld.raw;q=0"), Unanswerable::Format),
        ("", Some(IPNS_RECORD), Unanswerable::Name),
        ("format=tar", None, Unanswerable::Format),
        ("format=ipns-record", None, Unanswerable::Name),
        ("format=car&car-version=2", None, Unanswerable::Archive),
        ("format=car&car-order=bfs", None, Unanswerable::Archive),
        ("format=car&car-dups=maybe", None, Unanswerable::Archive),
        ("format=car&dag-scope=some", None, Unanswerable::Value("dag-scope")),
        ("format=car&entity-bytes=0", None, Unanswerable::Value("entity-bytes")),
        ("format=car&entity-bytes=*:1", None, Unanswerable::Value("entity-bytes")),
    ] {
        assert_eq!(negotiated(query, accept), Err(why), "{query} {accept:?}");
    }
}

#[test]
fn archives_of_other_parts_are_told_apart() {
    let queries = [
        "",
        "&dag-scope=block",
        "&dag-scope=entity",
        "&dag-scope=all",
        "&entity-bytes=0:*",
        "&entity-bytes=-5:9",
    ];
    let mut known: Vec<_> =
        queries.iter().map(|query| archive(&format!("format=car{query}"), None)).collect();
    known.sort();
    known.dedup();
    assert_eq!(known.len(), queries.len(), "{known:?}");
    let beyond = |query: &str| match negotiated(query, None).unwrap().format {
        Format::Car(archive) => archive.is_beyond(10),
        Format::Raw => panic!(),
    };
    assert!(beyond("format=car&entity-bytes=10:*") && !beyond("format=car&entity-bytes=9:20"));
    assert!(!beyond("format=car&entity-bytes=-20:*"));
}

#[test]
fn an_id_is_read_in_every_base_and_of_every_kind() {
    let Some(Named::Blob(cid)) = Named::read(CID) else { panic!() };
    assert_eq!(Named::read(&CID.to_uppercase()), Some(Named::Blob(cid)));
    let library = ::cid::Cid::try_from(CID).unwrap();
    for base in [
        ::cid::multibase::Base::Base58Btc,
        ::cid::multibase::Base::Base36Lower,
        ::cid::multibase::Base::Base64Url,
    ] {
        assert_eq!(Named::read(&library.to_string_of_base(base).unwrap()), Some(Named::Blob(cid)));
    }
    assert_eq!(Named::read("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKmZmD"), Some(Named::Foreign));
    assert!(matches!(Named::read("bafkqaaa"), Some(Named::Inline(_))));
    for text in ["", "b", "bafkrei", "nonsense", "QmYw", "é"] {
        assert_eq!(Named::read(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn whatever_is_asked_gets_an_answer(id in "\\PC{0,80}", query in "[a-z0-9=&:*%-]{0,60}", accept in "[ -~]{0,80}") {
        let _id = Named::read(&id);
        let uri: Result<Uri, _> = format!("/?{query}").parse();
        if let Some(Ok(Query(parameters))) = uri.ok().map(|uri| Query::<Parameters>::try_from_uri(&uri)) {
            let accept = (ACCEPT, HeaderValue::from_str(&accept).unwrap());
            let _form = Negotiated::of(&parameters, &HeaderMap::from_iter([accept]));
        }
    }
}
