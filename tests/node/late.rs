//! Coming late to a log of thousands of entries.

use lichen_testkit::{RelayProcess, campaign};
use tokio::task::LocalSet;

use crate::{LIMIT, join, made, options};

const ENTRIES: u64 = 3_000;

/// Entries between two snapshots, and as many as a round has.
const TAIL: usize = 256 + 20;

#[tokio::test(flavor = "current_thread")]
async fn who_comes_late_reads_a_snapshot_and_what_came_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let changed = folder.path().join("campaign");
    campaign::write_changed(&changed, &[("quorum = 2", "quorum = 1"), ("limit = 1000", "limit = 1000000")])
        .unwrap();
    let options = options(&folder, "relay", Some(changed.clone()));
    made::write(&changed, &options.data, ENTRIES, 50).await.unwrap();
    let relay = RelayProcess::start(options).unwrap();
    let metrics = relay.metrics().unwrap();
    assert!(metrics.iter().any(|(name, value)| name.starts_with("lichen_log_length") && *value > 2_950.0));
    let joined = LocalSet::new().run_until(join::join(&relay, 99)).await.unwrap();
    assert!(joined.records < TAIL, "{} records", joined.records);
    assert!((1_000..20_000).contains(&joined.snapshot), "{} bytes of the snapshot", joined.snapshot);
    assert!(joined.bytes <= 200_000, "{} bytes", joined.bytes);
    assert!(joined.took < LIMIT / 2, "{:?}", joined.took);
    assert!(joined.reported > 100, "the curve begins with {} rounds from before", joined.reported);
}
