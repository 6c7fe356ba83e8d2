//! The shipped manifest, with one thing or another changed.
#![allow(dead_code, reason = "each test file uses a part")]

use lichen_campaign::Manifest;

pub(crate) const DIGITS: &str = include_str!("../../../../relay/campaigns/digits/campaign.toml");

/// The manifest without its tables on aggregation and audits, so that others may follow.
pub(crate) fn plain() -> &'static str {
    DIGITS.split("[aggregation]").next().unwrap()
}

/// The manifest with one line replaced.
pub(crate) fn with(line: &str, replacement: &str) -> String {
    let changed = DIGITS.replacen(line, replacement, 1);
    assert_ne!(changed, DIGITS, "the manifest has no line {line}");
    changed
}

/// What is wrong with a manifest that is refused.
pub(crate) fn faults(text: &str) -> Vec<String> {
    Manifest::parse(text).unwrap_err().faults().iter().map(ToString::to_string).collect()
}
