//! Developer commands: `cargo xtask help` lists them.

mod bench;
mod bind;
mod build;
mod check;
mod compress;
mod demo;
mod dense;
mod fuzz;
mod names;
mod page;
mod run;
mod say;
mod screenshots;
mod setup;
mod simulate;
mod size;
mod test;
mod threads;
mod workspace;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lichen_testkit::process;

const HELP: &str = "\
Developer commands of Lichen.

    cargo xtask demo          build everything, start a relay and print the address to open
        --tabs N              drive N headless browser windows instead of waiting for a person
        --until ACCURACY      end when every tab shows this held-out accuracy (default 0.95)
        --timeout SECONDS     give up after this long (default 300)
        --fresh               use a new data folder instead of .lichen/
        --json                end the output with one JSON object
        --engine auto|cpu|gpu use this engine (default auto: measure both and use the faster one)
        --topology hub|mesh   how updates travel: through the relay, or from tab to tab (default hub)
        --campaign NAME|DIR   run this campaign: digits, penguins, or a folder with campaign.toml; repeatable, for
                              several at once on one relay, with the windows shared among them
        --port PORT           listen on this port (default 8080, or a free one if that is taken)
        --hostile N           have N further members lie, by turns about their training and about what rounds
                              come to; ends when they are found out, with what lichen verify says of them
        --churn               close a window every 6 seconds and open another, until each was replaced
        --threads             also build the engine for several threads, so that the page offers them
                              exit codes: 0 accuracy reached, 1 not built or not started, 2 out of time,
                              3 a tab failed, 4 the relay ended
    cargo xtask build         build what an operator runs: the complete page, the relay and the command line
    cargo xtask test          run all tests: native, in the browser, end to end, and with js-libp2p
        --only PART           run only this part: native, browser, end-to-end or interop
        --name TEXT           run only tests whose name contains this
    cargo xtask check         check format, lints, dependency rules, the bare-metal build and licences
    cargo xtask fuzz          feed mutated bytes to every decoder
        --seconds S           run for this long in total (default 60)
        --target NAME         fuzz only targets whose name contains this
        --seed N, --input HEX repeat the same inputs, or try this one only
    cargo xtask simulate      run a whole campaign in one process, from one seed, and check what must hold
        --peers N, --rounds N, --seed S, --topology hub|mesh
        --faults all|none|LIST network, partitions, crashes, sleep, clocks, restarts, takeover, go-back,
                              lost-writes, equivocation, hostile (default none)
        --hostile N           so many of the peers are, where faults have hostile (default a fifth)
        --minimum N, --quorum N, --extensions N, --cohort N, --committee N, --audit, --outer, --robust
                              as the manifest says it
        --seeds N             run so many small campaigns instead, from this seed on, on all cores (--threads N)
        --growth              print the table of what tabs and the relay move, by size and design
        --fold own|shared     whether tabs share the folds of equal logs (default: above 64 tabs)
        --only LIST|none      of the mishaps that the seed gives, only these: for replaying what was shrunk
        --no-shrink           do not look for the smallest run that breaks the same rule
        --trace               tell every record and every mishap
        --json                print one JSON object
                              exit codes: 0 every rule held, 1 one was broken, 2 wrong options
    cargo xtask size          show what a visitor downloads, part by part
        --engine              show what engine and model add to a module instead
    cargo xtask screenshots   take the README's pictures from a live training session
    cargo xtask bench [NAME]  run benchmarks; without a name, list them
    cargo xtask bench engine  compare our engine with TensorFlow.js and jax-js in one browser
        --only W1,W3          measure only these of the workloads W1 to W5
        --engines ours,jax,tfjs, --devices cpu,webgl,webgpu
        --quick               take fewer and shorter samples
        --profile             show how long our kernels take on the CPU instead
        --json                print one JSON object instead of tables
    cargo xtask bench relay   measure a relay under load: memory per tab, signalling, appended entries
        --only memory,signalling,appends, --connections N, --pairs N, --authors N, --seconds S
        --relay-cores LIST    reserve these processors for the relay
        --json                print one JSON object instead of a table
    cargo xtask bench hostile attack a relay, and measure its memory, the effect on honest tabs and on the model
        --only NAMES, --seconds S, --topology hub|mesh, --nodes N
        --json                print one JSON object instead of a table
    cargo xtask bench attacks train swarms with hostile peers, and show which rule of aggregation withstands which attack
        --long                try every rule, with 10, 20, 30 and 45 % hostile peers
        --share PERCENT       hostile peers (default 30)
        --rounds N            rounds (default 12; twice as many where samples are spread by label)
    cargo xtask bench webrtc  measure how long two tabs take to connect, and their speed beside a bare data channel
    cargo xtask bench checking measure how long a tab takes to check a whole record, and lichen verify to do the same
        --contributions NUMBERS, --round N, --members N, --times N
    cargo xtask bench page    measure the processor time of an open page, by thread, in each of its states
        --seconds S           measure each state for that long (default 10)
        --dist DIR            measure the built page in this folder instead of this checkout's
        --json                print one JSON object instead of a table
    cargo xtask setup         only install the tools (other commands do so when needed)
        --debian-rust         use Debian's Rust packages for wasm, for machines where rustup cannot download
    cargo xtask help          show this text; `--help` after a command shows that command's part
";

/// The exit code of a program ended by Ctrl-C.
const INTERRUPTED: i32 = 130;
/// The relay finishes what is in flight in less.
const END_LIMIT: Duration = Duration::from_secs(6);
/// Whether Ctrl-C or SIGTERM came: children end because of it, and we are about to.
static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let handler = ctrlc::set_handler(|| {
        IS_INTERRUPTED.store(true, Ordering::Relaxed);
        say::note("interrupted: ending what was started");
        process::end_all(END_LIMIT);
        std::process::exit(INTERRUPTED);
    });
    let result = handler.context("installing the Ctrl-C handler").and_then(|()| dispatch());
    if is_interrupted() {
        // Whatever failed, failed because of that; the handler ends this process.
        thread::sleep(END_LIMIT * 2);
    }
    match result {
        Ok(code) => code,
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Whether this program is about to end because it was asked to.
fn is_interrupted() -> bool {
    IS_INTERRUPTED.load(Ordering::Relaxed)
}

fn dispatch() -> Result<ExitCode> {
    let mut arguments = lexopt::Parser::from_env();
    let command = match arguments.next()? {
        Some(lexopt::Arg::Value(command)) => command.to_string_lossy().into_owned(),
        Some(lexopt::Arg::Long("help") | lexopt::Arg::Short('h')) => "help".to_owned(),
        Some(other) => return Err(other.unexpected().into()),
        None => {
            eprint!("{HELP}");
            return Ok(ExitCode::FAILURE);
        }
    };
    if let Some(part) = help_of(&command)
        && asks_for_help(std::env::args().skip(2))
    {
        print!("{part}");
        return Ok(ExitCode::SUCCESS);
    }
    match command.as_str() {
        "demo" => demo::demo(arguments),
        "build" => build::build(arguments),
        "test" => test::test(arguments),
        "check" => check::check(arguments),
        "fuzz" => fuzz::fuzz(arguments),
        "simulate" => simulate::simulate(arguments),
        "size" => size::size(arguments),
        "screenshots" => screenshots::screenshots(arguments),
        "bench" => bench::bench(arguments),
        "setup" => setup::setup(arguments),
        "help" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("there is no command {other:?}; `cargo xtask help` lists them"),
    }
}

/// Whether help is among a command's arguments.
fn asks_for_help(mut arguments: impl Iterator<Item = String>) -> bool {
    arguments.any(|argument| argument == "--help" || argument == "-h")
}

/// What the help says about one command; none where it knows no such command.
fn help_of(command: &str) -> Option<String> {
    let mut part = String::new();
    let mut is_meant = false;
    for line in HELP.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("    cargo xtask ") {
            is_meant = rest.split_whitespace().next() == Some(command);
        }
        if is_meant {
            part.push_str(line);
            part.push('\n');
        }
    }
    (!part.is_empty()).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_help_of_its_own() {
        let demo = help_of("demo").unwrap();
        assert!(
            demo.contains("--tabs") && demo.contains("hub|mesh") && !demo.contains("xtask test"),
            "{demo}"
        );
        let bench = help_of("bench").unwrap();
        assert!(bench.contains("bench relay") && bench.contains("bench webrtc"), "{bench}");
        for command in ["build", "test", "check", "fuzz", "simulate", "size", "screenshots", "setup", "help"]
        {
            assert!(help_of(command).is_some(), "{command}");
        }
        assert_eq!(help_of("nothing"), None);
    }

    #[test]
    fn help_is_asked_for_at_any_place() {
        let asks = |line: &str| asks_for_help(line.split_whitespace().map(str::to_owned));
        assert!(asks("--help") && asks("-h") && asks("--tabs 2 --help"));
        assert!(!asks("--tabs 2") && !asks(""));
    }
}
