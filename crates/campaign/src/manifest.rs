//! The manifest of a campaign: its fields, their limits, and how it is read from TOML.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use lichen_record::{AccountId, Cid, Codec, MAX_MANIFEST};
use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use crate::aggregation::{AggregationRule, Rule, read_aggregation};
use crate::auditing::{Auditing, read_auditing};
use crate::changes::{Bounds, Changes, check_beginning, read_changes};
use crate::fault::{Fault, ManifestError};
use crate::logging::{Logging, read_logging};
use crate::model_spec::{LayerSpec, Loss, ModelSpec, TrainSpec, read_model, read_train};
use crate::outer::{OuterOptimizer, read_outer};
use crate::reader::{Reader, read_text, to_f32};
use crate::rounds::{Rounds, read_rounds};
use crate::settling::{Guard, read_guard};
use crate::show::{Show, check_show, read_show};
use crate::split::Split;
use crate::update::{Encoding, UpdateRule, read_update};

/// Longest text of one line, such as a title.
const LINE: usize = 120;

/// Longest text of a paragraph, such as a purpose.
const PARAGRAPH: usize = 2000;

/// A campaign, as its organiser describes it: valid throughout.
///
/// The campaign's id is the content id of the manifest's bytes, so that nobody can change a campaign that people
/// have joined.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// What the campaign is for, in words.
    pub campaign: Purpose,
    /// What is trained on.
    pub data: Data,
    /// What is trained.
    pub model: ModelSpec,
    /// How each tab trains in each round.
    pub train: TrainSpec,
    /// How rounds go.
    pub rounds: Rounds,
    /// How samples are shown to people; none where there is nothing to see.
    pub show: Option<Show>,
    /// What an update may be.
    pub update: UpdateRule,
    /// What a round's result must be worth.
    pub guard: Guard,
    /// How updates are combined.
    pub aggregation: AggregationRule,
    /// How a result's difference from its base is packed (`aggregation.codec`); none where results are told whole.
    pub result_codec: Option<Encoding>,
    /// What is done with the combined update.
    pub outer: OuterOptimizer,
    /// How contributions are checked; none where they are not.
    pub audit: Option<Auditing>,
    /// What the organiser may change between rounds.
    pub changes: Changes,
    /// How the log is kept.
    pub log: Logging,
}

/// `[campaign]`: what the campaign is for, in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Purpose {
    /// A few words.
    pub title: String,
    /// What the model will be good for.
    pub purpose: String,
    /// Under which licence the trained model is given away (SPDX identifier).
    pub licence: String,
    /// Accuracy on the held-out samples, 0 to 1, at which the campaign has reached its aim.
    pub target_accuracy: Option<f64>,
    /// What follows when that is reached.
    pub at_target: AtTarget,
    /// What leaves the visitor's device.
    pub leaves_device: String,
    /// Who runs the campaign.
    pub organiser: Organiser,
    /// By whose key the organiser decides how the campaign goes on; nobody may where there is none.
    pub organiser_account: Option<AccountId>,
}

/// What follows when a campaign has reached its aim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtTarget {
    /// Nothing: rounds go on until the last one.
    #[default]
    Continue,
    /// The campaign ends: no further round opens.
    Finish,
}

/// `[campaign.organiser]`: who runs the campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organiser {
    /// Name of a person or an institution.
    pub name: String,
    /// How to reach them.
    pub contact: String,
}

/// `[data]`: a public data set that every tab can fetch.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// The file's name beside the manifest.
    pub file: String,
    /// The file's content id (raw).
    pub cid: Cid,
    /// Classes that the labels name, counted from 0; none where the answers are numbers.
    pub classes: Option<u32>,
    /// What every stored value is multiplied with before it is fed to the model.
    pub scale: f32,
    /// How many samples there are, which are held out, and how many one tab trains on in a round.
    pub split: Split,
    /// Whom to thank for the data.
    pub credit: String,
    /// Under which licence the data is used (SPDX identifier).
    pub licence: String,
}

impl Manifest {
    /// Reads a manifest's bytes, as they come from a peer.
    ///
    /// # Errors
    /// [`ManifestError`] as for [`Manifest::parse`], or if the bytes are no text.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST {
            return Err(too_large(bytes.len()));
        }
        match core::str::from_utf8(bytes) {
            Ok(text) => Self::parse(text),
            Err(error) => Err(ManifestError::of_whole(format!("is not UTF-8 text: {error}"))),
        }
    }

    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] with everything that is wrong, if the text is more than 64 KiB, no TOML, or says something
    /// that no campaign can do.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > MAX_MANIFEST {
            return Err(too_large(text.len()));
        }
        read_text(text, read_manifest)
    }
}

/// Where and why a manifest's text is no TOML, in several lines; none if it is.
#[must_use]
pub fn syntax_fault(text: &str) -> Option<String> {
    Some(DeTable::parse(text).err()?.to_string())
}

fn too_large(length: usize) -> ManifestError {
    ManifestError::of_whole(format!("has {length} bytes: use at most {MAX_MANIFEST}"))
}

fn read_manifest(table: &DeTable<'_>, faults: &mut Vec<Fault>) -> Option<Manifest> {
    let mut reader = Reader::new("", Some(table), faults);
    let version: Option<u32> = reader.whole("version", 1..=1);
    let [campaign, data, model, train, rounds] =
        ["campaign", "data", "model", "train", "rounds"].map(|name| reader.table(name));
    let show = reader.value("show").and_then(|_| reader.table("show"));
    let [update, guard, aggregation, outer, audit, changes, log] =
        ["update", "guard", "aggregation", "outer", "audit", "changes", "log"]
            .map(|name| reader.optional_table(name));
    reader.finish();
    let campaign = read_purpose(campaign, faults);
    let data = read_data(data, faults);
    let model = read_model(model, faults);
    let train = read_train(train, faults);
    let rounds = read_rounds(rounds, faults);
    let show = read_show(show, faults);
    let update = read_update(update?, faults);
    let guard = read_guard(guard?, faults);
    let aggregation = read_aggregation(aggregation?, faults);
    let outer = read_outer(outer?, faults);
    let audit = read_auditing(audit?, faults);
    let changes = read_changes(changes?, faults);
    let log = read_logging(log?, faults);
    version?;
    let (aggregation, result_codec) = aggregation?;
    let manifest = Manifest {
        campaign: campaign?,
        data: data?,
        model: model?,
        train: train?,
        rounds: rounds?,
        update: update?,
        guard: guard?,
        aggregation,
        result_codec,
        outer: outer?,
        audit: audit?,
        changes: changes?,
        log: log?,
        show,
    };
    check_together(&manifest, faults);
    Some(manifest)
}

fn read_purpose(table: Option<&DeTable<'_>>, faults: &mut Vec<Fault>) -> Option<Purpose> {
    let mut reader = Reader::new("campaign", table, faults);
    let title = reader.text("title", LINE);
    let purpose = reader.text("purpose", PARAGRAPH);
    let licence = reader.text("licence", LINE);
    let target_accuracy = reader.optional_number("target_accuracy", 0.0..=1.0);
    let words = [("continue", AtTarget::Continue), ("finish", AtTarget::Finish)];
    let at_target = reader.optional_choice("at_target", &words);
    let leaves_device = reader.text("leaves_device", PARAGRAPH);
    let organiser = reader.table("organiser");
    reader.finish();
    let mut reader = Reader::new("campaign.organiser", organiser, faults);
    let name = reader.text("name", LINE);
    let contact = reader.text("contact", LINE);
    let account = match reader.value("account") {
        None => Some(None),
        Some(_present) => reader.parsed("account", "an account (did:key:zDn…)").map(Some),
    };
    reader.finish();
    Some(Purpose {
        title: title?,
        purpose: purpose?,
        licence: licence?,
        target_accuracy: target_accuracy?,
        at_target: at_target?.unwrap_or_default(),
        leaves_device: leaves_device?,
        organiser: Organiser { name: name?, contact: contact? },
        organiser_account: account?,
    })
}

fn read_data(table: Option<&DeTable<'_>>, faults: &mut Vec<Fault>) -> Option<Data> {
    let mut reader = Reader::new("data", table, faults);
    let kind = reader.choice("kind", &[("shared", ())]);
    let file = reader.text("file", LINE);
    let is_plain = |name: &str| !name.starts_with('.') && !name.contains(['/', '\\', ':']);
    let file = match file {
        Some(name) if !is_plain(&name) => {
            reader.fault("file", "must be the name of a file beside the manifest, without folders")
        }
        other => other,
    };
    let cid: Option<Cid> = reader.parsed("cid", "the file's content id (CIDv1, base32, sha2-256)");
    let cid = match cid {
        Some(cid) if cid.codec() != Codec::Raw => reader.fault("cid", "must be of the codec raw (bafk…)"),
        other => other,
    };
    let samples = reader.whole("samples", 1..=16_777_216);
    let classes = reader.optional_whole("classes", 2..=1_000_000);
    let scale = reader.number("scale", 1e-30..=1e30);
    let shard = reader.whole("shard", 1..=16_777_216);
    let held_out_every = reader.whole("held_out_every", 2..=1000);
    let credit = reader.text("credit", PARAGRAPH);
    let licence = reader.text("licence", LINE);
    reader.finish();
    kind?;
    Some(Data {
        file: file?,
        cid: cid?,
        classes: classes?,
        scale: to_f32(scale?),
        split: Split { samples: samples?, held_out_every: held_out_every?, shard: shard? },
        credit: credit?,
        licence: licence?,
    })
}

/// Checks what is right by itself and wrong together.
fn check_together(manifest: &Manifest, faults: &mut Vec<Fault>) {
    let Manifest { data, train, .. } = manifest;
    let training = data.split.training_len();
    if data.split.shard > training {
        let problem = format!("is {}: only {training} samples are left to train on", data.split.shard);
        faults.push(Fault::new("data.shard", problem));
    }
    let shard = data.split.shard_len() as usize;
    if train.batch > shard {
        let problem = format!("is {}: a shard has only {shard} samples", train.batch);
        faults.push(Fault::new("train.batch", problem));
    }
    if let Some(budget) = train.budget
        && budget.seconds * 1000.0 >= to_milliseconds(manifest.rounds.deadline_ms)
    {
        let problem = "must be less than rounds.deadline_seconds: no round would wait for a training";
        faults.push(Fault::new("train.seconds", problem));
    }
    if train.budget.is_some() && manifest.audit.is_some() {
        let problem = "must be left out with [audit]: the states that a contribution names belong to a number of steps that \
                       is known before";
        faults.push(Fault::new("train.seconds", problem));
    }
    check_answers(manifest, faults);
    check_changes(manifest, faults);
    let sparse = matches!(manifest.update.encoding, Encoding::Sparse { .. });
    if let Some(problem) = manifest.aggregation.check_with_codec(sparse) {
        faults.push(Fault::new("aggregation.rule", problem));
    }
    if let Some(problem) = manifest.audit.and_then(|_audit| Auditing::check_with_update(&manifest.update)) {
        faults.push(Fault::new("update.feedback", problem));
    }
    if let Some(problem) = manifest.audit.and_then(|audit| audit.check_with_steps(train.steps)) {
        faults.push(Fault::new("audit.every", problem));
    }
    let held_out = data.split.held_out().len();
    manifest.aggregation.check_with_held_out(manifest.guard.samples, held_out, faults);
    if let Some(show) = &manifest.show {
        check_show(show, manifest.model.input.iter().product(), data.classes, faults);
    }
}

/// Checks that the organiser can change what may be changed, and that everything goes on after that.
fn check_changes(manifest: &Manifest, faults: &mut Vec<Fault>) {
    let Manifest { campaign, train, rounds, changes, .. } = manifest;
    let mut fault = |field: &str, problem: &str| faults.push(Fault::new(format!("changes{field}"), problem));
    if campaign.organiser_account.is_none() && !changes.is_empty() {
        fault(
            "",
            "has no meaning without campaign.organiser.account: say by whose key the organiser changes something",
        );
    }
    let seconds = |milliseconds| to_milliseconds(milliseconds) / 1000.0;
    let deadline = changes
        .deadline_ms
        .map(|Bounds { least, most }| Bounds { least: seconds(least), most: seconds(most) });
    if let Some(problem) = check_beginning(deadline, &seconds(rounds.deadline_ms)) {
        fault(".deadline_seconds", &problem);
    }
    if let Some(problem) = check_beginning(changes.learning_rate, &train.learning_rate) {
        fault(".learning_rate", &problem);
    }
    match campaign.target_accuracy {
        None if changes.target_accuracy.is_some() => {
            fault(
                ".target_accuracy",
                "has no meaning without campaign.target_accuracy: say what is aimed at first",
            );
        }
        None => {}
        Some(target) => {
            if let Some(problem) = check_beginning(changes.target_accuracy, &target) {
                fault(".target_accuracy", &problem);
            }
        }
    }
    if let (Some(budget), Some(deadline)) = (train.budget, changes.deadline_ms)
        && budget.seconds * 1000.0 >= to_milliseconds(deadline.least)
    {
        fault(".deadline_seconds", "must stay above train.seconds: no round would wait for a training");
    }
    if changes.learning_rate.is_some() && manifest.aggregation.rule == Rule::FlTrust {
        fault(
            ".learning_rate",
            "must be left out with the rule \"fltrust\", which trains by itself as the manifest says",
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "a deadline is at most a day")]
const fn to_milliseconds(deadline_ms: u64) -> f64 {
    deadline_ms as f64
}

/// Checks that data, model and aim speak of the same kind of answers: classes or numbers.
fn check_answers(manifest: &Manifest, faults: &mut Vec<Fault>) {
    let Manifest { campaign, data, model, .. } = manifest;
    match (data.classes, model.loss) {
        (None, Loss::SoftmaxCrossEntropy) => {
            let problem = "is missing: the loss \"softmax-cross-entropy\" needs classes";
            faults.push(Fault::new("data.classes", problem));
        }
        (Some(_), loss) if loss != Loss::SoftmaxCrossEntropy => {
            let problem = "must be \"softmax-cross-entropy\": the data's labels are classes";
            faults.push(Fault::new("model.loss", problem));
        }
        _ => {}
    }
    if campaign.at_target == AtTarget::Finish && campaign.target_accuracy.is_none() {
        let problem = "has no meaning without target_accuracy: say at which accuracy the campaign ends";
        faults.push(Fault::new("campaign.at_target", problem));
    }
    if campaign.target_accuracy.is_some()
        && !matches!(model.loss, Loss::SoftmaxCrossEntropy | Loss::BinaryCrossEntropy)
    {
        let problem = "has no meaning for a loss without right and wrong answers: leave it out";
        faults.push(Fault::new("campaign.target_accuracy", problem));
    }
    if let (Some(LayerSpec::Dense { units, .. }), Some(classes)) = (model.layers.last(), data.classes)
        && *units != classes as usize
    {
        let problem = format!("of the last layer are {units}: use one for each of the {classes} classes");
        faults.push(Fault::new("model.layers.units", problem));
    }
}
