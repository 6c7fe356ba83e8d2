//! A replica takes in one log, the one that its authority signs, and nothing else.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail")]

mod later;

use lichen_log::{Authority, Beginning, Chain, ChainError, Head, HeadError, Record, Replica, ReplicaError};
use lichen_record::{CampaignId, Cid, Entry, SigningKey, verify};

fn campaign() -> CampaignId {
    CampaignId::of_manifest(b"manifest")
}

fn initial() -> Cid {
    Cid::of_raw(b"the first checkpoint")
}

/// A log that this key publishes and that others join, with the head after each record.
struct Log {
    key: SigningKey,
    records: Vec<Record>,
    heads: Vec<Head>,
}

impl Log {
    fn of(length: u8) -> Self {
        Self::with(length, 9, initial())
    }

    fn with(length: u8, publisher: u8, base: Cid) -> Self {
        let mut chain = Chain::new(campaign());
        let mut log =
            Self { key: SigningKey::generate([9; 32]), records: Vec::new(), heads: vec![*chain.head()] };
        for number in 0..length {
            let (key, entry) = match number {
                0 => {
                    let manifest = campaign().0;
                    (publisher, Entry::Published { campaign: campaign(), manifest, base })
                }
                _ => (number + 20, Entry::Joined { campaign: campaign(), sequence: 1 }),
            };
            let envelope = SigningKey::generate([key; 32]).sign(&entry).unwrap();
            let (record, _receipt) = chain.append(u64::from(number), &verify(&envelope).unwrap()).unwrap();
            log.records.push(record);
            log.heads.push(*chain.head());
        }
        log
    }

    fn head(&self, length: usize) -> Vec<u8> {
        self.key.sign(&self.heads[length]).unwrap()
    }

    fn replica(&self) -> Replica {
        Replica::new(campaign(), Authority::Account(self.key.account()), initial())
    }
}

fn take(replica: &mut Replica, records: &[Record]) -> Result<(), ReplicaError> {
    records.iter().try_for_each(|record| replica.take(record).map(drop))
}

#[test]
fn a_true_log_is_taken_page_by_page() {
    let log = Log::of(5);
    let mut replica = log.replica();
    assert!(!replica.is_complete(), "nothing is known of its end");
    assert_eq!(replica.believe(&log.head(5), 2), Ok(5));
    take(&mut replica, &log.records[..2]).unwrap();
    assert_eq!((replica.length(), replica.signed_length(), replica.is_complete()), (2, 5, false));
    // A page from another relay of the campaign, which is not as far.
    assert_eq!(replica.believe(&log.head(3), 1), Ok(3));
    take(&mut replica, &log.records[2..3]).unwrap();
    assert!(replica.is_complete());
    replica.forget_head();
    assert!(!replica.is_complete(), "another is asked, and has said nothing yet");
    replica.believe(&log.head(5), 2).unwrap();
    take(&mut replica, &log.records[3..]).unwrap();
    assert!(replica.is_complete());
    assert_eq!(replica.into_chain().head(), &log.heads[5]);
}

#[test]
fn a_copy_may_go_beyond_its_signed_head() {
    let log = Log::of(3);
    let mut replica = log.replica();
    replica.believe(&log.head(2), 0).unwrap();
    take(&mut replica, &log.records).unwrap();
    assert_eq!((replica.length(), replica.signed_length(), replica.is_complete()), (3, 2, true));
}

#[test]
fn a_head_is_believed_only_from_the_authority_and_only_if_it_covers_the_log() {
    let (log, other) = (Log::of(3), Log::with(3, 8, initial()));
    let mut replica = log.replica();
    take(&mut replica, &log.records[..2]).unwrap();
    let before = replica.clone();
    let mut refused = |envelope: &[u8], records| replica.believe(envelope, records).unwrap_err();

    let stranger = SigningKey::generate([7; 32]);
    let envelope = stranger.sign(&log.heads[3]).unwrap();
    assert_eq!(refused(&envelope, 0), HeadError::Signer(stranger.account()).into());
    assert_eq!(refused(&log.head(2), 1), HeadError::Length { signed: 2, found: 3 }.into());
    assert_eq!(refused(&log.head(1), 0), HeadError::Length { signed: 1, found: 2 }.into());
    assert_eq!(refused(&other.head(2), 0), HeadError::Hash { length: 2 }.into());
    let foreign = Head { campaign: CampaignId::of_manifest(b"another"), ..log.heads[3] };
    let envelope = log.key.sign(&foreign).unwrap();
    assert_eq!(refused(&envelope, 0), HeadError::Campaign(foreign.campaign).into());
    let mut damaged = log.head(3);
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(refused(&damaged, 0), ReplicaError::Signature(_)));
    assert_eq!(replica, before);
}

#[test]
fn records_lead_to_the_signed_head_or_are_another_log() {
    let (log, mut fork) = (Log::of(3), Log::of(3));
    fork.heads[3].hash[0] ^= 1;
    let mut replica = log.replica();
    replica.believe(&fork.head(3), 3).unwrap();
    assert_eq!(take(&mut replica, &log.records), Err(HeadError::Hash { length: 3 }.into()));
    assert_eq!(replica.length(), 2);
}

#[test]
fn a_record_that_does_not_come_next_changes_nothing() {
    let log = Log::of(3);
    let mut replica = log.replica();
    let before = replica.clone();
    let expected = ChainError::Index { expected: 0, found: 1 };
    assert_eq!(replica.take(&log.records[1]).map(drop), Err(expected.into()));
    assert_eq!(replica, before);
}

#[test]
fn a_record_of_a_later_version_is_no_false_one() {
    let log = Log::of(2);
    let (record, head) = later::record(&log.key, &log.heads[2], 2);
    let mut replica = log.replica();
    replica.believe(&log.key.sign(&head).unwrap(), 3).unwrap();
    take(&mut replica, &log.records).unwrap();
    let before = replica.clone();
    let error = take(&mut replica, std::slice::from_ref(&record)).unwrap_err();
    assert_eq!(error, ChainError::Later { index: 2 }.into());
    assert!(error.is_later());
    assert_eq!(replica, before);
    // It has to stand in the log, and somebody has to have signed it.
    let elsewhere = Record { time: 3, ..record.clone() };
    assert_eq!(take(&mut replica, &[elsewhere]), Err(ChainError::Hash { index: 2 }.into()));
    let mut forged = log.heads[2];
    forged.length = 2;
    let (mut unsigned, _head) = later::record(&log.key, &forged, 2);
    *unsigned.entry.last_mut().unwrap() ^= 1;
    assert!(!take(&mut replica, &[unsigned]).unwrap_err().is_later());
}

#[test]
fn a_campaign_begins_with_its_own_model_and_under_the_account_that_signs_its_log() {
    let log = Log::of(1);
    let theirs = Log::with(1, 8, initial());
    let (found, signer) = (SigningKey::generate([8; 32]).account(), log.key.account());
    let publisher = ReplicaError::Publisher { found, signer };
    assert_eq!(take(&mut log.replica(), &theirs.records), Err(publisher.clone()));

    let published = Cid::of_raw(b"another checkpoint");
    let expected = ReplicaError::Base { expected: initial(), published };
    assert_eq!(take(&mut log.replica(), &Log::with(1, 9, published).records), Err(expected));

    // Whoever knows only the campaign takes the publisher for the authority, whichever of the two comes first.
    let auditor = Replica::new(campaign(), Authority::Publisher, initial());
    let mut head_first = auditor.clone();
    head_first.believe(&log.head(1), 1).unwrap();
    assert_eq!(take(&mut head_first, &theirs.records), Err(publisher));
    take(&mut head_first, &log.records).unwrap();
    assert_eq!(head_first.signer(), Some(signer));
    let mut record_first = auditor;
    take(&mut record_first, &theirs.records).unwrap();
    assert_eq!(record_first.believe(&log.head(1), 0), Err(HeadError::Signer(signer).into()));
}

#[test]
fn a_log_may_be_begun_in_the_middle_and_must_reach_the_head_from_there() {
    let log = Log::of(6);
    let at = |place: usize| {
        let (hash, time) = (log.heads[place].hash, log.records[place - 1].time);
        Beginning { hash, time, record: log.records[place].clone() }
    };
    let begin = |with: &Beginning| Replica::beginning(campaign(), log.key.account(), initial(), with);
    let mut replica = begin(&at(3));
    assert_eq!((replica.length(), replica.is_complete()), (3, false));
    replica.believe(&log.head(6), 3).unwrap();
    take(&mut replica, &log.records[3..5]).unwrap();
    assert!(!replica.is_complete(), "a tail that ends early is no whole log");
    take(&mut replica, &log.records[5..]).unwrap();
    assert!(replica.is_complete());

    // Another history before the record is another record, and one of another place none at all.
    let mut other = at(3);
    other.hash[0] ^= 1;
    let refused = take(&mut begin(&other), &log.records[3..]);
    assert_eq!(refused, Err(ReplicaError::Chain(ChainError::Hash { index: 3 })));
    let refused = take(&mut begin(&at(3)), &log.records[4..]);
    assert_eq!(refused, Err(ReplicaError::Chain(ChainError::Index { expected: 3, found: 4 })));
    let mut late = at(3);
    late.time += 1_000;
    assert!(matches!(
        take(&mut begin(&late), &log.records[3..]),
        Err(ReplicaError::Chain(ChainError::Time { .. }))
    ));

    // Whoever invents a history signs no head that the coordinator has signed.
    let invented = Log::with(6, 9, Cid::of_raw(b"invented"));
    let with = Beginning { hash: invented.heads[3].hash, time: 2, record: invented.records[3].clone() };
    let mut replica = begin(&with);
    replica.believe(&log.head(6), 3).unwrap();
    let refused = take(&mut replica, &invented.records[3..]);
    assert_eq!(refused, Err(ReplicaError::Head(HeadError::Hash { length: 6 })));
}
