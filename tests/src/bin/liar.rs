//! A member that lies, for `cargo xtask demo --hostile N`: it contributes what it did not train, or attests what does not
//! come of a round.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use lichen_learn::Update;
use lichen_record::{Cid, EngineKind, EngineVersion};
use lichen_tests::attacker::Attacker;

/// Takes part in a relay's campaign until it is thrown out.
#[derive(Parser)]
struct Arguments {
    /// The relay's address, with a slash at its end.
    #[arg(long)]
    relay: String,
    /// Which of the accounts made up for this.
    #[arg(long)]
    number: u8,
    /// Parameters of the campaign's model.
    #[arg(long)]
    parameters: usize,
    /// What it lies about.
    #[arg(long)]
    about: Lie,
}

#[derive(Clone, Copy, ValueEnum)]
enum Lie {
    /// Its training.
    Training,
    /// What rounds come to.
    Aggregating,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut liar = Attacker::join(&arguments.relay, arguments.number).await;
    println!("{}", liar.account());
    match arguments.about {
        Lie::Training => train(&mut liar, arguments.parameters).await,
        Lie::Aggregating => aggregate(&mut liar).await,
    }
    ExitCode::SUCCESS
}

/// Contributes small updates that no training gave, as of an engine that anybody can repeat, until they are refused.
async fn train(liar: &mut Attacker, parameters: usize) {
    let kind = EngineKind::Cpu;
    let engine = Some(EngineVersion { kind, version: lichen_engine::version(kind) });
    for number in 1_u16.. {
        let value = f32::from(number % 7) / 1000.0 + 1e-3;
        let Ok(update) = Update::new(vec![value; parameters]).map(|update| update.encode()) else { return };
        let Ok(update) = update else { return };
        if let Err(reason) = liar.contribute_as(update, engine).await {
            eprintln!("liar: not taken any more: {}", reason.label());
            return;
        }
    }
}

/// Attests results that nobody else finds. Each is a fault, and bars it for some rounds.
async fn aggregate(liar: &mut Attacker) {
    for number in 1_u64..=20 {
        if liar.attest(Cid::of_raw(&number.to_le_bytes())).await.is_err() {
            // It came too late, or is barred: later rounds may take it.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
