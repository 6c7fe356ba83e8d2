//! What a visitor downloads.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::page::{self, Index};
use crate::setup::{Toolchain, Tools};
use crate::{bind, compress, run, threads, workspace};

/// Page and worker together stay below this, compressed with brotli.
const INVITATION_LIMIT: usize = 650_000;
/// With what connects to the relay, they stay below this.
const HUB_LIMIT: usize = 850_000;
/// With what connects tabs to each other as well, below this.
const MESH_LIMIT: usize = 975_000;
/// Engine and model add at most this to the worker, compressed with gzip.
const ENGINE_LIMIT: usize = 120 * 1024;

/// The `size` command.
pub(crate) fn size(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    match arguments.next()? {
        None => page(),
        Some(lexopt::Arg::Long("engine")) => engine(),
        Some(other) => Err(other.unexpected().into()),
    }
}

fn page() -> Result<ExitCode> {
    let dist = page::build(&Toolchain::ensure()?, page::Threads::Offered)?;
    println!("{:>10} {:>10} {:>10}  file", "bytes", "gzip", "brotli");
    let mut files = Vec::new();
    for (name, file) in workspace::files_under(&dist)? {
        if !compress::is_compressed(&file) {
            let name = name.display().to_string();
            let sizes = sizes(&file)?;
            print_line(sizes, &name);
            files.push((Needed::of(&name), sizes));
        }
    }
    let mut kept = true;
    for (what, needed, limit) in Needed::SUMS {
        let mut total = [0, 0, 0];
        for (_, sizes) in files.iter().filter(|(when, _)| needed.contains(when)) {
            for (sum, size) in total.iter_mut().zip(sizes) {
                *sum += size;
            }
        }
        let [_, _, brotli] = total;
        print_line(total, &format!("{what}: {} below {limit}", if brotli < limit { "kept" } else { "NOT" }));
        kept &= brotli < limit;
    }
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What has to have come before a file is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needed {
    /// The page itself.
    AtOnce,
    /// Somebody takes part, and updates go through the relay.
    InHub,
    /// Somebody takes part, and tabs meet each other.
    InMesh,
    /// Somebody asks for more than one thread.
    ForThreads,
    /// Somebody has the whole record checked.
    ForChecking,
}

impl Needed {
    /// What is loaded until when, and the most that it may be, compressed with brotli.
    const SUMS: [(&str, &[Self], usize); 3] = [
        ("until somebody takes part", &[Self::AtOnce], INVITATION_LIMIT),
        ("until training, in a hub", &[Self::AtOnce, Self::InHub], HUB_LIMIT),
        ("until training, in a mesh", &[Self::AtOnce, Self::InMesh], MESH_LIMIT),
    ];

    fn of(name: &str) -> Self {
        match name {
            name if threads::is_for_threads(Path::new(name)) => Self::ForThreads,
            name if name.starts_with("lichen-checker") => Self::ForChecking,
            name if name.starts_with("lichen-swarm-mesh") => Self::InMesh,
            name if name.starts_with("lichen-swarm") => Self::InHub,
            _ => Self::AtOnce,
        }
    }
}

/// What engine and model add to a module that reads manifests already, with WebGPU's bindings; then the parts.
fn engine() -> Result<ExitCode> {
    let toolchain = Toolchain::ensure()?;
    let without = module(&toolchain, "without", &[])?;
    let bindings = module(&toolchain, "bindings", &["--features", "bindings"])?;
    let with = module(&toolchain, "with", &["--features", "engine"])?;
    let added = sum(difference(with, without));
    println!("{:>10} {:>10} {:>10}  part", "bytes", "gzip", "brotli");
    print_line(added, "engine, model and WebGPU's bindings add");
    let [module, script] = difference(with, bindings);
    print_line(module, "of which engine and model");
    print_line(script, "of which JavaScript for them");
    let [module, script] = difference(bindings, without);
    print_line(module, "of which WebGPU's bindings (wgpu)");
    print_line(script, "of which JavaScript for them");
    for (name, [module, script]) in [("with", with), ("with bindings only", bindings), ("without", without)] {
        print_line(module, &format!("module {name}"));
        print_line(script, &format!("JavaScript {name}"));
    }
    let [_, gzip, _] = added;
    let kept = gzip <= ENGINE_LIMIT;
    println!("limit {ENGINE_LIMIT} gzip for all of it: {}", if kept { "kept" } else { "exceeded" });
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sizes of a module and of its JavaScript.
type Sizes = [[usize; 3]; 2];

#[expect(clippy::indexing_slicing, reason = "indices are literals below the lengths")]
fn difference(with: Sizes, without: Sizes) -> Sizes {
    [0, 1]
        .map(|part: usize| [0, 1, 2].map(|form: usize| with[part][form].saturating_sub(without[part][form])))
}

#[expect(clippy::indexing_slicing, reason = "indices are literals below the length")]
fn sum([module, script]: Sizes) -> [usize; 3] {
    [0, 1, 2].map(|form: usize| module[form] + script[form])
}

/// Builds that module and gives the sizes of its wasm and of its bindings.
fn module(toolchain: &Toolchain, name: &str, features: &[&str]) -> Result<Sizes> {
    let tools = Tools::ensure()?;
    let mut cargo = toolchain.cargo();
    cargo.args(["build", "--package", "lichen-engine-size", "--profile", "wasm"]);
    cargo.args(["--target", "wasm32-unknown-unknown"]).args(features);
    run::quietly(&format!("Building the module {name:?}"), "1 minute the first time", &mut cargo)?;
    let built = workspace::target().join("wasm32-unknown-unknown/wasm/lichen_engine_size.wasm");
    let folder = workspace::target().join("xtask/engine-size").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let wasm = bind::bind(&tools, &built, &folder, &Index::read()?.worker()?.optimise)?;
    Ok([sizes(&wasm)?, sizes(&folder.join("lichen_engine_size.js"))?])
}

/// Bytes of a file, and of it compressed with gzip and with brotli.
fn sizes(file: &Path) -> Result<[usize; 3]> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok([bytes.len(), compress::gzip(&bytes)?.len(), compress::brotli(&bytes)?.len()])
}

fn print_line([raw, gzip, brotli]: [usize; 3], name: &str) {
    println!("{raw:>10} {gzip:>10} {brotli:>10}  {name}");
}
