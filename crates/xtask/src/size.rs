//! What a visitor downloads.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::setup::Toolchain;
use crate::{build, compress, workspace};

/// Page and worker together stay below this, compressed with brotli.
const LIMIT: usize = 900_000;

/// The `size` command.
pub(crate) fn size(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    if let Some(argument) = arguments.next()? {
        return Err(argument.unexpected().into());
    }
    let dist = build::page(&Toolchain::ensure()?)?;
    println!("{:>10} {:>10} {:>10}  file", "bytes", "gzip", "brotli");
    let mut total = [0, 0, 0];
    for (name, file) in workspace::files_under(&dist)? {
        if compress::is_compressed(&file) {
            continue;
        }
        let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let sizes = [bytes.len(), compress::gzip(&bytes)?.len(), compress::brotli(&bytes)?.len()];
        print_line(sizes, &name.display().to_string());
        for (sum, size) in total.iter_mut().zip(sizes) {
            *sum += size;
        }
    }
    print_line(total, "total");
    let [_, _, brotli] = total;
    println!("limit {LIMIT} brotli: {}", if brotli < LIMIT { "kept" } else { "exceeded" });
    Ok(if brotli < LIMIT { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_line([raw, gzip, brotli]: [usize; 3], name: &str) {
    println!("{raw:>10} {gzip:>10} {brotli:>10}  {name}");
}
