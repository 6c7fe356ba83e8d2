//! Waiting for a condition, never for a time.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(25);

/// Waits until `look` gives `Ok(value)` and returns it; `Err(seen)` means "not yet" and says what was seen.
///
/// # Errors
/// [`Error::Deadline`], naming `what` and what was last seen, when `limit` passes first; whatever `look` fails with.
pub fn until<T, S: Debug>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Result<T, S>, Error>,
) -> Result<T, Error> {
    let start = Instant::now();
    loop {
        let seen = match look()? {
            Ok(value) => return Ok(value),
            Err(seen) => seen,
        };
        if start.elapsed() >= limit {
            return Err(Error::Deadline {
                what: what.into(),
                waited: start.elapsed(),
                last: format!("{seen:?}"),
            });
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_once_it_is_there() {
        let mut looks = 0;
        let value = until("the third look", Duration::from_secs(5), || {
            looks += 1;
            Ok(if looks == 3 { Ok(looks) } else { Err(looks) })
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn names_what_it_waited_for_and_last_saw() {
        let error = until::<(), _>("rain", Duration::ZERO, || Ok(Err("sunshine"))).unwrap_err().to_string();
        assert!(error.contains("for rain") && error.contains("sunshine"), "{error}");
    }
}
