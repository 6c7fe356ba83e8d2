//! One run, what came of it, and if a rule was broken the smallest run that breaks it.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Instant;

use lichen_simulate::{Outcome, Settings, Violation, World, run, shrink};
use serde_json::json;

use crate::options::Options;

/// Whether every rule held.
pub(crate) fn run_one(settings: &Settings) -> Result<Outcome, Violation> {
    let began = Instant::now();
    let mut drawn = began;
    let is_terminal = stderr().is_terminal();
    let mut look = |world: &World| {
        let every = if is_terminal { 200 } else { 15_000 };
        if drawn.elapsed().as_millis() < every {
            return;
        }
        drawn = Instant::now();
        let (ms, settled, events) = world.progress();
        let (took, seconds) = (began.elapsed().as_secs(), ms / 1_000);
        let text = format!("{took:>4} s  {seconds} s simulated, {settled} rounds, {events} events");
        if is_terminal {
            eprint!("\r\x1b[2K{text}");
            // Drawing is a courtesy: a closed terminal is no reason to stop.
            let _drawn = stderr().flush();
        } else {
            eprintln!("{text}");
        }
    };
    let result = run(settings, &mut look);
    if is_terminal {
        eprint!("\r\x1b[2K");
    }
    result
}

/// The run that was asked for; whether every rule held.
pub(crate) fn run_asked(options: &Options) -> bool {
    let began = Instant::now();
    match run_one(&options.settings) {
        Ok(outcome) => {
            show(options, &outcome, began.elapsed().as_secs_f64());
            true
        }
        Err(violation) => {
            show_violation(options, &options.settings, &violation);
            false
        }
    }
}

fn show(options: &Options, outcome: &Outcome, seconds: f64) {
    let memory = most_memory();
    let (head, tally, per) = (outcome.head_text(), outcome.tally, outcome.per_round());
    if options.json {
        let value = json!({
            "settings": options.settings.to_string(), "seconds": seconds, "memory_bytes": memory,
            "simulated_ms": outcome.simulated_ms, "settled": outcome.settled, "fruitful": tally.fruitful,
            "skipped": tally.skipped, "set_aside": tally.set_aside, "faults": tally.faults,
            "records": outcome.records, "log_bytes": outcome.log_bytes, "events": tally.events,
            "accuracy": outcome.accuracy, "head": head,
            "per_tab_and_round": {
                "entries_up": per.entries_up, "log_down": per.log_down, "blobs_up": per.blobs_up,
                "blobs_down": per.blobs_down, "peers": per.peers, "messages": per.messages,
            },
        });
        println!("{value}");
        return;
    }
    println!("cargo xtask simulate {}", options.settings);
    let accuracy = outcome.accuracy.map_or("none".into(), |accuracy| format!("{:.1} %", accuracy * 100.0));
    println!(
        "every rule held: {} rounds settled in {} simulated seconds ({} changed the model, {} skipped, {} set aside), \
         held-out accuracy {accuracy}",
        outcome.settled,
        outcome.simulated_ms / 1_000,
        tally.fruitful,
        tally.skipped,
        tally.set_aside
    );
    println!(
        "{} records ({} bytes), {} contributions, {} trainings, {} requests of which {} refused",
        outcome.records,
        outcome.log_bytes,
        tally.contributions,
        tally.trainings,
        tally.received,
        tally.refused
    );
    println!(
        "{} mishaps, {} starts of the relay, {} faults proven, {} peers banned, {} updates excluded, {} tabs distrusted",
        tally.mishaps, tally.starts, tally.faults, tally.banned, tally.excluded, tally.distrusting
    );
    println!(
        "per tab and round: {:.0} bytes of log, {:.0} of own entries, blobs {:.0} down and {:.0} up, {:.0} to peers, {:.1} \
         messages",
        per.log_down, per.entries_up, per.blobs_down, per.blobs_up, per.peers, per.messages
    );
    println!(
        "{} events in {seconds:.1} s, {:.0} MB of memory at most; the log ends with {head}",
        tally.events,
        memory as f64 / 1e6
    );
}

/// Says which rule was broken, and looks for the smallest run that breaks it.
pub(crate) fn show_violation(options: &Options, settings: &Settings, violation: &Violation) {
    println!("BROKEN {violation}");
    println!("    cargo xtask simulate {settings}");
    if !options.shrinks {
        return;
    }
    eprintln!("shrinking");
    let mut count = 0_u32;
    let (smallest, violation) = shrink(settings, violation.clone(), &mut |_smaller| {
        count += 1;
        if stderr().is_terminal() {
            eprint!("\r\x1b[2K{count} times smaller");
        }
    });
    if stderr().is_terminal() {
        eprint!("\r\x1b[2K");
    }
    println!("smallest: {violation}");
    println!("    cargo xtask simulate {smallest}");
}

/// The most memory that this process had, in bytes; 0 where the system does not say.
pub(crate) fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1_024
}
