//! What a visitor is told about a campaign before joining, in plain sentences.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use lichen_record::VerifierKey;

use crate::model_spec::{Loss, ModelSpec};
use crate::{AtTarget, Bounds, Changes, Manifest, OuterOptimizer, Rule, Statement, Topic, Transport};

impl Statement {
    fn new(topic: Topic, heading: &str, text: String) -> Self {
        Self { topic, heading: heading.to_string(), text }
    }
}

impl Manifest {
    /// The campaign in plain words, for somebody who is asked to take part.
    #[must_use]
    pub fn explain(&self) -> Vec<Statement> {
        vec![
            Statement::new(Topic::Purpose, "What is this for?", self.campaign.purpose.clone()),
            Statement::new(Topic::Leaving, "What leaves my device?", self.explain_leaving()),
            Statement::new(Topic::Work, "What does my device do?", self.explain_work()),
            Statement::new(Topic::Model, "What is trained?", self.explain_model()),
            Statement::new(Topic::Data, "On what data?", self.explain_data()),
            Statement::new(Topic::Duration, "For how long?", self.explain_duration()),
            Statement::new(Topic::Organiser, "Who runs this?", self.explain_organiser()),
            Statement::new(Topic::Licence, "What becomes of the result?", self.explain_licence()),
        ]
    }

    /// The accuracy at which the campaign ends; none where it goes on.
    #[must_use]
    pub fn ends_at(&self) -> Option<f64> {
        self.campaign.target_accuracy.filter(|_target| self.campaign.at_target == AtTarget::Finish)
    }

    /// The largest learning rate that the campaign may come to: the manifest's, or what the organiser may change it to.
    #[must_use]
    pub fn largest_learning_rate(&self) -> f64 {
        let most = self.changes.learning_rate.map_or(0.0, |bounds| bounds.most);
        self.train.learning_rate.max(most)
    }

    fn explain_model(&self) -> String {
        let ModelSpec { input, layers, loss, .. } = &self.model;
        let numbers: usize = input.iter().product();
        let aim = self.campaign.target_accuracy.map_or(String::new(), |target| {
            format!(" The aim is to get {} of what it has never seen right.", percent(target))
        });
        let answers = match (self.data.classes, loss) {
            (Some(classes), _) => format!("tells which of {classes} classes it sees"),
            (None, Loss::BinaryCrossEntropy) => "says yes or no".into(),
            (None, _) => "estimates numbers from them".into(),
        };
        let layers = counted(layers.len() as u64, "layer", "layers");
        format!(
            "A neural network with {layers} that looks at {} and {answers}.{aim}",
            counted(numbers as u64, "number", "numbers"),
        )
    }

    fn explain_data(&self) -> String {
        let split = self.data.split;
        let held_out = split.samples - split.training_len();
        format!(
            "A public data set of {}. {} are kept aside to check the model; {}. Your device \
             fetches the data set and trains on {} of the others, drawn anew each time. Source: {} (licence: {}).",
            counted(u64::from(split.samples), "example", "examples"),
            with_separators(u64::from(held_out)),
            self.explain_held_out(),
            with_separators(u64::from(split.shard_len())),
            self.data.credit.trim_end_matches('.'),
            self.data.licence
        )
    }

    fn explain_held_out(&self) -> String {
        match self.validation().len() as u64 {
            0 => "nobody trains on them".into(),
            seen => format!("{} of them check each change, the others the model", with_separators(seen)),
        }
    }

    fn explain_leaving(&self) -> String {
        let way = match self.rounds.transport {
            Transport::Relay => {
                "This goes to the server that this page comes from (the relay), which passes it on to the other \
                 volunteers. The relay sees your device's network address, as every website does."
            }
            Transport::Peers => {
                "This goes to the other volunteers directly, and where there is no direct way, to the server that this \
                 page comes from (the relay). The relay sees your device's network address, as every website does; \
                 those whom you are connected to directly see it, too."
            }
        };
        format!(
            "{} {way} Each contribution is signed with a key that your browser makes and keeps, and stays in the \
             campaign's public record. No name is in it, but the key is the same at each of your visits, so that they \
             can be told to be the same person's. Clear this site's data in your browser to forget the key.",
            self.campaign.leaves_device
        )
    }

    fn explain_work(&self) -> String {
        let looks = u64::from(self.train.steps).saturating_mul(self.train.batch as u64);
        format!(
            "It trains in short turns, called rounds: in each it looks at {}{} and adjusts the model after every {}, on \
             its processor or its graphics processor, whichever turns out faster.{} Then everybody's changes are {}{}, \
             {}.{}{}",
            counted(looks, "example", "examples"),
            self.explain_budget(),
            with_separators(self.train.batch as u64),
            self.explain_turns(),
            self.explain_combining(),
            self.explain_outer(),
            self.explain_who_combines(),
            self.explain_audits(),
            self.explain_guard()
        )
    }

    fn explain_budget(&self) -> String {
        let Some(budget) = self.train.budget else { return String::new() };
        format!(", or as many as it gets through in {} seconds,", budget.seconds)
    }

    fn explain_turns(&self) -> String {
        let Some(cohort) = self.rounds.cohort else { return String::new() };
        format!(
            " Where more than {} take part, each round is for some of them, drawn by lot; yours does nothing until it is its \
             turn.",
            counted(u64::from(cohort), "device", "devices")
        )
    }

    fn explain_combining(&self) -> &'static str {
        match self.aggregation.rule {
            Rule::Mean => "added up",
            rule if rule.validates() => {
                "combined, each counting for what it does for the model on some of the examples kept aside"
            }
            _ => "combined in a way that a few hostile ones cannot decide",
        }
    }

    fn explain_outer(&self) -> &'static str {
        match self.outer {
            OuterOptimizer::Mean => "",
            _ => ", and the model takes a step that follows from them and from those of earlier rounds",
        }
    }

    fn explain_who_combines(&self) -> &'static str {
        match self.rounds.committee {
            None => "which your device does, too, to check the others",
            Some(_drawn) => "by devices that are drawn by lot to check each other, now and then by yours",
        }
    }

    fn explain_audits(&self) -> String {
        let Some(audit) = self.audit else { return String::new() };
        format!(
            " Now and then it repeats what another device did, to check that device's work, as others check yours. What you \
             contribute counts a little at first, and in full after {} of your turns came out the same at somebody else's.",
            with_separators(u64::from(audit.earn))
        )
    }

    fn explain_guard(&self) -> String {
        if self.guard.samples == 0 {
            return " Whether a result is any good is not checked in this campaign: one hostile participant can spoil \
                    the model."
                .into();
        }
        let split = self.data.split;
        let samples = self.guard.samples.min(split.samples - split.training_len());
        let samples = if self.aggregation.rule.validates() { samples / 2 } else { samples };
        format!(
            " A result that does far worse than the model before, on {} kept aside, is set aside.",
            counted(u64::from(samples), "example", "examples")
        )
    }

    fn explain_duration(&self) -> String {
        let goal = self.ends_at().map_or(String::new(), |target| {
            format!(
                " It ends earlier if the model gets {} right in two rounds, one after the other.",
                percent(target)
            )
        });
        format!(
            "Until you leave, or until the campaign has had its {}, which start at least {} apart.{}{goal} You can pause or \
             leave at any time; closing the page ends it, too.",
            counted(self.rounds.limit, "round", "rounds"),
            seconds(self.rounds.interval_ms),
            self.explain_skipping()
        )
    }

    fn explain_skipping(&self) -> String {
        let Some(extensions) = self.rounds.extensions else { return String::new() };
        let longest = self.rounds.deadline_ms.saturating_mul(u64::from(extensions).saturating_add(1));
        format!(
            " A round that fewer than {} contribute to is skipped after {}, and the next one starts from the same model.",
            counted(u64::from(self.rounds.minimum), "device", "devices"),
            seconds(longest)
        )
    }

    fn explain_organiser(&self) -> String {
        let organiser = &self.campaign.organiser;
        let (deciding, witnesses) = (self.explain_deciding(), self.explain_witnesses());
        format!("{} ({}).{deciding}{witnesses}", organiser.name, organiser.contact)
    }

    fn explain_witnesses(&self) -> String {
        let Some(witnesses) = &self.log.witnesses else { return String::new() };
        let names: Vec<&str> = witnesses.keys.iter().map(VerifierKey::name).collect();
        let (enough, names) = (witnesses.quorum as usize, names.join(", "));
        let who =
            if enough == witnesses.keys.len() { "all of".into() } else { format!("at least {enough} of") };
        format!(
            " Your device takes part only in a record that others have seen as well, so that nobody can be shown another \
             one: {who} {names}."
        )
    }

    /// What the organiser may do while the campaign is under way.
    fn explain_deciding(&self) -> String {
        if self.campaign.organiser_account.is_none() {
            return String::new();
        }
        let changes: Vec<String> =
            self.changes.explain().into_iter().map(|(what, how_far)| format!("{what} ({how_far})")).collect();
        let changing = match changes.is_empty() {
            true => String::new(),
            false => format!(" Between rounds they may change {}, and nothing else.", changes.join(", ")),
        };
        format!(
            " They may pause the campaign, go on with it, and end it at any time; each such decision stands in the public \
             record.{changing}"
        )
    }

    fn explain_licence(&self) -> String {
        format!("Everybody may have the trained model under the licence {}.", self.campaign.licence)
    }
}

impl Changes {
    /// What may be changed, and how far, in plain words.
    #[must_use]
    pub fn explain(&self) -> Vec<(&'static str, String)> {
        let deadline = self.deadline_ms.map(|Bounds { least, most }| {
            ("how long a round waits", format!("{} to {}", seconds(least), seconds(most)))
        });
        let target = self.target_accuracy.map(|Bounds { least, most }| {
            ("the aim", format!("{} to {} right", percent(least), percent(most)))
        });
        let rate = self
            .learning_rate
            .map(|Bounds { least, most }| ("the learning rate", format!("{least} to {most}")));
        [deadline, target, rate].into_iter().flatten().collect()
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    let noun = if count == 1 { one } else { many };
    format!("{} {noun}", with_separators(count))
}

/// 1234567 as 1,234,567.
fn with_separators(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn seconds(milliseconds: u64) -> String {
    match (milliseconds / 1000, milliseconds % 1000) {
        (1, 0) => "1 second".to_string(),
        (whole, 0) => format!("{} seconds", with_separators(whole)),
        (whole, rest) => format!("{whole}.{} seconds", format!("{rest:03}").trim_end_matches('0')),
    }
}

fn percent(share: f64) -> String {
    let text = format!("{:.1}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}
