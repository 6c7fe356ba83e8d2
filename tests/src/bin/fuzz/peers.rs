//! What tabs of a mesh say to each other.

use lichen_net::peer::{self, Announcement};
use lichen_record::Cid;

use crate::targets::{Target, through};

pub(crate) fn requests() -> Target {
    through("peer-request", &pulls(), peer::Request::to_bytes, peer::Request::from_bytes)
}

pub(crate) fn replies() -> Target {
    through("peer-reply", &chunks(), peer::Reply::to_bytes, peer::Reply::from_bytes)
}

pub(crate) fn announcements() -> Target {
    through("peer-announcement", &said(), Announcement::to_bytes, Announcement::from_bytes)
}

fn pulls() -> [peer::Request; 2] {
    let cid = Cid::of_raw(b"blob");
    [(0, 1), (1 << 20, peer::MAX_CREDIT)].map(|(offset, credit)| peer::Request::Pull { cid, offset, credit })
}

fn chunks() -> [peer::Reply; 2] {
    [peer::Reply::Chunk { total: 1 << 20, offset: 1 << 10, bytes: vec![7; 100] }, peer::Reply::Absent]
}

fn said() -> [Announcement; 2] {
    [
        Announcement::Have { cids: vec![Cid::of_raw(b"a"), Cid::of_raw(b"b")] },
        Announcement::Shown { head: vec![7; 250] },
    ]
}
