//! What the lower layers, the page and the relay must not reach, also through others.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{metadata, no_faults};
use crate::setup::Toolchain;
use crate::{run, say};

/// One of the crates of layers 0 to 2.
struct Lower {
    package: &'static str,
    /// The feature under which it may reach the outer world.
    exempt: Option<&'static str>,
    /// The target that is looked at; the outer world may be reached on others.
    target: &'static str,
    /// Parts of the outer world that are data types only.
    types: &'static [&'static str],
}

impl Lower {
    const fn new(package: &'static str) -> Self {
        Self { package, exempt: None, target: "all", types: &[] }
    }
}

const LOWER: [Lower; 11] = [
    Lower::new("lichen-bucket"),
    Lower::new("lichen-record"),
    Lower::new("lichen-campaign"),
    Lower::new("lichen-model"),
    Lower::new("lichen-learn"),
    Lower::new("lichen-engine-cpu"),
    Lower { exempt: Some("gpu"), ..Lower::new("lichen-engine") },
    Lower::new("lichen-round"),
    Lower::new("lichen-log"),
    // One layer higher, and as pure: a round's result is the same wherever it is computed.
    Lower::new("lichen-settle"),
    // Its browser backend is what it is on wasm; elsewhere it is the protocol, with libp2p's addresses and ids.
    Lower {
        target: "x86_64-unknown-linux-gnu",
        types: &["libp2p-core", "libp2p-identity"],
        ..Lower::new("lichen-webrtc")
    },
];
/// The outer world: names, or beginnings of names that end in `-`.
const OUTER: [&str; 6] = ["web-sys", "tokio", "libp2p", "libp2p-", "wgpu", "wgpu-"];

pub(super) fn check(toolchain: &Toolchain) -> Result<()> {
    say::note("Checking forbidden dependencies");
    let metadata = metadata(toolchain)?;
    let mut faults = Vec::new();
    for Lower { package, exempt, target, types } in LOWER {
        let features = features(&metadata, package, exempt)?;
        let tree = tree(toolchain, package, target, &["--no-default-features", "--features", &features])?;
        let names = reached(&tree, &OUTER).filter(|name| !types.contains(&name.as_str()));
        faults.extend(names.map(|name| format!("{package} reaches {name}")));
    }
    let web = tree(toolchain, "lichen-web", "all", &[])?;
    faults.extend(
        reached(&web, &["lichen-engine", "lichen-node"]).map(|name| format!("lichen-web reaches {name}")),
    );
    let relay = tree(toolchain, "lichen-relay", "all", &[])?;
    // It measures what a round came to, on the CPU. It trains nothing, and needs no graphics driver.
    faults.extend(reached(&relay, &["wgpu", "wgpu-"]).map(|name| format!("lichen-relay reaches {name}")));
    no_faults(&faults)
}

/// All features of a package but the default and the exempt one, comma-separated.
fn features(metadata: &Value, package: &str, exempt: Option<&str>) -> Result<String> {
    let packages =
        metadata.get("packages").and_then(Value::as_array).context("no packages in cargo's metadata")?;
    let found = packages.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(package));
    let features =
        found.and_then(|one| one.get("features")?.as_object()).with_context(|| format!("no {package}"))?;
    let names = features
        .iter()
        .filter(|(name, needs)| !needs_exempt(name, needs, exempt))
        .map(|(name, _)| name.as_str());
    Ok(names.collect::<Vec<_>>().join(","))
}

fn needs_exempt(name: &str, needs: &Value, exempt: Option<&str>) -> bool {
    let needs = needs.as_array().cloned().unwrap_or_default();
    name == "default"
        || exempt
            .is_some_and(|exempt| name == exempt || needs.iter().any(|need| need.as_str() == Some(exempt)))
}

/// The names of everything that a package is built from.
fn tree(toolchain: &Toolchain, package: &str, target: &str, options: &[&str]) -> Result<String> {
    let mut cargo = toolchain.cargo();
    cargo.args(["tree", "--package", package, "--edges", "normal,build", "--target", target]);
    cargo.args(["--prefix", "none", "--format", "{p}"]).args(options);
    run::output(&mut cargo)
}

/// Those of the forbidden names that are in a tree.
fn reached<'a>(tree: &'a str, forbidden: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    let mut names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    names.sort_unstable();
    names.dedup();
    let is_forbidden = |name: &str| {
        forbidden.iter().any(|other| name == *other || other.ends_with('-') && name.starts_with(other))
    };
    names.into_iter().filter(move |name| is_forbidden(name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_forbidden_names_and_no_others() {
        let tree = "lichen-record v0.1.0 (/x)\nlibp2p-core v0.43\ntokio-util v0.7\nweb-sys v0.3 (*)\nweb-sys v0.3 (*)";
        assert_eq!(reached(tree, &OUTER).collect::<Vec<_>>(), ["libp2p-core", "web-sys"]);
    }
}
