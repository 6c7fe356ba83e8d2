//! The next checkpoint has the same bytes everywhere: one golden id, checked natively and in the browser.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod numbers;

use lichen_campaign::{AggregationRule, Before, Encoding, Moments, Momentum, OuterOptimizer, Rule};
use lichen_learn::{Aggregation, Codec, Update, aggregate_checkpoint, difference, outer_step};
use lichen_model::{Parameters, Tensor};
use lichen_record::Cid;

use numbers::Numbers;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// The golden ids were computed by exact rational arithmetic, rounded once to 64 and then to 32 bits where the
/// documented arithmetic rounds (`tests/bit_identity.py`).
const BASE: &str = "bafkreia6wnequocc2m4qupc6mss3b2otuwrfjq75wtwuqtxmrg4hwyv7j4";
const RESULT: &str = "bafkreiemwwviq4xwunbkp4fc5pvc6ntm7ozfkdglgpybsammwsvraqgpla";
const UPDATES: [&str; 5] = [
    "bafkreibo64ecnukvt2eebmklz5yavgsc4w64xpf5bcmwaer5rzxbmmm5iy",
    "bafkreibdnywq65a2mgukynoklstf5dggbocb6qizuqpeth62lluzd63x3e",
    "bafkreicuhyqkiqefxr3yrpuzs5jvvn6n7g3jqzyngqrtgsrxjxodnikoxi",
    "bafkreieumcnirzxbizshgzvwlvcrkpyrjv5yie5b7lsiod3n3z3e3syfdm",
    "bafkreigvjjvmesbooglmyxhwydep7h7tpdxv6dwofnttsbme4mdj4mfcae",
];

const SHAPES: [(&str, &[usize]); 4] = [
    ("hidden.bias", &[32]),
    ("hidden.weight", &[32, 64]),
    ("output.bias", &[10]),
    ("output.weight", &[10, 32]),
];
const SAMPLES: [u32; 5] = [480, 1, 479, 65_537, 3];

fn parameters(seed: u64) -> Parameters {
    let mut numbers = Numbers(seed);
    let mut parameters = Parameters::new();
    for (name, shape) in SHAPES {
        let data = (0..shape.iter().product()).map(|_| numbers.next()).collect();
        parameters.insert(name.into(), Tensor::new(shape.to_vec(), data).unwrap()).unwrap();
    }
    parameters
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn checkpoint_and_updates_have_their_golden_ids() {
    let base = parameters(1);
    let updates: Vec<Update> = (2..7).map(|seed| difference(&base, &parameters(seed)).unwrap()).collect();
    let blobs: Vec<Vec<u8>> = updates.iter().map(|update| update.encode().unwrap()).collect();
    let base = base.to_safetensors();
    assert_eq!(Cid::of_raw(&base).to_string(), BASE);
    let ids: Vec<String> = blobs.iter().map(|blob| Cid::of_raw(blob).to_string()).collect();
    assert_eq!(ids, UPDATES);

    let accepted: Vec<_> = SAMPLES.into_iter().zip(&blobs).collect();
    let (cid, checkpoint) = aggregate_checkpoint(&base, &accepted, f64::INFINITY).unwrap();
    assert_eq!(cid.to_string(), RESULT);
    assert!(cid.matches(&checkpoint));
}

/// What every rule gives on these updates: the bits of all machines. The values were taken natively; what the rules compute is
/// judged by `judged_by_byzfl.rs`.
const ROBUST: [(Rule, [&str; 3]); 7] = [
    (
        Rule::MedianNormClip,
        [
            "bafkreif6qgoyvw2qzlyvdnawgnheutdqaymgtf7q4r45pqrzuqsbmvrzj4",
            "bafkreicvdshl5kgcon44fm4khekscd4xwihrx6lmf2ergbilblfgh7wupm",
            "bafkreidgsgkmsinrn3msvtnkvnjykg5a5sviio5j2jw2cjc3ye4bnz4xne",
        ],
    ),
    (
        Rule::CenteredClip,
        [
            "bafkreibuxj4vrni2ea5w5bxvd4dxyxgmgcgocrjczymfdnyfrhvdiz57ha",
            "bafkreihhvqxm2ogrgqbov3247v6qkfeo2cvj4f6cvkpbrzqi26wgcgexnm",
            "bafkreifbrc26zxpyzgotppzgxitxqrgwystlzc4bbyteda3wfa4loopf7a",
        ],
    ),
    (
        Rule::Krum,
        [
            "bafkreihhbl62xgwqv66z6np2e5zdsclcfosojhgefjwewjru5ytnsgwao4",
            "bafkreick3rg7zveqw4pjpkyadb7bsrbqtleteeqbgev33ownuctkdw54qe",
            "bafkreiffbnzqtdsd5ancfcbjanxfbkorigzi4p5skhzsbbx5dnzq6eprja",
        ],
    ),
    (
        Rule::MultiKrum,
        [
            "bafkreibfa6rnfprkgigcto5jzyzv6jjlzeydiwxjgfhzzeea7f4zudfvjm",
            "bafkreidkswyuqivfrln6dthbkyuciii2mieo4k6rsfrinhtdf4bhioofzm",
            "bafkreiaacv7qrfgcv276t6qex63q6qnj6zovtnptporkkop3thvk4b3o6u",
        ],
    ),
    (
        Rule::CoordinateMedian,
        [
            "bafkreigjoncrck7dwv6ut7kgpwv5s7hxh7s4xridou4ojmd2ktod7sgv3y",
            "bafkreick3rg7zveqw4pjpkyadb7bsrbqtleteeqbgev33ownuctkdw54qe",
            "bafkreifdpw6lynxjih44kbbbj2wdocbvdsgerzy3rpmtzphn5t6eybm7gq",
        ],
    ),
    (
        Rule::TrimmedMean,
        [
            "bafkreifhmib72rlkdpuir6sqkcmn5du3mtpaavzg6mwtsgnspqe2zbe4a4",
            "bafkreiclmunlna64a7vzfh4tlrooezcykp6uwh2xur7xudgqcdug3cjbc4",
            "bafkreifdpw6lynxjih44kbbbj2wdocbvdsgerzy3rpmtzphn5t6eybm7gq",
        ],
    ),
    (
        Rule::GeometricMedian,
        [
            "bafkreiar5nzmmbjjlh4prugpojkjyv6hn3yhc4bjq6jkiz6xzzh7zllm5u",
            "bafkreifjq2apt5xa4i7dneo3olik3ovv26qoti6fv55pxetvvsieb7xtw4",
            "bafkreih4yldre55lhkigblx42cojydoobtfpgbpyutdcfnfjii44nyoruy",
        ],
    ),
];

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn every_rule_gives_its_golden_id() {
    let start = parameters(1);
    let base = start.to_safetensors();
    let updates: Vec<Update> = (2..13).map(|seed| difference(&start, &parameters(seed)).unwrap()).collect();
    let blobs: Vec<Vec<u8>> = updates.iter().map(|update| update.encode().unwrap()).collect();
    let befores = [None, Some(Before::NearestNeighbours), Some(Before::Bucketing)];
    let given = |rule, before| {
        let rule = AggregationRule { rule, before, hostile: 0.2 };
        let mut aggregation =
            Aggregation::new(&base, Codec::new(Encoding::Dense), f64::INFINITY, &rule).unwrap();
        for (blob, samples) in blobs.iter().zip(SAMPLES.iter().cycle()) {
            aggregation.add(*samples, blob);
        }
        Cid::of_raw(&aggregation.finish().to_safetensors()).to_string()
    };
    let found: Vec<_> =
        ROBUST.iter().map(|(rule, _ids)| (*rule, befores.map(|before| given(*rule, before)))).collect();
    let expected: Vec<_> = ROBUST.iter().map(|(rule, ids)| (*rule, ids.map(String::from))).collect();
    assert_eq!(found, expected);
}

/// What three rounds with every outer optimiser give, checkpoint and state: the bits of all machines. The values were taken
/// natively; what the optimisers compute is judged by `judged_by_flower.rs`.
const OUTER: [(&str, [&str; 2]); 4] = [
    (
        "momentum",
        [
            "bafkreiamn6g2vjk7lpejr6qq2xnybt2wmc3rbhsgigie2grxtcf7ugwy5e",
            "bafkreidol4qehcrdlg6rfnnm22rlsijlufrt2de3sw6lyo6kt7zw3ej4sa",
        ],
    ),
    (
        "nesterov",
        [
            "bafkreid7ekuzgbnwimjbditnqh3iievexdgokj4qqkhosekru2snyxgs2y",
            "bafkreibl2c2bnis3iv3knz5iim6yrhbjdsh3qzh6yiomdblawhz6tdy7bm",
        ],
    ),
    (
        "adam",
        [
            "bafkreierab7yjgftls6cgyrnya2malh77r7mop46424meyo46zeeeanulu",
            "bafkreibqamvt7x2emms74b3r7r33s74xfmo2hn5gc7xl5ju5h44g4ybyrm",
        ],
    ),
    (
        "yogi",
        [
            "bafkreidnifsguy32md57bdvbi4id2dcz727asyzdz3o3jfoioagmeloi4y",
            "bafkreigmvd2g355vzekc2fecq5mjusmh3umflzt7lyoeargfbordpaoo5a",
        ],
    ),
];

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn every_outer_optimiser_gives_its_golden_ids() {
    let momentum = Momentum { rate: 0.7, momentum: 0.9 };
    let moments = Moments { rate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-3 };
    let optimizers = [
        OuterOptimizer::Momentum(momentum),
        OuterOptimizer::Nesterov(momentum),
        OuterOptimizer::Adam(moments),
        OuterOptimizer::Yogi(moments),
    ];
    let found = optimizers.map(|optimizer| {
        let (mut base, mut state) = (parameters(1), None);
        for seed in 2..5 {
            let values: Vec<f32> =
                parameters(seed).iter().flat_map(|(_name, tensor)| tensor.data().to_vec()).collect();
            let change: Vec<f64> = values.into_iter().map(f64::from).collect();
            (base, state) = outer_step(&optimizer, &base, &change, state.as_ref()).unwrap();
        }
        let ids = [base.to_safetensors(), state.unwrap().encode().unwrap()]
            .map(|bytes| Cid::of_raw(&bytes).to_string());
        (optimizer.word(), ids)
    });
    assert_eq!(found, OUTER.map(|(word, ids)| (word, ids.map(String::from))));
}

/// What rules that measure updates give, where the measurements are these numbers: taken natively, too. What the rules compute
/// is held by the tests beside them.
const MEASURED: [(Rule, &str); 2] = [
    (Rule::Zeno, "bafkreiaw3m7x5eo2ofehvmyiff7noj54buleaubcq7uhycy2bofxghnfxa"),
    (Rule::FlTrust, "bafkreig5vb7rvwtulb4crpzchxhhxzjhev7vnezvlz7tp5c4bblwgtl3zq"),
];

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
#[cfg_attr(not(target_arch = "wasm32"), test)]
fn what_was_measured_gives_its_golden_id() {
    let start = parameters(1);
    let given = |rule| {
        let rule = AggregationRule { rule, before: None, hostile: 0.3 };
        let codec = Codec::new(Encoding::Dense);
        let mut aggregation = Aggregation::new(&start.to_safetensors(), codec, f64::INFINITY, &rule).unwrap();
        for (seed, samples) in (2..13).zip(SAMPLES.iter().cycle()) {
            aggregation.add(*samples, &difference(&start, &parameters(seed)).unwrap().encode().unwrap());
        }
        let measured = |seed| difference(&start, &parameters(seed)).unwrap();
        match rule.rule {
            Rule::FlTrust => aggregation.trust(measured(20)),
            _ => {
                for seed in 20..24 {
                    assert!(aggregation.heading().is_some());
                    aggregation.descend(measured(seed).values());
                }
            }
        }
        Cid::of_raw(&aggregation.finish().to_safetensors()).to_string()
    };
    let found = MEASURED.map(|(rule, _id)| (rule, given(rule)));
    assert_eq!(found, MEASURED.map(|(rule, id)| (rule, String::from(id))));
}
