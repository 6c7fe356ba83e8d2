//! Builds page, worker and swarm into `dist/`, compressed: what `trunk build --release` makes, without having to build Trunk.

mod index;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::setup::{Toolchain, Tools};
use crate::workspace::{self, Stamp};
use crate::{bind, compress, run, threads};
use index::Part;
pub(crate) use index::{Index, Program};

/// What page and worker are made from.
const SOURCES: [&str; 28] = [
    "index.html",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml",
    "swarm",
    "web",
    "worker",
    "crates/bucket",
    "crates/record",
    "crates/campaign",
    "crates/model",
    "crates/learn",
    "crates/engine",
    "crates/round",
    "crates/log",
    "crates/webrtc",
    "crates/store",
    "crates/net",
    "crates/bridge",
    "crates/node",
    "crates/settle",
    "crates/audit",
    "relay/campaigns",
    "crates/xtask/src/page.rs",
    "crates/xtask/src/page",
    "crates/xtask/src/bind.rs",
    "crates/xtask/src/names.rs",
    "crates/xtask/src/threads.rs",
];

/// Fetches the page's module and starts it.
const LOAD: &str = "web/load.mjs";

/// What `web::threads` looks for before it offers several threads.
const THREADS: &str = "<meta name=\"lichen-threads\">";

/// Whether the page offers to train with several threads, which takes an engine of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// It does.
    Offered,
    /// It need not: the engine takes half a minute to build.
    Unasked,
}

/// Builds `dist/`, unless it is up to date. A page with more than was asked for will do.
pub(crate) fn build(toolchain: &Toolchain, threads: Threads) -> Result<PathBuf> {
    let tools = Tools::ensure()?;
    let dist = workspace::dist();
    let mut settings = Tools::versions().to_vec();
    let version = toolchain.version()?;
    settings.push(&version);
    let stamp = Stamp::new("page", &SOURCES, &settings)?;
    if stamp.is_fresh(&dist) && (threads == Threads::Unasked || threads::is_in(&dist)) {
        return Ok(dist);
    }
    let index = Index::read()?;
    compile(toolchain, &index)?;
    let made = workspace::empty_folder("page-new")?;
    Assembly { tools: &tools, folder: &made, threads }.index(&index)?;
    if threads == Threads::Offered {
        threads::engine(toolchain, &tools, &index.worker()?.optimise, &made)?;
    }
    compress::folder(&made)?;
    replace(&dist, &made)?;
    stamp.write(&dist)?;
    Ok(dist)
}

/// All modules in one go, so that the last step of each, which uses one processor, runs beside the others'.
fn compile(toolchain: &Toolchain, index: &Index) -> Result<()> {
    let mut cargo = toolchain.with_source()?.cargo();
    cargo.args(["build", "--profile", "wasm", "--target", "wasm32-unknown-unknown"]);
    // Rust's own library comes compiled for speed. Built along, it is as small as the rest.
    cargo.args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"]);
    for package in index.programs().map(|program| &program.package).collect::<BTreeSet<_>>() {
        cargo.args(["--package", package]);
    }
    // Where in the source something panicked, and what is printed for debugging, is of no use to visitors, and weighs more
    // than a picture. Cargo adds this to the flags of its configuration.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-Zlocation-detail=none -Zfmt-debug=none");
    run::quietly(
        "Building page, worker and swarm",
        "3 minutes the first time, half a minute later",
        &mut cargo,
    )
}

/// Puts what was made in the place of what was there before.
fn replace(dist: &Path, made: &Path) -> Result<()> {
    if dist.exists() {
        fs::remove_dir_all(dist).with_context(|| format!("removing {}", dist.display()))?;
    }
    fs::create_dir_all(dist).with_context(|| format!("making {}", dist.display()))?;
    // Copied, since the build folder may be on another disk.
    for (name, file) in workspace::files_under(made)? {
        fs::copy(&file, dist.join(&name)).with_context(|| format!("copying {}", name.display()))?;
    }
    Ok(())
}

/// The page that is being put together in a folder.
struct Assembly<'a> {
    tools: &'a Tools,
    folder: &'a Path,
    threads: Threads,
}

impl Assembly<'_> {
    /// Makes every part, and `index.html` with their names.
    fn index(&self, index: &Index) -> Result<()> {
        let mut texts = index.texts.iter();
        let mut page = texts.next().cloned().unwrap_or_default();
        for (part, text) in index.parts.iter().zip(texts) {
            page.push_str(&self.part(part)?);
            page.push_str(text);
        }
        self.write("index.html", page.as_bytes())
    }

    /// Makes a part; what `index.html` says of it.
    fn part(&self, part: &Part) -> Result<String> {
        match part {
            Part::Icon { file, media } => {
                Ok(format!("<link rel=\"icon\" type=\"{media}\" href=\"./{}\">", self.copy(file)?))
            }
            Part::Style { file } => Ok(format!("<link rel=\"stylesheet\" href=\"./{}\">", self.copy(file)?)),
            Part::Page { program, initializer } => self.page(program, initializer),
            Part::Later { program } => {
                bind::bind(self.tools, &built(program), self.folder, &program.optimise)?;
                Ok(String::new())
            }
            Part::Worker { program } => {
                bind::bind(self.tools, &built(program), self.folder, &program.optimise)?;
                let name = &program.name;
                let loader = format!("import init from './{name}.js';await init();");
                self.write(&format!("{name}_loader.js"), loader.as_bytes())?;
                Ok(String::new())
            }
        }
    }

    /// The page's own module with its bindings, the scripts that load it, and the one that starts it all.
    fn page(&self, program: &Program, initializer: &str) -> Result<String> {
        let module = bind::bind(self.tools, &built(program), self.folder, &program.optimise)?;
        let size = fs::metadata(&module).with_context(|| format!("asking for {}", module.display()))?.len();
        let bindings = self.folder.join(format!("{}.js", program.name));
        let module = self.rename(&module)?;
        let bindings = self.rename(&bindings)?;
        let [initializer, load] = [self.copy(initializer)?, self.copy(LOAD)?];
        let start = format!(
            "import init from \"./{bindings}\";\nimport start from \"./{initializer}\";\nimport load from \"./{load}\";\n\
             load(init, \"./{module}\", {size}, start());\n"
        );
        let script = with_hash("lichen.mjs", start.as_bytes());
        self.write(&script, start.as_bytes())?;
        let mut tags = format!("<script type=\"module\" src=\"./{script}\"></script>");
        if self.threads == Threads::Offered {
            tags.push_str(THREADS);
        }
        for needed in [&bindings, &initializer, &load] {
            write!(tags, "<link rel=\"modulepreload\" href=\"./{needed}\">")?;
        }
        let kind = "as=\"fetch\" type=\"application/wasm\" crossorigin=\"anonymous\"";
        write!(tags, "<link rel=\"preload\" href=\"./{module}\" {kind}>")?;
        Ok(tags)
    }

    /// Copies a file of the repository, with a hash in its name; that name.
    fn copy(&self, file: &str) -> Result<String> {
        let bytes = fs::read(workspace::root().join(file)).with_context(|| format!("reading {file}"))?;
        let name = with_hash(file.rsplit('/').next().unwrap_or(file), &bytes);
        self.write(&name, &bytes)?;
        Ok(name)
    }

    /// Puts a hash into the name of a file that was made; the new name.
    fn rename(&self, file: &Path) -> Result<String> {
        let name = file.file_name().and_then(|name| name.to_str()).context("a file has no name")?;
        let bytes = fs::read(file).with_context(|| format!("reading {name}"))?;
        let new = with_hash(name, &bytes);
        fs::rename(file, self.folder.join(&new)).with_context(|| format!("renaming {name}"))?;
        Ok(new)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        fs::write(self.folder.join(name), bytes).with_context(|| format!("writing {name}"))
    }
}

/// Where cargo has put a module.
fn built(program: &Program) -> PathBuf {
    workspace::target().join("wasm32-unknown-unknown/wasm").join(&program.name).with_extension("wasm")
}

/// A file's name with a hash of its content, by which browsers may keep it for ever.
fn with_hash(name: &str, bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let (stem, ending) = name.split_at(name.find(['_', '.']).unwrap_or(name.len()));
    format!("{stem}-{:016x}{ending}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_names_hash_is_of_the_content() {
        let [one, two] = [with_hash("page.css", b"1"), with_hash("page.css", b"2")];
        assert_ne!(one, two);
        assert_eq!(one, with_hash("page.css", b"1"));
        assert!(one.starts_with("page-") && one.ends_with(".css") && one.len() == "page-.css".len() + 16);
        assert!(with_hash("lichen-web_bg.wasm", b"1").ends_with("_bg.wasm"));
    }
}
