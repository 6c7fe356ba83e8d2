//! Hostile peers: those that take part and lie, and entries that somebody signs to do harm.

mod entries;
mod updates;

pub(crate) use entries::entry;
pub(crate) use updates::bend;

use crate::random::Random;

/// How a tab that otherwise does as it should departs from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bent {
    /// It contributes the opposite of what it learnt.
    SignFlip,
    /// It contributes a hundred times what it learnt.
    Scale,
    /// It contributes numbers that are none.
    NotFinite,
    /// It contributes twice the opposite of what the others contributed before it.
    InnerProduct,
    /// It contributes what the others did, less a little.
    ALittle,
    /// It contributes somebody else's update as its own.
    Copier,
    /// It attests a checkpoint that nobody computed.
    FalseAttester,
    /// It attests two.
    Equivocator,
    /// It says of every training that it repeats that it gives something else.
    FalseAuditor,
    /// It promises updates to peers, and serves other bytes.
    Garbage,
    /// It contributes, and never gives its update to anybody.
    Withholder,
}

const ALL: [Bent; 11] = [
    Bent::SignFlip,
    Bent::Scale,
    Bent::NotFinite,
    Bent::InnerProduct,
    Bent::ALittle,
    Bent::Copier,
    Bent::FalseAttester,
    Bent::Equivocator,
    Bent::FalseAuditor,
    Bent::Garbage,
    Bent::Withholder,
];

impl Bent {
    pub(crate) fn drawn(random: &mut Random) -> Self {
        ALL.get(random.place(ALL.len())).copied().unwrap_or(Self::SignFlip)
    }
}
