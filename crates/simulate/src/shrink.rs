//! Makes a failing run smaller for as long as it breaks the same rule.

use crate::invariants::{Rule, Violation};
use crate::plan::plan;
use crate::runs::run_quietly;
use crate::settings::{Fault, Settings};

/// The smallest run found that breaks the same rule, and how it does. `look` hears of every smaller one.
pub fn shrink(
    settings: &Settings,
    violation: Violation,
    look: &mut dyn FnMut(&Settings),
) -> (Settings, Violation) {
    let mut best = (settings.clone(), violation);
    while let Some(smaller) = first_simpler(&best) {
        look(&smaller.0);
        best = smaller;
    }
    fewer_mishaps(best, look)
}

/// The first of the runs with one thing less that breaks the same rule.
fn first_simpler((settings, violation): &(Settings, Violation)) -> Option<(Settings, Violation)> {
    simpler(settings).into_iter().find_map(|smaller| {
        let broken = breaks(&smaller, violation.rule)?;
        Some((smaller, broken))
    })
}

fn breaks(settings: &Settings, rule: Rule) -> Option<Violation> {
    run_quietly(settings).err().filter(|violation| violation.rule == rule)
}

/// Runs with one thing less. Mishaps are drawn from the faults and the numbers, so that these come first.
fn simpler(settings: &Settings) -> Vec<Settings> {
    if settings.only.is_some() {
        return Vec::new();
    }
    let mut all: Vec<Settings> = settings
        .faults
        .iter()
        .map(|fault| Settings { faults: settings.faults.without(fault), ..settings.clone() })
        .collect();
    let is_hostile = settings.faults.has(Fault::Hostile);
    let numbers = [
        Settings { rounds: settings.rounds - settings.rounds / 3, ..settings.clone() },
        Settings { rounds: settings.rounds.saturating_sub(1).max(1), ..settings.clone() },
        Settings { peers: settings.peers - settings.peers / 3, ..settings.clone() },
        Settings { peers: settings.peers.saturating_sub(1).max(1), ..settings.clone() },
        Settings {
            hostile: if is_hostile { settings.hostile.saturating_sub(1) } else { 0 },
            ..settings.clone()
        },
        Settings { minimum: 1, ..settings.clone() },
        Settings { audit: false, ..settings.clone() },
        Settings { outer: false, ..settings.clone() },
        Settings { robust: false, ..settings.clone() },
        Settings { shared: false, ..settings.clone() },
        Settings { cohort: None, ..settings.clone() },
        Settings { committee: None, ..settings.clone() },
        Settings { extensions: 0, ..settings.clone() },
    ];
    // As many must be honest as a round needs, or it stands still for another reason.
    let is_sound = |smaller: &Settings| {
        smaller != settings && smaller.peers >= smaller.hostile + smaller.minimum as usize
    };
    all.extend(numbers.into_iter().filter(is_sound));
    all
}

/// Leaves out halves of the mishaps, then quarters, down to single ones.
fn fewer_mishaps(
    (settings, violation): (Settings, Violation),
    look: &mut dyn FnMut(&Settings),
) -> (Settings, Violation) {
    let count = plan(&Settings { only: None, ..settings.clone() }).len();
    let mut best = (settings, violation);
    let mut part = count.div_ceil(2).max(1);
    loop {
        let mut from = 0;
        loop {
            let kept: Vec<usize> = best.0.only.clone().unwrap_or_else(|| (0..count).collect());
            if from >= kept.len() {
                break;
            }
            let fewer: Vec<usize> = kept
                .iter()
                .enumerate()
                .filter(|(place, _mishap)| !(from..from + part).contains(place))
                .map(|(_place, mishap)| *mishap)
                .collect();
            let smaller = Settings { only: Some(fewer), ..best.0.clone() };
            match breaks(&smaller, best.1.rule) {
                Some(violation) => {
                    look(&smaller);
                    best = (smaller, violation);
                }
                None => from += part,
            }
        }
        if part == 1 {
            return best;
        }
        part = part.div_ceil(2);
    }
}
