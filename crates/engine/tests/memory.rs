//! Memory stays where it is over 10,000 steps on both back ends.
#![cfg(test)]
#![cfg(not(target_arch = "wasm32"))]
#![cfg(target_os = "linux")]

use futures::executor::block_on;
use lichen_campaign::model_spec::{ModelSpec, TrainSpec};
use lichen_engine::{EngineChoice, EngineError, Trainer};
use lichen_model::initial_parameters;

const MODEL: &str = r#"
    input = [1, 6, 6]
    loss = "softmax-cross-entropy"
    [[layers]]
    kind = "conv-block"
    filters = 4
    kernel = 3
    pool = 2
    [[layers]]
    kind = "flatten"
    [[layers]]
    kind = "dense"
    units = 3
"#;
const TRAIN: &str = "optimizer = \"adam\"\nlearning_rate = 0.001\nbatch = 4\nsteps = 10000";
/// What a process may grow by chance, in bytes: far less than a leak of 200 bytes a step.
const SLACK: usize = 1 << 20;

/// Bytes of this process in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

async fn growth(choice: EngineChoice) -> Result<usize, EngineError> {
    let (model, train): (ModelSpec, TrainSpec) =
        (toml::from_str(MODEL).unwrap(), toml::from_str(TRAIN).unwrap());
    let mut trainer = Trainer::new(choice, &model, &train).await?;
    trainer.load(&initial_parameters(&model, 1).unwrap(), 1).await?;
    let x = vec![0.5; 4 * 36];
    let mut before = 0;
    for step in 0..10_000 {
        if step == 2_000 {
            before = resident();
        }
        trainer.step(&x, &[0u32, 1, 2, 0][..]).await?;
        if step % 100 == 99 {
            assert_eq!(trainer.take_losses().await?.len(), 100);
        }
    }
    let grown = resident().saturating_sub(before);
    println!("{choice:?}: {grown} bytes more after 10,000 steps than after 2,000");
    Ok(grown)
}

/// One test, since each would measure the other.
#[test]
fn memory_is_flat_over_10_000_steps() {
    let cpu = block_on(growth(EngineChoice::Cpu)).unwrap();
    assert!(cpu < SLACK, "the CPU grew by {cpu} bytes");
    match block_on(growth(EngineChoice::Gpu)) {
        Ok(gpu) => assert!(gpu < SLACK, "the GPU grew by {gpu} bytes"),
        Err(EngineError::Gpu(reason)) => eprintln!("not run on the GPU: {reason}"),
        Err(error) => panic!("{error}"),
    }
}
