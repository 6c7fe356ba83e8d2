//! The campaigns that are compared.

use std::fmt;

/// What a campaign's manifest says beyond that of the digits.
pub(crate) struct Setup {
    name: String,
    /// First texts of the manifest, each replaced by the second.
    pub(crate) changes: Vec<(&'static str, String)>,
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Said in the table on aggregation.
const TOLD: &str = "codec = \"int8\"";

/// As shipped, with a committee, and with small updates besides.
pub(crate) fn all(committee: u16) -> [Setup; 3] {
    let drawn = || ("quorum = 2", format!("quorum = 2\ncommittee = {committee}"));
    let tables = |tables: &str| ("[aggregation]", format!("{tables}\n[aggregation]\n{TOLD}"));
    let sparse = "[update]\ncodec = \"sparse\"\nfeedback = 0\n";
    [
        Setup { name: "as shipped".into(), changes: Vec::new() },
        Setup { name: format!("committee of {committee}, results int8"), changes: vec![drawn(), tables("")] },
        Setup {
            name: format!("committee of {committee}, results int8, updates sparse"),
            changes: vec![drawn(), tables(sparse)],
        },
    ]
}
