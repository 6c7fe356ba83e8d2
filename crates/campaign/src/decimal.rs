//! Decimal numbers of few digits, read exactly.
//!
//! The standard library reads any decimal, with ten kilobytes of tables that do not compress and would be fetched by
//! every tab. Up to 15 digits and a power of ten up to 22 are both exact in 64 bits, so that one multiplication or
//! division gives the nearest number (W. Clinger, How to Read Floating Point Numbers Accurately, PLDI 1990, section 5):
//! the same bits as the library's.

/// Most digits, leading zeros not counted: 10^15 lies below 2^53.
const MOST_DIGITS: u32 = 15;

/// Powers of ten that are exact in 64 bits.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// The number that a decimal as TOML writes it stands for; none for what has too many digits or too large a power of
/// ten, and for what is no finite number.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let (is_negative, text) = sign(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, power(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let number = whole.bytes().chain(fraction.bytes()).try_fold(0u64, |number, digit| {
        let number = number * 10 + u64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        (number < 10u64.pow(MOST_DIGITS)).then_some(number)
    })?;
    let scale = exponent - i32::try_from(fraction.len()).ok()?;
    let power = POWERS.get(usize::try_from(scale.unsigned_abs()).ok()?)?;
    #[expect(clippy::cast_precision_loss, reason = "below 10^15")]
    let number = if scale < 0 { number as f64 / power } else { number as f64 * power };
    Some(if is_negative { -number } else { number })
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn power(text: &str) -> Option<i32> {
    let (is_negative, digits) = sign(text);
    let power: i32 = digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())??;
    // Far beyond what is exact, and far from overflowing.
    (power < 1000).then_some(if is_negative { -power } else { power })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_manifests_say_is_read() {
        for text in [
            "0.0625",
            "1.5",
            "10",
            "0.002",
            "1e-5",
            "-3.25E+3",
            "+7",
            "999999999999999",
            "1e22",
            "0.10",
            "0.0",
        ] {
            assert_eq!(parse(text), text.parse().ok(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_exact_is_refused() {
        for text in [
            "",
            "-",
            ".5",
            "1e",
            "1e23",
            "1e-23",
            "1e99999999999",
            "inf",
            "nan",
            "0x1",
            "1000000000000000",
            "1 ",
            "1e+-2",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod property {
        use super::super::*;
        use alloc::format;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn the_bits_are_the_librarys(digits in 0u64..1_000_000_000_000_000, point in 0usize..15, power in -8i32..8, negative: bool) {
                let mut text = format!("{digits:015}");
                text.insert(text.len() - point, '.');
                let text = format!("{}{text}0e{power}", if negative { "-" } else { "" });
                let expected: f64 = text.parse().unwrap();
                prop_assert_eq!(parse(&text).map(f64::to_bits), Some(expected.to_bits()), "{}", text);
            }

            #[test]
            fn nothing_panics(text in "[-+.eE0-9a]{0,40}") {
                if let (Some(number), Ok(expected)) = (parse(&text), text.parse::<f64>()) {
                    prop_assert_eq!(number.to_bits(), expected.to_bits());
                }
            }
        }
    }
}
