//! Runs as a whole.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::invariants::{Rule, Violation};
use crate::report::Outcome;
use crate::settings::Settings;
use crate::world::World;

/// One run; `look` is called after every simulated second. A panic breaks a rule as well.
///
/// # Errors
/// The first rule that was broken.
pub fn run(settings: &Settings, look: &mut dyn FnMut(&World)) -> Result<Outcome, Violation> {
    let run = AssertUnwindSafe(|| World::new(settings).run(look));
    catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let detail = text.unwrap_or_else(|| "a panic without words".to_owned());
        Err(Violation { rule: Rule::NoPanic, detail, at: 0 })
    })
}

/// [`run`] without anybody who looks.
///
/// # Errors
/// The same.
pub fn run_quietly(settings: &Settings) -> Result<Outcome, Violation> {
    run(settings, &mut |_world| {})
}
