//! What every store of blobs must do. Each store's tests call [`run`] with a way to open an empty one.

use lichen_record::{Cid, MAX_BLOB};

use crate::{Blobs, StoreError};

/// Runs every case over a fresh store each.
pub(crate) async fn run<S: Blobs>(open: impl AsyncFn() -> S) {
    what_goes_in_comes_out(&open().await).await;
    wrong_bytes_are_refused(&open().await).await;
    the_largest_blob_fits_and_no_larger(&open().await).await;
    removing_forgets_one_blob(&open().await).await;
    many_blobs_do_not_mix(&open().await).await;
}

async fn what_goes_in_comes_out<S: Blobs>(store: &S) {
    let bytes: Vec<u8> = (0..=255).collect();
    for cid in [Cid::of_raw(&bytes), Cid::of_cbor(&bytes)] {
        assert!(!store.has(&cid).await.unwrap());
        assert_eq!(store.get(&cid).await.unwrap(), None);
        store.put(&cid, &bytes).await.unwrap();
        store.put(&cid, &bytes).await.unwrap();
        assert!(store.has(&cid).await.unwrap());
        assert_eq!(store.get(&cid).await.unwrap(), Some(bytes.clone()));
    }
    let empty = Cid::of_raw(&[]);
    store.put(&empty, &[]).await.unwrap();
    assert_eq!(store.get(&empty).await.unwrap(), Some(Vec::new()));
}

async fn wrong_bytes_are_refused<S: Blobs>(store: &S) {
    let cid = Cid::of_raw(b"one");
    let refused = store.put(&cid, b"two").await;
    assert!(matches!(refused, Err(StoreError::Mismatch { cid: named }) if named == cid), "{refused:?}");
    assert!(!store.has(&cid).await.unwrap());
    store.put(&cid, b"one").await.unwrap();
    assert!(store.put(&cid, b"two").await.is_err());
    assert_eq!(store.get(&cid).await.unwrap(), Some(b"one".to_vec()));
}

async fn the_largest_blob_fits_and_no_larger<S: Blobs>(store: &S) {
    let mut bytes = vec![7; MAX_BLOB];
    let cid = Cid::of_raw(&bytes);
    store.put(&cid, &bytes).await.unwrap();
    assert_eq!(store.get(&cid).await.unwrap().map(|found| found == bytes), Some(true));
    bytes.push(7);
    let cid = Cid::of_raw(&bytes);
    let refused = store.put(&cid, &bytes).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { size }) if size == MAX_BLOB + 1), "{refused:?}");
    assert!(!store.has(&cid).await.unwrap());
}

async fn removing_forgets_one_blob<S: Blobs>(store: &S) {
    let (kept, gone) = (Cid::of_raw(b"kept"), Cid::of_raw(b"gone"));
    store.put(&kept, b"kept").await.unwrap();
    store.put(&gone, b"gone").await.unwrap();
    store.remove(&[gone, Cid::of_raw(b"never there")]).await.unwrap();
    store.remove(&[gone]).await.unwrap();
    store.remove(&[]).await.unwrap();
    assert!(!store.has(&gone).await.unwrap());
    assert_eq!(store.get(&gone).await.unwrap(), None);
    assert_eq!(store.get(&kept).await.unwrap(), Some(b"kept".to_vec()));
}

async fn many_blobs_do_not_mix<S: Blobs>(store: &S) {
    let blobs: Vec<Vec<u8>> = (0..200_u32).map(|n| n.to_be_bytes().repeat(1 + n as usize % 60)).collect();
    for bytes in &blobs {
        store.put(&Cid::of_raw(bytes), bytes).await.unwrap();
    }
    for bytes in &blobs {
        assert_eq!(store.get(&Cid::of_raw(bytes)).await.unwrap().as_ref(), Some(bytes));
    }
}
