//! What an entry cannot cost less than: a signature checked, a receipt signed, and its share of a write to the disk.

use std::time::Instant;

use anyhow::{Context, Result};
use lichen_log::{Chain, Head, Receipt, Record};
use lichen_record::{CampaignId, Cid, Entry, SigningKey, verify};
use lichen_store::Disk;

use crate::report::{Floor, median_of};
use crate::signer::Signer;

/// How often each piece of work is measured.
const TIMES: u32 = 400;

/// Entries to a write.
const BATCHES: [usize; 3] = [1, 16, 256];

const WRITES: usize = 40;

pub(crate) async fn measure() -> Result<Floor> {
    let campaign = CampaignId::of_manifest(b"the floor");
    let key = SigningKey::generate([7; 32]);
    let entry = key.sign(&Entry::Joined { campaign, sequence: 1 })?;
    let signer = Signer::new(&key)?;
    let receipt = Receipt { entry: Cid::of_cbor(&entry), head: Head { campaign, length: 1, hash: [0; 32] } };
    eprintln!("floor: measuring what an entry costs at least");
    let verify_us = microseconds(|| Ok(verify::<Entry>(&entry).map(drop)?))?;
    let sign_us = microseconds(|| signer.sign(&receipt).map(drop))?;

    let folder = tempfile::tempdir()?;
    let disk = Disk::open(&folder.path().join("floor.redb"))?;
    let entry = verify::<Entry>(&entry)?;
    let mut chain = Chain::new(campaign);
    let mut writes = Vec::new();
    for batch in BATCHES {
        let mut times = Vec::new();
        for _ in 0..WRITES {
            let records =
                (0..batch).map(|_| Ok(chain.append(0, &entry)?.0)).collect::<Result<Vec<Record>>>()?;
            let start = Instant::now();
            disk.append(campaign, records, Vec::new()).await?;
            times.push(start.elapsed().as_secs_f64() * 1_000.0);
        }
        writes.push((batch, median_of(&mut times).context("nothing was written")?));
    }
    Ok(Floor { verify_us, sign_us, writes })
}

/// The median time of a piece of work.
fn microseconds(work: impl Fn() -> Result<()>) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64() * 1_000_000.0);
    }
    median_of(&mut times).context("nothing was measured")
}
