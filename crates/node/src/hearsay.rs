//! What other tabs were shown of the log: in a mesh, tabs tell each other the newest head that the coordinator has signed for
//! them. A relay that shows two histories to two tabs which are connected is found out, with both heads as evidence.

use lichen_log::Head;
use lichen_record::Verified;

use crate::history::{Fork, History, hex};

/// Shortest time between two heads that are told, in milliseconds.
const AGAIN_MS: u64 = 10_000;

/// What was told and heard.
#[derive(Debug, Default)]
pub(crate) struct Hearsay {
    /// The newest head that the relay gave: its envelope.
    own: Option<Vec<u8>>,
    is_told: bool,
    told: Option<u64>,
    /// A head that is to be compared as soon as the log is read so far.
    ahead: Option<Signed>,
}

/// A head that the coordinator has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) head: Head,
    pub(crate) envelope: Vec<u8>,
}

impl Signed {
    pub(crate) fn new(head: &Verified<Head>, envelope: Vec<u8>) -> Self {
        Self { head: *head.get(), envelope }
    }
}

/// The coordinator has signed two histories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TwoHistories {
    pub(crate) fork: Fork,
    /// The head that another tab was shown, and the newest that this one was: envelopes.
    pub(crate) heads: [Vec<u8>; 2],
}

impl Hearsay {
    /// Takes in the newest head that the relay gave.
    pub(crate) fn shown(&mut self, envelope: Vec<u8>) {
        if self.own.as_ref() != Some(&envelope) {
            (self.own, self.is_told) = (Some(envelope), false);
        }
    }

    /// What to tell the others, where it is time to.
    pub(crate) fn due(&mut self, now: u64) -> Option<Vec<u8>> {
        let is_due = !self.is_told && self.told.is_none_or(|told| now >= told + AGAIN_MS);
        let head = self.own.as_ref().filter(|_head| is_due)?;
        (self.is_told, self.told) = (true, Some(now));
        Some(head.clone())
    }

    /// Takes in a head that another tab was shown.
    pub(crate) fn heard(&mut self, signed: Signed, history: &History) -> Result<(), TwoHistories> {
        let Head { length, hash, .. } = signed.head;
        if length > history.length() {
            // The nearest one is the first that can be compared.
            if self.ahead.as_ref().is_none_or(|ahead| length < ahead.head.length) {
                self.ahead = Some(signed);
            }
            return Ok(());
        }
        match history.is_of(length, hash) {
            Some(Err(fork)) => {
                let own = self.own.clone().unwrap_or_default();
                Err(TwoHistories { fork, heads: [signed.envelope, own] })
            }
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Takes in that the log has grown here.
    pub(crate) fn read(&mut self, history: &History) -> Result<(), TwoHistories> {
        match self.ahead.take_if(|ahead| ahead.head.length <= history.length()) {
            Some(signed) => self.heard(signed, history),
            None => Ok(()),
        }
    }
}

impl TwoHistories {
    /// What was found, for people.
    pub(crate) fn in_words(&self) -> String {
        let Fork { length, theirs, here } = &self.fork;
        format!(
            "it has shown another tab another one, whose first {length} entries have the hash {}; those that it showed this tab \
             have the hash {}, and it has signed both",
            hex(theirs),
            hex(here)
        )
    }

    /// Both signed heads, for whoever is to check them.
    pub(crate) fn evidence(&self) -> String {
        let [theirs, here] = self.heads.each_ref().map(|head| hex(head));
        let places = [("another-tab", &self.fork.theirs, theirs), ("this-tab", &self.fork.here, here)];
        let shown = places
            .map(|(who, hash, head)| format!("{who}: hash {}\n{who}: signed head {head}\n", hex(hash)))
            .concat();
        format!("two histories of {} entries\n{shown}", self.fork.length)
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use lichen_record::CampaignId;

    use super::*;
    use crate::history::tests::hash;

    fn signed(length: u64, log: u8) -> Signed {
        let head = Head { campaign: CampaignId::of_manifest(b"digits"), length, hash: hash(length, log) };
        Signed { head, envelope: vec![log, u8::try_from(length).unwrap()] }
    }

    fn history(length: u64) -> History {
        let mut history = History::default();
        (1..=length).for_each(|length| history.read(length, hash(length, 1)));
        history
    }

    #[test]
    fn another_history_is_found_at_once_or_when_it_is_read() {
        let mut hearsay = Hearsay::default();
        hearsay.shown(vec![1, 9]);
        let read = history(9);
        assert_eq!(hearsay.heard(signed(4, 1), &read), Ok(()));
        let found = hearsay.heard(signed(4, 2), &read).unwrap_err();
        assert_eq!(found.heads, [vec![2, 4], vec![1, 9]]);
        assert_eq!(found.fork, Fork { length: 4, theirs: hash(4, 2), here: hash(4, 1) });
        let evidence = found.evidence();
        assert!(
            evidence.contains("another-tab: signed head 0204\n")
                && evidence.contains("this-tab: signed head 0109\n")
        );

        for later in [signed(14, 1), signed(11, 2), signed(12, 1)] {
            assert_eq!(hearsay.heard(later, &read), Ok(()));
        }
        assert_eq!(hearsay.read(&history(10)), Ok(()));
        assert_eq!(hearsay.read(&history(11)).unwrap_err().fork.length, 11);
        assert_eq!(hearsay.read(&history(12)), Ok(()), "it is said once");
    }

    #[test]
    fn each_head_is_told_once_and_not_too_often() {
        let mut hearsay = Hearsay::default();
        assert_eq!(hearsay.due(0), None);
        hearsay.shown(vec![1]);
        assert_eq!((hearsay.due(5), hearsay.due(5)), (Some(vec![1]), None));
        hearsay.shown(vec![1]);
        assert_eq!(hearsay.due(5 + AGAIN_MS), None);
        hearsay.shown(vec![2]);
        hearsay.shown(vec![3]);
        assert_eq!(hearsay.due(4 + AGAIN_MS), None);
        assert_eq!(hearsay.due(5 + AGAIN_MS), Some(vec![3]));
    }
}
