//! Transcendental functions on four lanes: one portable implementation, never the platform's.
//!
//! Sources: Cephes (`expf`, `logf`; Stephen Moshier), rational approximations of `tanh` and `erf` as in Eigen.
//! Errors stay below 4 units in the last place (checked by the tests against double precision).
//!
//! Whole functions are not inlined: a call is little beside them, and there is one copy of each. Where one is all that
//! a loop does, [`Exponential`] and [`Gelu`] are inlined into it.

use crate::simd::F4;

/// Horner's rule, highest power first.
#[inline(always)]
fn polynomial<const N: usize>(x: F4, coefficients: [f32; N]) -> F4 {
    let mut sum = F4::splat(coefficients[0]);
    for &coefficient in &coefficients[1..] {
        sum = sum * x + F4::splat(coefficient);
    }
    sum
}

/// Limits from both sides; what is no number stays so.
#[inline(always)]
fn clamp(x: F4, least: f32, largest: f32) -> F4 {
    // The limits on the left: with what is no number, the right side is the result.
    F4::splat(least).max(F4::splat(largest).min(x))
}

/// Constants of the functions on [`exp`]'s path, in registers or memory instead of in the code.
///
/// A browser's compiler builds a vector constant anew at every use.
#[derive(Clone, Copy)]
pub(crate) struct Exponential {
    least: F4,
    log2_e: F4,
    magic: F4,
    high: F4,
    low: F4,
    p: [F4; 6],
    one: F4,
}

impl Exponential {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        let k = |x: f32| F4::splat(core::hint::black_box(x));
        Self {
            least: k(-87.3),
            log2_e: k(core::f32::consts::LOG2_E),
            magic: k(12_582_912.0),
            high: k(0.693_359_4),
            low: k(-2.121_944_4e-4),
            p: [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5].map(k),
            one: k(1.0),
        }
    }

    /// e^x; 0 below -87.3, infinite above 88.7.
    #[inline(always)]
    pub(crate) fn at(&self, x: F4) -> F4 {
        let power = self.power(self.least.max(F4::splat(88.8).min(x)));
        let power = F4::select(x.gt(F4::splat(88.722_84)), F4::splat(f32::INFINITY), power);
        power.and_not(self.least.gt(x))
    }

    /// 1 / (1 + e^-x), as [`sigmoid`].
    #[inline(always)]
    pub(crate) fn sigmoid(&self, x: F4) -> F4 {
        self.one / (self.one + self.at(F4::splat(0.0) - x))
    }

    /// [`Exponential::at`] what is not positive.
    #[inline(always)]
    pub(crate) fn at_not_positive(&self, x: F4) -> F4 {
        self.power(self.least.max(x)).and_not(self.least.gt(x))
    }

    /// e^x from -87.3 to 88.722.
    #[inline(always)]
    fn power(&self, x: F4) -> F4 {
        // Adding 1.5·2^23 rounds to whole numbers and leaves them in the lowest bits.
        let shifted = x * self.log2_e + self.magic;
        let whole = shifted - self.magic;
        let r = x - whole * self.high - whole * self.low;
        // Pairs of powers do not wait for each other as in Horner's rule.
        let square = r * r;
        let pair = |high: F4, low: F4| high * r + low;
        let [a, b, c, d, e, f] = self.p;
        let p = (pair(a, b) * square + pair(c, d)) * square + pair(e, f);
        let fraction = p * square + r + self.one;
        // Times 2^whole: in this range the sum of exponents stays one.
        fraction.add_integers(shifted.shift_left_23())
    }
}

/// [`Exponential::at`] with constants of its own.
#[inline(never)]
pub(crate) fn exp(x: F4) -> F4 {
    Exponential::new().at(x)
}

/// Natural logarithm; NaN below 0, −infinity at 0.
#[inline(never)]
pub(crate) fn log(x: F4) -> F4 {
    let smallest = F4::splat(f32::MIN_POSITIVE);
    let tiny = smallest.gt(x);
    // Subnormal numbers are brought into range by 2^24.
    let x0 = F4::select(tiny, x * F4::splat(16_777_216.0), x);
    let exponent = x0.shift_right_23().integers_to_numbers() - F4::splat(126.0);
    let exponent = F4::select(tiny, exponent - F4::splat(24.0), exponent);
    let mantissa = x0.and(F4::splat_bits(0x007f_ffff)).or(F4::splat(0.5));
    let low = F4::splat(core::f32::consts::FRAC_1_SQRT_2).gt(mantissa);
    let exponent = F4::select(low, exponent - F4::splat(1.0), exponent);
    let m = F4::select(low, mantissa + mantissa, mantissa) - F4::splat(1.0);
    let square = m * m;
    let p = polynomial(
        m,
        [
            7.037_683_6e-2,
            -1.151_461e-1,
            1.167_699_9e-1,
            -1.242_014_1e-1,
            1.424_932_3e-1,
            -1.666_805_8e-1,
            2.000_071_5e-1,
            -2.499_999_4e-1,
            3.333_333e-1,
        ],
    );
    let tail = m * square * p + exponent * F4::splat(-2.121_944_4e-4) - square * F4::splat(0.5);
    let result = m + tail + exponent * F4::splat(0.693_359_4);
    let result = F4::select(x.equals(F4::splat(f32::INFINITY)), x, result);
    let result = F4::select(x.equals(F4::splat(0.0)), F4::splat(f32::NEG_INFINITY), result);
    let invalid = F4::splat(0.0).gt(x);
    let result = F4::select(invalid, F4::splat(f32::NAN), result);
    F4::select(x.equals(x), result, x)
}

/// Hyperbolic tangent.
#[inline(never)]
pub(crate) fn tanh(x: F4) -> F4 {
    let limited = clamp(x, -7.905_311, 7.905_311);
    let square = limited * limited;
    let numerator = polynomial(
        square,
        [
            -2.760_768_5e-16,
            2.000_188e-13,
            -8.604_672e-11,
            5.122_297e-8,
            1.485_722_4e-5,
            6.372_619e-4,
            4.893_525e-3,
        ],
    );
    let denominator = polynomial(square, [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_7e-3, 4.893_525e-3]);
    let result = limited * numerator / denominator;
    let small = F4::splat(0.0004).gt(x.abs());
    F4::select(small, x, result)
}

/// 1 / (1 + e^-x).
#[inline(never)]
pub(crate) fn sigmoid(x: F4) -> F4 {
    Exponential::new().sigmoid(x)
}

/// Error function.
#[inline(never)]
pub(crate) fn erf(x: F4) -> F4 {
    let limited = clamp(x, -4.0, 4.0);
    let square = limited * limited;
    let numerator = polynomial(
        square,
        [
            -2.726_142_3e-10,
            2.770_681_4e-8,
            -2.101_024e-6,
            -5.692_506_4e-5,
            -7.349_906_3e-4,
            -2.954_6e-3,
            -1.609_603_3e-2,
        ],
    );
    let denominator = polynomial(
        square,
        [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329_3e-3, -1.426_473_9e-2],
    );
    limited * numerator / denominator
}

/// The Gaussian error linear unit, `x · share of a standard normal distribution below x`.
#[derive(Clone, Copy)]
pub(crate) struct Gelu {
    exponential: Exponential,
    minus_half: F4,
    height: F4,
    scale: F4,
    p: [F4; 5],
}

impl Gelu {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        let k = |x: f32| F4::splat(core::hint::black_box(x));
        Self {
            exponential: Exponential::new(),
            minus_half: k(-0.5),
            // 1 / √(2 π)
            height: k(0.398_942_3),
            scale: k(0.231_641_9),
            p: [1.330_274_4, -1.821_256, 1.781_477_9, -0.356_563_78, 0.319_381_54].map(k),
        }
    }

    #[inline(always)]
    pub(crate) fn at(&self, x: F4) -> F4 {
        x * self.normal(x)[0]
    }

    /// The derivative.
    #[inline(always)]
    pub(crate) fn slope(&self, x: F4) -> F4 {
        let [below, density] = self.normal(x);
        below + x * density
    }

    /// Share of a standard normal distribution below x, and its density there.
    ///
    /// Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.17: wrong by 7.5e-8 at most.
    #[inline(always)]
    fn normal(&self, x: F4) -> [F4; 2] {
        let one = self.exponential.one;
        let density = self.height * self.exponential.at_not_positive(self.minus_half * (x * x));
        let t = one / (one + self.scale * x.abs());
        let square = t * t;
        let [a, b, c, d, e] = self.p;
        let above = density * (t * (((a * t + b) * square + (c * t + d)) * t + e));
        let below = F4::select(F4::splat(0.0).gt(x), above, one - above);
        [below, density]
    }
}

/// ln(1 + e^x).
#[inline(never)]
pub(crate) fn softplus(x: F4) -> F4 {
    let one = F4::splat(1.0);
    x.max(F4::splat(0.0)) + log(one + exp(F4::splat(0.0) - x.abs()))
}

/// −1, 0 or 1.
#[inline(always)]
pub(crate) fn sign(x: F4) -> F4 {
    let zero = F4::splat(0.0);
    let one = F4::splat(1.0);
    x.gt(zero).and(one) - zero.gt(x).and(one)
}

/// a^b as e^(b ln a); for negative a the sign follows from a whole b, others give NaN.
#[inline(never)]
pub(crate) fn pow(a: F4, b: F4) -> F4 {
    let zero = F4::splat(0.0);
    let one = F4::splat(1.0);
    // Squares and first powers are by far the most frequent, and exact this way.
    let power = exp(b * log(a.abs()));
    let power = F4::select(b.equals(F4::splat(2.0)), a * a, power);
    let power = F4::select(b.equals(one), a, power);
    let power = F4::select(b.equals(zero), one, power);
    let magic = F4::splat(12_582_912.0);
    let whole = ((b + magic) - magic).equals(b);
    let half = b * F4::splat(0.5);
    let even = ((half + magic) - magic).equals(half);
    let special = b.equals(F4::splat(2.0)).or(b.equals(one)).or(b.equals(zero));
    let signed = F4::select(even, power, zero - power);
    let negative = F4::select(whole, signed, F4::splat(f32::NAN));
    F4::select(zero.gt(a), F4::select(special, power, negative), power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(f: fn(F4) -> F4, reference: fn(f64) -> f64, from: f32, to: f32, floor: f64) -> f64 {
        let steps = 200_000;
        let mut worst: f64 = 0.0;
        for step in 0..=steps {
            let x = from + (to - from) * step as f32 / steps as f32;
            let y = f64::from(f(F4::splat(x)).array()[0]);
            let expected = reference(f64::from(x));
            worst = worst.max((y - expected).abs() / expected.abs().max(floor));
        }
        worst
    }

    #[test]
    fn functions_are_accurate() {
        assert!(worst(exp, f64::exp, -87.0, 88.7, 0.0) < 2.5e-7);
        assert!(worst(log, f64::ln, 1e-30, 1e-3, 0.0) < 2.5e-7);
        assert!(worst(log, f64::ln, 1e-3, 50.0, 1e-2) < 2.5e-7);
        assert!(worst(tanh, f64::tanh, -12.0, 12.0, 0.0) < 5e-7);
        assert!(worst(sigmoid, |x| 1.0 / (1.0 + (-x).exp()), -80.0, 80.0, 0.0) < 5e-7);
        assert!(worst(softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), -10.0, 30.0, 1e-1) < 1e-6);
    }

    #[test]
    fn erf_is_accurate() {
        for (x, y) in [
            (0.1f32, 0.112_462_916),
            (0.5, 0.520_499_9),
            (1.0, 0.842_700_8),
            (2.0, 0.995_322_3),
            (-0.3, -0.328_626_76),
            (3.0, 0.999_977_9),
        ] {
            let found = erf(F4::splat(x)).array()[0];
            assert!((found - y).abs() < 2e-7, "erf({x}) = {found}, not {y}");
        }
    }

    #[test]
    fn gelu_and_its_slope_are_accurate() {
        // Shares below x of a standard normal distribution to 15 places.
        for (x, below) in [
            (0.0f32, 0.5),
            (0.5, 0.691_462_461_274_013),
            (1.0, 0.841_344_746_068_543),
            (2.5, 0.993_790_334_674_224),
            (4.0, 0.999_968_328_758_167),
            (-0.5, 0.308_537_538_725_987),
            (-1.0, 0.158_655_253_931_457),
            (-2.5, 0.006_209_665_325_776),
            (-4.0, 0.000_031_671_241_833),
        ] {
            let density = (-0.5 * f64::from(x).powi(2)).exp() / std::f64::consts::TAU.sqrt();
            for (f, expected) in [
                ((|x| Gelu::new().at(x)) as fn(F4) -> F4, f64::from(x) * below),
                (|x| Gelu::new().slope(x), below + f64::from(x) * density),
            ] {
                let found = f64::from(f(F4::splat(x)).array()[0]);
                assert!((found - expected).abs() < 4e-7, "at {x}: {found}, not {expected}");
            }
        }
        for x in [f32::NAN, 40.0, -40.0] {
            let [value, slope] =
                [Gelu::new().at(F4::splat(x)), Gelu::new().slope(F4::splat(x))].map(|x| x.array()[0]);
            assert!(x.is_nan() && value.is_nan() && slope.is_nan() || value == x.max(0.0), "{value} at {x}");
        }
    }

    #[test]
    fn ends_are_exact() {
        let at = |f: fn(F4) -> F4, x: f32| f(F4::splat(x)).array()[0];
        assert_eq!(at(exp, f32::NEG_INFINITY), 0.0);
        assert_eq!(at(exp, 0.0), 1.0);
        assert_eq!(at(exp, f32::INFINITY), f32::INFINITY);
        assert_eq!(at(log, 0.0), f32::NEG_INFINITY);
        assert_eq!(at(log, 1.0), 0.0);
        assert!(at(log, -1.0).is_nan());
        assert_eq!(pow(F4::splat(-2.0), F4::splat(3.0)).array()[0].round(), -8.0);
        assert_eq!(pow(F4::splat(-1.5), F4::splat(2.0)).array()[0], 2.25);
        assert!(at(tanh, f32::NAN).is_nan() && at(erf, f32::NAN).is_nan());
        assert!(at(exp, f32::NAN).is_nan(), "what is no number stays so");
    }
}
