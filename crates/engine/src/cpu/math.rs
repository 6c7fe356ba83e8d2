//! Transcendental functions on four lanes: one portable implementation, never the platform's.
//!
//! Sources: Cephes (`expf`, `logf`; Stephen Moshier), rational approximations of `tanh` and `erf` as in Eigen.
//! Errors stay below 4 units in the last place (checked by the tests against double precision).

use super::simd::F4;

/// `x² …` Horner's rule, highest power first.
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
    let (least, largest) = (F4::splat(least), F4::splat(largest));
    let x = F4::select(x.gt(largest), largest, x);
    F4::select(least.gt(x), least, x)
}

/// e^x; 0 below -87.3, infinite above 88.7.
#[inline(always)]
pub(crate) fn exp(x: F4) -> F4 {
    let limited = clamp(x, -87.3, 88.8);
    // Adding 1.5·2^23 rounds to whole numbers and leaves them in the lowest bits.
    let magic = F4::splat(12_582_912.0);
    let shifted = limited * F4::splat(core::f32::consts::LOG2_E) + magic;
    let whole = shifted - magic;
    let r = limited - whole * F4::splat(0.693_359_4) - whole * F4::splat(-2.121_944_4e-4);
    let p = polynomial(r, [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5]);
    let fraction = p * (r * r) + r + F4::splat(1.0);
    // 2^128 does not exist, so the power is applied in two factors.
    let half = shifted_half(whole);
    let rest = whole - half;
    let scaled = fraction * power_of_two(half) * power_of_two(rest);
    let scaled = F4::select(x.gt(F4::splat(88.722_84)), F4::splat(f32::INFINITY), scaled);
    F4::select(F4::splat(-87.3).gt(x), F4::splat(0.0), scaled)
}

/// About half of a whole number, whole.
#[inline(always)]
fn shifted_half(whole: F4) -> F4 {
    let magic = F4::splat(12_582_912.0);
    (whole * F4::splat(0.5) + magic) - magic
}

/// 2^n for whole n from -126 to 127.
#[inline(always)]
fn power_of_two(whole: F4) -> F4 {
    let shifted = whole + F4::splat(12_582_912.0);
    shifted.shift_left_23().add_integers(F4::splat(1.0))
}

/// Natural logarithm; NaN below 0, −infinity at 0.
#[inline(always)]
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
#[inline(always)]
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
#[inline(always)]
pub(crate) fn sigmoid(x: F4) -> F4 {
    let one = F4::splat(1.0);
    one / (one + exp(F4::splat(0.0) - x))
}

/// Error function.
#[inline(always)]
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

/// Share of a standard normal distribution below x: `(1 + erf(x / √2)) / 2`.
#[inline(always)]
pub(crate) fn normal_cumulative(x: F4) -> F4 {
    F4::splat(0.5) * (F4::splat(1.0) + erf(x * F4::splat(core::f32::consts::FRAC_1_SQRT_2)))
}

/// The derivative of `x · normal_cumulative(x)`.
#[inline(always)]
pub(crate) fn gelu_slope(x: F4) -> F4 {
    let bell = exp(F4::splat(-0.5) * (x * x));
    // 1 / √(2 π)
    normal_cumulative(x) + x * (F4::splat(0.398_942_3) * bell)
}

/// ln(1 + e^x).
#[inline(always)]
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
#[inline(always)]
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
