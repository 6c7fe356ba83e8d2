//! Reads the campaign's log from the relay, checked.

use std::collections::VecDeque;
use std::rc::Rc;

use futures::future::join_all;
use lichen_log::{Record, Replica, ReplicaError};
use lichen_net::hub::{Notice, Records, Reply, Request};
use lichen_record::{Entry, Verified};

use crate::Platform;
use crate::hub::{Hub, HubError, Replies};

/// How many records are checked at once before others have their turn: some milliseconds' work in a tab.
const SLICE: usize = 32;

/// Reads a campaign's log from the relay and verifies it on the way: chain, signatures, and the coordinator's head.
pub(crate) struct LogReader<P> {
    platform: Rc<P>,
    replies: Replies,
    replica: Replica,
    unread: VecDeque<Record>,
    notice: Option<Notice>,
    /// The newest signed head, until it is handed on.
    head: Option<Vec<u8>>,
}

/// Verified records that continue the log, and the replica after them.
///
/// Whoever takes the batch takes the replica with it: a reader dropped half way has lost nothing.
pub(crate) struct Batch {
    pub(crate) records: Vec<(Record, Verified<Entry>)>,
    pub(crate) replica: Replica,
    /// How the relay is doing, where it has just said so.
    pub(crate) notice: Option<Notice>,
    /// The newest head that the coordinator signed: its envelope.
    pub(crate) head: Option<Vec<u8>>,
}

/// Why the log cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogFault {
    /// The relay cannot be read from at the moment.
    #[error("the log cannot be read: {0}")]
    Hub(#[from] HubError),
    /// What the relay serves is not the campaign's log.
    #[error("the relay serves a false log: {0}")]
    False(ReplicaError),
    /// What the relay serves as what the log comes to is not that.
    #[error("the relay serves a false snapshot: {0}")]
    Snapshot(String),
    /// The log goes on with something that this program does not know.
    #[error("the log is of a later version: {0}")]
    Later(ReplicaError),
}

impl From<ReplicaError> for LogFault {
    fn from(error: ReplicaError) -> Self {
        match error {
            error if error.is_later() => Self::Later(error),
            error if error.is_unable() => Self::Hub(HubError::Unable),
            error => Self::False(error),
        }
    }
}

impl<P: Platform> LogReader<P> {
    /// Reads from where `replica` ends, and follows; hears how the relay is doing where `is_watching`, which a relay of an
    /// earlier version calls malformed.
    pub(crate) fn follow(platform: Rc<P>, hub: &Rc<Hub>, mut replica: Replica, is_watching: bool) -> Self {
        // The end that an earlier connection told of is not the end any more.
        replica.forget_head();
        let (campaign, from) = (replica.campaign(), replica.length());
        let replies = hub.open(&match is_watching {
            true => Request::Watch { campaign, from },
            false => Request::Follow { campaign, from },
        });
        Self { platform, replies, replica, unread: VecDeque::new(), notice: None, head: None }
    }

    /// The next records, as many as are checked at once; none where the relay only says that it lives.
    pub(crate) async fn next(mut self) -> Result<Box<(Batch, Self)>, LogFault> {
        if self.unread.is_empty() {
            self.receive().await?;
        } else {
            self.platform.yield_now().await;
        }
        let records = self.verify_slice().await?;
        let (notice, head) = (self.notice.take(), self.head.take());
        Ok(Box::new((Batch { records, replica: self.replica.clone(), notice, head }, self)))
    }

    async fn receive(&mut self) -> Result<(), LogFault> {
        match self.replies.next().await?.ok_or(HubError::Ended)? {
            Reply::Records(Records { records, head }) => {
                let signed = self.platform.verify(&head).await;
                self.replica.believe_checked(signed, records.len())?;
                self.head = Some(head);
                self.unread.extend(records);
            }
            Reply::Notice(notice) => self.notice = Some(notice),
            _ => return Err(HubError::Unexpected.into()),
        }
        Ok(())
    }

    async fn verify_slice(&mut self) -> Result<Vec<(Record, Verified<Entry>)>, LogFault> {
        let records: Vec<Record> = self.unread.drain(..self.unread.len().min(SLICE)).collect();
        let entries = join_all(records.iter().map(|record| self.platform.verify(&record.entry))).await;
        let mut verified = Vec::with_capacity(records.len());
        for (record, entry) in records.into_iter().zip(entries) {
            let entry = self.replica.take_checked(&record, entry)?;
            verified.push((record, entry));
        }
        Ok(verified)
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use lichen_log::{Authority, Chain, Head};
    use lichen_net::RequestId;
    use lichen_record::{CampaignId, Cid, SigningKey, verify};

    use super::*;
    use crate::native::{Device, Native};

    fn campaign() -> CampaignId {
        CampaignId::of_manifest(b"digits")
    }

    /// A log of members joining, with the head after each record.
    struct Log {
        coordinator: SigningKey,
        records: Vec<Record>,
        heads: Vec<Head>,
    }

    impl Log {
        fn of(length: u8) -> Self {
            let mut chain = Chain::new(campaign());
            let mut log = Self {
                coordinator: SigningKey::generate([99; 32]),
                records: Vec::new(),
                heads: vec![*chain.head()],
            };
            for number in 0..length {
                let key = SigningKey::generate([number + 1; 32]);
                let entry = Entry::Joined { campaign: campaign(), sequence: 1 };
                let entry = verify::<Entry>(&key.sign(&entry).unwrap()).unwrap();
                let (record, _receipt) = chain.append(u64::from(number), &entry).unwrap();
                log.records.push(record);
                log.heads.push(*chain.head());
            }
            log
        }

        fn frame(&self, range: std::ops::Range<usize>, head: usize) -> Vec<u8> {
            self.frame_by(&self.coordinator, range, self.heads[head])
        }

        fn frame_by(&self, key: &SigningKey, range: std::ops::Range<usize>, head: Head) -> Vec<u8> {
            let records = self.records[range].to_vec();
            Reply::Records(Records { records, head: key.sign(&head).unwrap() }).to_bytes().unwrap()
        }
    }

    /// Reads these frames from an empty chain on: the records in them, or why not.
    async fn read(log: &Log, frames: Vec<Vec<u8>>) -> Result<(usize, Head, bool), LogFault> {
        let (records, head, is_caught_up, _notices) = read_with_notices(log, frames).await?;
        Ok((records, head, is_caught_up))
    }

    /// The same, and what the relay has said of itself.
    async fn read_with_notices(
        log: &Log,
        frames: Vec<Vec<u8>>,
    ) -> Result<(usize, Head, bool, Vec<Notice>), LogFault> {
        let hub = Hub::new(Rc::new(|_event| {}));
        let tab = Rc::new(Native::new(Device::new(SigningKey::generate([1; 32])), Vec::new()));
        let authority = Authority::Account(log.coordinator.account());
        let mut replica = Replica::new(campaign(), authority, Cid::of_raw(b"first"));
        let mut reader = LogReader::follow(tab, &hub, replica.clone(), true);
        let mut notices = Vec::new();
        for frame in frames {
            hub.frame(RequestId(0), frame);
        }
        hub.ended(RequestId(0));
        let mut records = 0;
        loop {
            match reader.next().await {
                Ok(read) => {
                    let (batch, next) = *read;
                    records += batch.records.len();
                    notices.extend(batch.notice);
                    replica = batch.replica;
                    reader = next;
                }
                Err(LogFault::Hub(HubError::Ended)) => {
                    let is_caught_up = replica.is_complete();
                    return Ok((records, *replica.into_chain().head(), is_caught_up, notices));
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_true_log_is_read_to_its_end() {
        let log = Log::of(5);
        let frames = vec![log.frame(0..2, 5), log.frame(2..2, 5), log.frame(2..5, 5)];
        let (records, head, is_caught_up) = read(&log, frames).await.unwrap();
        assert_eq!((records, head, is_caught_up), (5, log.heads[5], true));
        let (_records, _head, is_caught_up) = read(&log, vec![log.frame(0..2, 5)]).await.unwrap();
        assert!(!is_caught_up);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_the_relay_says_of_itself_comes_with_the_log() {
        use lichen_net::hub::Cause;

        let log = Log::of(2);
        let stalled = Notice { clock_ahead: 7, stall: Some(Cause::StoreFull) };
        let notice = |notice| Reply::Notice(notice).to_bytes().unwrap();
        let frames = vec![notice(stalled), log.frame(0..1, 2), notice(Notice::default()), log.frame(1..2, 2)];
        let (records, _head, is_caught_up, notices) = read_with_notices(&log, frames).await.unwrap();
        assert_eq!((records, is_caught_up, notices), (2, true, vec![stalled, Notice::default()]));
        let (_records, _head, is_caught_up, _notices) =
            read_with_notices(&log, vec![notice(stalled)]).await.unwrap();
        assert!(!is_caught_up, "it says nothing of where the log ends");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn each_connection_says_anew_where_the_log_ends() {
        let log = Log::of(2);
        let authority = Authority::Account(log.coordinator.account());
        let mut replica = Replica::new(campaign(), authority, Cid::of_raw(b"first"));
        replica.believe(&log.coordinator.sign(&log.heads[2]).unwrap(), 2).unwrap();
        log.records.iter().for_each(|record| drop(replica.take(record).unwrap()));
        assert!(replica.is_complete());

        let hub = Hub::new(Rc::new(|_event| {}));
        let tab = Rc::new(Native::new(Device::new(SigningKey::generate([1; 32])), Vec::new()));
        let reader = LogReader::follow(tab, &hub, replica, true);
        hub.frame(RequestId(0), Reply::Notice(Notice::default()).to_bytes().unwrap());
        let (batch, _reader) = *reader.next().await.unwrap();
        assert!(!batch.replica.is_complete(), "it has only said that it lives");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_false_log_is_not() {
        let log = Log::of(3);
        let mut forged = Log::of(3);
        let signature_end = forged.records[1].entry.len() - 1;
        forged.records[1].entry[signature_end] ^= 1;
        let mut fork = log.heads[3];
        fork.hash[0] ^= 1;
        let stranger = SigningKey::generate([50; 32]);
        let cases = [
            ("an entry is changed", forged.frame(0..3, 3)),
            ("a record is left out", log.frame(1..3, 3)),
            ("the head is another log's", log.frame_by(&log.coordinator, 0..3, fork)),
            ("the head is a stranger's", log.frame_by(&stranger, 0..3, log.heads[3])),
            ("the head is older than the records", log.frame(0..3, 2)),
        ];
        for (case, frame) in cases {
            assert!(matches!(read(&log, vec![frame]).await, Err(LogFault::False(_))), "{case}");
        }
    }
}
