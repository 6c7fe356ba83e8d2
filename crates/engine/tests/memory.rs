//! Memory stays where it is over 10,000 steps on both back ends.
#![cfg(test)]
#![cfg(not(target_arch = "wasm32"))]
#![cfg(target_os = "linux")]

use futures::executor::block_on;
use lichen_campaign::Training;
use lichen_engine::{EngineChoice, EngineError, Trainer};
use lichen_model::initial_parameters;

const MANIFEST: &str = r#"
    [model]
    input = [1, 6, 6]
    loss = "softmax-cross-entropy"
    [[model.layers]]
    kind = "conv-block"
    filters = 4
    kernel = 3
    pool = 2
    [[model.layers]]
    kind = "flatten"
    [[model.layers]]
    kind = "dense"
    units = 3

    [train]
    optimizer = "adam"
    learning_rate = 0.001
    batch = 4
    steps = 10000
"#;
/// What a process may grow by chance, in bytes: far less than a leak of 200 bytes a step.
const SLACK: usize = 1 << 20;

/// Bytes of this process in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

async fn growth(choice: EngineChoice) -> Result<usize, EngineError> {
    let Training { model, train, .. } = Training::parse(MANIFEST).unwrap();
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
