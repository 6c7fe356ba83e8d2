//! Whether witnesses have seen the log that this tab was shown, where the campaign's manifest names some (`[log] witnesses`).
//!
//! Whoever orders a log could show two histories of it. Witnesses sign one of them only. So a tab asks its relay for what they
//! have signed last and looks for its last record in its own copy. If another one stands there, the relay lies. If they have not
//! seen what has come since for a minute, the tab holds back: it reads on, and does nothing in its account's name.

use std::rc::Rc;

use lichen_log::Head;
use lichen_net::hub::{Reply, Request};
use lichen_record::AccountId;

use crate::Platform;
use crate::context::Context;
use crate::history::{Fork, History, hex};

/// How long records may stand in the log before witnesses have seen any of them, in milliseconds.
const PATIENCE_MS: u64 = 60_000;

/// How often the relay is asked what they have seen, in milliseconds.
const AGAIN_MS: u64 = 5_000;

/// How far witnesses have seen the log that is here.
#[derive(Debug, Default)]
pub(crate) struct Witnessing {
    /// Number of them that witnesses have seen.
    seen: u64,
    /// What they have seen and is still to be read here.
    ahead: Option<Head>,
    /// Since when there are records here that they have not seen, without more of them being seen.
    unseen_since: Option<u64>,
    asked: Option<u64>,
    /// Why it is not known what they have seen, where it is not.
    why: Unwitnessed,
}

/// Why it is not known what witnesses have seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unwitnessed {
    /// The relay gave nothing.
    #[default]
    Absent,
    /// What it gave does not show it.
    Unshown,
    /// This device has no arithmetic for their signatures.
    Unable,
}

impl Witnessing {
    /// Takes in that the log has grown here.
    pub(crate) fn read(&mut self, now: u64, history: &History) -> Result<(), Fork> {
        self.unseen_since.get_or_insert(now);
        match self.ahead.take_if(|head| head.length <= history.length()) {
            Some(head) => self.witnessed(now, head, history),
            None => Ok(()),
        }
    }

    /// Whether it is time to ask the relay; notes that it is asked.
    pub(crate) fn is_due(&mut self, now: u64, length: u64) -> bool {
        let is_due = length > self.seen && self.asked.is_none_or(|asked| now >= asked + AGAIN_MS);
        if is_due {
            self.asked = Some(now);
        }
        is_due
    }

    /// Takes in what enough witnesses have signed.
    pub(crate) fn witnessed(&mut self, now: u64, head: Head, history: &History) -> Result<(), Fork> {
        self.why = Unwitnessed::Absent;
        if head.length > history.length() {
            self.ahead = Some(head);
            return Ok(());
        }
        let Some(is_same) = history.is_of(head.length, head.hash) else { return Ok(()) };
        is_same?;
        if head.length > self.seen {
            self.seen = head.length;
            self.unseen_since = (history.length() > self.seen).then_some(now);
        }
        Ok(())
    }

    /// Takes in that the relay gave nothing that shows what witnesses have seen.
    pub(crate) const fn not_witnessed(&mut self, why: Unwitnessed) {
        self.why = why;
    }

    /// Whether records have gone unseen for too long.
    pub(crate) fn is_overdue(&self, now: u64) -> bool {
        self.unseen_since.is_some_and(|since| now.saturating_sub(since) > PATIENCE_MS)
    }

    /// Number of records here that witnesses have seen.
    pub(crate) const fn seen(&self) -> u64 {
        self.seen
    }

    /// Why it is not known what they have seen, where it is not.
    pub(crate) const fn why(&self) -> Unwitnessed {
        self.why
    }
}

/// Asks the relay for what witnesses have signed last, and checks it.
pub(crate) async fn ask<P: Platform>(
    context: &Rc<Context<P>>,
    coordinator: AccountId,
) -> Result<Head, Unwitnessed> {
    let campaign = context.setup.campaign;
    let Ok(Reply::Witnessed(witnessed)) = context.hub.ask(&Request::Witnessed { campaign }).await else {
        return Err(Unwitnessed::Absent);
    };
    // Nobody asks where none are named.
    let wanted = context.setup.manifest.log.witnesses.as_ref();
    let (keys, quorum) = wanted.map_or((&[][..], u32::MAX), |wanted| (&wanted.keys, wanted.quorum));
    let platform = &context.platform;
    let is_unable = std::cell::Cell::new(false);
    let checked = witnessed
        .check_by((campaign, &coordinator), (keys, quorum), async |claim| {
            let told = platform.check_ed25519(claim).await;
            is_unable.set(is_unable.get() || told.is_none());
            told.unwrap_or(false)
        })
        .await;
    if is_unable.get() { Err(Unwitnessed::Unable) } else { checked.map_err(|_error| Unwitnessed::Unshown) }
}

/// What witnesses have seen, where it is another log.
pub(crate) fn in_words(Fork { length, theirs, here }: &Fork) -> String {
    format!(
        "its witnesses have seen another one, whose first {length} entries have the hash {}; those that the relay showed this \
         tab have the hash {}",
        hex(theirs),
        hex(here)
    )
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use lichen_record::CampaignId;

    use super::*;
    use crate::history::tests::hash;

    fn head(length: u64, log: u8) -> Head {
        Head { campaign: CampaignId::of_manifest(b"digits"), length, hash: hash(length, log) }
    }

    /// A log as it is read.
    #[derive(Default)]
    struct Log {
        witnessing: Witnessing,
        history: History,
    }

    impl Log {
        fn of(length: u64) -> Self {
            let mut log = Self::default();
            (0..length).for_each(|_record| log.read(0).unwrap());
            log
        }

        fn read(&mut self, now: u64) -> Result<(), Fork> {
            let length = self.history.length() + 1;
            self.history.read(length, hash(length, 1));
            self.witnessing.read(now, &self.history)
        }

        fn witnessed(&mut self, now: u64, head: Head) -> Result<(), Fork> {
            self.witnessing.witnessed(now, head, &self.history)
        }

        fn is_due(&mut self, now: u64) -> bool {
            self.witnessing.is_due(now, self.history.length())
        }

        fn is_overdue(&self, now: u64) -> bool {
            self.witnessing.is_overdue(now)
        }
    }

    #[test]
    fn what_they_have_seen_is_looked_for_here() {
        let mut log = Log::of(9);
        assert_eq!(log.witnessing.seen(), 0);
        for (length, seen) in [(4, 4), (9, 9), (2, 9)] {
            log.witnessed(1, head(length, 1)).unwrap();
            assert_eq!(log.witnessing.seen(), seen);
        }
        let fork = Fork { length: 5, theirs: hash(5, 2), here: hash(5, 1) };
        assert_eq!(log.witnessed(2, head(5, 2)), Err(fork));
        let words = in_words(&fork);
        assert!(words.contains("first 5 entries have the hash 0000000000000005020202"), "{words}");
    }

    #[test]
    fn what_is_not_read_yet_is_held_against_them_when_it_is() {
        for (history, is_right) in [(1, true), (2, false)] {
            let mut log = Log::of(3);
            log.witnessed(1, head(5, history)).unwrap();
            assert_eq!(log.witnessing.seen(), 0);
            log.read(2).unwrap();
            assert_eq!(log.read(2).is_ok(), is_right);
            assert_eq!(log.witnessing.seen(), if is_right { 5 } else { 0 });
        }
    }

    #[test]
    fn what_goes_unseen_for_a_minute_is_overdue() {
        let mut log = Log::default();
        assert!(!log.is_overdue(u64::MAX), "nothing is read yet");
        log.read(1_000).unwrap();
        assert!(!log.is_overdue(1_000 + PATIENCE_MS) && log.is_overdue(1_001 + PATIENCE_MS));
        log.witnessed(70_000, head(1, 1)).unwrap();
        assert!(!log.is_overdue(u64::MAX), "all is seen, and nothing more has come");
        log.read(400_000).unwrap();
        log.read(430_000).unwrap();
        assert!(!log.is_overdue(460_000));
        log.witnessed(450_000, head(2, 1)).unwrap();
        assert!(!log.is_overdue(510_000) && log.is_overdue(510_001), "they see on");
        log.witnessed(510_000, head(2, 1)).unwrap();
        assert!(log.is_overdue(510_001), "what they saw before is nothing new");
    }

    #[test]
    fn the_relay_is_asked_only_for_what_is_not_known_to_be_seen() {
        let mut log = Log::default();
        assert!(!log.is_due(0));
        log.read(0).unwrap();
        assert!(log.is_due(0) && !log.is_due(AGAIN_MS - 1) && log.is_due(AGAIN_MS));
        log.witnessed(AGAIN_MS, head(1, 1)).unwrap();
        assert!(!log.is_due(10 * AGAIN_MS));
    }
}
