//! What befalls whom, and when: it follows from the seed before the run begins, so that a failing run can be shrunk.

use crate::random::Random;
use crate::settings::{Fault, Settings};

/// Something that befalls somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// A tab is killed, and opened again after so many milliseconds.
    Kill {
        /// Which tab.
        peer: usize,
        /// How long it is closed.
        for_ms: u64,
        /// Whether what it wrote last is not whole.
        is_torn: bool,
    },
    /// A tab's connection breaks.
    CutOff {
        /// Which tab's.
        peer: usize,
    },
    /// A tab stands still.
    Sleep {
        /// Which tab.
        peer: usize,
        /// For how long.
        for_ms: u64,
    },
    /// Nothing gets from some tabs to the relay, or from the relay to them, or neither.
    Part {
        /// The first tab.
        from: usize,
        /// How many, in the order of their numbers.
        count: usize,
        /// Whether what they send is lost.
        is_up: bool,
        /// Whether what they are sent is late.
        is_down: bool,
        /// For how long.
        for_ms: u64,
    },
    /// A person pauses, and goes on.
    Pause {
        /// Which tab's.
        peer: usize,
        /// For how long.
        for_ms: u64,
    },
    /// A person leaves, and joins again.
    Leave {
        /// Which tab's.
        peer: usize,
        /// After how long.
        for_ms: u64,
    },
    /// The relay is killed. What is not written is gone, and nobody was told of it.
    Restart {
        /// How long it is away.
        for_ms: u64,
        /// By how much its clock is then set, in milliseconds.
        clock_ms: i64,
    },
    /// Another relay, which follows this one, takes its place.
    TakeOver {
        /// How long nobody is there.
        for_ms: u64,
    },
    /// The operator goes back to what was settled so many rounds ago.
    GoBack {
        /// How many.
        rounds: u64,
    },
    /// The relay is killed, and has lost so many records that it had written.
    LoseWrites {
        /// How many.
        records: usize,
    },
    /// The relay shows a tab another log than the others.
    Equivocate {
        /// Which tab.
        peer: usize,
    },
    /// Hostile peers do something, all at once.
    Attack {
        /// What.
        kind: u64,
    },
}

/// How long things go wrong, in milliseconds for each round that is wanted.
const STORM_PER_ROUND_MS: u64 = 2_500;

/// How many mishaps of each kind there are in a small run, at most.
const FEW: u64 = 5;

/// What happens in a run, by time.
pub(crate) fn plan(settings: &Settings) -> Vec<(u64, Mishap)> {
    let storm = settings.rounds * STORM_PER_ROUND_MS;
    let mut all = Vec::new();
    for (purpose, fault) in settings.faults.iter().enumerate() {
        let mut random = Random::new(settings.seed, 100 + purpose as u64);
        for _ in 0..count(fault, settings, &mut random) {
            let at = random.between(500, storm);
            if let Some(mishap) = mishap(fault, settings, &mut random) {
                all.push((at, mishap));
            }
        }
    }
    all.sort_by_key(|(at, _mishap)| *at);
    match &settings.only {
        None => all,
        Some(only) => only.iter().filter_map(|place| all.get(*place).copied()).collect(),
    }
}

/// Mishaps of tabs grow with the tabs, those of the relay do not.
fn count(fault: Fault, settings: &Settings, random: &mut Random) -> u64 {
    let tabs = settings.peers as u64 * settings.rounds;
    match fault {
        Fault::Network => 1 + random.below(FEW) + tabs / 200,
        Fault::Partitions => 1 + random.below(3),
        Fault::Crashes => 1 + random.below(FEW) + tabs / 50,
        Fault::Sleep => 1 + random.below(3) + tabs / 100,
        Fault::Clocks => 0,
        Fault::Restarts => 1 + random.below(3),
        Fault::Takeover | Fault::LostWrites | Fault::GoBack => 1,
        Fault::Equivocation => 1 + random.below(2),
        Fault::Hostile => 5 + random.below(settings.rounds * 10),
    }
}

fn mishap(fault: Fault, settings: &Settings, random: &mut Random) -> Option<Mishap> {
    let peer = random.place(settings.peers);
    let for_ms = random.between(50, 8_000);
    Some(match fault {
        Fault::Network => Mishap::CutOff { peer },
        Fault::Partitions => Mishap::Part {
            from: peer,
            count: 1 + random.place(settings.peers / 2 + 1),
            is_up: random.chance(700),
            is_down: random.chance(700),
            for_ms: random.between(500, 20_000),
        },
        Fault::Crashes => match random.below(6) {
            0 => Mishap::Pause { peer, for_ms },
            1 => Mishap::Leave { peer, for_ms },
            _ => Mishap::Kill { peer, for_ms, is_torn: random.chance(500) },
        },
        Fault::Sleep => Mishap::Sleep { peer, for_ms: random.between(1_000, 25_000) },
        Fault::Clocks => return None,
        Fault::Restarts => {
            let hour = 3_600_000_u64;
            let clock = i64::try_from(random.below(2 * hour)).unwrap_or(0) - 3_600_000;
            let clock_ms = if settings.faults.has(Fault::Clocks) { clock } else { 0 };
            Mishap::Restart { for_ms: random.between(100, 5_000), clock_ms }
        }
        Fault::Takeover => Mishap::TakeOver { for_ms: random.between(100, 10_000) },
        Fault::GoBack => Mishap::GoBack { rounds: 1 + random.below(3) },
        Fault::LostWrites => Mishap::LoseWrites { records: 1 + random.place(8) },
        Fault::Equivocation => Mishap::Equivocate { peer },
        Fault::Hostile => Mishap::Attack { kind: random.next() },
    })
}
