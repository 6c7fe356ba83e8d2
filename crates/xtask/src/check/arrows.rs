//! Which crate may use which: only those before it in one order.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{metadata, no_faults};
use crate::say;
use crate::setup::Toolchain;

/// Our crates, lowest first; each may use those before it.
const ORDER: [&str; 16] = [
    "lichen-bucket",
    "lichen-record",
    "lichen-campaign",
    "lichen-model",
    "lichen-learn",
    "lichen-engine-cpu",
    "lichen-engine",
    "lichen-round",
    "lichen-log",
    "lichen-webrtc",
    "lichen-settle",
    "lichen-store",
    "lichen-net",
    "lichen-bridge",
    "lichen-node",
    "lichen-audit",
];
/// Thin shells over those, none of which uses another.
const SHELLS: [&str; 6] =
    ["lichen-web", "lichen-swarm", "lichen-worker", "lichen-engine-threads", "lichen-relay", "lichen-cli"];
/// Developer tools and tests: nobody uses them outside of tests.
const TOOLS: [&str; 7] = [
    "xtask",
    "lichen-simulate",
    "lichen-testkit",
    "lichen-tests",
    "lichen-interop",
    "lichen-engine-bench",
    "lichen-engine-size",
];
/// Arrows that the order would allow and the design forbids. The relay measures what a round came to, and does so through
/// `lichen-settle` alone.
const FORBIDDEN: [(&str, &str); 3] =
    [("lichen-web", "lichen-engine"), ("lichen-web", "lichen-node"), ("lichen-relay", "lichen-engine")];

/// A dependency of one of our crates on another.
#[derive(Debug, PartialEq)]
struct Arrow {
    from: String,
    to: String,
    for_tests: bool,
}

pub(super) fn check(toolchain: &Toolchain) -> Result<()> {
    say::note("Checking the arrows between crates");
    let metadata = metadata(toolchain)?;
    let packages =
        metadata.get("packages").and_then(Value::as_array).context("no packages in cargo's metadata")?;
    no_faults(&faults(packages))
}

fn faults(packages: &[Value]) -> Vec<String> {
    let ours: BTreeSet<&str> = packages.iter().filter_map(name).collect();
    let unknown = ours.iter().filter(|name| !is_known(name));
    let unknown = unknown.map(|name| format!("{name} has no place in the order of crates"));
    let arrows = packages.iter().flat_map(|package| arrows(package, &ours));
    unknown.chain(arrows.filter(|arrow| !is_allowed(arrow)).map(|arrow| describe(&arrow))).collect()
}

fn arrows(package: &Value, ours: &BTreeSet<&str>) -> Vec<Arrow> {
    let from = name(package).unwrap_or_default();
    let dependencies = package.get("dependencies").and_then(Value::as_array).cloned().unwrap_or_default();
    let arrow = |dependency: &Value| {
        let for_tests = dependency.get("kind").and_then(Value::as_str) == Some("dev");
        Some(Arrow { from: from.into(), to: name(dependency)?.into(), for_tests })
    };
    dependencies.iter().filter_map(arrow).filter(|arrow| ours.contains(arrow.to.as_str())).collect()
}

fn is_allowed(arrow: &Arrow) -> bool {
    let (from, to) = (arrow.from.as_str(), arrow.to.as_str());
    if FORBIDDEN.contains(&(from, to)) {
        return false;
    }
    if from == to {
        // A crate's own tests may turn on its features.
        return arrow.for_tests;
    }
    if TOOLS.contains(&to) {
        return arrow.for_tests && from != "xtask" || to == "lichen-testkit" && TOOLS.contains(&from);
    }
    if SHELLS.contains(&to) {
        return false;
    }
    let place = |name: &str| ORDER.iter().position(|other| *other == name);
    match (place(from), place(to)) {
        (Some(from), Some(to)) => to < from,
        // Shells and tools may use every library.
        (None, Some(_)) => true,
        (_, None) => false,
    }
}

fn is_known(name: &str) -> bool {
    ORDER.contains(&name) || SHELLS.contains(&name) || TOOLS.contains(&name)
}

fn describe(arrow: &Arrow) -> String {
    format!("{} must not use {}", arrow.from, arrow.to)
}

fn name(value: &Value) -> Option<&str> {
    value.get("name").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults_of(from: &str, to: &str, kind: Option<&str>) -> Vec<String> {
        let packages = [
            json!({ "name": from, "dependencies": [{ "name": to, "kind": kind }, { "name": "serde", "kind": null }] }),
            json!({ "name": to, "dependencies": [] }),
        ];
        faults(&packages)
    }

    #[test]
    fn arrows_point_down() {
        for (from, to, kind) in [
            ("lichen-node", "lichen-record", None),
            ("lichen-relay", "lichen-net", None),
            ("xtask", "lichen-testkit", None),
            ("lichen-tests", "lichen-testkit", Some("dev")),
            ("lichen-round", "lichen-testkit", Some("dev")),
            ("lichen-record", "lichen-record", Some("dev")),
        ] {
            assert_eq!(faults_of(from, to, kind), Vec::<String>::new(), "{from} -> {to}");
        }
    }

    #[test]
    fn any_other_arrow_is_a_fault() {
        for (from, to, kind) in [
            ("lichen-record", "lichen-node", None),
            ("lichen-record", "lichen-campaign", Some("dev")),
            ("lichen-web", "lichen-engine", None),
            ("lichen-web", "lichen-node", None),
            ("lichen-relay", "lichen-engine", None),
            ("lichen-cli", "lichen-relay", None),
            ("lichen-node", "lichen-testkit", None),
            ("lichen-round", "lichen-stray", None),
        ] {
            assert!(!faults_of(from, to, kind).is_empty(), "{from} -> {to}");
        }
    }
}
