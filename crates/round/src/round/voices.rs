//! The contributors' voices where contributors settle, counted as they change.

use alloc::collections::BTreeMap;

use lichen_record::AccountId;

use crate::codec::{Coded, Reader, Writer, coded};
use crate::say::Say;

/// What a contributor's word is worth, and whether it has spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Voice {
    /// What its word is worth.
    pub(crate) say: Say,
    /// Its contribution counts, and it is not barred.
    pub(crate) counts: bool,
    /// It has not left.
    pub(crate) is_present: bool,
    /// Rounds wait for it.
    pub(crate) is_expected: bool,
    /// Its connection is gone.
    pub(crate) has_departed: bool,
    pub(crate) has_attested: bool,
    /// A report of it stands.
    pub(crate) has_reported: bool,
}

coded!(struct Voice {
    say, counts, is_present, is_expected, has_departed, has_attested, has_reported
});

impl Voice {
    /// Whether the round may still hear of it.
    pub(crate) const fn is_awaited(self) -> bool {
        self.counts && self.is_present && !self.has_departed && !self.has_attested
    }

    const fn attests(self) -> bool {
        self.counts && (self.is_present || self.has_attested)
    }

    const fn is_prompt(self) -> bool {
        self.counts && (self.is_expected || self.has_attested)
    }
}

/// The voices of a round's contributors, and how many there are of each kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Voices {
    voices: BTreeMap<AccountId, Voice>,
    /// Those that count.
    counted: Say,
    /// Those of whose say more than half settles.
    attesters: Say,
    /// Those whom the quorum waits for.
    prompt: usize,
    /// Those that said nothing yet.
    unheard: usize,
    /// Those that said nothing but what they miss.
    stuck: usize,
}

/// The voices alone: how many there are follows from them.
impl Coded for Voices {
    fn write(&self, to: &mut Writer) {
        let Self { voices, counted: _, attesters: _, prompt: _, unheard: _, stuck: _ } = self;
        voices.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let read = BTreeMap::read(from)?;
        let mut voices = Self::new();
        read.into_iter().for_each(|(account, voice)| voices.set(account, voice));
        Some(voices)
    }
}

impl Voices {
    pub(crate) const fn new() -> Self {
        Self {
            voices: BTreeMap::new(),
            counted: Say::NONE,
            attesters: Say::NONE,
            prompt: 0,
            unheard: 0,
            stuck: 0,
        }
    }

    pub(crate) fn get(&self, account: &AccountId) -> Option<Voice> {
        self.voices.get(account).copied()
    }

    pub(crate) const fn counted(&self) -> Say {
        self.counted
    }

    pub(crate) const fn attesters(&self) -> Say {
        self.attesters
    }

    pub(crate) const fn prompt(&self) -> usize {
        self.prompt
    }

    pub(crate) const fn unheard(&self) -> usize {
        self.unheard
    }

    pub(crate) const fn stuck(&self) -> usize {
        self.stuck
    }

    pub(crate) fn set(&mut self, account: AccountId, voice: Voice) {
        let before = self.voices.insert(account, voice);
        for (sum, kind) in [
            (&mut self.counted, (|voice| voice.counts) as fn(Voice) -> bool),
            (&mut self.attesters, Voice::attests),
        ] {
            let of = |voice: Voice| if kind(voice) { voice.say } else { Say::NONE };
            sum.add(of(voice));
            sum.remove(before.map_or(Say::NONE, of));
        }
        for (counter, kind) in [
            (&mut self.prompt, Voice::is_prompt as fn(Voice) -> bool),
            (&mut self.unheard, |voice| voice.is_awaited() && !voice.has_reported),
            (&mut self.stuck, |voice| voice.is_awaited() && voice.has_reported),
        ] {
            *counter += usize::from(kind(voice));
            *counter -= usize::from(before.is_some_and(kind));
        }
    }
}
