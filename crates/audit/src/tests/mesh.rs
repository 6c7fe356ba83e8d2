//! Audits of campaigns whose updates went from tab to tab.

use super::*;

/// The honest campaign with updates that went from tab to tab.
fn mesh() -> (CampaignId, Archive) {
    let manifest = String::from_utf8(MANIFEST.to_vec()).unwrap();
    let manifest = manifest.replace("topology = \"hub\"", "topology = \"mesh\"");
    let mut campaign = Campaign::publish_as(manifest.as_bytes());
    campaign.join(1);
    campaign.join(2);
    campaign.round(1, &[(1, update(1)), (2, update(2))]);
    campaign.round(2, &[(2, update(3)), (1, update(4))]);
    campaign.finish()
}

#[test]
fn a_mesh_is_recomputed_as_far_as_its_updates_are_kept() {
    let report = run(mesh()).unwrap();
    assert_eq!((report.rounds, report.rounds_not_recomputed), (2, 0));
    let whole = report.checkpoint;
    for lost in [1, 4] {
        let (id, mut archive) = mesh();
        assert!(archive.blobs.remove(&Cid::of_raw(&update(lost))).is_some());
        let report = run((id, archive)).unwrap();
        assert_eq!((report.rounds, report.rounds_not_recomputed, report.checkpoint), (2, 1, whole));
    }
}

#[test]
fn in_a_mesh_a_lost_checkpoint_is_a_fault() {
    let (id, mut archive) = mesh();
    let checkpoint = run(mesh()).unwrap().checkpoint;
    archive.blobs.remove(&Cid::of_raw(&update(4)));
    archive.blobs.remove(&checkpoint);
    assert!(matches!(
        run((id, archive)),
        Err(Fault::Blob { role: BlobRole::Checkpoint(RoundNumber(2)), .. })
    ));
}
