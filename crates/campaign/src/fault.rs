//! What is wrong with a manifest, field by field.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use lichen_record::text::plain;

/// Why a manifest was refused: everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    faults: Vec<Fault>,
}

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    field: String,
    problem: String,
}

impl Fault {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        // Both may hold words of the manifest, which is not ours.
        Self { field: plain(&field.into()), problem: plain(&problem.into()) }
    }

    /// Where: tables and key, as in `rounds.quorum`; `manifest` for the text as a whole.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong, and what to do about it.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem)
    }
}

impl ManifestError {
    /// Everything that is wrong, in the order of the manifest's tables. Never empty.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    pub(crate) const fn of(faults: Vec<Fault>) -> Self {
        Self { faults }
    }

    pub(crate) fn of_whole(problem: impl Into<String>) -> Self {
        Self { faults: alloc::vec![Fault::new("manifest", problem)] }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl core::error::Error for ManifestError {}
