//! What tiles there are, and the paths under which they are served.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// Levels of the tree that a tile spans.
pub(super) const TILE_HEIGHT: u8 = 8;

/// Hashes of a full tile, and entries of a full bundle.
pub const TILE_WIDTH: usize = 256;

/// Highest level that the specification's paths can name.
const MAX_LEVEL: u8 = 63;

/// Longest path: what the largest index, the highest level and the widest partial tile take.
const MAX_PATH: usize = 64;

/// What a tile has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TileKind {
    /// Hashes of this level.
    Hashes(u8),
    /// The entries themselves.
    Entries,
}

/// The path of a tile or of a bundle of entries, after the log's prefix: `tile/<L>/<N>[.p/<W>]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TilePath {
    kind: TileKind,
    index: u64,
    width: u16,
}

/// Text that is no tile's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tile's path")]
pub struct TilePathError;

/// Number of hashes that a tree of this size has at a tile level.
#[must_use]
pub fn hashes_at_level(size: u64, level: u8) -> u64 {
    level.checked_mul(TILE_HEIGHT).and_then(|shift| size.checked_shr(shift.into())).unwrap_or_default()
}

impl TilePath {
    /// The tile of this kind and index in a tree of this size, as wide as it is there; none where it would be empty.
    #[must_use]
    pub fn in_tree(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let level = if let TileKind::Hashes(level) = kind { level } else { 0 };
        let before = index.checked_mul(TILE_WIDTH as u64)?;
        let width = hashes_at_level(size, level).saturating_sub(before).min(TILE_WIDTH as u64);
        let width = u16::try_from(width).ok().filter(|width| *width > 0)?;
        Some(Self { kind, index, width })
    }

    /// What it has in it.
    #[must_use]
    pub const fn kind(&self) -> TileKind {
        self.kind
    }

    /// Its place in its level.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it has: [`TILE_WIDTH`] if it is full.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width.into()
    }

    /// Whether a tree of this size has it.
    #[must_use]
    pub fn is_in_tree(&self, size: u64) -> bool {
        Self::in_tree(self.kind, self.index, size).is_some_and(|widest| widest.width >= self.width)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let mut parts = alloc::vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            parts.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        parts.reverse();
        f.write_str(&parts.join("/"))?;
        if self.width() < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(text: &str) -> Result<Self, TilePathError> {
        let path = read(text).ok_or(TilePathError)?;
        // Whatever is written in another way than ours is no path: one resource has one name.
        if String::from(path) == text { Ok(path) } else { Err(TilePathError) }
    }
}

impl From<TilePath> for String {
    fn from(path: TilePath) -> Self {
        format!("{path}")
    }
}

fn read(text: &str) -> Option<TilePath> {
    if text.len() > MAX_PATH {
        return None;
    }
    let (kind, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => TileKind::Entries,
        level => TileKind::Hashes(level.parse().ok().filter(|level| *level <= MAX_LEVEL)?),
    };
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok()?),
        None => (rest, TILE_WIDTH),
    };
    let groups: Vec<&str> = index.split('/').collect();
    let mut index: u64 = 0;
    for group in groups {
        let digits = group.strip_prefix('x').unwrap_or(group);
        let group: u64 = digits.parse().ok().filter(|group| *group < 1000)?;
        index = index.checked_mul(1000)?.checked_add(group)?;
    }
    let width = u16::try_from(width).ok().filter(|width| (1..=256).contains(width))?;
    Some(TilePath { kind, index, width })
}
