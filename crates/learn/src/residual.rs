//! What packing left out of a tab's updates, to be sent later.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use lichen_campaign::UpdateRule;
use lichen_record::{CampaignId, Cid, DecodeError, EncodeError, RoundNumber, decode, encode};
use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::power::power;
use crate::update::{Update, to_f32};

/// Most bytes of a residual that is kept: four for each parameter, the update that was sent last, and their frame.
pub const MAX_RESIDUAL: usize = 16 * 1024 * 1024;

/// What packing left out of a tab's updates to a campaign, to be sent later (error feedback; Seide et al., 2014).
///
/// With `e` for what was left out, `c` for what a training changed and `b` for the manifest's `update.feedback`, each round
/// the tab packs `e ← b·e + c`, and what others do not read from that stays: `e ← e - sent`.
///
/// - **An update that was not accepted** has taught nobody anything, so what was sent goes back into `e` before the next
///   one. An update was accepted if its contribution stands in the log and its round did not exclude it. A round that was
///   set aside has accepted its updates and loses them, as it loses unpacked ones.
/// - **A tab that was away** finds `e` where it left it. It was learned from an older model, and others have taught the model
///   some of the same since. So `e` is multiplied with `b` once for every round that has passed, as if the tab had
///   trained in each and learned nothing: after 90 rounds at 0.95 a hundredth is left. At 1, which is meant for encodings
///   that leave out next to nothing, it stays.
/// - **The same training again**, after a reload or a lost connection, gives the update that was made before: `e` has it
///   already.
/// - **Another campaign, model or encoding** begins with nothing left out ([`Residual::decode`] refuses what is of
///   another one).
#[derive(Clone, Debug, PartialEq)]
pub struct Residual {
    base_of: BaseOf,
    values: Vec<f32>,
    sent: Option<Sent>,
}

/// What a residual belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseOf {
    /// The campaign.
    pub campaign: CampaignId,
    /// How its updates are packed.
    pub codec: Codec,
    /// Parameters of its model.
    pub parameters: usize,
}

/// The update that was made last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    round: RoundNumber,
    base: Cid,
    #[serde(with = "serde_bytes")]
    update: Vec<u8>,
}

/// A residual as it is kept: canonical DAG-CBOR.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    campaign: CampaignId,
    encoding: String,
    #[serde(with = "serde_bytes")]
    values: Vec<u8>,
    sent: Option<Sent>,
}

/// Why bytes are no residual to go on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResidualError {
    /// They are too many, or not one in its canonical form.
    #[error("the residual does not decode: {0}")]
    Decode(DecodeError),
    /// It is of another campaign, model or encoding.
    #[error("the residual is of another campaign, model or encoding")]
    Other,
    /// A value is infinite or not a number, or what was sent is no update.
    #[error("the residual is broken")]
    Broken,
}

impl Residual {
    /// Nothing has been left out yet.
    #[must_use]
    pub fn new(base_of: BaseOf) -> Self {
        Self { base_of, values: vec![0.0; base_of.parameters], sent: None }
    }

    /// Reads a residual that this device has kept.
    ///
    /// # Errors
    /// [`ResidualError`] if it is none, or belongs to something else.
    pub fn decode(bytes: &[u8], base_of: BaseOf) -> Result<Self, ResidualError> {
        let stored: Stored = decode(bytes, MAX_RESIDUAL).map_err(ResidualError::Decode)?;
        let (values, rest) = stored.values.as_chunks();
        let is_same = stored.campaign == base_of.campaign
            && stored.encoding == base_of.codec.name()
            && values.len() == base_of.parameters;
        if !is_same {
            return Err(ResidualError::Other);
        }
        let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let sent = stored.sent.as_ref().map(|sent| base_of.codec.decode(&sent.update, base_of.parameters));
        if !rest.is_empty()
            || values.iter().any(|value| !value.is_finite())
            || sent.is_some_and(|sent| sent.is_err())
        {
            return Err(ResidualError::Broken);
        }
        Ok(Self { base_of, values, sent: stored.sent })
    }

    /// The bytes to keep on this device.
    ///
    /// # Errors
    /// [`EncodeError`] never in practice: they hold only ids, numbers and bytes.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        encode(&Stored {
            campaign: self.base_of.campaign,
            encoding: self.base_of.codec.name().to_string(),
            values: self.values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            sent: self.sent.clone(),
        })
    }

    /// What a training from this base in this round changed, packed as an update together with what was left out before.
    /// `accepted` is this tab's last update that a round accepted, and the round.
    ///
    /// # Errors
    /// [`EncodeError`] never in practice.
    pub fn pack(
        &mut self,
        (round, base): (RoundNumber, Cid),
        change: &Update,
        accepted: Option<(RoundNumber, Cid)>,
        rule: &UpdateRule,
        max_norm: f64,
    ) -> Result<Vec<u8>, EncodeError> {
        if let Some(sent) = self.sent.as_ref().filter(|sent| (sent.round, sent.base) == (round, base)) {
            return Ok(sent.update.clone());
        }
        self.take_back(accepted);
        let passed = self.sent.as_ref().map_or(1, |sent| round.0.saturating_sub(sent.round.0).max(1));
        let share = power(rule.feedback.unwrap_or(0.0), passed);
        for (left, change) in self.values.iter_mut().zip(change.values()) {
            *left = to_f32(share * f64::from(*left) + f64::from(*change));
        }
        let whole = Update::new(core::mem::take(&mut self.values)).unwrap_or_else(|_infinite| change.clone());
        let packed = self.base_of.codec.encode_within(&whole, max_norm)?;
        let pairs = whole.values().iter().zip(packed.update.values());
        self.values = pairs.map(|(whole, sent)| whole - sent).collect();
        if self.values.iter().any(|value| !value.is_finite()) {
            self.values.fill(0.0);
        }
        self.sent = Some(Sent { round, base, update: packed.bytes.clone() });
        Ok(packed.bytes)
    }

    /// Puts back what was sent last, unless it was accepted.
    fn take_back(&mut self, accepted: Option<(RoundNumber, Cid)>) {
        let Some(sent) = &self.sent else { return };
        if accepted.is_some_and(|(round, update)| round == sent.round && update.matches(&sent.update)) {
            return;
        }
        // It was made here, or checked when it was read.
        if let Ok(sent) = self.base_of.codec.decode(&sent.update, self.base_of.parameters) {
            for (left, sent) in self.values.iter_mut().zip(sent.values()) {
                *left += sent;
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use lichen_campaign::Encoding;
    use proptest::prelude::*;

    use super::*;

    const CODEC: Codec = Codec::new(Encoding::Sparse { keep: 1 });

    fn base_of(codec: Codec, parameters: usize) -> BaseOf {
        BaseOf { campaign: CampaignId::of_manifest(b"digits"), codec, parameters }
    }

    fn rule(feedback: f64) -> UpdateRule {
        UpdateRule { max_norm: None, encoding: Encoding::Sparse { keep: 1 }, feedback: Some(feedback) }
    }

    fn training(round: u64) -> (RoundNumber, Cid) {
        (RoundNumber(round), Cid::of_raw(&round.to_be_bytes()))
    }

    type Accepted = Option<(RoundNumber, Cid)>;

    /// A tab that takes part in a campaign of three parameters, of which a round sends one.
    struct Tab(Residual);

    impl Tab {
        fn new() -> Self {
            Self(Residual::new(base_of(CODEC, 3)))
        }

        /// What others read from the update of this round, and its id.
        fn round(
            &mut self,
            round: u64,
            change: [f32; 3],
            accepted: Accepted,
            feedback: f64,
        ) -> (Vec<f32>, (RoundNumber, Cid)) {
            let change = Update::new(change.to_vec()).unwrap();
            let bytes = self.0.pack(training(round), &change, accepted, &rule(feedback), 1e9).unwrap();
            (CODEC.decode(&bytes, 3).unwrap().values().to_vec(), (RoundNumber(round), Cid::of_raw(&bytes)))
        }
    }

    #[test]
    fn what_was_left_out_is_sent_later() {
        let mut tab = Tab::new();
        let (sent, first) = tab.round(1, [4.0, 2.0, 1.0], None, 0.5);
        assert_eq!(sent, [4.0, 0.0, 0.0]);
        let (sent, second) = tab.round(2, [0.0, 2.0, 1.0], Some(first), 0.5);
        assert_eq!(sent, [0.0, 3.0, 0.0]);
        // 1 · 0.5 + 1, once more halved.
        let (sent, _third) = tab.round(3, [0.0, 0.0, 0.0], Some(second), 0.5);
        assert_eq!(sent, [0.0, 0.0, 0.75]);
        assert_eq!(tab.0.values, [0.0; 3]);
    }

    #[test]
    fn an_update_that_was_not_accepted_goes_back() {
        let mut tab = Tab::new();
        let (_sent, first) = tab.round(1, [4.0, 2.0, 1.0], None, 1.0);
        let (sent, second) = tab.round(2, [0.0, 1.0, 0.0], None, 1.0);
        assert_eq!(sent, [4.0, 0.0, 0.0], "nobody has it yet");
        // An earlier update's acceptance says nothing of the last one.
        let (sent, third) = tab.round(3, [1.0, 0.0, 0.0], Some(first), 1.0);
        assert_eq!((sent, second.1 == first.1), (vec![5.0, 0.0, 0.0], true));
        let (sent, _fourth) = tab.round(4, [0.0; 3], Some(third), 1.0);
        assert_eq!(sent, [0.0, 3.0, 0.0]);
    }

    #[test]
    fn rounds_away_count_as_rounds_of_learning_nothing() {
        let (mut away, mut there) = (Tab::new(), Tab::new());
        let (_sent, first) = away.round(1, [4.0, 2.0, 1.0], None, 0.5);
        there.round(1, [4.0, 2.0, 1.0], None, 0.5);
        assert_eq!(away.round(4, [0.0; 3], Some(first), 0.5).0, [0.0, 0.25, 0.0]);
        let forever = away.round(1 << 60, [1.0, 0.0, 0.0], None, 0.5);
        assert_eq!(forever.0, [1.0, 0.0, 0.0]);
        assert_eq!(away.0.values, [0.0; 3]);
    }

    #[test]
    fn the_same_training_gives_the_same_update() {
        let mut tab = Tab::new();
        let first = tab.round(1, [4.0, 2.0, 1.0], None, 0.5);
        let before = tab.0.clone();
        assert_eq!(tab.round(1, [4.0, 2.0, 1.0], None, 0.5), first);
        assert_eq!(tab.0, before);
        let change = Update::new(vec![4.0, 2.0, 1.0]).unwrap();
        let other = (RoundNumber(1), Cid::of_raw(b"another base"));
        tab.0.pack(other, &change, None, &rule(0.5), 1e9).unwrap();
        assert_ne!(tab.0, before, "a training from another base is another");
    }

    #[test]
    fn an_update_is_within_the_bound_and_the_rest_is_sent_later() {
        let mut tab = Tab::new();
        let change = Update::new(vec![4.0, 0.0, 0.0]).unwrap();
        let bytes = tab.0.pack(training(1), &change, None, &rule(1.0), 1.0).unwrap();
        let sent = CODEC.decode_within(&bytes, 3, 1.0).unwrap();
        assert_eq!(tab.0.values[0], 4.0 - sent.values()[0]);
        assert!(tab.0.values[0] >= 3.0);
    }

    #[test]
    fn numbers_beyond_all_bounds_begin_anew() {
        let mut tab = Tab::new();
        tab.round(1, [f32::MAX, f32::MAX, f32::MAX], None, 1.0);
        let (sent, _second) = tab.round(2, [0.0, f32::MAX, 1.0], None, 1.0);
        assert!(sent[1] > 9e8, "{sent:?}");
        assert!(tab.0.values.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn what_is_kept_goes_on_where_it_was() {
        let mut tab = Tab::new();
        let (_sent, first) = tab.round(1, [4.0, 2.0, 1.0], None, 0.5);
        let bytes = tab.0.encode().unwrap();
        let mut reloaded = Tab(Residual::decode(&bytes, base_of(CODEC, 3)).unwrap());
        assert_eq!(reloaded.0, tab.0);
        let next = [0.5, 0.0, 0.0];
        assert_eq!(reloaded.round(2, next, Some(first), 0.5), tab.round(2, next, Some(first), 0.5));
    }

    #[test]
    fn what_is_of_something_else_or_broken_is_refused() {
        let mut tab = Tab::new();
        tab.round(1, [4.0, 2.0, 1.0], None, 0.5);
        let bytes = tab.0.encode().unwrap();
        let other_campaign = BaseOf { campaign: CampaignId::of_manifest(b"letters"), ..base_of(CODEC, 3) };
        let others = [other_campaign, base_of(CODEC, 4), base_of(Codec::new(Encoding::Sign), 3)];
        for other in others {
            assert_eq!(Residual::decode(&bytes, other), Err(ResidualError::Other), "{other:?}");
        }
        let other_keep = base_of(Codec::new(Encoding::Sparse { keep: 2 }), 3);
        assert_eq!(Residual::decode(&bytes, other_keep), Err(ResidualError::Broken));
        let mut infinite = tab.0.clone();
        infinite.values[1] = f32::INFINITY;
        let read = Residual::decode(&infinite.encode().unwrap(), base_of(CODEC, 3));
        assert_eq!(read, Err(ResidualError::Broken));
        for length in 0..bytes.len() {
            let cut = Residual::decode(&bytes[..length], base_of(CODEC, 3));
            assert!(matches!(cut, Err(ResidualError::Decode(_))), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_without_forgetting(changes in proptest::collection::vec(proptest::collection::vec(-4i8..4, 3), 1..30)) {
            // Whole numbers, so that every sum is exact.
            let mut tab = Tab::new();
            let (mut sent, mut learned, mut accepted) = ([0f32; 3], [0f32; 3], None);
            for (round, change) in (1..).zip(&changes) {
                let change = [change[0], change[1], change[2]].map(f32::from);
                let (read, id) = tab.round(round, change, accepted, 1.0);
                accepted = Some(id);
                for index in 0..3 {
                    sent[index] += read[index];
                    learned[index] += change[index];
                }
            }
            for index in 0..3 {
                prop_assert_eq!(sent[index] + tab.0.values[index], learned[index]);
            }
        }

        #[test]
        fn a_changed_byte_is_refused_or_read_as_numbers(at in any::<prop::sample::Index>(), with in 1u8..) {
            let mut tab = Tab::new();
            tab.round(1, [4.0, 2.0, 1.0], None, 0.5);
            let mut bytes = tab.0.encode().unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= with;
            if let Ok(mut changed) = Residual::decode(&bytes, base_of(CODEC, 3)) {
                prop_assert_eq!(changed.encode().unwrap(), bytes);
                let change = Update::new(vec![1.0; 3]).unwrap();
                let packed = changed.pack(training(9), &change, None, &rule(0.5), 10.0).unwrap();
                prop_assert!(CODEC.decode_within(&packed, 3, 10.0).is_ok());
            }
        }
    }
}
