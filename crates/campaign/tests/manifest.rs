//! What a manifest may say, checked on the digits campaign and on everything done wrong to it.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod digits;

use digits::{DIGITS, faults, plain, with};
use lichen_campaign::{AtTarget, Encoding, Manifest, ManifestError, Rounds, Settlement, Topic, Transport};
use proptest::prelude::*;

#[test]
fn the_digits_campaign_is_as_written() {
    let manifest = Manifest::parse(DIGITS).unwrap();
    assert_eq!(manifest.campaign.title, "Handwritten digits");
    assert_eq!(manifest.campaign.target_accuracy, Some(0.95));
    assert_eq!(manifest.data.split.samples, 1797);
    assert_eq!(manifest.data.split.held_out().len(), 360);
    assert_eq!(manifest.data.split.shard_len(), 480);
    assert_eq!(manifest.model.input, [64]);
    assert_eq!(manifest.model.layers.len(), 2);
    assert_eq!(manifest.train.batch, 32);
    let Rounds { transport, settlement, .. } = manifest.rounds;
    assert_eq!((transport, settlement), (Transport::Relay, Settlement::Coordinator));
    assert_eq!((manifest.rounds.interval_ms, manifest.rounds.deadline_ms), (1500, 10_000));
    assert_eq!((manifest.rounds.minimum, manifest.rounds.quorum), (1, 2));
    assert_eq!((manifest.rounds.limit, manifest.rounds.seed), (1000, 7));
    assert_eq!(Manifest::from_bytes(DIGITS.as_bytes()), Ok(manifest));
}

#[test]
fn a_mesh_goes_from_tab_to_tab_and_its_contributors_settle() {
    let mesh = Manifest::parse(&with("topology = \"hub\"", "topology = \"mesh\"")).unwrap();
    let Rounds { transport, settlement, .. } = mesh.rounds;
    assert_eq!((transport, settlement), (Transport::Peers, Settlement::Contributors));
    let fault = faults(&with("topology = \"hub\"", "topology = \"ring\""));
    assert!(matches!(&*fault, [fault] if fault.starts_with("rounds.topology")), "{fault:?}");
}

#[test]
fn every_required_field_is_missed_by_name() {
    let optional = ["target_accuracy", "activation", "draw", "name = \"hidden\"", "name = \"output\""];
    let mut checked = 0;
    for line in plain().lines().filter(|line| line.contains(" = ") && !line.starts_with('#')) {
        if optional.iter().any(|optional| line.starts_with(optional)) {
            continue;
        }
        let key = line.split(" = ").next().unwrap();
        let faults = faults(&with(&format!("{line}\n"), ""));
        assert!(
            faults.iter().any(|fault| fault.contains(key) && fault.contains("missing")),
            "{key}: {faults:?}"
        );
        checked += 1;
    }
    assert_eq!(checked, 39);
}

#[test]
fn all_faults_come_at_once() {
    let text = with("title = \"Handwritten digits\"", "title = 7\ntitel = \"Digits\"");
    let text = text.replace("samples = 1797", "samples = -3").replace("quorum = 2", "quorum = 0");
    let text = text.replace("units = 32", "units = 32\ncolour = 1").replace("steps = 60", "steps = \"many\"");
    assert_eq!(
        faults(&text),
        [
            "campaign.title must be text in quotation marks",
            "campaign.titel is not known here: did you mean \"title\"?",
            "data.samples is -3: it must be from 1 to 16777216",
            "model.layers[0].colour is not known here: remove it (known are kind, name, units, activation, bias)",
            "train.steps must be a whole number without quotation marks",
            "rounds.quorum is 0: it must be from 1 to 10000",
        ]
    );
}

#[test]
fn an_empty_manifest_misses_its_tables() {
    let faults = faults("");
    assert_eq!(faults.len(), 6, "{faults:?}");
    assert_eq!(faults[0], "version is missing: add it");
    assert_eq!(faults[5], "rounds is missing: add it");
}

#[test]
fn a_future_version_is_refused() {
    assert_eq!(faults(&with("version = 1", "version = 2")), ["version is 2: it must be from 1 to 1"]);
}

#[test]
fn text_that_is_no_toml_is_refused() {
    assert!(faults("version = = 1")[0].starts_with("manifest is not TOML"));
    assert!(faults("version = 1\nversion = 1")[0].starts_with("manifest is not TOML"));
    let error = Manifest::from_bytes(&[b'a', 0xff]).unwrap_err();
    assert!(error.to_string().starts_with("manifest is not UTF-8"));
}

#[test]
fn a_manifest_of_more_than_64_kib_is_refused() {
    let padding = "#".repeat(64 * 1024 - DIGITS.len() - 1);
    assert!(Manifest::parse(&format!("{padding}\n{DIGITS}")).is_ok());
    let refused = Manifest::parse(&format!("#{padding}\n{DIGITS}")).unwrap_err();
    assert_eq!(refused.to_string(), "manifest has 65537 bytes: use at most 65536");
    assert!(Manifest::from_bytes(&vec![0xff; 65_537]).unwrap_err().to_string().contains("65537 bytes"));
}

#[test]
fn deep_nesting_is_refused_without_exhausting_the_stack() {
    for open in ["[", "{a="] {
        let text = format!("a = {}", open.repeat(20_000));
        assert!(Manifest::parse(&text).is_err());
    }
}

#[test]
fn files_lie_beside_the_manifest() {
    for path in ["../secret", "/etc/passwd", "folder/file", ".hidden", "C:file", "a\\\\b"] {
        let text = with("file = \"digits.safetensors\"", &format!("file = \"{path}\""));
        let faults = faults(&text);
        assert_eq!(
            faults,
            ["data.file must be the name of a file beside the manifest, without folders"],
            "{path}"
        );
    }
}

#[test]
fn content_ids_are_checked() {
    let text = with("cid = \"bafk", "cid = \"bafy");
    assert_eq!(faults(&text).len(), 1);
    assert!(faults(&text)[0].starts_with("data.cid must be"));
}

#[test]
fn numbers_are_finite_and_in_range() {
    for (line, bad) in [
        ("scale = 0.0625", "scale = nan"),
        ("scale = 0.0625", "scale = inf"),
        ("scale = 0.0625", "scale = 0"),
        ("target_accuracy = 0.95", "target_accuracy = 95"),
        ("interval_seconds = 1.5", "interval_seconds = -1"),
        ("deadline_seconds = 10", "deadline_seconds = 1e9"),
        ("learning_rate = 0.002", "learning_rate = nan"),
        ("held_out_every = 5", "held_out_every = 1"),
        ("limit = 1000", "limit = 1.5"),
        ("seed = 7", "seed = -7"),
    ] {
        let faults = faults(&with(line, bad));
        let key = bad.split(" = ").next().unwrap();
        assert_eq!(faults.len(), 1, "{bad}: {faults:?}");
        assert!(faults[0].contains(key), "{bad}: {faults:?}");
    }
}

#[test]
fn texts_may_not_deceive() {
    for hidden in ["\\u202E", "\\u200B", "\\u0007", "\\u061C", "\\u00AD", "\\U000E0041"] {
        let faults = faults(&with("Handwritten digits", &format!("Handwritten{hidden} digits")));
        assert_eq!(faults, ["campaign.title holds invisible control characters: remove them"]);
    }
    // Nor may what is said about them, in a terminal or on a page.
    let shown = faults(&with("minimum = 1", "minimum = 1\n\"\\u001B[2J\\u202E\" = 1"));
    assert_eq!(shown.len(), 1);
    assert!(lichen_record::text::is_plain(&shown[0]), "{shown:?}");
    let long = "x".repeat(121);
    let faults = faults(&with("Handwritten digits", &long));
    assert_eq!(faults, ["campaign.title has 121 characters: use at most 120"]);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    assert_eq!(
        faults(&with("shard = 480", "shard = 1438")),
        ["data.shard is 1438: only 1437 samples are left to train on"]
    );
    assert_eq!(
        faults(&with("batch = 32", "batch = 481")),
        ["train.batch is 481: a shard has only 480 samples"]
    );
    assert_eq!(
        faults(&with("units = 10", "units = 11")),
        ["model.layers.units of the last layer are 11: use one for each of the 10 classes"]
    );
    assert_eq!(
        faults(&with("loss = \"softmax-cross-entropy\"", "loss = \"huber\"")),
        [
            "model.loss must be \"softmax-cross-entropy\": the data's labels are classes",
            "campaign.target_accuracy has no meaning for a loss without right and wrong answers: leave it out",
        ]
    );
}

#[test]
fn the_goal_ends_a_campaign_only_where_the_manifest_says_so() {
    let aim = "target_accuracy = 0.95";
    let silent = Manifest::parse(DIGITS).unwrap();
    assert_eq!((silent.campaign.at_target, silent.ends_at()), (AtTarget::Continue, None));
    let open = Manifest::parse(&with(aim, "target_accuracy = 0.95\nat_target = \"continue\"")).unwrap();
    assert_eq!(open, silent, "saying nothing is saying that it goes on");

    let ending = Manifest::parse(&with(aim, "target_accuracy = 0.95\nat_target = \"finish\"")).unwrap();
    assert_eq!(ending.ends_at(), Some(0.95));
    let said = |manifest: &Manifest| manifest.explain().iter().any(|said| said.text.contains("ends earlier"));
    assert_eq!((said(&silent), said(&ending)), (false, true));

    assert_eq!(
        faults(&with(aim, "at_target = \"finish\"")),
        [
            "campaign.at_target has no meaning without target_accuracy: say at which accuracy the campaign ends"
        ]
    );
    for wrong in ["\"stop\"", "true", "\"Finish\""] {
        assert_eq!(
            faults(&with(aim, &format!("{aim}\nat_target = {wrong}"))),
            ["campaign.at_target is not known here: use \"continue\" or \"finish\""]
        );
    }
}

#[test]
fn every_loss_can_be_named() {
    for (loss, told) in [
        ("binary-cross-entropy", "says yes or no"),
        ("mean-squared-error", "estimates numbers from them"),
        ("mean-absolute-error", "estimates numbers from them"),
        ("huber\"\nhuber_delta = 0.5\nunused = \"", "estimates numbers from them"),
    ] {
        let text = with("loss = \"softmax-cross-entropy\"", &format!("loss = \"{loss}\""));
        let text = text.replace("unused = \"\"\n", "").replace("classes = 10\n", "");
        let text = text.replace("target_accuracy = 0.95\n", "");
        let text = &text[..text.find("[show]").unwrap()];
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.data.classes, None);
        let trained = manifest.explain().into_iter().find(|said| said.topic == Topic::Model).unwrap();
        assert!(trained.text.contains(told), "{trained:?}");
    }
    let ignoring = with("[[model.layers]]", "ignore_label = 3\n[[model.layers]]");
    assert_eq!(Manifest::parse(&ignoring).unwrap().model.ignore_label, Some(3));
}

#[test]
fn what_guards_a_round_may_be_left_out_or_said() {
    let manifest = Manifest::parse(DIGITS).unwrap();
    assert_eq!(manifest.update.max_norm, None);
    let guard = manifest.guard;
    assert_eq!((guard.samples, guard.loss_factor, guard.accuracy_drop), (512, 2.0, 0.1));
    let said = |text: &str| Manifest::parse(&format!("{DIGITS}\n{text}"));
    let manifest = said("[update]\nmax_norm = 12.5\n[guard]\nsamples = 0\n").unwrap();
    assert_eq!((manifest.update.max_norm, manifest.guard.samples), (Some(12.5), 0));
    assert!(manifest.explain().iter().any(|said| said.text.contains("is not checked in this campaign")));
    let fewer = said("[guard]\nsamples = 100\nloss_factor = 3\naccuracy_drop = 0.2\n").unwrap();
    assert_eq!((fewer.guard.loss_factor, fewer.guard.accuracy_drop), (3.0, 0.2));
    assert!(fewer.explain().iter().any(|said| said.text.contains("on 100 examples kept aside")));
    for (text, fault) in [
        ("[update]\nmax_norm = 0", "update.max_norm is 0: it must be from 0.000001 to 1000000000000"),
        ("[update]\nmax_nrom = 1", "update.max_nrom is not known here: did you mean \"max_norm\"?"),
        ("update = 7", "update must be a table"),
        ("[guard]\nsamples = -1", "guard.samples is -1: it must be from 0 to 65536"),
        ("[guard]\nloss_factor = 0.5", "guard.loss_factor is 0.5: it must be from 1 to 1000"),
        ("[guard]\naccuracy_drop = 2", "guard.accuracy_drop is 2: it must be from 0 to 1"),
    ] {
        let text = format!("{text}\n");
        let text =
            if text.starts_with('[') { format!("{DIGITS}\n{text}") } else { format!("{text}{DIGITS}") };
        assert_eq!(faults(&text), [fault]);
    }
}

#[test]
fn how_updates_are_packed_may_be_left_out_or_said() {
    let rule = |text: &str| Manifest::parse(&format!("{}\n[update]\n{text}", plain())).unwrap().update;
    let sparse = |keep| Encoding::Sparse { keep };
    for (text, encoding, feedback) in [
        ("", Encoding::Dense, None),
        ("codec = \"dense\"", Encoding::Dense, None),
        ("codec = \"int8\"", Encoding::Int8, Some(1.0)),
        ("codec = \"int8\"\nfeedback = 0", Encoding::Int8, Some(0.0)),
        ("codec = \"sign\"", Encoding::Sign, Some(0.95)),
        ("codec = \"sparse\"", sparse(64), Some(0.95)),
        ("codec = \"sparse\"\nkeep = 32\nfeedback = 0.9", sparse(32), Some(0.9)),
    ] {
        assert_eq!((rule(text).encoding, rule(text).feedback), (encoding, feedback), "{text}");
    }
    for (text, fault) in [
        (
            "codec = \"zip\"",
            "update.codec is not known here: use \"dense\" or \"int8\" or \"sign\" or \"sparse\"",
        ),
        (
            "codec = \"sign\"\nkeep = 64",
            "update.keep has no meaning unless update.codec is \"sparse\": leave it out",
        ),
        ("keep = 64", "update.keep has no meaning unless update.codec is \"sparse\": leave it out"),
        ("codec = \"sparse\"\nkeep = 0", "update.keep is 0: it must be from 1 to 1024"),
        ("codec = \"sparse\"\nkeep = 1025", "update.keep is 1025: it must be from 1 to 1024"),
        ("codec = \"sparse\"\nfeedback = 1.1", "update.feedback is 1.1: it must be from 0 to 1"),
        (
            "feedback = 0.95",
            "update.feedback has no meaning where update.codec is \"dense\", which leaves nothing out: leave it out",
        ),
    ] {
        assert_eq!(faults(&format!("{DIGITS}\n[update]\n{text}\n")), [fault]);
    }
}

#[test]
fn a_model_of_other_layers_is_read() {
    let start = DIGITS.find("[[model.layers]]").unwrap();
    let end = DIGITS.find("[train]").unwrap();
    let layers = "[[model.layers]]\nkind = \"conv-block\"\nfilters = 4\nkernel = 3\npool = 2\n\
                  [[model.layers]]\nkind = \"flatten\"\n[[model.layers]]\nkind = \"dense\"\nunits = 10\n";
    let text = format!("{}{layers}{}", &DIGITS[..start], &DIGITS[end..]).replace("[64]", "[1, 8, 8]");
    assert_eq!(Manifest::parse(&text).unwrap().model.layers.len(), 3);
    let broken = text.replace("filters = 4", "filters = 0");
    assert!(faults(&broken)[0].starts_with("model.layers."), "{:?}", faults(&broken));
}

#[test]
fn an_explanation_answers_what_a_visitor_asks() {
    let manifest = Manifest::parse(DIGITS).unwrap();
    let card = manifest.card();
    assert_eq!((&card.title, &card.organiser), (&manifest.campaign.title, &manifest.campaign.organiser));
    assert_eq!((&card.credit, card.target_accuracy, card.mesh), (&manifest.data.credit, Some(0.95), false));
    let statements = card.statements;
    let told: Vec<_> = statements.iter().map(|s| (s.heading.as_str(), s.text.as_str())).collect();
    assert_eq!(told, EXPLANATION);
}

const EXPLANATION: [(&str, &str); 8] = [
    (
        "What is this for?",
        "Teaches a small neural network to read handwritten digits, to show that browser tabs can learn together: no tab does all the work, and every result can be checked by anyone.",
    ),
    (
        "What leaves my device?",
        "Only numbers leave your device: how the training on it changed the model, how many samples it used, and how well it did. This goes to the server that this page comes from (the relay), which passes it on to the other volunteers. The relay sees your device's network address, as every website does. Each contribution is signed with a key that your browser makes and keeps, and stays in the campaign's public record. No name is in it, but the key is the same at each of your visits, so that they can be told to be the same person's. Clear this site's data in your browser to forget the key.",
    ),
    (
        "What does my device do?",
        "It trains in short turns, called rounds: in each it looks at 1,920 examples and adjusts the model after every 32, on its processor or its graphics processor, whichever turns out faster. Then everybody's changes are combined in a way that a few hostile ones cannot decide, which your device does, too, to check the others. Now and then it repeats what another device did, to check that device's work, as others check yours. What you contribute counts a little at first, and in full after 3 of your turns came out the same at somebody else's. A result that does far worse than the model before, on 360 examples kept aside, is set aside.",
    ),
    (
        "What is trained?",
        "A neural network with 2 layers that looks at 64 numbers and tells which of 10 classes it sees. The aim is to get 95 % of what it has never seen right.",
    ),
    (
        "On what data?",
        "A public data set of 1,797 examples. 360 are kept aside to check the model; nobody trains on them. Your device fetches the data set and trains on 480 of the others, drawn anew each time. Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998, doi:10.24432/C50P49 (licence: CC-BY-4.0).",
    ),
    (
        "For how long?",
        "Until you leave, or until the campaign has had its 1,000 rounds, which start at least 1.5 seconds apart. You can pause or leave at any time; closing the page ends it, too.",
    ),
    (
        "Who runs this?",
        "The Lichen project, which wrote this program (ask whoever runs the page that you are reading).",
    ),
    ("What becomes of the result?", "Everybody may have the trained model under the licence CC0-1.0."),
];

#[test]
fn how_samples_are_shown_is_read() {
    let show = Manifest::parse(DIGITS).unwrap().show.unwrap();
    assert_eq!((show.width, show.height, show.full, show.draw), (8, 8, 16.0, true));
    assert_eq!(show.labels[9], "9");
    let without = &DIGITS[..DIGITS.find("[show]").unwrap()];
    assert_eq!(Manifest::parse(without).unwrap().show, None);
}

#[test]
fn what_cannot_be_shown_is_refused_by_name() {
    for (line, bad, fault) in [
        ("kind = \"image\"", "kind = \"film\"", "show.kind is not known here: use \"image\""),
        (
            "width = 8",
            "width = 7",
            "show.width and show.height make 56 cells: the model takes 64 numbers, one for each cell",
        ),
        ("height = 8", "height = 65", "show.height is 65: it must be from 1 to 64"),
        (
            "full = 16",
            "full = 0",
            "show.full is 0: it must be from 0.000000000000000000000000000001 to 1000000000000000000000000000000",
        ),
        ("\"8\", \"9\"]", "\"8\"]", "show.labels are 9: give one for each of the 10 classes"),
        ("\"9\"]", "9]", "show.labels must be text in quotation marks"),
        ("\"9\"]", "\"\\u202e\"]", "show.labels holds invisible control characters: remove them"),
        ("draw = true", "draw = 1", "show.draw must be true or false"),
        ("draw = true", "drawn = true", "show.drawn is not known here: did you mean \"draw\"?"),
    ] {
        assert_eq!(faults(&with(line, bad)), [fault], "{bad}");
    }
    let many = format!("labels = [{}]", "\"x\",".repeat(101));
    let start = DIGITS.find("labels = [").unwrap();
    let text = format!("{}{many}\ndraw = true\n", &DIGITS[..start]);
    assert_eq!(faults(&text), ["show.labels are 101: give at most 100"]);
}

#[test]
fn errors_show_every_fault_on_its_line() {
    let error: ManifestError = Manifest::parse("").unwrap_err();
    assert_eq!(error.to_string().lines().count(), error.faults().len());
}

proptest! {
    #[test]
    fn nothing_panics(text in "\\PC{0,400}") {
        let _ = Manifest::parse(&text);
    }

    #[test]
    fn a_damaged_manifest_is_read_or_refused_with_reasons(at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = DIGITS.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Err(error) = Manifest::from_bytes(&bytes) {
            prop_assert!(!error.faults().is_empty());
        }
    }

    #[test]
    fn numbers_anywhere_do_no_harm(number in any::<i64>(), key in prop::sample::select(vec!["samples", "classes", "shard", "held_out_every", "batch", "steps", "minimum", "quorum", "limit", "seed", "interval_seconds", "units"])) {
        let text: Vec<String> = DIGITS
            .lines()
            .map(|line| if line.starts_with(&format!("{key} = ")) { format!("{key} = {number}") } else { line.into() })
            .collect();
        if let Ok(manifest) = Manifest::parse(&text.join("\n")) {
            prop_assert!(manifest.data.split.shard_len() > 0);
            prop_assert!(manifest.data.split.shard_len() <= manifest.data.split.training_len());
        }
    }
}
