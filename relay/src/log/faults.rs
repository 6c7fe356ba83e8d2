//! Faults of accounts, told in one line now and then: any number of accounts may make them.

use std::time::{Duration, Instant};

use lichen_round::{Change, Fault};

/// Least time between two lines.
const PAUSE: Duration = Duration::from_secs(60);

/// Faults that nobody was told of yet.
#[derive(Default)]
pub(crate) struct Faults {
    untold: u64,
    last: Option<Fault>,
    told: Option<Instant>,
}

impl Faults {
    /// Takes in a change.
    pub(crate) fn count(&mut self, change: &Change) {
        if let Change::Faulted(fault) = change {
            self.untold += 1;
            self.last = Some(*fault);
        }
    }

    /// Warns of what there was since the last line, if that was long enough ago.
    pub(crate) fn warn(&mut self, now: Instant) {
        if let Some((faults, last)) = self.due(now) {
            tracing::warn!(
                faults,
                ?last,
                "accounts attested what the campaign did not settle on, contradicted themselves, or contributed what their \
                 training does not give: they are barred for some rounds, or for good, and nothing needs to be done"
            );
        }
    }

    fn due(&mut self, now: Instant) -> Option<(u64, Fault)> {
        let is_early = self.told.is_some_and(|told| now.saturating_duration_since(told) < PAUSE);
        let last = self.last.filter(|_fault| !is_early)?;
        self.told = Some(now);
        self.last = None;
        Some((std::mem::take(&mut self.untold), last))
    }
}

#[cfg(test)]
mod tests {
    use lichen_record::{Cid, RoundNumber, SigningKey};
    use lichen_round::FaultKind;

    use super::*;

    #[test]
    fn many_faults_are_told_in_one_line_a_minute() {
        let account = SigningKey::generate([1; 32]).account();
        let [attested, settled] = [&b"false"[..], b"true"].map(|bytes| Cid::of_raw(bytes).into());
        let kind = FaultKind::Disagreed { attested, settled };
        let fault = Fault { account, round: RoundNumber(1), kind };
        let (mut faults, start) = (Faults::default(), Instant::now());
        assert_eq!(faults.due(start), None);
        faults.count(&Change::Faulted(fault));
        assert_eq!(faults.due(start), Some((1, fault)));
        for _ in 0..110 {
            faults.count(&Change::Faulted(fault));
            assert_eq!(faults.due(start + PAUSE - Duration::from_millis(1)), None);
        }
        assert_eq!(faults.due(start + PAUSE), Some((110, fault)));
        assert_eq!(faults.due(start + 3 * PAUSE), None);
    }
}
