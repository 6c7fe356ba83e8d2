//! What the peers of this benchmark learn: the digits by a dense and by a convolutional network, and a small writer.

use lichen_campaign::Manifest;

use crate::swarm::{DATA, Material, plain, wider};

const WRITER: &str = include_str!("writer.toml");

const PLAYS: [&str; 4] = [
    include_str!("plays/hamlet.txt"),
    include_str!("plays/macbeth.txt"),
    include_str!("plays/othello.txt"),
    include_str!("plays/romeo-and-juliet.txt"),
];

/// Characters that the writer sees at a time.
const LENGTH: usize = 64;

/// Held-out stretches of text that the writer is measured on, of the 1,600 that there are.
const MEASURED: usize = 250;

/// A model with its data.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) rounds: u64,
    /// The accuracy that counts as having learnt it, where that was set before.
    pub(crate) goal: Option<f64>,
    manifest: String,
    pub(crate) material: Material,
}

impl Workload {
    /// The manifest with this said of updates.
    pub(crate) fn with(&self, update: &str) -> String {
        format!("{}\n{update}\n", self.manifest)
    }
}

/// The digits by 19,210 parameters, which are five chunks of the sparse encoding.
pub(crate) fn dense() -> Workload {
    digits("dense", wider())
}

/// The digits by two convolutions, 38,282 parameters in all.
pub(crate) fn convolutional() -> Workload {
    let layers = r#"[[model.layers]]
kind = "reshape"
shape = [1, 8, 8]

[[model.layers]]
kind = "conv"
name = "first"
filters = 16
kernel = 3
padding = "same"
activation = "relu"

[[model.layers]]
kind = "conv"
name = "second"
filters = 32
kernel = 3
padding = "same"
activation = "relu"

[[model.layers]]
kind = "max-pool"

[[model.layers]]
kind = "flatten"

[[model.layers]]
kind = "dense"
name = "hidden"
units = 64
activation = "relu"

"#;
    let text = plain().replace("steps = 60", "steps = 20");
    let (before, rest) = text.split_once("[[model.layers]]").unwrap();
    let (_dense, output) = rest.split_once("[[model.layers]]").unwrap();
    digits("convolutional", format!("{before}{layers}[[model.layers]]{output}\n[guard]\nsamples = 0\n"))
}

fn digits(name: &'static str, manifest: String) -> Workload {
    let material = Material { data: DATA.to_vec(), kinds: None, measured: usize::MAX };
    Workload { name, rounds: 60, goal: Some(0.95), manifest, material }
}

/// Which character comes next in four plays, by a transformer of two blocks. Of what kind a stretch of text is, is which
/// play it is from.
pub(crate) fn writer() -> Workload {
    let samples = Manifest::parse(WRITER).unwrap().data.split.samples as usize;
    let mut characters: Vec<char> = PLAYS.concat().chars().collect();
    characters.sort_unstable();
    characters.dedup();
    let number = |character: char| u8::try_from(characters.binary_search(&character).unwrap()).unwrap();
    let (mut x, mut y, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    for (play, text) in (0..).zip(PLAYS) {
        let text: Vec<u8> = text.chars().map(number).collect();
        for stretch in text.windows(LENGTH + 1).step_by(LENGTH) {
            x.extend(&stretch[..LENGTH]);
            y.extend(&stretch[1..]);
            kinds.push(play);
        }
    }
    assert!(kinds.len() >= samples, "{} stretches of text", kinds.len());
    // Some of each play.
    let chosen: Vec<usize> = (0..samples).map(|sample| sample * kinds.len() / samples).collect();
    let pick = |all: &[u8]| -> Vec<u8> {
        chosen.iter().flat_map(|sample| &all[sample * LENGTH..][..LENGTH]).copied().collect()
    };
    let kinds = chosen.iter().map(|sample| kinds[*sample]).collect();
    let data = safetensors(samples, &pick(&x), &pick(&y));
    let material = Material { data, kinds: Some(kinds), measured: MEASURED };
    Workload { name: "writer", rounds: 40, goal: None, manifest: WRITER.to_owned(), material }
}

/// Two tensors of bytes, `x` and `y`, as many rows as there are samples.
fn safetensors(samples: usize, x: &[u8], y: &[u8]) -> Vec<u8> {
    let tensor = |from: usize, bytes: &[u8]| {
        let shape = [samples, bytes.len() / samples];
        format!(r#"{{"dtype":"U8","shape":{shape:?},"data_offsets":[{from},{}]}}"#, from + bytes.len())
    };
    let mut header = format!(r#"{{"x":{},"y":{}}}"#, tensor(0, x), tensor(x.len(), y));
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), x, y].concat()
}
