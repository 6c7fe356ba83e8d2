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

/// As shipped, with a committee, and with small updates besides.
pub(crate) fn all(committee: u16) -> [Setup; 3] {
    let drawn = || ("quorum = 2", format!("quorum = 2\ncommittee = {committee}"));
    let tables = |tables: &str| ("[show]", format!("{tables}\n[show]"));
    let told = "[aggregation]\ncodec = \"int8\"\n";
    let sparse = "[update]\ncodec = \"sparse\"\n";
    [
        Setup { name: "as shipped".into(), changes: Vec::new() },
        Setup {
            name: format!("committee of {committee}, results int8"),
            changes: vec![drawn(), tables(told)],
        },
        Setup {
            name: format!("committee of {committee}, results int8, updates sparse"),
            changes: vec![drawn(), tables(&format!("{told}{sparse}"))],
        },
    ]
}
