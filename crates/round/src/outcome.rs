//! What a round comes to.

use core::fmt;

use lichen_record::Cid;

use crate::codec::coded;

/// What a round comes to, and the next one begins with: two that differ in anything are different results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    /// The checkpoint.
    pub result: Cid,
    /// What the outer optimiser carries over with it; none where it carries nothing over, and before its first step.
    pub state: Option<Cid>,
}

coded!(struct Outcome { result, state });

impl From<Cid> for Outcome {
    fn from(result: Cid) -> Self {
        Self { result, state: None }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.result, f)?;
        match &self.state {
            Some(state) => write!(f, " with {state}"),
            None => Ok(()),
        }
    }
}
