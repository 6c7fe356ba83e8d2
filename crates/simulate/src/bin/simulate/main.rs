//! `cargo xtask simulate`: runs a campaign, many small ones, or those of the table of growth.
#![allow(clippy::cast_precision_loss, reason = "numbers are shown to people")]

mod growth;
mod many;
mod one;
mod options;

use std::process::ExitCode;

use options::{Mode, Options};

/// The exit code where a rule was broken.
const BROKEN: u8 = 1;

/// The exit code where the options are wrong.
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(MISUSED);
        }
    };
    let has_held = match options.mode {
        Mode::One => one::run_asked(&options),
        Mode::Many(count) => many::run(&options, count),
        Mode::Growth => growth::run(&options),
    };
    if has_held { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) }
}
