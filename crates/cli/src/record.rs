//! A campaign's record in a folder, as it outlives its relay.
//!
//! ```text
//! FOLDER/record.json          which campaign, and how many records; written last
//! FOLDER/head                 the log's signed head
//! FOLDER/log-key              what the coordinator signed about the key of the log's tree
//! FOLDER/checkpoint, tile/…   the log, as C2SP's tlog-tiles lays it out
//! FOLDER/blob/<id>            manifest, data, updates, checkpoints
//! ```
//!
//! Nothing in a folder is believed when it is read: a verification checks it as it checks what a relay serves.

mod export;
mod folder;
mod writer;

pub(crate) use export::{ExportArguments, export};
pub(crate) use folder::RecordFolder;

/// The file that says what the folder holds.
const CONTENTS: &str = "record.json";

/// The form of the folder that this program writes and reads.
const VERSION: u32 = 1;

/// What is in [`CONTENTS`].
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    campaign: lichen_record::CampaignId,
    records: u64,
}
