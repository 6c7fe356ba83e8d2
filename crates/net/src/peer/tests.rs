//! Every message between tabs survives its codec, and damaged ones are refused.
#![expect(clippy::cast_possible_truncation, reason = "numbers here are small")]

use proptest::prelude::*;

use super::*;

fn cid() -> impl Strategy<Value = Cid> {
    any::<[u8; 4]>().prop_map(|content| Cid::of_raw(&content))
}

fn chunk() -> impl Strategy<Value = Reply> {
    (prop::collection::vec(any::<u8>(), 1..300), 0..1_000_000_u64, 0..1_000_000_u64).prop_map(
        |(bytes, offset, more)| Reply::Chunk { total: offset + bytes.len() as u64 + more, offset, bytes },
    )
}

proptest! {
    #[test]
    fn requests_come_back(cid in cid(), offset in 0..MAX_BLOB as u64, credit in 1..=MAX_CREDIT) {
        let request = Request::Pull { cid, offset, credit };
        prop_assert_eq!(Request::from_bytes(&request.to_bytes().unwrap()), Ok(request));
    }

    #[test]
    fn replies_come_back_and_damage_is_never_the_same(
        reply in chunk(), at in any::<prop::sample::Index>(), with in 1..=255_u8,
    ) {
        let bytes = reply.to_bytes().unwrap();
        prop_assert_eq!(Reply::from_bytes(&bytes), Ok(reply.clone()));
        let mut damaged = bytes.clone();
        damaged[at.index(bytes.len())] ^= with;
        prop_assert_ne!(Reply::from_bytes(&damaged), Ok(reply));
        prop_assert!(Reply::from_bytes(&bytes[..at.index(bytes.len())]).is_err(), "cut short");
    }

    #[test]
    fn announcements_come_back(cids in prop::collection::vec(cid(), 1..=MAX_HAVE), length in any::<u16>()) {
        let announcement = Announcement::Have { cids };
        prop_assert_eq!(Announcement::from_bytes(&announcement.to_bytes().unwrap()), Ok(announcement));
        let shown = Announcement::Shown { head: vec![7; usize::from(length)] };
        let is_in_range = (1..=lichen_record::MAX_ENVELOPE).contains(&usize::from(length));
        prop_assert_eq!(Announcement::from_bytes(&shown.to_bytes().unwrap()).is_ok(), is_in_range);
    }

    #[test]
    fn junk_is_refused_or_canonical(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(request) = Request::from_bytes(&bytes) {
            prop_assert_eq!(request.to_bytes().unwrap(), bytes.clone());
        }
        if let Ok(reply) = Reply::from_bytes(&bytes) {
            prop_assert_eq!(reply.to_bytes().unwrap(), bytes.clone());
        }
        if let Ok(announcement) = Announcement::from_bytes(&bytes) {
            prop_assert_eq!(announcement.to_bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn chunks_are_the_part_asked_for(
        length in 1..600_000_usize, offset in 0..700_000_u64, credit in 1..=MAX_CREDIT,
    ) {
        let blob: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let mut next = offset;
        let mut all = Vec::new();
        for reply in Reply::chunks(&blob, offset, credit) {
            prop_assert_eq!(Reply::from_bytes(&reply.to_bytes().unwrap()), Ok(reply.clone()));
            let Reply::Chunk { total, offset, bytes } = reply else { unreachable!() };
            prop_assert_eq!((total, offset), (length as u64, next));
            next += bytes.len() as u64;
            all.extend(bytes);
        }
        let start = (offset as usize).min(length);
        let end = length.min(start + credit as usize);
        prop_assert_eq!(all, &blob[start..end]);
    }
}

#[test]
fn wire_form() {
    let request = Request::Pull { cid: Cid::of_raw(b"blob"), offset: 3, credit: 256 };
    let bytes = request.to_bytes().unwrap();
    assert_eq!(&bytes[..12], b"\xa1\x64pull\xa3\x63cid\xd8"[..].get(..12).unwrap());
    assert_eq!(Reply::Absent.to_bytes().unwrap(), b"\x66absent");
    let chunk = Reply::Chunk { total: 9, offset: 7, bytes: b"xy".to_vec() };
    assert_eq!(chunk.to_bytes().unwrap(), b"\xa1\x65chunk\xa3\x65bytes\x42xy\x65total\x09\x66offset\x07");
}

#[test]
fn what_no_blob_has_is_out_of_range() {
    let cid = Cid::of_raw(b"blob");
    for (offset, credit) in [(0, 0), (0, MAX_CREDIT + 1), (MAX_BLOB as u64, 1), (u64::MAX, 1)] {
        let bytes = Request::Pull { cid, offset, credit }.to_bytes().unwrap();
        assert!(matches!(Request::from_bytes(&bytes), Err(PeerError::OutOfRange(_))), "{offset} {credit}");
    }
    let chunk = |total, offset, length| Reply::Chunk { total, offset, bytes: vec![7; length] };
    let wrong = [
        chunk(0, 0, 1),
        chunk(10, 0, 0),
        chunk(10, 10, 1),
        chunk(10, 5, 6),
        chunk(10, u64::MAX, 1),
        chunk(MAX_BLOB as u64 + 1, 0, 1),
        chunk(1_000_000, 0, MAX_CHUNK + 1),
    ];
    for reply in wrong {
        let refused = Reply::from_bytes(&reply.to_bytes().unwrap());
        assert!(matches!(refused, Err(PeerError::OutOfRange(_))), "{refused:?}");
    }
    for count in [0, MAX_HAVE + 1] {
        let bytes = Announcement::Have { cids: vec![cid; count] }.to_bytes().unwrap();
        assert!(matches!(Announcement::from_bytes(&bytes), Err(PeerError::OutOfRange(_))));
    }
}

#[test]
fn the_longest_messages_fit_their_frames() {
    let total = MAX_BLOB as u64;
    let longest = Reply::Chunk { total, offset: total - MAX_CHUNK as u64, bytes: vec![7; MAX_CHUNK] };
    assert!(longest.to_bytes().unwrap().len() <= MAX_PEER_FRAME);
    assert!(Reply::from_bytes(&vec![0; MAX_PEER_FRAME + 1]).is_err());
    let cids = vec![Cid::of_raw(b"blob"); MAX_HAVE];
    assert!(Announcement::Have { cids }.to_bytes().unwrap().len() <= MAX_ANNOUNCEMENT);
}
