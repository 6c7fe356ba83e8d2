//! Numbers and names as people read them.

/// A fraction as a percentage with one decimal, rounded down so that no mark shows as reached before it is.
pub(crate) fn percent(fraction: f64) -> String {
    let tenths = (fraction * 1000.0 + 1e-9).floor();
    format!("{:.1}\u{a0}%", tenths / 10.0)
}

/// A count with a thin space between thousands.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number of bytes in the largest decimal unit that leaves at least one whole.
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if value < 1000 {
        return format!("{value}\u{a0}B");
    }
    let mut scaled = value as f64;
    let mut unit = "B";
    for next in UNITS {
        if scaled < 999.95 {
            break;
        }
        scaled /= 1000.0;
        unit = next;
    }
    format!("{scaled:.1}\u{a0}{unit}")
}

/// A rate with two or three leading digits kept, so that it does not flicker.
pub(crate) fn rate(per_second: f64) -> String {
    if !per_second.is_finite() || per_second <= 0.0 {
        return "0".to_owned();
    }
    if per_second < 10.0 {
        return format!("{per_second:.1}");
    }
    let grain = 10f64.powf(per_second.log10().floor() - 2.0).max(1.0);
    // Rounded, positive and below any rate a machine reaches.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked positive and finite"
    )]
    let rounded = ((per_second / grain).round() * grain) as u64;
    count(rounded)
}

/// A number of milliseconds as people say it.
pub(crate) fn duration(ms: f64) -> String {
    if ms < 1.0 {
        return format!("{ms:.2}\u{a0}ms");
    }
    if ms < 10.0 {
        return format!("{ms:.1}\u{a0}ms");
    }
    if ms < 1000.0 {
        return format!("{ms:.0}\u{a0}ms");
    }
    format!("{:.1}\u{a0}s", ms / 1000.0)
}

/// A day of Unix time, in milliseconds, where it is midnight in Greenwich: 2026-12-01.
pub(crate) fn date(ms: u64) -> String {
    // Years that begin in March have their leap day last; 400 of them have 146,097 days.
    let days = ms / 86_400_000 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (of_month, month) =
        (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month < 3);
    format!("{year}-{month:02}-{of_month:02}")
}

/// A number of seconds as people wait for it.
pub(crate) fn wait(seconds: f64) -> String {
    if seconds < 120.0 {
        return format!("{seconds:.0}\u{a0}s");
    }
    let minutes = (seconds / 60.0).ceil();
    if minutes < 120.0 {
        return format!("{minutes:.0}\u{a0}minutes");
    }
    let hours = minutes / 60.0;
    if hours < 48.0 { format!("{hours:.0}\u{a0}hours") } else { format!("{:.0}\u{a0}days", hours / 24.0) }
}

/// A share as so many of a hundred, rounded down.
pub(crate) fn of_hundred(fraction: f64) -> String {
    format!("{:.0} of 100", (fraction * 100.0 + 1e-9).floor())
}

/// The beginning and the end of an id, with what lies between left out.
pub(crate) fn short(id: &str, head: usize, tail: usize) -> String {
    let length = id.chars().count();
    if length <= head + tail + 1 {
        return id.to_owned();
    }
    let start: String = id.chars().take(head).collect();
    let end: String = id.chars().skip(length - tail).collect();
    format!("{start}…{end}")
}

/// `1 thing` or `n things`.
pub(crate) fn plural(value: u64, one: &str, many: &str) -> String {
    format!("{}\u{a0}{}", count(value), if value == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_the_calendar_s() {
        for (ms, day) in [
            (0, "1970-01-01"),
            (951_782_400_000, "2000-02-29"),
            (951_868_800_000, "2000-03-01"),
            (1_798_761_599_999, "2026-12-31"),
            (1_798_761_600_000, "2027-01-01"),
            (4_107_542_399_999, "2100-02-28"),
            (4_107_542_400_000, "2100-03-01"),
        ] {
            assert_eq!(date(ms), day);
        }
    }

    #[test]
    fn a_mark_is_not_shown_before_it_is_reached() {
        assert_eq!(percent(0.949_99), "94.9\u{a0}%");
        assert_eq!(percent(0.95), "95.0\u{a0}%");
        assert_eq!(percent(0.0), "0.0\u{a0}%");
        assert_eq!(percent(1.0), "100.0\u{a0}%");
    }

    #[test]
    fn every_percentage_of_whole_tenths_survives_floating_point() {
        for tenths in 0..=1000u32 {
            let shown = percent(f64::from(tenths) / 1000.0);
            assert_eq!(shown, format!("{}.{}\u{a0}%", tenths / 10, tenths % 10));
        }
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1000), "1\u{202f}000");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
    }

    #[test]
    fn bytes_take_the_unit_that_fits() {
        assert_eq!(bytes(0), "0\u{a0}B");
        assert_eq!(bytes(999), "999\u{a0}B");
        assert_eq!(bytes(1000), "1.0\u{a0}kB");
        assert_eq!(bytes(999_949), "999.9\u{a0}kB");
        assert_eq!(bytes(999_999), "1.0\u{a0}MB");
        assert_eq!(bytes(1_500_000_000), "1.5\u{a0}GB");
        assert!(bytes(u64::MAX).ends_with("TB"));
    }

    #[test]
    fn waits_are_told_in_what_people_count_in() {
        let told = [4.0, 119.0, 120.0, 1_500.0, 7_200.0, 86_400.0 * 3.0].map(wait);
        assert_eq!(
            told,
            ["4\u{a0}s", "119\u{a0}s", "2\u{a0}minutes", "25\u{a0}minutes", "2\u{a0}hours", "3\u{a0}days"]
        );
    }

    #[test]
    fn a_share_is_not_more_of_a_hundred_than_it_is() {
        assert_eq!(of_hundred(0.969_9), "96 of 100");
        assert_eq!(of_hundred(0.97), "97 of 100");
        assert_eq!(of_hundred(1.0), "100 of 100");
    }

    #[test]
    fn rates_keep_three_digits() {
        assert_eq!(rate(0.0), "0");
        assert_eq!(rate(f64::NAN), "0");
        assert_eq!(rate(3.21), "3.2");
        assert_eq!(rate(123.4), "123");
        assert_eq!(rate(45_678.0), "45\u{202f}700");
    }

    #[test]
    fn ids_are_cut_in_the_middle_only_when_long() {
        assert_eq!(short("bafkreiabcdefgh", 6, 4), "bafkre…efgh");
        assert_eq!(short("short", 6, 4), "short");
    }
}
