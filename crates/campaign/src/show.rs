//! `[show]`: how a sample, and what the model says of it, is shown to people.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use crate::fault::Fault;
use crate::reader::{Reader, to_f32};

/// Most cells along either side of a picture: more would be a large message for each sample shown.
pub const MAX_SIDE: usize = 64;

/// Most labels; a page names every one of them.
const MAX_LABELS: usize = 100;

/// Longest label.
const LABEL: usize = 24;

/// How samples are shown: each as a picture of one shade of ink, row by row, and classes by their labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Show {
    /// Cells in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The value, as it is stored in the data file, of a cell that is all ink; 0 is a cell without any. Only whoever has
    /// the data needs it.
    #[serde(default)]
    pub full: f32,
    /// What each class is called, from class 0 on.
    pub labels: Vec<String>,
    /// Whether a sample can be drawn by hand, as a digit can.
    pub draw: bool,
}

impl Show {
    /// Cells of one picture.
    #[must_use]
    pub const fn cells(&self) -> usize {
        self.width * self.height
    }
}

/// Reads `[show]`: none if the manifest has no such table, or a faulty one.
pub(crate) fn read_show(table: Option<&DeTable<'_>>, faults: &mut Vec<Fault>) -> Option<Show> {
    let table = Some(table?);
    let mut reader = Reader::new("show", table, faults);
    let kind = reader.choice("kind", &[("image", ())]);
    let width = reader.whole("width", 1..=MAX_SIDE as i64);
    let height = reader.whole("height", 1..=MAX_SIDE as i64);
    let full = reader.number("full", 1e-30..=1e30);
    let labels = reader.texts("labels", LABEL, MAX_LABELS);
    let draw = reader.flag("draw", false);
    reader.finish();
    kind?;
    Some(Show { width: width?, height: height?, full: to_f32(full?), labels: labels?, draw: draw? })
}

/// Checks that what is to be shown is what the model takes (so many numbers) and gives (so many classes, if any).
pub(crate) fn check_show(show: &Show, input: usize, classes: Option<u32>, faults: &mut Vec<Fault>) {
    if show.cells() != input {
        let problem = format!(
            "and show.height make {} cells: the model takes {input} numbers, one for each cell",
            show.cells()
        );
        faults.push(Fault::new("show.width", problem));
    }
    match classes {
        Some(classes) if classes as usize != show.labels.len() => {
            let problem = format!("are {}: give one for each of the {classes} classes", show.labels.len());
            faults.push(Fault::new("show.labels", problem));
        }
        None => {
            let problem = "have no meaning without data.classes: leave the table out";
            faults.push(Fault::new("show.labels", problem));
        }
        Some(_) => {}
    }
}
