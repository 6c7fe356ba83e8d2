//! What a source shows: a log and its blobs in memory, a page at a time, some blobs sooner than others.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use lichen_log::Record;
use lichen_net::hub::Records;
use lichen_record::{CampaignId, Cid};

use crate::{Source, SourceError};

/// Records given at once: fewer than there are.
const PAGE: usize = 5;

/// A log and its blobs, in memory.
#[derive(Clone)]
pub(super) struct Archive {
    pub(super) records: Vec<Record>,
    /// A record that the relay cannot read.
    pub(super) unreadable: Option<usize>,
    pub(super) head: Vec<u8>,
    pub(super) blobs: BTreeMap<Cid, Vec<u8>>,
}

impl Source for Archive {
    async fn records(&self, _campaign: CampaignId, from: u64, limit: usize) -> Result<Records, SourceError> {
        let from = usize::try_from(from).unwrap().min(self.records.len());
        let to = (from + limit.min(PAGE)).min(self.records.len());
        if self.unreadable.is_some_and(|index| (from..to).contains(&index)) {
            return Err(SourceError::Unreachable("the relay answered 500".into()));
        }
        Ok(Records { records: self.records[from..to].to_vec(), head: self.head.clone() })
    }

    async fn blob(&self, cid: &Cid, cap: usize) -> Result<Vec<u8>, SourceError> {
        // Some come sooner than what was asked for before them.
        for _turn in 0..cid.to_bytes().last().map_or(0, |byte| byte % 7) {
            turn().await;
        }
        let bytes = self.blobs.get(cid).ok_or(SourceError::NotFound)?;
        if bytes.len() > cap { Err(SourceError::TooLarge { cap }) } else { Ok(bytes.clone()) }
    }
}

/// Lets others have their turn.
pub(super) async fn turn() {
    let mut is_over = false;
    poll_fn(|context| {
        if std::mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
