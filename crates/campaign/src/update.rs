//! What an update may be, and how it is packed: `[update]`.

use alloc::vec::Vec;

use toml::de::DeTable;

use crate::Fault;
use crate::reader::Reader;

/// Values that "sparse" sends of every chunk, unless given.
const KEEP: u16 = 64;

/// `[update]`: what an update may be. The table may be left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateRule {
    /// Largest L2 norm of an update; `learn::max_norm` says which unless given.
    pub max_norm: Option<f64>,
    /// How updates are packed.
    pub encoding: Encoding,
    /// The share of what packing left out that a tab keeps from one round to the next; none where nothing is left out.
    pub feedback: Option<f64>,
}

/// How updates are packed. `learn::Codec` says what the bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Every value as it is, in 32 bits.
    #[default]
    Dense,
    /// Every value in 8 bits.
    Int8,
    /// Of every value the sign.
    Sign,
    /// Of every chunk of values the largest ones.
    Sparse {
        /// How many.
        keep: u16,
    },
}

impl Encoding {
    /// The word for it in a manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Int8 => "int8",
            Self::Sign => "sign",
            Self::Sparse { .. } => "sparse",
        }
    }

    /// The share of what was left out that a tab keeps, unless the manifest gives one.
    const fn feedback(self) -> Option<f64> {
        match self {
            Self::Dense => None,
            // What rounding leaves out is small, and as right a round later.
            Self::Int8 => Some(1.0),
            Self::Sign | Self::Sparse { .. } => Some(0.95),
        }
    }
}

pub(crate) fn read_update(table: Option<&DeTable<'_>>, faults: &mut Vec<Fault>) -> Option<UpdateRule> {
    let mut reader = Reader::new("update", table, faults);
    let max_norm = reader.optional_number("max_norm", 1e-6..=1e12);
    let encodings = [Encoding::Dense, Encoding::Int8, Encoding::Sign, Encoding::Sparse { keep: KEEP }];
    let encoding = reader.optional_choice("codec", &encodings.map(|encoding| (encoding.word(), encoding)));
    let encoding = encoding.map(Option::unwrap_or_default);
    let keep = reader.optional_whole("keep", 1..=1024);
    let feedback = reader.optional_number("feedback", 0.0..=1.0);
    let encoding = match (encoding, keep) {
        (Some(Encoding::Sparse { .. }), Some(Some(keep))) => Some(Encoding::Sparse { keep }),
        (Some(_other), Some(Some(_keep))) => {
            reader.fault("keep", "has no meaning unless update.codec is \"sparse\": leave it out")
        }
        (encoding, _none) => encoding,
    };
    if let (Some(Encoding::Dense), Some(Some(_given))) = (encoding, feedback) {
        let problem =
            "has no meaning where update.codec is \"dense\", which leaves nothing out: leave it out";
        reader.fault::<()>("feedback", problem);
    }
    reader.finish();
    let encoding = encoding?;
    keep?;
    Some(UpdateRule { max_norm: max_norm?, encoding, feedback: feedback?.or(encoding.feedback()) })
}
