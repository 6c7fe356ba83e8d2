//! Times the workloads natively: `cargo run --release -p lichen-engine --features bench,threads --example bench --
//! [--profile] [--threads N]`.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of what runs in a moment are small"
)]

use lichen_engine::EngineError;
use lichen_engine::bench::{Bench, peak, product, profile};
use std::time::Instant;

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn main() -> Result<(), EngineError> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--threads").skip(1);
    match arguments.next().and_then(|number| number.parse().ok()) {
        Some(threads) => in_pool(threads),
        None => measure(),
    }
}

/// [`measure`] with so many threads.
fn in_pool(threads: usize) -> Result<(), EngineError> {
    let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|error| EngineError::Train(error.to_string()))?.install(measure)
}

fn measure() -> Result<(), EngineError> {
    let start = Instant::now();
    let now = || start.elapsed().as_secs_f64() * 1e6;
    let (flops, _) = peak(1 << 20);
    let best = (0..5).map(|_| seconds(|| _ = std::hint::black_box(peak(1 << 20)))).fold(f64::MAX, f64::min);
    println!("peak {:.1} GFLOP/s", flops / best / 1e9);
    for (layout, name) in ["a b", "a b'", "a' b"].iter().enumerate() {
        for extents in [[64, 512, 784], [64, 784, 512], [512, 784, 64], [1024, 192, 48], [256, 256, 256]] {
            let [m, n, k] = extents;
            let rounds = (200_000_000 / (m * n * k)).max(1) as u32;
            let time =
                median((0..5).map(|_| seconds(|| _ = product(extents, layout as u32, rounds))).collect());
            let rate = 2.0 * (m * n * k) as f64 * f64::from(rounds) / time / 1e9;
            println!("product {name} {m}x{n}x{k}: {rate:.1} GFLOP/s");
        }
    }
    for (index, name) in [(2, "w3"), (0, "w1"), (5, "large")] {
        let mut bench = Bench::new(index)?;
        let count = if index == 2 { 500 } else { 3 };
        let step = median((0..7).map(|_| seconds(|| _ = bench.steps(count))).collect());
        let name_states = |bench: &Bench| (0..count).for_each(|_| _ = std::hint::black_box(bench.state()));
        let state = median((0..7).map(|_| seconds(|| name_states(&bench))).collect());
        let each = 1e3 / count as f64;
        println!("{name}: a state {:.3} ms, {:.1} steps", state * each, state / step);
    }
    for index in 0..5 {
        let mut bench = Bench::new(index)?;
        let mut done = Ok(());
        let first = seconds(|| done = bench.steps(1));
        done?;
        let count = ((0.1 / first) as usize).clamp(1, 2000);
        let mut times = Vec::new();
        for _ in 0..9 {
            let mut done = Ok(());
            times.push(seconds(|| done = bench.steps(count)) / count as f64);
            done?;
        }
        let fastest = times.iter().copied().fold(f64::MAX, f64::min);
        let time = median(times);
        let name = bench.workload().name;
        let rate = bench.workload().flops / time / 1e9;
        println!("{name}: {:.3} ms a step, fastest {:.3}, {rate:.1} GFLOP/s", time * 1e3, fastest * 1e3);
        if std::env::args().any(|argument| argument == "--profile") {
            print_profile(index, &now)?;
        }
    }
    Ok(())
}

/// What each kind of kernel took in the fastest of 20 steps.
fn print_profile(index: usize, now: &dyn Fn() -> f64) -> Result<(), EngineError> {
    let mut fastest = profile(index, 1, now)?;
    for _ in 1..20 {
        for (known, (_, time)) in fastest.iter_mut().zip(profile(index, 1, now)?) {
            known.1 = known.1.min(time);
        }
    }
    fastest.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (kernel, time) in fastest.iter().take(16) {
        println!("    {time:9.1} us  {kernel}");
    }
    println!("    {:9.1} us  all", fastest.iter().map(|(_, time)| time).sum::<f64>());
    Ok(())
}
