//! How a round is written as bytes. What follows from the rest is not written, but counted anew.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use lichen_campaign::Auditing;
use lichen_record::AccountId;

use super::{Accepted, Owners, Reports, Round, Tally};
use crate::codec::{Coded, Reader, Writer};
use crate::say::Say;

impl Round {
    pub(crate) fn write(&self, to: &mut Writer) {
        let Self {
            number,
            base,
            state,
            base_difference,
            opened,
            waiting,
            cohort,
            awaited,
            turns,
            newcomers,
            contributions,
            by_account: _,
            by_update,
            excluded: _,
            stage,
            tally,
            differences,
            reports,
            departed,
            voices,
            committee,
            auditing: _,
        } = self;
        number.write(to);
        base.write(to);
        state.write(to);
        base_difference.write(to);
        opened.write(to);
        waiting.write(to);
        cohort.write(to);
        awaited.write(to);
        turns.write(to);
        newcomers.write(to);
        contributions.write(to);
        // Whose they are follows from the contributions.
        by_update.values().for_each(|owners| owners.say.write(to));
        stage.write(to);
        tally.write(to);
        differences.write(to);
        reports.write(to);
        departed.write(to);
        voices.write(to);
        committee.write(to);
    }

    /// Reads a round of a campaign with this coordinator, where weight is earned so.
    pub(crate) fn read(
        from: &mut Reader<'_>,
        coordinator: AccountId,
        auditing: Option<Auditing>,
    ) -> Option<Self> {
        let number = Coded::read(from)?;
        let base = Coded::read(from)?;
        let state = Coded::read(from)?;
        let base_difference = Coded::read(from)?;
        let opened = Coded::read(from)?;
        let waiting = Coded::read(from)?;
        let cohort = Coded::read(from)?;
        let awaited = Coded::read(from)?;
        let turns = Coded::read(from)?;
        let newcomers = Coded::read(from)?;
        let contributions: Vec<Accepted> = Coded::read(from)?;
        let mut by_account = BTreeMap::new();
        let mut by_update = BTreeMap::new();
        let mut excluded = 0;
        for (place, accepted) in contributions.iter().enumerate() {
            by_account.insert(accepted.account, place);
            if accepted.is_excluded {
                excluded += 1;
                continue;
            }
            let owners = by_update.entry(accepted.update);
            owners.or_insert(Owners { places: Vec::new(), say: Say::NONE }).places.push(place);
        }
        for owners in by_update.values_mut() {
            owners.say = Coded::read(from)?;
        }
        let say_of = |account: &AccountId| {
            let accepted = by_account.get(account).and_then(|place| contributions.get(*place));
            Say::of(auditing, accepted.map_or(0, |accepted| accepted.audited))
        };
        let stage = Coded::read(from)?;
        // The coordinator's word is worth as much as anybody's who has earned it.
        let said = |account: &AccountId| if *account == coordinator { Say::whole() } else { say_of(account) };
        let tally = Tally::read(from, said)?;
        let differences = Coded::read(from)?;
        let reports = Reports::read(from, say_of)?;
        let departed = Coded::read(from)?;
        let voices = Coded::read(from)?;
        let committee = Coded::read(from)?;
        Some(Self {
            number,
            base,
            state,
            base_difference,
            opened,
            waiting,
            cohort,
            awaited,
            turns,
            newcomers,
            contributions,
            by_account,
            by_update,
            excluded,
            stage,
            tally,
            differences,
            reports,
            departed,
            voices,
            committee,
            auditing,
        })
    }
}
