//! The same measurements for a browser, without glue: instantiate the module with no imports and call its
//! exports. Build: `cargo build --profile wasm --target wasm32-unknown-unknown -p lichen-engine --features bench
//! --example bench_wasm`.
#![expect(unsafe_code, reason = "exporting a name is an unsafe attribute")]

use lichen_engine::bench::Bench;
use std::cell::RefCell;

thread_local! {
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

/// Builds workload `index`; 1 if there is one.
#[unsafe(no_mangle)]
pub extern "C" fn prepare(index: u32) -> u32 {
    let bench = Bench::new(index as usize).ok();
    let found = u32::from(bench.is_some());
    BENCH.set(bench);
    found
}

/// Trains for so many steps; 1 if that went well.
#[unsafe(no_mangle)]
pub extern "C" fn steps(count: u32) -> u32 {
    BENCH.with_borrow_mut(|bench| match bench {
        Some(bench) => u32::from(bench.steps(count as usize).is_ok()),
        None => 0,
    })
}

/// Names the state so many times, as a contribution does; 1 if that went well.
#[unsafe(no_mangle)]
pub extern "C" fn states(count: u32) -> u32 {
    BENCH.with_borrow(|bench| match bench {
        Some(bench) => u32::from((0..count).all(|_| bench.state().is_ok())),
        None => 0,
    })
}

/// Multiply-adds of one step, counted as two.
#[unsafe(no_mangle)]
pub extern "C" fn flops() -> f64 {
    BENCH.with_borrow(|bench| bench.as_ref().map_or(0.0, |bench| bench.workload().flops))
}

/// Hash of all parameters' bits.
#[unsafe(no_mangle)]
pub extern "C" fn hash() -> u64 {
    BENCH.with_borrow(|bench| bench.as_ref().and_then(|bench| bench.hash().ok()).unwrap_or(0))
}

/// Multiplies and adds at full speed; returns the flops done.
#[unsafe(no_mangle)]
pub extern "C" fn peak(rounds: u32) -> f64 {
    let (flops, sum) = lichen_engine::bench::peak(rounds);
    flops + f64::from(sum) * 1e-30
}

/// Runs a product so many times.
#[unsafe(no_mangle)]
pub extern "C" fn product(m: u32, n: u32, k: u32, layout: u32, rounds: u32) -> f32 {
    lichen_engine::bench::product([m as usize, n as usize, k as usize], layout, rounds)
}
