//! The log's records in redb, each with a digest beside it.

use lichen_log::{MAX_RECORD, Record};
use lichen_record::{CampaignId, Cid, decode, encode};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::log_file::LogFile;
use super::medium;
use crate::blobs::StoreError;

/// Records: binary content id of the campaign, index → encoded record and its check.
pub(super) const RECORDS: TableDefinition<'_, RecordKey, RecordValue> = TableDefinition::new("records");

type RecordKey = (&'static [u8; 36], u64);
type RecordValue = (&'static [u8], &'static [u8; 36]);

/// Writes records that continue the log.
pub(super) fn append_records(
    transaction: &WriteTransaction,
    campaign: CampaignId,
    records: &[Record],
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(RECORDS).map_err(medium)?;
    let mut expected = length(&table, campaign)?;
    for record in records {
        if record.index != expected {
            return Err(StoreError::NotNext { expected, found: record.index });
        }
        let bytes = encode(record).map_err(medium)?;
        let check = Cid::of_cbor(&bytes).to_bytes();
        table.insert((&campaign.0.to_bytes(), record.index), (&bytes[..], &check)).map_err(medium)?;
        expected = expected.saturating_add(1);
    }
    Ok(())
}

/// Reads up to `limit` records from an index on.
pub(super) fn records(
    file: &LogFile,
    campaign: CampaignId,
    from: u64,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    read(file, campaign, from, limit, |index, bytes| {
        records.push(decode_record(campaign, index, bytes)?);
        Ok(())
    })?;
    Ok(records)
}

/// The same as they were encoded, one after the other, and where each ends.
pub(super) fn encoded(
    file: &LogFile,
    campaign: CampaignId,
    from: u64,
    limit: usize,
) -> Result<(Vec<u8>, Vec<usize>), StoreError> {
    let (mut all, mut ends) = (Vec::new(), Vec::new());
    read(file, campaign, from, limit, |_index, bytes| {
        all.extend_from_slice(bytes);
        ends.push(all.len());
        Ok(())
    })?;
    Ok((all, ends))
}

/// Gives each record's bytes, once they are known to be those that were written.
pub(super) fn read(
    file: &LogFile,
    campaign: CampaignId,
    from: u64,
    limit: usize,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let key = campaign.0.to_bytes();
    let transaction = file.begin_read()?;
    let table = transaction.open_table(RECORDS).map_err(medium)?;
    let mut expected = from;
    for item in table.range((&key, from)..=(&key, u64::MAX)).map_err(medium)?.take(limit) {
        let (found, value) = item.map_err(medium)?;
        let (bytes, check) = value.value();
        if found.value().1 != expected {
            return Err(StoreError::DamagedRecord { campaign, index: expected });
        }
        check_record(campaign, expected, bytes, check)?;
        take(expected, bytes)?;
        expected = expected.saturating_add(1);
    }
    Ok(())
}

/// Checks that a record is as it was written.
pub(super) fn check_record(
    campaign: CampaignId,
    index: u64,
    bytes: &[u8],
    check: &[u8; 36],
) -> Result<(), StoreError> {
    if Cid::of_cbor(bytes).to_bytes() == *check {
        Ok(())
    } else {
        Err(StoreError::DamagedRecord { campaign, index })
    }
}

fn decode_record(campaign: CampaignId, index: u64, bytes: &[u8]) -> Result<Record, StoreError> {
    let damaged = || StoreError::DamagedRecord { campaign, index };
    let record: Record = decode(bytes, MAX_RECORD).map_err(|_damage| damaged())?;
    if record.index == index { Ok(record) } else { Err(damaged()) }
}

/// Number of records in a campaign's log.
pub(super) fn length(
    table: &impl ReadableTable<RecordKey, RecordValue>,
    campaign: CampaignId,
) -> Result<u64, StoreError> {
    let key = campaign.0.to_bytes();
    let last = table.range((&key, 0)..=(&key, u64::MAX)).map_err(medium)?.next_back();
    let Some(last) = last.transpose().map_err(medium)? else {
        return Ok(0);
    };
    Ok(last.0.value().1.saturating_add(1))
}

/// The campaigns that have a log, by their binary content ids.
pub(super) fn campaigns(
    table: &impl ReadableTable<RecordKey, RecordValue>,
) -> Result<Vec<[u8; 36]>, StoreError> {
    let mut campaigns = Vec::new();
    let mut from = ([0; 36], 0);
    // One look for each log, past its last record.
    while let Some(item) = table.range((&from.0, from.1)..).map_err(medium)?.next() {
        let key = *item.map_err(medium)?.0.value().0;
        campaigns.push(key);
        from = (key, u64::MAX);
    }
    Ok(campaigns)
}

/// Reads every record.
pub(super) fn find_damage(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_read().map_err(medium)?;
    for item in transaction.open_table(RECORDS).map_err(medium)?.iter().map_err(medium)? {
        let (key, value) = item.map_err(medium)?;
        let (campaign, index) = key.value();
        let (bytes, check) = value.value();
        let campaign = CampaignId(Cid::try_from(&campaign[..]).map_err(medium)?);
        check_record(campaign, index, bytes, check)?;
        decode_record(campaign, index, bytes)?;
    }
    Ok(())
}
