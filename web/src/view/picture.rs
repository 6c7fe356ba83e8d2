//! A picture of a few cells in one shade of ink.

use std::fmt::Write;
use yew::prelude::*;

/// From how much ink on a cell is drawn in which strength: few strengths, so that a picture is few shapes.
const STRENGTHS: [(u8, &str); 4] = [(24, "0.25"), (88, "0.5"), (152, "0.75"), (216, "1")];

/// The picture; decoration, since what it shows stands beside it in words.
pub(super) fn picture(cells: &[u8], width: usize, height: usize) -> Html {
    html! {
        <svg class="picture" viewBox={format!("0 0 {width} {height}")} aria-hidden="true" focusable="false">
            { for STRENGTHS.iter().enumerate().map(|(place, (least, opacity))| {
                let next = STRENGTHS.get(place + 1).map_or(256, |(next, _)| u16::from(*next));
                let shape = shape(cells, width, u16::from(*least)..next);
                html! { <path fill-opacity={*opacity} d={shape} /> }
            }) }
        </svg>
    }
}

/// The cells with so much ink, as runs within their rows.
fn shape(cells: &[u8], width: usize, ink: std::ops::Range<u16>) -> String {
    let mut shape = String::new();
    for (row, cells) in cells.chunks(width.max(1)).enumerate() {
        let mut column = 0;
        while column < cells.len() {
            let rest = cells.get(column..).unwrap_or_default();
            let run = rest.iter().take_while(|cell| ink.contains(&u16::from(**cell))).count();
            if run > 0 {
                // Writing to a string does not fail.
                let _written = write!(shape, "M{column} {row}h{run}v1h-{run}z");
            }
            column += run.max(1);
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_become_runs() {
        assert_eq!(shape(&[0, 9, 9, 9, 0, 9], 3, 9..10), "M1 0h2v1h-2zM0 1h1v1h-1zM2 1h1v1h-1z");
        assert_eq!(shape(&[0; 9], 3, 1..256), "");
        assert_eq!(shape(&[255], 0, 1..256), "M0 0h1v1h-1z");
    }
}
