//! Threads that share the CPU engine's work, where `js/threads.js` has opened them before this worker began.

use js_sys::Reflect;
use lichen_bridge::Problem;
use lichen_engine::{EngineError, Executor};
use lichen_model::program::StepValues;
use wasm_bindgen::prelude::*;

/// What they are called in the global scope.
const NAME: &str = "lichenThreads";

/// Where it says there why there are none.
const FAILED: &str = "lichenThreadsFailed";

/// Why threads that the page has asked for could not be opened.
pub(crate) fn failure() -> Option<Problem> {
    let reason = Reflect::get(&js_sys::global(), &FAILED.into()).ok()?.as_string()?;
    Some(Problem {
        message: format!("Training continues with one thread: others could not be started ({reason})."),
        remedy: "You need not do anything; it is only slower. Reload the page to try again.".into(),
    })
}

#[wasm_bindgen]
extern "C" {
    /// The open threads.
    pub(crate) type Threads;

    #[wasm_bindgen(method, getter)]
    fn count(this: &Threads) -> u32;

    #[wasm_bindgen(method, catch)]
    fn steps(this: &Threads, manifest: &[u8]) -> Result<Steps, JsValue>;

    /// A step program in their memory.
    type Steps;

    #[wasm_bindgen(method, catch)]
    fn write(this: &Steps, slot: usize, data: &[f32]) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn read(this: &Steps, slot: usize) -> Result<Vec<f32>, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn step(this: &Steps, x: &[f32], targets: &[f32], values: &[f64]) -> Result<f32, JsValue>;

    #[wasm_bindgen(method)]
    fn free(this: &Steps);
}

impl Threads {
    /// The open threads, if there are any.
    pub(crate) fn find() -> Option<Self> {
        let found = Reflect::get(&js_sys::global(), &NAME.into()).ok()?;
        found.is_object().then(|| found.unchecked_into())
    }

    /// How many they are, this worker's own among them.
    pub(crate) fn number(&self) -> u32 {
        self.count()
    }

    /// What takes the steps of a manifest's training on them; none where they cannot.
    pub(crate) fn executor(&self, manifest: &[u8]) -> Option<Box<dyn Executor>> {
        Some(Box::new(Shared(self.steps(manifest).ok()?)))
    }
}

/// A step program in the threads' memory, freed with this.
struct Shared(Steps);

impl Drop for Shared {
    fn drop(&mut self) {
        self.0.free();
    }
}

impl Executor for Shared {
    fn write_slot(&mut self, slot: usize, data: &[f32]) -> Result<(), EngineError> {
        self.0.write(slot, data).map_err(failed)
    }

    fn read_slot(&self, slot: usize) -> Result<Vec<f32>, EngineError> {
        self.0.read(slot).map_err(failed)
    }

    fn step(&mut self, x: &[f32], targets: &[f32], values: &StepValues) -> Result<f32, EngineError> {
        let &StepValues { learning_rate, first_correction, second_correction, loss_scale, step, seed } =
            values;
        let numbers = [learning_rate, first_correction, second_correction, loss_scale].map(f64::from);
        let [a, b, c, d] = numbers;
        self.0.step(x, targets, &[a, b, c, d, step.into(), seed.into()]).map_err(failed)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: JsValue) -> EngineError {
    EngineError::Elsewhere(crate::failure::describe(&error))
}
