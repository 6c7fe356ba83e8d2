//! The table of growth: what tabs and the relay move in a round, and what that takes of this machine.

use std::time::Instant;

use lichen_simulate::Settings;

use crate::one::{most_memory, run_one, show_violation};
use crate::options::Options;

/// Members of the committees in the table.
const COMMITTEE: u32 = 32;

/// Rounds of each run.
const ROUNDS: u64 = 3;

/// Runs everything that can be run, in the order of its size; whether every rule held.
pub(crate) fn run(options: &Options) -> bool {
    println!(
        "| design | tabs | log, bytes per tab and round | own entries | blobs down | blobs up | served to peers | messages | \
         relay sends, MB a round | s | MB so far |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut has_held = true;
    for (is_mesh, committee, peers) in designs(options.settings.peers) {
        let mut settings = Settings::new(options.settings.seed, peers, ROUNDS);
        (settings.is_mesh, settings.committee) = (is_mesh, committee);
        let began = Instant::now();
        match run_one(&settings) {
            Ok(outcome) => {
                let per = outcome.per_round();
                let design = format!(
                    "{}{}",
                    if is_mesh { "mesh" } else { "hub" },
                    committee.map_or(String::new(), |size| format!(", committee of {size}"))
                );
                let from_relay = per.log_down + if is_mesh { 0.0 } else { per.blobs_down };
                println!(
                    "| {design} | {peers} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.2} | {:.1} | {:.0} |",
                    per.log_down,
                    per.entries_up,
                    per.blobs_down,
                    per.blobs_up,
                    per.peers,
                    per.messages,
                    from_relay * peers as f64 / 1e6,
                    began.elapsed().as_secs_f64(),
                    most_memory() as f64 / 1e6
                );
            }
            Err(violation) => {
                has_held = false;
                show_violation(&Options { shrinks: false, ..options.clone() }, &settings, &violation);
            }
        }
    }
    has_held
}

/// Whoever computes a result needs all updates: without a committee that is everybody, and their square is what stops a run.
fn designs(most: usize) -> Vec<(bool, Option<u32>, usize)> {
    let mut all = Vec::new();
    for peers in [10, 100, 1_000, 10_000] {
        for (is_mesh, committee) in
            [(false, None), (false, Some(COMMITTEE)), (true, None), (true, Some(COMMITTEE))]
        {
            let is_quadratic = committee.is_none();
            let limit = match (is_mesh, is_quadratic) {
                (true, true) => 100,
                (true, false) => 1_000,
                (false, true) => 1_000,
                (false, false) => 10_000,
            };
            if peers <= limit.min(most.max(1_000)) && committee.is_none_or(|size| size as usize <= peers) {
                all.push((is_mesh, committee, peers));
            }
        }
    }
    all
}
