//! Many small runs, each from a seed of its own, on all cores.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use lichen_simulate::{Settings, Violation, run_quietly};
use serde_json::json;

use crate::one::show_violation;
use crate::options::Options;

/// Broken runs that are shrunk, of each rule.
const SHRUNK: usize = 2;

/// Runs so many seeds from the one given on; whether every rule held in all.
pub(crate) fn run(options: &Options, count: u64) -> bool {
    // Panics are found by what they break; what they print would drown that.
    std::panic::set_hook(Box::new(|_panic| {}));
    let (first, next, done) = (options.settings.seed, AtomicU64::new(0), AtomicU64::new(0));
    let broken: Mutex<Vec<(Settings, Violation)>> = Mutex::default();
    let totals: Mutex<[u64; 4]> = Mutex::default();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= count {
                        return;
                    }
                    let settings = Settings::drawn(first + place);
                    match run_quietly(&settings) {
                        Ok(outcome) => {
                            let tally = outcome.tally;
                            let more = [outcome.settled, tally.events, tally.mishaps, tally.faults];
                            let mut totals = totals.lock().unwrap_or_else(|error| error.into_inner());
                            totals.iter_mut().zip(more).for_each(|(total, more)| *total += more);
                        }
                        Err(violation) => {
                            eprintln!("\rseed {}: {violation}", settings.seed);
                            broken
                                .lock()
                                .unwrap_or_else(|error| error.into_inner())
                                .push((settings, violation));
                        }
                    }
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    show_progress(done, count, began);
                }
            });
        }
    });
    if stderr().is_terminal() {
        eprint!("\r\x1b[2K");
    }
    let mut broken = broken.into_inner().unwrap_or_default();
    broken.sort_by_key(|(settings, _violation)| settings.seed);
    let [settled, events, mishaps, faults] = totals.into_inner().unwrap_or_default();
    let seconds = began.elapsed().as_secs_f64();
    if options.json {
        let seeds: Vec<_> = broken.iter().map(|(settings, _violation)| settings.seed).collect();
        let value = json!({
            "runs": count, "broken": seeds, "seconds": seconds, "settled": settled, "events": events,
            "mishaps": mishaps, "faults": faults,
        });
        println!("{value}");
    } else {
        println!(
            "{count} runs from seed {first} on: {} broken; {settled} rounds settled, {events} events, {mishaps} mishaps, \
             {faults} faults proven, in {seconds:.1} s",
            broken.len()
        );
    }
    let mut by_rule = BTreeMap::new();
    for (settings, violation) in &broken {
        let count = by_rule.entry(violation.rule).or_insert(0_usize);
        *count += 1;
        if *count <= SHRUNK {
            show_violation(options, settings, violation);
        }
    }
    broken.is_empty()
}

fn show_progress(done: u64, count: u64, began: Instant) {
    let (took, is_terminal) = (began.elapsed().as_secs(), stderr().is_terminal());
    if is_terminal && done.is_multiple_of(10) {
        eprint!("\r\x1b[2K{took:>4} s  {done} of {count} runs");
        // Drawing is a courtesy: a closed terminal is no reason to stop.
        let _drawn = stderr().flush();
    } else if !is_terminal && done.is_multiple_of(1_000) {
        eprintln!("{took:>4} s  {done} of {count} runs");
    }
}
