//! The cosine of schedules: the same bits on every machine.
//!
//! Source: FreeBSD's msun (`s_cos.c`, `e_rem_pio2.c`, `k_cos.c`, `k_sin.c`; Sun Microsystems), of which this is the part
//! for the first half turn: `libm::cos` brings 5 KB of tables and code for arguments that no schedule has.

/// π/2 in parts of 33 bits, each with what the parts up to it leave out.
const PARTS: [(f64, f64); 3] = [
    (1.570_796_326_734_125_6, 6.077_100_506_506_192e-11),
    (6.077_100_506_303_966e-11, 2.022_266_248_795_950_6e-21),
    (2.022_266_248_711_166_5e-21, 8.478_427_660_368_9e-32),
];

/// Cosine of 0 to π, with the bits of `libm::cos`.
pub(crate) fn cosine(x: f64) -> f64 {
    let high = high_word(x);
    if high <= 0x3fe9_21fb {
        // Up to π/4.
        return near_one(x, 0.0);
    }
    let near_crossing = high & 0xf_ffff == 0x9_21fb;
    // Which multiple of π/2 is next: 3π/4 is the border, but near π/2 and π the nearest counts.
    let quarters = if high <= 0x4002_d97c { 1.0 } else { 2.0 };
    let (y, tail) = less_quarters(x, quarters, near_crossing);
    if quarters == 1.0 { -near_zero(y, tail) } else { -near_one(y, tail) }
}

/// `x − quarters π/2` as a number and what it leaves out; more exactly where little is left.
fn less_quarters(x: f64, quarters: f64, exactly: bool) -> (f64, f64) {
    let [(first, first_tail), rest @ ..] = PARTS;
    let mut left = x - quarters * first;
    let mut tail = quarters * first_tail;
    let mut y = left - tail;
    for ((part, part_tail), lost) in rest.into_iter().zip([16, 49]) {
        if !exactly || exponent(x) - exponent(y) <= lost {
            break;
        }
        let before = left;
        let part = quarters * part;
        left = before - part;
        tail = quarters * part_tail - ((before - left) - part);
        y = left - tail;
    }
    (y, (left - y) - tail)
}

fn high_word(x: f64) -> u32 {
    (x.to_bits() >> 32) as u32
}

fn exponent(x: f64) -> u32 {
    high_word(x) >> 20 & 0x7ff
}

/// Cosine of `x + tail` from −π/4 to π/4.
fn near_one(x: f64, tail: f64) -> f64 {
    let z = x * x;
    let w = z * z;
    let low = 0.041_666_666_666_666_6 + z * (-0.001_388_888_888_887_411 + z * 2.480_158_728_947_673e-5);
    let high =
        -2.755_731_435_139_066_3e-7 + z * (2.087_572_321_298_175e-9 + z * -1.135_964_755_778_819_5e-11);
    let r = z * low + w * w * high;
    let half = 0.5 * z;
    let w = 1.0 - half;
    w + (((1.0 - w) - half) + (z * r - x * tail))
}

/// Sine of `x + tail` from −π/4 to π/4.
fn near_zero(x: f64, tail: f64) -> f64 {
    const FIRST: f64 = -0.166_666_666_666_666_32;
    let z = x * x;
    let w = z * z;
    let r = 0.008_333_333_333_322_49
        + z * (-0.000_198_412_698_298_579_5 + z * 2.755_731_370_707_006_8e-6)
        + z * w * (-2.505_076_025_340_686_3e-8 + z * 1.589_690_995_211_55e-10);
    let v = z * x;
    x - ((z * (0.5 * tail - v * r) - tail) - v * FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::f64::consts::PI;

    #[test]
    fn bits_are_those_of_libm() {
        let count = 200_000;
        let grid = (0..=count).map(|at| PI * (f64::from(at) / f64::from(count)));
        let mut numbers: Vec<f64> = grid.collect();
        for quarter in 0..=4 {
            let centre = f64::from(quarter) * PI / 4.0;
            for shift in 0..52 {
                let step = 2.0 * 0.5f64.powi(shift);
                numbers.extend([centre - step, centre + step, centre.next_down(), centre.next_up(), centre]);
            }
        }
        for x in numbers.into_iter().filter(|&x| (0.0..=PI).contains(&x)) {
            assert_eq!(cosine(x).to_bits(), libm::cos(x).to_bits(), "at {x:e}");
        }
    }
}
