//! A drawing by hand, and the picture that a model is given of it.

/// Most points of a drawing; what is drawn beyond them is not taken.
const MAX_POINTS: usize = 2_000;

/// Fine cells along the side of a cell: ink is counted in blocks of so many by so many, as scanned digits are.
const FINE: usize = 4;

/// How much of the picture's height a pen is wide: what ink scanned digits have is as much as such a pen leaves.
const PEN: f32 = 0.125;

/// How much of the picture's width a drawing may fill; narrower ones keep their proportions.
const WIDEST: f32 = 0.8;

/// How many times a drawing is enlarged at most: a dot stays a dot.
const MOST_ENLARGED: f32 = 6.0;

/// A place on the field, from 0 to 1 across and down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f32,
    pub(crate) y: f32,
}

impl Point {
    /// The place, held within the field.
    pub(crate) fn new(x: f32, y: f32) -> Self {
        Self { x: x.clamp(0.0, 1.0), y: y.clamp(0.0, 1.0) }
    }
}

/// Lines drawn one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Drawing {
    strokes: Vec<Vec<Point>>,
}

impl Drawing {
    /// The lines.
    pub(crate) fn strokes(&self) -> &[Vec<Point>] {
        &self.strokes
    }

    /// Whether nothing is drawn.
    pub(crate) fn is_empty(&self) -> bool {
        self.strokes.iter().all(Vec::is_empty)
    }

    /// Puts the pen down.
    pub(crate) fn begin(&mut self, at: Point) {
        if self.points() < MAX_POINTS {
            self.strokes.push(vec![at]);
        }
    }

    /// Moves the pen that is down.
    pub(crate) fn extend(&mut self, to: Point) {
        if self.points() < MAX_POINTS
            && let Some(stroke) = self.strokes.last_mut()
        {
            stroke.push(to);
        }
    }

    fn points(&self) -> usize {
        self.strokes.iter().map(Vec::len).sum()
    }

    /// The picture of so many cells, row by row, 0 without ink and 255 all ink: the drawing is brought to the picture's
    /// height and to its middle, drawn with a pen of one width, and its ink counted in each cell.
    pub(crate) fn cells(&self, width: usize, height: usize) -> Vec<u8> {
        let (columns, rows) = (width * FINE, height * FINE);
        let mut inked = vec![false; columns * rows];
        let pen = rows as f32 * PEN / 2.0;
        for stroke in self.fitted(columns as f32, rows as f32, pen) {
            let next = stroke.iter().skip(1).chain(stroke.last());
            for (from, to) in stroke.iter().zip(next) {
                ink(&mut inked, columns, (*from, *to), pen);
            }
        }
        (0..width * height).map(|cell| count(&inked, columns, cell % width, cell / width)).collect()
    }

    /// The lines in fine cells, as large as the picture and in its middle.
    fn fitted(&self, columns: f32, rows: f32, pen: f32) -> Vec<Vec<Point>> {
        let all = || self.strokes.iter().flatten();
        let [left, top] = [|point: &Point| point.x, |point: &Point| point.y]
            .map(|axis| all().map(axis).fold(f32::INFINITY, f32::min));
        let [right, bottom] = [|point: &Point| point.x, |point: &Point| point.y]
            .map(|axis| all().map(axis).fold(f32::NEG_INFINITY, f32::max));
        let (wide, high) = ((right - left) * columns, (bottom - top) * rows);
        let enlarged = |room: f32, there: f32| if there > 0.0 { room / there } else { f32::INFINITY };
        let down = enlarged(rows - 2.0 * pen, high).min(MOST_ENLARGED);
        let across = down.min(enlarged(columns * WIDEST - 2.0 * pen, wide));
        let place = |point: &Point| Point {
            x: (point.x - (left + right) / 2.0) * columns * across + columns / 2.0,
            y: (point.y - (top + bottom) / 2.0) * rows * down + rows / 2.0,
        };
        self.strokes.iter().map(|stroke| stroke.iter().map(place).collect()).collect()
    }
}

/// Inks the fine cells whose middle the pen passes over on its way.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held within the picture")]
fn ink(inked: &mut [bool], columns: usize, (from, to): (Point, Point), pen: f32) {
    let rows = inked.len() / columns.max(1);
    let span = |a: f32, b: f32, most: usize| {
        let first = (a.min(b) - pen).floor().clamp(0.0, most as f32) as usize;
        let end = (a.max(b) + pen).ceil().clamp(0.0, most as f32) as usize;
        first..end
    };
    for row in span(from.y, to.y, rows) {
        for column in span(from.x, to.x, columns) {
            let middle = Point { x: column as f32 + 0.5, y: row as f32 + 0.5 };
            if distance(middle, from, to) <= pen
                && let Some(cell) = inked.get_mut(row * columns + column)
            {
                *cell = true;
            }
        }
    }
}

/// How far a place is from a line between two others.
fn distance(place: Point, from: Point, to: Point) -> f32 {
    let (dx, dy) = (to.x - from.x, to.y - from.y);
    let (px, py) = (place.x - from.x, place.y - from.y);
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 { ((px * dx + py * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    let (x, y) = (px - along * dx, py - along * dy);
    (x * x + y * y).sqrt()
}

/// The ink of one cell, 0 to 255.
fn count(inked: &[bool], columns: usize, column: usize, row: usize) -> u8 {
    let rows = (row * FINE)..((row + 1) * FINE);
    let found: usize = rows
        .filter_map(|fine| inked.get(fine * columns + column * FINE..)?.get(..FINE))
        .map(|cells| cells.iter().filter(|cell| **cell).count())
        .sum();
    u8::try_from(found * 255 / (FINE * FINE)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drawn(strokes: &[&[(f32, f32)]]) -> Drawing {
        let mut drawing = Drawing::default();
        for stroke in strokes {
            for (place, &(x, y)) in stroke.iter().enumerate() {
                let point = Point::new(x, y);
                if place == 0 { drawing.begin(point) } else { drawing.extend(point) }
            }
        }
        drawing
    }

    fn rows(cells: &[u8]) -> Vec<u32> {
        cells.chunks(8).map(|row| row.iter().map(|cell| u32::from(*cell)).sum()).collect()
    }

    #[test]
    fn a_line_down_fills_the_height_in_the_middle() {
        let cells = drawn(&[&[(0.2, 0.4), (0.2, 0.6)]]).cells(8, 8);
        assert!(rows(&cells).iter().all(|ink| *ink > 0), "{cells:?}");
        for row in cells.chunks(8) {
            assert_eq!(row[..3], [0, 0, 0]);
            assert_eq!(row[5..], [0, 0, 0]);
            assert_eq!(row[3], row[4], "it stands in the middle");
        }
    }

    #[test]
    fn where_and_how_large_it_is_drawn_makes_no_difference() {
        let seven: &[(f32, f32)] = &[(0.2, 0.1), (0.8, 0.1), (0.4, 0.9)];
        let small: Vec<(f32, f32)> = seven.iter().map(|(x, y)| (0.6 + x * 0.4, 0.05 + y * 0.4)).collect();
        let (large, small) = (drawn(&[seven]).cells(8, 8), drawn(&[&small]).cells(8, 8));
        for (a, b) in large.iter().zip(&small) {
            assert!(a.abs_diff(*b) <= 32, "{large:?} {small:?}");
        }
    }

    #[test]
    fn a_ring_has_as_much_ink_as_scanned_ones() {
        let ring: Vec<(f32, f32)> = (0..=40u8)
            .map(|step| f32::from(step) / 40.0 * std::f32::consts::TAU)
            .map(|angle| (0.5 + 0.3 * angle.sin(), 0.5 - 0.45 * angle.cos()))
            .collect();
        let cells = drawn(&[&ring]).cells(8, 8);
        // The zeros among the digits have 317 of 1024 on average.
        let ink: u32 = cells.iter().map(|cell| u32::from(*cell)).sum::<u32>() * 16 / 255;
        assert!((250..=380).contains(&ink), "{ink}");
        assert!(cells[3 * 8 + 3] == 0 && cells[4 * 8 + 4] == 0, "its middle is empty");
    }

    #[test]
    fn a_dot_stays_small_and_nothing_is_nothing() {
        let dot = drawn(&[&[(0.9, 0.9)]]).cells(8, 8);
        assert!(dot.iter().filter(|cell| **cell > 0).count() <= 4, "{dot:?}");
        assert!(dot.iter().any(|cell| *cell > 0));
        assert!(Drawing::default().is_empty());
        assert_eq!(Drawing::default().cells(8, 8), [0; 64]);
    }

    proptest! {
        #[test]
        fn any_drawing_makes_a_picture(points in prop::collection::vec((-1.0f32..2.0, -1.0f32..2.0), 1..60), width in 1usize..12, height in 1usize..12) {
            let drawing = drawn(&[&points]);
            prop_assert_eq!(drawing.cells(width, height).len(), width * height);
        }

        #[test]
        fn a_drawing_is_bounded(count in 1usize..5_000) {
            let points = vec![(0.5, 0.5); count];
            prop_assert!(drawn(&[&points]).points() <= MAX_POINTS);
        }
    }
}
