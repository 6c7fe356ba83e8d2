//! Geometry of a line plot: values in, SVG path data out, in a square of [`SIDE`] units that the page stretches.

/// Width and height of the plot's own coordinates.
pub(crate) const SIDE: f64 = 1000.0;

/// Points drawn at most; more than this cannot be told apart on a screen.
pub(crate) const MAX_DRAWN: usize = 240;

/// Gaps between grid lines, the same for every plot so that the labels beside it line up.
pub(crate) const GAPS: u32 = 4;

/// One measured point: a round and a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// The round, from left to right.
    pub(crate) round: u64,
    /// The value, from bottom to top.
    pub(crate) value: f64,
}

/// A closed interval of values mapped onto the plot's side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    low: f64,
    high: f64,
}

impl Span {
    /// The span from `low` to `high`; a span of no width is widened, so that a single point has a place.
    pub(crate) fn new(low: f64, high: f64) -> Self {
        if high > low { Self { low, high } } else { Self { low: low - 0.5, high: low + 0.5 } }
    }

    /// Where a value lies, 0 at `low` and 1 at `high`, never outside.
    fn fraction(self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Horizontal place of a value.
    pub(crate) fn x(self, value: f64) -> f64 {
        self.fraction(value) * SIDE
    }

    /// Vertical place of a value; SVG counts downwards.
    pub(crate) fn y(self, value: f64) -> f64 {
        (1.0 - self.fraction(value)) * SIDE
    }
}

/// The rounds from the first to the last one, where there are any.
pub(crate) fn rounds(ends: Option<(u64, u64)>) -> Span {
    ends.map_or(Span::new(0.0, 1.0), |(first, last)| Span::new(first as f64, last as f64))
}

/// The smallest even top of a scale from zero that holds every finite value and splits into [`GAPS`] short numbers.
pub(crate) fn ceiling(values: impl Iterator<Item = f64>) -> f64 {
    const STEPS: [f64; 9] = [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0];
    let greatest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
    if greatest <= 0.0 {
        return 1.0;
    }
    let decade = 10f64.powf(greatest.log10().floor());
    STEPS.iter().map(|step| step * decade).find(|top| *top >= greatest).unwrap_or(10.0 * decade)
}

/// The foot of a scale of fractions up to one: zero, or so near below the least value that late progress shows.
pub(crate) fn foot(values: impl Iterator<Item = f64>) -> f64 {
    const FEET: [f64; 3] = [0.92, 0.8, 0.6];
    let least = values.filter(|value| value.is_finite()).fold(1.0, f64::min);
    FEET.into_iter().find(|foot| least >= *foot).unwrap_or(0.0)
}

/// The labels from the top of a scale down to its foot, [`GAPS`] + 1 of them.
pub(crate) fn labels(low: f64, top: f64) -> Vec<String> {
    let step = (top - low) / f64::from(GAPS);
    let is_short = |places: &u8| {
        let shift = 10f64.powi(i32::from(*places));
        is_whole(step * shift) && is_whole(low * shift)
    };
    let decimals = (0..6u8).find(is_short).unwrap_or(6);
    (0..=GAPS)
        .rev()
        .map(|index| format!("{:.*}", usize::from(decimals), low + step * f64::from(index)))
        .collect()
}

fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-6
}

/// At most `limit` of the points, evenly spread, with the first and the last among them.
pub(crate) fn thin(points: &[Point], limit: usize) -> Vec<Point> {
    let finite: Vec<Point> = points.iter().copied().filter(|point| point.value.is_finite()).collect();
    if finite.len() <= limit || limit < 2 {
        return finite;
    }
    (0..limit).filter_map(|place| finite.get(place * (finite.len() - 1) / (limit - 1)).copied()).collect()
}

/// Path data of the line through the points.
pub(crate) fn line(points: &[Point], across: Span, up: Span) -> String {
    let mut data = String::with_capacity(points.len() * 14);
    for (place, point) in points.iter().enumerate() {
        let letter = if place == 0 { 'M' } else { 'L' };
        data.push_str(&format!("{letter}{:.1} {:.1}", across.x(point.round as f64), up.y(point.value)));
    }
    data
}

/// Path data of the area between the line and the bottom.
pub(crate) fn area(points: &[Point], across: Span, up: Span) -> String {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return String::new();
    };
    let (left, right) = (across.x(first.round as f64), across.x(last.round as f64));
    format!("{}L{right:.1} {SIDE:.1}L{left:.1} {SIDE:.1}Z", line(points, across, up))
}

/// Path data of a line without length, which a round cap that does not scale turns into a dot.
pub(crate) fn dot(point: Point, across: Span, up: Span) -> String {
    format!("M{:.1} {:.1}h0", across.x(point.round as f64), up.y(point.value))
}

/// Path data of a level line from edge to edge.
pub(crate) fn level(value: f64, up: Span) -> String {
    format!("M0 {:.1}H{SIDE:.0}", up.y(value))
}

/// Path data of the grid lines that the labels stand beside.
pub(crate) fn grid() -> String {
    (0..=GAPS).map(|index| format!("M0 {:.1}H{SIDE:.0}", SIDE * f64::from(index) / f64::from(GAPS))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(values: &[f64]) -> Vec<Point> {
        values.iter().zip(1..).map(|(&value, round)| Point { round, value }).collect()
    }

    fn covered(points: &[Point]) -> Span {
        rounds(points.first().zip(points.last()).map(|(first, last)| (first.round, last.round)))
    }

    #[test]
    fn the_corners_of_the_data_are_the_corners_of_the_plot() {
        let drawn = points(&[0.0, 1.0]);
        assert_eq!(line(&drawn, covered(&drawn), Span::new(0.0, 1.0)), "M0.0 1000.0L1000.0 0.0");
    }

    #[test]
    fn the_area_closes_along_the_bottom() {
        let drawn = points(&[0.5, 1.0]);
        assert_eq!(
            area(&drawn, covered(&drawn), Span::new(0.0, 1.0)),
            "M0.0 500.0L1000.0 0.0L1000.0 1000.0L0.0 1000.0Z"
        );
        assert_eq!(area(&[], covered(&[]), Span::new(0.0, 1.0)), "");
    }

    #[test]
    fn a_single_point_stands_in_the_middle() {
        let drawn = points(&[0.25]);
        assert_eq!(dot(drawn[0], covered(&drawn), Span::new(0.0, 1.0)), "M500.0 750.0h0");
    }

    #[test]
    fn ceilings_are_short_numbers() {
        assert_eq!(ceiling([2.3].into_iter()), 2.4);
        assert_eq!(ceiling([1.0].into_iter()), 1.0);
        assert_eq!(ceiling([0.07, f64::NAN, f64::INFINITY].into_iter()), 0.08);
        assert_eq!(ceiling([9.1].into_iter()), 10.0);
        assert_eq!(ceiling(std::iter::empty()), 1.0);
    }

    #[test]
    fn a_scale_of_fractions_stands_on_zero_until_all_is_above_a_foot() {
        assert_eq!(foot([0.1, 0.97].into_iter()), 0.0);
        assert_eq!(foot([0.61, f64::NAN].into_iter()), 0.6);
        assert_eq!(foot([0.95].into_iter()), 0.92);
        for low in [0.0, 60.0, 80.0, 92.0] {
            assert!(labels(low, 100.0).iter().all(|label| !label.contains('.')), "{low}");
        }
    }

    #[test]
    fn labels_run_from_the_top_to_zero() {
        assert_eq!(labels(0.0, 1.0), ["1.00", "0.75", "0.50", "0.25", "0.00"]);
        assert_eq!(labels(0.0, 4.0), ["4", "3", "2", "1", "0"]);
        assert_eq!(labels(0.0, 1.2), ["1.2", "0.9", "0.6", "0.3", "0.0"]);
    }

    #[test]
    fn the_grid_has_a_line_for_each_label() {
        assert_eq!(grid().matches('M').count(), labels(0.0, 1.0).len());
    }

    proptest! {
        #[test]
        fn nothing_is_drawn_outside(values in prop::collection::vec(-10.0f64..10.0, 1..400)) {
            let drawn = thin(&points(&values), MAX_DRAWN);
            let (across, up) = (covered(&drawn), Span::new(0.0, 4.0));
            for point in &drawn {
                prop_assert!((0.0..=SIDE).contains(&across.x(point.round as f64)));
                prop_assert!((0.0..=SIDE).contains(&up.y(point.value)));
            }
        }

        #[test]
        fn thinning_keeps_ends_order_and_limit(values in prop::collection::vec(0.0f64..1.0, 2..2000), limit in 2usize..300) {
            let all = points(&values);
            let kept = thin(&all, limit);
            prop_assert!(kept.len() <= limit.max(2));
            prop_assert_eq!(kept.first(), all.first());
            prop_assert_eq!(kept.last(), all.last());
            prop_assert!(kept.windows(2).all(|pair| pair[0].round < pair[1].round));
        }

        #[test]
        fn a_ceiling_holds_its_value_with_little_room(value in 1e-6f64..1e6) {
            let top = ceiling(std::iter::once(value));
            prop_assert!(top >= value && top <= value * 2.0 + 1e-12);
        }
    }
}
