//! Whether witnesses have seen the log that this tab was shown, where the campaign's manifest names some (`[log] witnesses`).
//!
//! Whoever orders a log could show two histories of it. Witnesses sign one of them only. So a tab asks its relay for what they
//! have signed last and looks for its last record in its own copy. If another one stands there, the relay lies. If they have not
//! seen what has come since for a minute, the tab holds back: it reads on, and does nothing in its account's name.

use std::collections::VecDeque;
use std::rc::Rc;

use lichen_log::{Head, LogKey, Witnessed, WitnessedError};
use lichen_net::hub::{Reason, Reply, Request};
use lichen_record::{AccountId, VerifyError};

use crate::Platform;
use crate::context::Context;
use crate::hub::HubError;

/// How long records may stand in the log before witnesses have seen any of them, in milliseconds.
const PATIENCE_MS: u64 = 60_000;

/// How often the relay is asked what they have seen, in milliseconds.
const AGAIN_MS: u64 = 5_000;

/// Records of the log whose hashes are kept here: what comes in a minute where a thousand take part.
const RECENT: usize = 16_384;

/// How far witnesses have seen the log that is here.
#[derive(Debug, Default)]
pub(crate) struct Witnessing {
    /// The chain's hashes after each of the last records, the newest last.
    recent: VecDeque<[u8; 32]>,
    /// Number of records here.
    length: u64,
    /// Number of them that witnesses have seen.
    seen: u64,
    /// What they have seen and is still to be read here.
    ahead: Option<Head>,
    /// Since when there are records here that they have not seen, without more of them being seen.
    unseen_since: Option<u64>,
    asked: Option<u64>,
    /// Why what the relay gave last shows nothing.
    unable: Option<String>,
}

/// Witnesses have seen another log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its witnesses have seen another one, whose record {place} has the hash {seen}; the relay showed this tab one with the \
     hash {shown}",
    place = .length.saturating_sub(1), seen = hex(.seen), shown = hex(.shown)
)]
pub(crate) struct Fork {
    length: u64,
    seen: [u8; 32],
    shown: [u8; 32],
}

/// Why it is not known what witnesses have seen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unwitnessed {
    #[error("{0}")]
    Hub(#[from] HubError),
    #[error("the certificate of the log's key: {0}")]
    Certificate(#[from] VerifyError),
    #[error("the log's key is certified by another account, or for another campaign")]
    OthersKey,
    #[error("{0}")]
    Checkpoint(#[from] WitnessedError),
    #[error("this browser cannot check signatures of witnesses (Ed25519); a newer one can")]
    Unable,
}

impl Witnessing {
    /// Takes in a record that was checked: how long the log is with it, and the chain's hash.
    pub(crate) fn read(&mut self, now: u64, length: u64, hash: [u8; 32]) -> Result<(), Fork> {
        if length != self.length.saturating_add(1) {
            self.recent.clear();
        }
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(hash);
        self.length = length;
        self.unseen_since.get_or_insert(now);
        match self.ahead.take_if(|head| head.length <= length) {
            Some(head) => self.witnessed(now, head),
            None => Ok(()),
        }
    }

    /// Whether it is time to ask the relay; notes that it is asked.
    pub(crate) fn is_due(&mut self, now: u64) -> bool {
        let is_due = self.length > self.seen && self.asked.is_none_or(|asked| now >= asked + AGAIN_MS);
        if is_due {
            self.asked = Some(now);
        }
        is_due
    }

    /// Takes in what enough witnesses have signed.
    pub(crate) fn witnessed(&mut self, now: u64, head: Head) -> Result<(), Fork> {
        self.unable = None;
        if head.length > self.length {
            self.ahead = Some(head);
            return Ok(());
        }
        let back = usize::try_from(self.length - head.length).unwrap_or(usize::MAX);
        let place = self.recent.len().checked_sub(1).and_then(|last| last.checked_sub(back));
        let Some(shown) = place.and_then(|place| self.recent.get(place)).copied() else { return Ok(()) };
        if shown != head.hash {
            return Err(Fork { length: head.length, seen: head.hash, shown });
        }
        if head.length > self.seen {
            self.seen = head.length;
            self.unseen_since = (self.length > self.seen).then_some(now);
        }
        Ok(())
    }

    /// Takes in that the relay gave nothing that shows what witnesses have seen.
    pub(crate) fn not_witnessed(&mut self, why: &Unwitnessed) {
        self.unable = match why {
            // Nobody has signed yet, or the connection is gone.
            Unwitnessed::Hub(HubError::Refused(Reason::NotFound) | HubError::Request(_)) => None,
            other => Some(other.to_string()),
        };
    }

    /// Whether records have gone unseen for too long.
    pub(crate) fn is_overdue(&self, now: u64) -> bool {
        self.unseen_since.is_some_and(|since| now.saturating_sub(since) > PATIENCE_MS)
    }

    /// Number of records here that witnesses have seen.
    pub(crate) const fn seen(&self) -> u64 {
        self.seen
    }

    /// Why what the relay gave last shows nothing.
    pub(crate) fn unable(&self) -> Option<&str> {
        self.unable.as_deref()
    }
}

/// Asks the relay for what witnesses have signed last, and checks it.
pub(crate) async fn ask<P: Platform>(
    context: &Rc<Context<P>>,
    coordinator: AccountId,
) -> Result<Head, Unwitnessed> {
    let campaign = context.setup.campaign;
    let Reply::Witnessed(witnessed) = context.hub.ask(&Request::Witnessed { campaign }).await? else {
        return Err(HubError::Unexpected.into());
    };
    let Some(witnesses) = &context.setup.manifest.log.witnesses else { return Err(Unwitnessed::OthersKey) };
    check(&*context.platform, &witnessed, coordinator, (campaign, witnesses)).await
}

async fn check<P: Platform>(
    platform: &P,
    witnessed: &Witnessed,
    coordinator: AccountId,
    (campaign, witnesses): (lichen_record::CampaignId, &lichen_campaign::Witnesses),
) -> Result<Head, Unwitnessed> {
    let log = platform.verify::<LogKey>(&witnessed.certificate).await?;
    if log.account() != coordinator || log.get().campaign != campaign {
        return Err(Unwitnessed::OthersKey);
    }
    let is_unable = std::cell::Cell::new(false);
    let checked = witnessed
        .check_by(&log, (&witnesses.keys, witnesses.quorum), async |claim| {
            let told = platform.check_ed25519(claim).await;
            is_unable.set(is_unable.get() || told.is_none());
            told.unwrap_or(false)
        })
        .await;
    if is_unable.get() { Err(Unwitnessed::Unable) } else { Ok(checked?) }
}

fn hex(hash: &[u8; 32]) -> String {
    hash.iter().fold(String::with_capacity(64), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use lichen_record::CampaignId;

    use super::*;

    fn hash(length: u64, history: u8) -> [u8; 32] {
        let mut hash = [history; 32];
        hash[..8].copy_from_slice(&length.to_be_bytes());
        hash
    }

    fn head(length: u64, history: u8) -> Head {
        Head { campaign: CampaignId::of_manifest(b"digits"), length, hash: hash(length, history) }
    }

    /// A log of so many records, all read at this time.
    fn read(now: u64, length: u64) -> Witnessing {
        let mut witnessing = Witnessing::default();
        for length in 1..=length {
            witnessing.read(now, length, hash(length, 1)).unwrap();
        }
        witnessing
    }

    #[test]
    fn what_they_have_seen_is_looked_for_here() {
        let mut witnessing = read(0, 9);
        assert_eq!(witnessing.seen(), 0);
        for (length, seen) in [(4, 4), (9, 9), (2, 9)] {
            witnessing.witnessed(1, head(length, 1)).unwrap();
            assert_eq!(witnessing.seen(), seen);
        }
        let fork = Fork { length: 5, seen: hash(5, 2), shown: hash(5, 1) };
        assert_eq!(witnessing.witnessed(2, head(5, 2)), Err(fork));
        assert!(fork.to_string().contains("record 4 has the hash 0000000000000005020202"), "{fork}");
    }

    #[test]
    fn what_is_not_read_yet_is_held_against_them_when_it_is() {
        let mut honest = read(0, 3);
        honest.witnessed(1, head(5, 1)).unwrap();
        assert_eq!(honest.seen(), 0);
        let mut fork = read(0, 3);
        fork.witnessed(1, head(5, 2)).unwrap();
        for (witnessing, is_right) in [(&mut honest, true), (&mut fork, false)] {
            witnessing.read(2, 4, hash(4, 1)).unwrap();
            assert_eq!(witnessing.read(2, 5, hash(5, 1)).is_ok(), is_right);
        }
        assert_eq!(honest.seen(), 5);
    }

    #[test]
    fn whoever_begins_late_knows_nothing_of_what_was_before() {
        let mut witnessing = Witnessing::default();
        for length in 800..=900 {
            witnessing.read(0, length, hash(length, 1)).unwrap();
        }
        witnessing.witnessed(1, head(799, 2)).unwrap();
        assert_eq!(witnessing.seen(), 0);
        witnessing.witnessed(1, head(800, 1)).unwrap();
        assert_eq!(witnessing.seen(), 800);
    }

    #[test]
    fn only_so_many_hashes_are_kept() {
        let length = RECENT as u64 + 10;
        let mut witnessing = read(0, length);
        assert_eq!(witnessing.recent.len(), RECENT);
        witnessing.witnessed(1, head(10, 2)).unwrap();
        assert!(witnessing.witnessed(1, head(11, 2)).is_err());
        witnessing.witnessed(1, head(11, 1)).unwrap();
        assert_eq!(witnessing.seen(), 11);
    }

    #[test]
    fn what_goes_unseen_for_a_minute_is_overdue() {
        let mut witnessing = Witnessing::default();
        assert!(!witnessing.is_overdue(u64::MAX), "nothing is read yet");
        witnessing.read(1_000, 1, hash(1, 1)).unwrap();
        assert!(!witnessing.is_overdue(1_000 + PATIENCE_MS) && witnessing.is_overdue(1_001 + PATIENCE_MS));
        witnessing.witnessed(70_000, head(1, 1)).unwrap();
        assert!(!witnessing.is_overdue(u64::MAX), "all is seen, and nothing more has come");
        witnessing.read(400_000, 2, hash(2, 1)).unwrap();
        witnessing.read(430_000, 3, hash(3, 1)).unwrap();
        assert!(!witnessing.is_overdue(460_000));
        witnessing.witnessed(450_000, head(2, 1)).unwrap();
        assert!(!witnessing.is_overdue(510_000) && witnessing.is_overdue(510_001), "they see on");
        witnessing.witnessed(510_000, head(2, 1)).unwrap();
        assert!(witnessing.is_overdue(510_001), "what they saw before is nothing new");
    }

    #[test]
    fn the_relay_is_asked_only_for_what_is_not_known_to_be_seen() {
        let mut witnessing = Witnessing::default();
        assert!(!witnessing.is_due(0));
        witnessing.read(0, 1, hash(1, 1)).unwrap();
        assert!(witnessing.is_due(0) && !witnessing.is_due(AGAIN_MS - 1) && witnessing.is_due(AGAIN_MS));
        witnessing.witnessed(AGAIN_MS, head(1, 1)).unwrap();
        assert!(!witnessing.is_due(10 * AGAIN_MS));
    }
}
