//! A Rust that builds for wasm: rustup's target, or Debian's compiler with std built from its source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lichen_testkit::process;

use super::debian;
use crate::{run, say};

/// The target of page and worker.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";
/// A target without an operating system.
const BARE: &str = "x86_64-unknown-none";
/// Where rustup cannot download, it hangs rather than fails.
const RUSTUP_LIMIT: Duration = Duration::from_secs(20);
/// The name under which rustup knows Debian's compiler.
const LINKED: &str = "lichen-debian";
const DEBIAN_PACKAGES: [&str; 7] =
    ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "rust-web-clippy", "rustfmt-web", "lld-22"];

/// The Rust toolchain that everything is built with.
#[derive(Clone, Debug)]
pub(crate) struct Toolchain {
    /// `None`: the one this program was started with.
    name: Option<&'static str>,
}

impl Toolchain {
    /// A toolchain that builds for wasm, fetched if need be.
    pub(crate) fn ensure() -> Result<Self> {
        let default = Self { name: None };
        if default.has(WASM) {
            return Ok(default);
        }
        let linked = Self { name: Some(LINKED) };
        if linked.has(WASM) {
            return Ok(linked);
        }
        if default.add(WASM)? {
            return Ok(default);
        }
        say::note("rustup cannot download here; using Debian's Rust packages instead");
        from_debian()?;
        Ok(linked)
    }

    /// Options for cargo that build for a machine without an operating system.
    pub(crate) fn bare_metal(&self) -> Result<Vec<&'static str>> {
        if self.has(BARE) || (self.name.is_none() && self.add(BARE)?) {
            return Ok(vec!["--target", BARE]);
        }
        if self.has_source()? {
            return Ok(vec!["--target", BARE, "-Zbuild-std=core,alloc"]);
        }
        bail!("neither the target {BARE} nor the library source can be had: run `rustup target add {BARE}`")
    }

    /// A toolchain that has the source of the standard library, fetched if need be.
    pub(crate) fn with_source(&self) -> Result<Self> {
        if self.has_source()? {
            return Ok(self.clone());
        }
        let added = self.name.is_none()
            && self.rustup("the source of Rust's standard library", &["component", "add", "rust-src"])?;
        if added && self.has_source()? {
            return Ok(self.clone());
        }
        let linked = Self { name: Some(LINKED) };
        if !linked.has_source().unwrap_or(false) {
            from_debian()?;
        }
        Ok(linked)
    }

    fn has_source(&self) -> Result<bool> {
        Ok(Path::new(&self.sysroot()?).join("lib/rustlib/src/rust/library/std").is_dir())
    }

    /// A cargo command in the repository's root.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = self.command("cargo");
        command.current_dir(crate::workspace::root());
        command
    }

    /// A command that finds this toolchain's cargo and rustc.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = process::command(program);
        // What `cargo run` sets for us is not meant for the builds that we start.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command.env_remove("CARGO").env_remove("RUSTC");
        if let Some(name) = self.name {
            command.env("RUSTUP_TOOLCHAIN", name).env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }

    /// The compiler's version line.
    pub(crate) fn version(&self) -> Result<String> {
        run::output(self.command("rustc").arg("--version"))
    }

    fn has(&self, target: &str) -> bool {
        let library = if target == BARE { "libcore-" } else { "libstd-" };
        let Ok(folder) =
            run::output(self.command("rustc").args(["--print", "target-libdir", "--target", target]))
        else {
            return false;
        };
        let Ok(entries) = fs::read_dir(folder.trim()) else { return false };
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(library))
    }

    fn add(&self, target: &str) -> Result<bool> {
        let added = self.rustup(&format!("the Rust target {target}"), &["target", "add", target])?;
        Ok(added && self.has(target))
    }

    /// Has rustup add something, where there is one and it can download; whether it did.
    fn rustup(&self, what: &str, arguments: &[&str]) -> Result<bool> {
        if process::find_program("rustup").is_none() {
            return Ok(false);
        }
        say::note(&format!("Adding {what} (usually 10 s, at most {} s)", RUSTUP_LIMIT.as_secs()));
        run::within(RUSTUP_LIMIT, self.command("rustup").args(arguments))
    }

    fn sysroot(&self) -> Result<String> {
        Ok(run::output(self.command("rustc").args(["--print", "sysroot"]))?.trim().to_owned())
    }
}

/// Installs Debian's Rust, makes it known to rustup, and builds its std for wasm.
pub(crate) fn from_debian() -> Result<()> {
    let linked = Toolchain { name: Some(LINKED) };
    debian::install("a Rust that builds for wasm", "1 minute", &DEBIAN_PACKAGES)?;
    let rustup = process::find_program("rustup").context("rustup is missing: see https://rustup.rs")?;
    run::output(Command::new(rustup).args(["toolchain", "link", LINKED, "/usr"]))?;
    if !linked.has(WASM) {
        build_std(&linked)?;
    }
    Ok(())
}

/// Builds std for wasm from the source in the sysroot and puts it where the compiler looks.
fn build_std(toolchain: &Toolchain) -> Result<()> {
    let folder = cache()?.join("wasm-std");
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("Cargo.toml"), "[package]\nname = \"empty\"\nedition = \"2024\"\n[workspace]\n")?;
    fs::write(folder.join("src/lib.rs"), "")?;
    let mut cargo = toolchain.command("cargo");
    cargo.current_dir(&folder).args(["build", "--release", "--target", WASM]);
    cargo.arg("-Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test");
    // Without bitcode, link-time optimisation fails later.
    cargo
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Cembed-bitcode=yes")
        .env("CARGO_TARGET_DIR", folder.join("target"));
    run::quietly("Building Rust's standard library for wasm", "1 minute", &mut cargo)?;
    let built = folder.join("target").join(WASM).join("release/deps");
    let place = PathBuf::from(toolchain.sysroot()?).join("lib/rustlib").join(WASM).join("lib");
    fs::create_dir_all(&place).with_context(|| format!("making {} (this needs root)", place.display()))?;
    for entry in fs::read_dir(&built)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libempty-") {
            fs::copy(entry.path(), place.join(&name)).with_context(|| format!("copying {name}"))?;
        }
    }
    fs::remove_dir_all(folder).context("removing the build folder")
}

/// The folder of our tools.
pub(super) fn cache() -> Result<PathBuf> {
    let base = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if !cache.is_empty() => PathBuf::from(cache),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        _ => bail!("neither XDG_CACHE_HOME nor HOME is set, so there is no place for tools"),
    };
    Ok(base.join("lichen/tools"))
}
