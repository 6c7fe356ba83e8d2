//! Getting what is missing: the wasm target, the wasm tools, a browser.
//!
//! Tools live in a folder of their own, by version, so that a developer's own ones are neither overwritten nor
//! trusted at the wrong version.

mod debian;
mod toolchain;
mod tools;

use std::process::ExitCode;

use anyhow::Result;

pub(crate) use toolchain::Toolchain;
pub(crate) use tools::{Tools, browser, cargo_deny, firefox, node, wasm_bindgen_test_runner};

/// Gets all tools.
pub(crate) fn setup(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut debian_rust = false;
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("debian-rust") => debian_rust = true,
            other => return Err(other.unexpected().into()),
        }
    }
    if debian_rust {
        toolchain::from_debian()?;
    }
    Toolchain::ensure()?;
    Tools::ensure()?;
    browser()?;
    crate::say::note("everything is there");
    Ok(ExitCode::SUCCESS)
}
