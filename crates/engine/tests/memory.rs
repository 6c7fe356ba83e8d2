//! Memory stays where it is over 10,000 steps on both back ends, natively and in a Web Worker.
#![cfg(test)]
#![cfg(any(target_os = "linux", all(target_arch = "wasm32", feature = "gpu")))]

use lichen_campaign::Training;
use lichen_engine::{EngineError, EngineKind, Trainer};
use lichen_model::initial_parameters;

/// The campaign's model and batches of 32 are what matters here.
const MANIFEST: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");
const STEPS: usize = 10_000;
/// Whatever is allocated once is allocated by then.
const SETTLED: usize = 2_000;

/// What `measure` finds after [`SETTLED`] steps and after all of them.
async fn before_and_after<M>(choice: EngineKind, measure: impl Fn() -> M) -> Result<[M; 2], EngineError> {
    let Training { model, train, .. } = Training::parse(MANIFEST).unwrap();
    let mut trainer = Trainer::new(choice, &model, &train).await?;
    trainer.load(&initial_parameters(&model, 1)?, 1).await?;
    let x = vec![0.5; train.batch * model.input[0]];
    let labels: Vec<u32> = (0..10).cycle().take(train.batch).collect();
    let mut before = measure();
    for step in 0..STEPS {
        if step == SETTLED {
            before = measure();
        }
        trainer.step(&x, &labels[..]).await?;
        if step % 100 == 99 {
            assert_eq!(trainer.take_losses().await?.len(), 100);
        }
    }
    Ok([before, measure()])
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use super::*;
    use futures::executor::block_on;

    /// What a process may grow by chance, in bytes: far less than a leak of 200 bytes a step.
    const SLACK: usize = 1 << 20;

    /// Bytes of this process in memory.
    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    /// One test, since each would measure the other.
    #[test]
    fn memory_is_flat_over_10_000_steps() {
        for choice in [EngineKind::Cpu, EngineKind::Gpu] {
            match block_on(before_and_after(choice, resident)) {
                Ok([before, after]) => {
                    let grown = after.saturating_sub(before);
                    println!("{choice:?}: {grown} bytes more after {STEPS} steps than after {SETTLED}");
                    assert!(grown < SLACK, "{choice:?} grew by {grown} bytes");
                }
                Err(EngineError::Gpu(reason)) => eprintln!("not run on the GPU: {reason}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod browser {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;
    use wasm_bindgen_test::wasm_bindgen_test_configure;

    wasm_bindgen_test_configure!(run_in_dedicated_worker);

    #[wasm_bindgen::prelude::wasm_bindgen(inline_js = "
        const made = { buffers: 0, destroyed: 0, others: 0 };
        function count(prototype, method, name) {
            const original = prototype[method];
            prototype[method] = function (...values) {
                made[name]++;
                return original.apply(this, values);
            };
        }
        if (globalThis.GPUDevice) {
            count(GPUDevice.prototype, 'createBuffer', 'buffers');
            count(GPUBuffer.prototype, 'destroy', 'destroyed');
            for (const method of ['createBindGroup', 'createBindGroupLayout', 'createPipelineLayout',
                'createShaderModule', 'createComputePipeline', 'createQuerySet', 'createTexture']) {
                count(GPUDevice.prototype, method, 'others');
            }
        }
        export function living_buffers() { return made.buffers - made.destroyed; }
        export function other_objects() { return made.others; }
    ")]
    extern "C" {
        /// Buffers that were created and not destroyed.
        fn living_buffers() -> u32;
        /// Everything else that lasts longer than a step and that was ever created on a device.
        fn other_objects() -> u32;
    }

    /// Pages of 64 KiB, which a module can only ever get more of.
    fn pages() -> usize {
        core::arch::wasm32::memory_size(0)
    }

    #[wasm_bindgen_test]
    async fn memory_is_flat_over_10_000_steps_on_the_cpu() {
        let [before, after] = before_and_after(EngineKind::Cpu, pages).await.unwrap();
        assert_eq!(before, after, "pages after {SETTLED} and after {STEPS} steps");
    }

    #[wasm_bindgen_test]
    async fn memory_is_flat_over_10_000_steps_on_the_gpu() {
        let buffers_at_first = living_buffers();
        let measure = || (pages(), living_buffers(), other_objects());
        let [before, after] = before_and_after(EngineKind::Gpu, measure).await.unwrap();
        assert!(before.1 > buffers_at_first && before.2 > 0, "nothing was counted: {before:?}");
        assert_eq!(
            before, after,
            "pages, living buffers, other objects after {SETTLED} and after {STEPS} steps"
        );
        assert_eq!(living_buffers(), buffers_at_first, "a trainer that ends gives all its buffers back");
    }
}
