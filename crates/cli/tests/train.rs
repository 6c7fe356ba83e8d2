//! `lichen train` on the digits campaign, as an outsider would run it.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

use lichen_campaign::{Manifest, Training};
use lichen_engine::Evaluator;
use lichen_learn::Dataset;
use lichen_model::{Parameters, parameter_shapes};

fn campaign(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../relay/campaigns/digits").join(file)
}

fn train(out: &Path, more: &[&str]) -> Vec<f64> {
    train_on(&campaign("campaign.toml"), out, more)
}

fn train_on(manifest: &Path, out: &Path, more: &[&str]) -> Vec<f64> {
    let output = Command::new(env!("CARGO_BIN_EXE_lichen"))
        .arg("train")
        .arg(manifest)
        .arg("--data")
        .arg(campaign("digits.safetensors"))
        .args(["--seed", "3", "--json", "--out"])
        .arg(out)
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    result["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect()
}

#[test]
fn the_digits_model_learns_and_continues() {
    let folder = std::env::temp_dir().join(format!("lichen-train-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (first, second) = (folder.join("first.safetensors"), folder.join("second.safetensors"));
    let losses = train(&first, &["--steps", "150"]);
    assert_eq!(losses.len(), 150);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!(mean(&losses[140..]) < 0.5 * mean(&losses[..10]), "{losses:?}");
    let continued = train(&second, &["--steps", "10", "--init", first.to_str().unwrap()]);
    assert!(mean(&continued) < 0.5 * mean(&losses[..10]), "{continued:?}");
    let again = train(&second, &["--steps", "150"]);
    assert_eq!(again, losses, "the same seed gives the same bits");
    assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A safetensors file of two tensors.
fn file(x: (&str, &[u8]), y: (&str, &[u8])) -> Vec<u8> {
    let (begin, end) = (x.1.len(), x.1.len() + y.1.len());
    let header = format!(
        r#"{{"x":{{{},"data_offsets":[0,{begin}]}},"y":{{{},"data_offsets":[{begin},{end}]}}}}"#,
        x.0, y.0
    );
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), x.1, y.1].concat()
}

#[test]
fn a_faulty_sample_is_named_and_losses_before_it_are_printed() {
    let folder = std::env::temp_dir().join(format!("lichen-faults-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (manifest, data) = (folder.join("model.toml"), folder.join("data.safetensors"));
    let text = "[model]\ninput = [2]\nloss = \"softmax-cross-entropy\"\n\
                layers = [{ kind = \"dense\", units = 3 }]\n\
                [train]\noptimizer = \"sgd\"\nlearning_rate = 0.1\nbatch = 2\nsteps = 4\n";
    std::fs::write(&manifest, text).unwrap();
    let run = |x: &[f32], labels: &[i8], shape: &str| {
        let x: Vec<u8> = x.iter().flat_map(|value| value.to_le_bytes()).collect();
        let labels: Vec<u8> = labels.iter().map(|&label| label.cast_unsigned()).collect();
        let answers = format!(r#""dtype":"I8","shape":{shape}"#);
        std::fs::write(&data, file((r#""dtype":"F32","shape":[4,2]"#, &x), (&answers, &labels))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lichen"));
        command.arg("train").arg(&manifest).arg("--data").arg(&data).args(["--order", "sequential"]);
        let output = command.output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (printed, said) = run(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, f32::NAN, 7.0], &[0, 1, 2, 0], "[4]");
    assert!(printed.starts_with("0\t") && printed.lines().count() == 1, "{printed}");
    assert!(said.contains("step 1, sample 3 of the data: element 2 of the input"), "{said}");
    let (_, said) = run(&[1.0; 8], &[0, 1, 3, 0], "[4]");
    assert!(said.contains("step 1, sample 2 of the data: element 0 of the labels is 3"), "{said}");
    let (_, said) = run(&[1.0; 8], &[0, 1, -100, 0], "[4]");
    assert!(said.contains("-100") && said.contains("ignore_label = -100"), "{said}");
    let (_, said) = run(&[1.0; 8], &[0, 1, 2, 0, 1, 2, 0, 1], "[4, 2]");
    assert!(said.contains("y has shape [4, 2]") && said.contains("takes one label"), "{said}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn tensors_come_in_pytorch_s_types_and_conventions() {
    let folder = std::env::temp_dir().join(format!("lichen-types-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (manifest, data, init) =
        (folder.join("model.toml"), folder.join("data.safetensors"), folder.join("init.safetensors"));
    let text = "[model]\ninput = [2, 3]\nloss = \"softmax-cross-entropy\"\nignore_label = -100\n\
                layers = [{ kind = \"dense\", name = \"o\", units = 2 }]\n\
                [train]\noptimizer = \"sgd\"\nlearning_rate = 0.1\nbatch = 2\nsteps = 3\n";
    std::fs::write(&manifest, text).unwrap();
    let run = |x: (&str, &[u8]), y: (&str, &[u8]), o: (&str, &[u8], &[u8])| {
        let tensor = |element, shape| format!(r#""dtype":"{element}","shape":{shape}"#);
        let (inputs, labels) = (tensor(x.0, "[2,2,3]"), tensor(y.0, "[2,2]"));
        std::fs::write(&data, file((&inputs, x.1), (&labels, y.1))).unwrap();
        let (weight, bias) = (tensor(o.0, "[2,3]"), tensor(o.0, "[2]"));
        let parameters = file((&weight, o.1), (&bias, o.2));
        let named = String::from_utf8_lossy(&parameters[8..]).replace("\"x\"", "\"o.weight\"");
        let header = named.split("}}").next().unwrap().replace("\"y\"", "\"o.bias\"") + "}}";
        let begin = (header.len() as u64).to_le_bytes();
        std::fs::write(&init, [&begin, header.as_bytes(), o.1, o.2].concat()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lichen"));
        command.arg("train").arg(&manifest).arg("--data").arg(&data).arg("--init").arg(&init);
        let output = command.args(["--order", "sequential"]).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let wide =
        |values: &[f32]| values.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect::<Vec<u8>>();
    let single = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    // The upper half of a single is bfloat16.
    let brain = |values: &[f32]| {
        values.iter().flat_map(|value| value.to_le_bytes()[2..].to_vec()).collect::<Vec<u8>>()
    };
    let long = |labels: &[i64]| labels.iter().flat_map(|label| label.to_le_bytes()).collect::<Vec<u8>>();
    let x: Vec<f32> = (0..12u8).map(|i| f32::from(i) / 7.0).collect();
    let (weight, bias) = ([0.5, -0.25, 1.0, 0.0, 2.0, -1.5], [0.125, -3.0]);
    let labels = long(&[1, -100, -100, 0]);
    let short: Vec<u8> = [1i32, -100, -100, 0].iter().flat_map(|label| label.to_le_bytes()).collect();
    let (losses, said) =
        run(("F32", &single(&x)), ("I64", &labels), ("F32", &single(&weight), &single(&bias)));
    assert_eq!((losses.lines().count(), said.as_str()), (3, ""));
    let (same, said) = run(("F64", &wide(&x)), ("I32", &short), ("BF16", &brain(&weight), &brain(&bias)));
    assert_eq!(same, losses);
    assert!(said.contains("x (F64) converted to F32"), "{said}");
    assert!(
        said.contains("o.bias (BF16) and 1 more converted to F32") && said.lines().count() == 2,
        "{said}"
    );
    let own = ("F32", &single(&weight)[..], &single(&bias)[..]);
    let (_, said) = run(("F32", &single(&x)), ("I64", &long(&[1, -1, -100, 0])), own);
    assert!(said.contains("y has the label -1: "), "{said}");
    let (_, said) = run(("F32", &single(&x)), ("F32", &single(&[1.0, 0.0, 0.0, 0.0])), own);
    assert!(said.contains("tensor y is of type F32: give one of I64, I32"), "{said}");
    let (_, said) = run(("C64", &wide(&x)), ("I64", &labels), own);
    assert!(said.contains("tensor x is of type C64: give one of F32, F64, F16, BF16, I64"), "{said}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_readme_s_manifest_is_enough() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let manifest = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let training = Training::parse(manifest).unwrap();
    let names: Vec<String> =
        parameter_shapes(&training.model).unwrap().into_iter().map(|(name, _)| name).collect();
    for name in ["memory.weight_ih_l0", "output.weight"] {
        assert!(names.iter().any(|known| known == name) && readme.contains(name), "{names:?}");
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let folder = std::env::temp_dir().join(format!("lichen-fit-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let [manifest, other, data] = ["model.toml", "other.toml", "data.safetensors"].map(path);
    let model = |input: &str| {
        format!(
            "[model]\ninput = {input}\nloss = \"mean-squared-error\"\n\
             layers = [{{ kind = \"flatten\" }}, {{ kind = \"dense\", name = \"o\", units = 1 }}]\n\
             [train]\noptimizer = \"sgd\"\nlearning_rate = 0.1\nbatch = 2\nsteps = 1\n"
        )
    };
    let tensor = |shape: &str| format!(r#""dtype":"F32","shape":{shape}"#);
    let write = |x: &str, elements: usize| {
        std::fs::write(&data, file((&tensor(x), &vec![0; elements * 4]), (&tensor("[2]"), &[0; 8]))).unwrap();
    };
    let refused = |manifest: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lichen"));
        let output = command.args(["train", manifest, "--data", &data]).args(more).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{said}");
        said
    };
    std::fs::write(&manifest, model("[2, 3]")).unwrap();
    write("[2,3,2]", 12);
    let said = refused(&manifest, &[]);
    assert!(
        said.contains("x has shape [2, 3, 2], 2 samples of [3, 2], but the model takes samples of [2, 3]"),
        "{said}"
    );
    write("[0,2,3]", 0);
    let said = refused(&manifest, &[]);
    assert!(said.contains("x has shape [0, 2, 3]") && said.contains("one or more"), "{said}");
    write("[2,1,2,3]", 12);
    let said = refused(&manifest, &["--out", &path("none/out.safetensors")]);
    assert!(said.contains("out.safetensors: there is no such folder"), "{said}");
    let said = refused(&manifest, &["--out", folder.to_str().unwrap()]);
    assert!(said.contains("it is a folder"), "{said}");
    let said = refused(&manifest, &["--init", &data]);
    for line in [
        "o.bias [1] is missing",
        "o.weight [1, 6] is missing",
        "x [2, 1, 2, 3] is not one of the model's",
        "y [2] is not one of the model's",
    ] {
        assert!(said.lines().any(|said| said == line), "{said}");
    }
    std::fs::write(&other, model("[2, 3]").replace("[train]", "[train")).unwrap();
    assert!(refused(&other, &[]).contains("TOML parse error at line 5"));
    std::fs::write(&other, model("[2, 3]").replace("\"flatten\"", "\"gru\", units = 3, sequence = true"))
        .unwrap();
    assert!(refused(&other, &[]).contains("y has shape [2], but x has 2 samples"));
    std::fs::write(&other, model("[6]").replace("\"flatten\"", "\"gru\", units = 3")).unwrap();
    let said = refused(&other, &[]);
    assert!(said.contains("other.toml: layer gru0 takes [steps, features], but gets [6]"), "{said}");
    std::fs::write(&other, model("[2, 3]").replace("mean-squared-error", "binary-cross-entropy")).unwrap();
    let (x, y) = (vec![0; 48], [1f32.to_le_bytes(), 2f32.to_le_bytes()].concat());
    std::fs::write(&data, file((&tensor("[2,2,3]"), &x), (&tensor("[2]"), &y))).unwrap();
    let said = refused(&other, &[]);
    assert!(
        said.contains("y has 2 in sample 1, but binary-cross-entropy takes numbers from 0 to 1"),
        "{said}"
    );
    let normed = model("[2, 3]").replace("steps = 1", "steps = 1\nclip_sample_norm = 1");
    std::fs::write(&other, normed.replace("\"flatten\"", "\"batch-norm\"")).unwrap();
    assert!(refused(&other, &[]).contains("train.clip_sample_norm does not go with batch normalisation"));
    std::fs::write(&data, "no tensors").unwrap();
    assert!(refused(&manifest, &[]).contains("this is text, not a safetensors file"));
    std::fs::write(&data, [&8_u64.to_le_bytes()[..], b"{\"x\":"].concat()).unwrap();
    assert!(refused(&manifest, &[]).contains("not a whole safetensors file"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_resumed_training_gives_the_same_bits() {
    let folder = std::env::temp_dir().join(format!("lichen-resume-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(format!("{name}.safetensors")).to_str().unwrap().to_owned();
    let [whole, half, rest, whole_state, half_state, rest_state] =
        ["whole", "half", "rest", "whole-state", "half-state", "rest-state"].map(path);
    let gradients = path("gradients");
    let losses = train(Path::new(&whole), &["--steps", "130", "--save-state", &whole_state]);
    let until = ["--steps", "130", "--until", "70", "--save-state", &half_state];
    let mut parts = train(Path::new(&half), &until);
    assert_eq!(parts.len(), 70);
    parts.extend(train(
        Path::new(&rest),
        &[
            "--steps",
            "130",
            "--init",
            &half,
            "--init-state",
            &half_state,
            "--save-state",
            &rest_state,
            "--save-gradients",
            &gradients,
        ],
    ));
    assert_eq!(parts, losses);
    let read = |path: &str| std::fs::read(path).unwrap();
    assert_eq!(read(&rest), read(&whole));
    assert_eq!(read(&rest_state), read(&whole_state));
    // Any writer's file will do, such as PyTorch's with its metadata.
    let canonical = read(&half_state);
    let metadata = br#"{"__metadata__":{"format":"pt"},"#;
    let length = u64::from_le_bytes(canonical[..8].try_into().unwrap()) + metadata.len() as u64 - 1;
    std::fs::write(&half_state, [&length.to_le_bytes(), &metadata[..], &canonical[9..]].concat()).unwrap();
    let on = ["--steps", "130", "--until", "75", "--init", &half, "--init-state", &half_state];
    assert_eq!(train(Path::new(&rest), &on), losses[70..75]);
    let gradients = Parameters::from_safetensors(&read(&gradients)).unwrap();
    assert_eq!(gradients.get("output.weight").unwrap().shape(), [10, 32]);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Where there is no adapter, what to do about it is said; else losses are those of the CPU within 1e-4.
#[test]
#[cfg(feature = "gpu")]
fn the_gpu_trains_as_the_cpu_does() {
    let folder = std::env::temp_dir().join(format!("lichen-gpu-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let on_gpu = Command::new(env!("CARGO_BIN_EXE_lichen"))
        .arg("train")
        .arg(campaign("campaign.toml"))
        .arg("--data")
        .arg(campaign("digits.safetensors"))
        .args(["--seed", "3", "--json", "--steps", "60", "--engine", "gpu"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&on_gpu.stderr);
    if !on_gpu.status.success() {
        assert!(said.contains("no WebGPU adapter") && said.contains("--engine cpu"), "{said}");
        eprintln!("not run: {said}");
        return;
    }
    let result: serde_json::Value = serde_json::from_slice(&on_gpu.stdout).unwrap();
    assert_eq!(result["engine"], "gpu");
    let on_gpu: Vec<f64> =
        result["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect();
    let on_cpu = train(&folder.join("out.safetensors"), &["--steps", "60"]);
    assert_eq!(on_gpu.len(), 60);
    for (gpu, cpu) in on_gpu.iter().zip(&on_cpu) {
        assert!((gpu - cpu).abs() < 1e-4 * cpu.abs().max(1.0), "{on_gpu:?} {on_cpu:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The campaign's manifest, and the ones made from it and the models in the campaign's README.
fn manifests() -> Vec<String> {
    let manifest = std::fs::read_to_string(campaign("campaign.toml")).unwrap();
    let readme = std::fs::read_to_string(campaign("README.md")).unwrap();
    let (start, end) = (manifest.find("[model]").unwrap(), manifest.find("[train]").unwrap());
    let models = readme.split("```toml\n").skip(1).map(|text| text.split("```").next().unwrap());
    let others = models.map(|model| format!("{}{model}\n{}", &manifest[..start], &manifest[end..]));
    std::iter::once(manifest.clone()).chain(others).collect()
}

/// Share of the held-out samples that a trained model tells rightly.
fn accuracy(manifest: &str, parameters: &Path) -> f64 {
    let manifest = Manifest::parse(manifest).unwrap();
    let data = Dataset::decode(&std::fs::read(campaign("digits.safetensors")).unwrap(), &manifest).unwrap();
    let parameters = Parameters::from_safetensors(&std::fs::read(parameters).unwrap()).unwrap();
    let (x, answers) = data.gather(&manifest.data.split.held_out());
    Evaluator::new(&manifest.model).evaluate(&parameters, &x, &answers).unwrap().accuracy
}

#[test]
fn the_digits_are_learnt_by_dense_convolutional_and_transformer_models() {
    let folder = std::env::temp_dir().join(format!("lichen-models-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let manifests = manifests();
    assert_eq!(manifests.len(), 3);
    for text in manifests {
        let (manifest, out) = (folder.join("campaign.toml"), folder.join("out.safetensors"));
        std::fs::write(&manifest, &text).unwrap();
        let losses = train_on(&manifest, &out, &["--steps", "500"]);
        let reached = accuracy(&text, &out);
        assert!(reached > 0.95, "{reached} after {:?}", losses.last());
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn any_number_of_threads_trains_to_the_same_bits() {
    let folder = std::env::temp_dir().join(format!("lichen-threads-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for text in manifests() {
        let manifest = folder.join("campaign.toml");
        std::fs::write(&manifest, text.replace("batch = 32", "batch = 500")).unwrap();
        let trained = ["1", "2", "5"].map(|threads| {
            let out = folder.join("out.safetensors");
            let losses = train_on(&manifest, &out, &["--steps", "6", "--threads", threads]);
            (losses, std::fs::read(out).unwrap())
        });
        assert!(trained.iter().all(|one| *one == trained[0]), "{text}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Writes samples of three numbers, and for each of them the sum, or whether it is above 0.
fn write_sums(path: &Path, labelled: bool) {
    let x: Vec<f32> = (0..192).map(|i| (i * 37 % 64) as f32 / 32.0 - 1.0).collect();
    let sums = x.chunks(3).map(|row| row.iter().sum::<f32>());
    let y: Vec<u8> = if labelled {
        sums.flat_map(|sum| i64::from(sum > 0.0).to_le_bytes()).collect()
    } else {
        sums.flat_map(|sum| (4.0 * sum + 0.5).clamp(0.0, 1.0).to_le_bytes()).collect()
    };
    let (element, shape) = if labelled { ("I64", "[64]") } else { ("F32", "[64,1]") };
    let mut header = format!(
        r#"{{"x":{{"dtype":"F32","shape":[64,3],"data_offsets":[0,768]}},"y":{{"dtype":"{element}","shape":{shape},"data_offsets":[768,{}]}}}}"#,
        768 + y.len()
    );
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let x: Vec<u8> = x.iter().flat_map(|value| value.to_le_bytes()).collect();
    let file = [(header.len() as u64).to_le_bytes().to_vec(), header.into_bytes(), x, y].concat();
    std::fs::write(path, file).unwrap();
}

#[test]
fn every_loss_is_trained() {
    let folder = std::env::temp_dir().join(format!("lichen-losses-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (manifest, data) = (folder.join("model.toml"), folder.join("data.safetensors"));
    for (loss, units) in [
        ("softmax-cross-entropy", 2),
        ("binary-cross-entropy", 1),
        ("mean-squared-error", 1),
        ("mean-absolute-error", 1),
        ("huber", 1),
    ] {
        write_sums(&data, units == 2);
        let text = format!(
            "[model]\ninput = [3]\nloss = \"{loss}\"\n[[model.layers]]\nkind = \"dense\"\nunits = {units}\n\
             [train]\noptimizer = \"adam\"\nlearning_rate = 0.05\nbatch = 16\nsteps = 150\n"
        );
        std::fs::write(&manifest, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_lichen"))
            .arg("train")
            .arg(&manifest)
            .arg("--data")
            .arg(&data)
            .output()
            .unwrap();
        assert!(output.status.success(), "{loss}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let losses: Vec<f64> =
            text.lines().map(|line| line.split('\t').nth(1).unwrap().parse().unwrap()).collect();
        assert_eq!(losses.len(), 150);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        assert!(mean(&losses[140..]) < 0.9 * mean(&losses[..10]), "{loss}: {losses:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_training_that_diverges_ends_with_an_error_and_no_file() {
    let folder = std::env::temp_dir().join(format!("lichen-diverged-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let [manifest, data, out, state] =
        ["model.toml", "data.safetensors", "out.safetensors", "state.safetensors"]
            .map(|name| folder.join(name));
    let text = "[model]\ninput = [1]\nloss = \"mean-squared-error\"\n\
                layers = [{ kind = \"dense\", units = 8 }, { kind = \"dense\", units = 1 }]\n\
                [train]\noptimizer = \"sgd\"\nlearning_rate = 0.1\nbatch = 4\nsteps = 50\n";
    std::fs::write(&manifest, text).unwrap();
    let bytes = |values: [f32; 4]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let shape = r#""dtype":"F32","shape":[4,1]"#;
    let (x, y) = (bytes([1.0, 2.0, 3.0, 4.0]), bytes([3000.0, 5000.0, 7000.0, 9000.0]));
    std::fs::write(&data, file((shape, &x), (shape, &y))).unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lichen"));
        command.arg("train").arg(&manifest).arg("--data").arg(&data).arg("--out").arg(&out);
        command.arg("--save-state").arg(&state).args(more).output().unwrap()
    };
    let output = run(&[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("training diverged at step "), "{said}");
    assert!(said.contains("smaller than 0.1") && said.contains("The answers go up to 9000"), "{said}");
    assert!(!said.contains("The inputs go up"), "{said}");
    assert!(!out.exists() && !state.exists(), "nobody could go on from it");
    let output = run(&["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let step = result["diverged"].as_u64().unwrap();
    assert_eq!(result["losses"].as_array().unwrap().len() as u64, step + 1, "no step is taken after it");
    std::fs::remove_dir_all(&folder).unwrap();
}
