//! What changes from step to step.

/// Values of one step; the uniform block is [`StepValues::to_words`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepValues {
    /// Step size after the schedule. Word 0.
    pub learning_rate: f32,
    /// `1 / (1 - beta1^t)`, t from 1; 1 for rules without it. Word 1.
    pub first_correction: f32,
    /// `1 / sqrt(1 - beta2^t)`, t from 1; 1 for rules without it. Word 2.
    pub second_correction: f32,
    /// 1 / (number of things averaged in the loss): samples, tokens that are not ignored, or elements. Word 3.
    pub loss_scale: f32,
    /// Steps done since the optimiser's state was zero, from 0. Word 4 (u32).
    pub step: u32,
    /// Seed of this step's random numbers. Word 5 (u32).
    pub seed: u32,
}

/// A field of [`StepValues`] as an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepValue {
    /// [`StepValues::learning_rate`].
    LearningRate,
    /// [`StepValues::loss_scale`].
    LossScale,
}

impl StepValues {
    /// The uniform block: 16 words, the unused ones 0.
    #[must_use]
    pub fn to_words(&self) -> [u32; 16] {
        let rate = self.learning_rate.to_bits();
        let corrections = [self.first_correction.to_bits(), self.second_correction.to_bits()];
        let scale = self.loss_scale.to_bits();
        [rate, corrections[0], corrections[1], scale, self.step, self.seed, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    /// The named value.
    #[must_use]
    pub fn get(&self, which: StepValue) -> f32 {
        match which {
            StepValue::LearningRate => self.learning_rate,
            StepValue::LossScale => self.loss_scale,
        }
    }
}

/// Counter-based random bits: the same on every machine, for any order of evaluation.
///
/// `key` comes from [`stream_key`]; `counter` is the element's index.
#[must_use]
pub const fn random_bits(key: u32, counter: u32) -> u32 {
    mix(mix(counter ^ key).wrapping_add(key))
}

/// Key of the random stream numbered `stream` (one per dropout) in a step with seed `seed`.
#[must_use]
pub const fn stream_key(seed: u32, stream: u32) -> u32 {
    mix(seed ^ mix(stream.wrapping_add(0x9e37_79b9)))
}

/// A 32-bit finaliser with low bias (Chris Wellons, "Prospecting for hash functions").
const fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}
