//! The fold's state as bytes, so that whoever comes later need not fold from the beginning.
//!
//! One state has one form, whoever writes it, and its content id stands in the log every so many entries (`Snapshot`): whoever
//! folds from the beginning checks it on the way. What the manifest says is not in it.

use alloc::vec::Vec;

use lichen_record::{AccountId, CampaignId, Cid};

use super::steering::Steering;
use super::{CampaignState, Published};
use crate::codec::{Coded, Reader, Writer};
use crate::roll::Roll;
use crate::{Refusal, Round, Rules};

/// Most bytes of a state that is written: those of some 200,000 members. The log of a larger campaign has no snapshots.
pub const MAX_SNAPSHOT: usize = 16 * 1024 * 1024;

/// The form that is written here. Another one gets another number.
const VERSION: u64 = 1;

/// Why bytes are no state of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// More bytes than a state may have.
    #[error("a state of {0} bytes, at most {MAX_SNAPSHOT} allowed")]
    TooLarge(usize),
    /// In a form that this program does not know.
    #[error("a state in form {0}, which this program does not know")]
    Version(u64),
    /// Not a state, or not in the one form that it has.
    #[error("not the one form of a campaign's state")]
    Malformed,
    /// The state of another campaign.
    #[error("the state of campaign {0}")]
    Campaign(CampaignId),
    /// The state of another log of the campaign, or of another place in it.
    #[error("the state of another log, or of another place in it")]
    Elsewhere,
}

impl CampaignState {
    /// The state in its one form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { campaign, rules, time, length, published } = self;
        let mut to = Writer::default();
        VERSION.write(&mut to);
        campaign.0.write(&mut to);
        time.write(&mut to);
        length.write(&mut to);
        published.is_some().write(&mut to);
        if let Some(published) = published {
            published.write(rules, &mut to);
        }
        to.into_bytes()
    }

    /// Reads the state of a campaign with these rules. It is as right as the bytes: whether they are the ones that the fold gives
    /// is for the log to say.
    ///
    /// # Errors
    /// [`SnapshotError`] if the bytes are too many, or not the one form of such a state.
    pub fn from_bytes(campaign: CampaignId, rules: Rules, bytes: &[u8]) -> Result<Self, SnapshotError> {
        if bytes.len() > MAX_SNAPSHOT {
            return Err(SnapshotError::TooLarge(bytes.len()));
        }
        let mut from = Reader::new(bytes);
        let version = u64::read(&mut from).ok_or(SnapshotError::Malformed)?;
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let found = Cid::read(&mut from).map(CampaignId).ok_or(SnapshotError::Malformed)?;
        if found != campaign {
            return Err(SnapshotError::Campaign(found));
        }
        let state = Self::read(campaign, rules, &mut from).ok_or(SnapshotError::Malformed)?;
        // Whatever could be written in two ways, and whatever stands behind it, shows here.
        if state.to_bytes() == bytes { Ok(state) } else { Err(SnapshotError::Malformed) }
    }

    /// Whether this may be what so many records of a log come to, the last of this time, that this coordinator began with this
    /// checkpoint.
    ///
    /// # Errors
    /// [`SnapshotError::Elsewhere`] if it is not.
    pub fn check_place(
        &self,
        (length, time): (u64, u64),
        coordinator: AccountId,
        initial: Cid,
    ) -> Result<(), SnapshotError> {
        let is_there = (self.length, self.time) == (length, time)
            && self.coordinator() == Some(coordinator)
            && self.initial() == Some(initial);
        if is_there { Ok(()) } else { Err(SnapshotError::Elsewhere) }
    }

    fn read(campaign: CampaignId, mut rules: Rules, from: &mut Reader<'_>) -> Option<Self> {
        let (time, length) = <(u64, u64)>::read(from)?;
        let published = if bool::read(from)? { Some(Published::read(&rules, from)?) } else { None };
        if let Some(published) = &published {
            published.steering.steer(&mut rules);
        }
        Some(Self { campaign, rules, time, length, published })
    }

    /// Place of the log's last snapshot, if it has one.
    #[must_use]
    pub fn last_snapshot(&self) -> Option<u64> {
        self.published.as_ref().map(|published| published.snapshot).filter(|place| *place > 0)
    }

    /// Whether the log's next entry may be a snapshot: there are enough entries since the last one, also in comparison with what
    /// the state takes.
    #[must_use]
    pub fn is_snapshot_due(&self) -> bool {
        let (Some(published), Some(every)) = (&self.published, self.rules.snapshots) else { return false };
        let members = published.roll.members().len() as u64;
        self.length > published.snapshot.saturating_add(members.max(every.into()))
    }

    /// A snapshot is what one's own fold comes to.
    pub(super) fn admit_snapshot(
        &self,
        published: &Published,
        account: AccountId,
        state: Cid,
    ) -> Result<(), Refusal> {
        published.check_coordinator(account)?;
        if !self.is_snapshot_due() {
            return Err(Refusal::SnapshotEarly);
        }
        let bytes = self.to_bytes();
        if bytes.len() > MAX_SNAPSHOT || state != Cid::of_raw(&bytes) {
            return Err(Refusal::WrongSnapshot);
        }
        Ok(())
    }
}

impl Published {
    fn write(&self, rules: &Rules, to: &mut Writer) {
        let Self {
            coordinator,
            history,
            roll,
            patience,
            round,
            is_at_goal,
            contributions,
            faults,
            audits,
            beacon,
            course,
            snapshot,
            steering,
        } = self;
        coordinator.write(to);
        history.write(to);
        roll.write(to);
        patience.write(to);
        round.is_some().write(to);
        if let Some(round) = round {
            round.write(to);
        }
        is_at_goal.write(to);
        contributions.write(to);
        faults.write(to);
        audits.write(to);
        beacon.write(to);
        course.write(to);
        snapshot.write(to);
        // Where nobody decides anything, there is nothing to write, and the form is as it was.
        if rules.organiser.is_some() {
            steering.write(to);
        }
    }

    fn read(rules: &Rules, from: &mut Reader<'_>) -> Option<Self> {
        let coordinator = Coded::read(from)?;
        let history = Coded::read(from)?;
        let roll = Roll::read(from)?;
        let patience = Coded::read(from)?;
        let round = match bool::read(from)? {
            true => Some(Round::read(from, coordinator, rules.audit)?),
            false => None,
        };
        Some(Self {
            coordinator,
            history,
            roll,
            patience,
            round,
            is_at_goal: Coded::read(from)?,
            contributions: Coded::read(from)?,
            faults: Coded::read(from)?,
            audits: Coded::read(from)?,
            beacon: Coded::read(from)?,
            course: Coded::read(from)?,
            snapshot: Coded::read(from)?,
            steering: match rules.organiser {
                Some(_account) => Coded::read(from)?,
                None => Steering::default(),
            },
        })
    }
}
