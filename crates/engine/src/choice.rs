//! Which back end to use: measured on the campaign's own model, never guessed from names.

use crate::{EngineError, Trainer};
use lichen_campaign::model_spec::ModelSpec;
use lichen_model::{Targets, initial_parameters};

/// Milliseconds of timed steps per back end, after one step that warms up; together with the checks between
/// steps a measurement stays under 200 ms wherever single steps take less than 40 ms.
const BUDGET: f64 = 40.0;

/// Most steps timed, in case the clock hardly moves.
const MOST_STEPS: u32 = 20_000;

/// Milliseconds per step of a trainer on steps of its model itself; stops early once it is clearly slower than `rival` per step.
/// `now` gives milliseconds.
///
/// # Errors
/// As [`Trainer::load`] and [`Trainer::step`].
pub async fn measure_engine(
    mut trainer: Trainer,
    model: &ModelSpec,
    now: &dyn Fn() -> f64,
    rival: f64,
) -> Result<f64, EngineError> {
    trainer.load(&initial_parameters(model, 0)?, 0).await?;
    let program = trainer.program();
    // Zeros are valid tokens and labels, and take as long as other numbers.
    let x = vec![0.0; program.buffer(program.input).elements()];
    let count = program.buffer(program.target).elements();
    let (labels, values) = (vec![0; count], vec![0.0; count]);
    let targets = if program.classes > 0 { Targets::Labels(&labels) } else { Targets::Values(&values) };
    timed(&mut trainer, &x, targets, now, 1).await?;
    let mut batch = 1;
    let (mut steps, mut total) = (0u32, 0.0);
    while total < BUDGET && steps < MOST_STEPS {
        total += timed(&mut trainer, &x, targets, now, batch).await?;
        steps += batch;
        if total / f64::from(steps) > 2.0 * rival {
            break;
        }
        batch = (batch * 2).min(64);
    }
    Ok(total / f64::from(steps))
}

/// Milliseconds for so many steps, the last one's loss read back.
async fn timed(
    trainer: &mut Trainer,
    x: &[f32],
    targets: Targets<'_>,
    now: &dyn Fn() -> f64,
    steps: u32,
) -> Result<f64, EngineError> {
    let start = now();
    for _ in 0..steps {
        trainer.step(x, targets).await?;
    }
    trainer.take_losses().await?;
    Ok((now() - start).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EngineKind;
    use crate::testing::{adam, dense, ready, spec};
    use lichen_campaign::model_spec::{Activation, Loss};
    use std::cell::Cell;

    #[test]
    fn a_measurement_ends_with_its_budget() {
        let model = spec(&[4], Loss::MeanSquaredError, vec![dense("a", 2, Activation::None)]);
        // A clock that moves by a millisecond whenever it is read.
        let clock = Cell::new(0.0);
        let now = || {
            clock.set(clock.get() + 1.0);
            clock.get()
        };
        let train = adam(0.1, 8);
        let measure = |rival| {
            let trainer = ready(Trainer::new(EngineKind::Cpu, &model, &train)).unwrap();
            ready(measure_engine(trainer, &model, &now, rival)).unwrap()
        };
        let cpu_ms = measure(f64::INFINITY);
        assert!(cpu_ms > 0.0 && cpu_ms < 1.0, "{cpu_ms}");
        assert!(clock.get() < 200.0);
        // Beside a much faster rival nothing is measured to the end.
        let before = clock.get();
        assert!(measure(cpu_ms / 100.0) > cpu_ms / 100.0);
        assert!(clock.get() - before < 10.0);
    }
}
