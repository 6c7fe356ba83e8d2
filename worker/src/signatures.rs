//! Checks signatures with the browser's cryptography: native code beside this thread instead of wasm on it.

use std::cell::RefCell;
use std::collections::VecDeque;

use js_sys::{Array, Promise, Uint8Array};
use lichen_record::Claim;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{CryptoKey, SubtleCrypto};

use crate::key::algorithm;

/// Keys kept ready. Those of a cohort sign again and again; an import costs as much as a check.
const READY: usize = 64;

/// The browser's check of signatures, with the keys that it was last asked about.
pub(crate) struct Signatures {
    subtle: SubtleCrypto,
    /// Imports under way or done, the newest last.
    keys: RefCell<VecDeque<([u8; 65], Promise)>>,
}

impl Signatures {
    pub(crate) const fn new(subtle: SubtleCrypto) -> Self {
        Self { subtle, keys: RefCell::new(VecDeque::new()) }
    }

    /// Whether the claim is true; `None` where the browser fails to tell.
    pub(crate) async fn is_true(&self, claim: &Claim) -> Option<bool> {
        self.check(claim).await.ok()?.as_bool()
    }

    async fn check(&self, claim: &Claim) -> Result<JsValue, JsValue> {
        let key: CryptoKey = JsFuture::from(self.key(&claim.key)?).await?.unchecked_into();
        let checked = self.subtle.verify_with_object_and_u8_array_and_u8_array(
            &algorithm("hash", "SHA-256")?,
            &key,
            &claim.signature,
            &claim.message,
        )?;
        JsFuture::from(checked).await
    }

    fn key(&self, point: &[u8; 65]) -> Result<Promise, JsValue> {
        let mut keys = self.keys.borrow_mut();
        if let Some((_point, ready)) = keys.iter().find(|(known, _import)| known == point) {
            return Ok(ready.clone());
        }
        let bytes = Uint8Array::from(&point[..]);
        let (curve, usages) = (algorithm("namedCurve", "P-256")?, Array::of1(&"verify".into()));
        let import = self.subtle.import_key_with_object("raw", &bytes, &curve, false, &usages)?;
        if keys.len() >= READY {
            keys.pop_front();
        }
        keys.push_back((*point, import.clone()));
        Ok(import)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use lichen_record::{CampaignId, Entry, SigningKey, VerifyError, verify, verify_by};
    use wasm_bindgen_test::wasm_bindgen_test;
    use web_sys::DedicatedWorkerGlobalScope;

    use super::*;

    fn signatures() -> Signatures {
        let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
        Signatures::new(scope.crypto().unwrap().subtle())
    }

    fn joined(key: &SigningKey, sequence: u64) -> Vec<u8> {
        key.sign(&Entry::Joined { campaign: CampaignId::of_manifest(b"digits"), sequence }).unwrap()
    }

    #[wasm_bindgen_test]
    async fn the_browser_and_the_record_agree() {
        let signatures = signatures();
        let key = SigningKey::generate([1; 32]);
        let envelope = joined(&key, 1);
        for at in 0..envelope.len() {
            let mut changed = envelope.clone();
            changed[at] ^= 1;
            let by_browser = verify_by::<Entry>(&changed, async |claim| {
                let told = signatures.is_true(claim).await;
                assert!(told.is_some(), "the browser does not tell, with byte {at} changed");
                told
            });
            assert_eq!(by_browser.await, verify::<Entry>(&changed), "byte {at}");
        }
        let by_browser = verify_by::<Entry>(&envelope, async |claim| signatures.is_true(claim).await).await;
        assert_eq!(by_browser.unwrap().account(), key.account());
    }

    #[wasm_bindgen_test]
    async fn more_keys_than_are_kept_ready_are_told_apart() {
        let signatures = &signatures();
        let keys: Vec<SigningKey> =
            (1..=READY + 2).map(|number| SigningKey::generate([u8::try_from(number).unwrap(); 32])).collect();
        let envelopes: Vec<Vec<u8>> = keys.iter().map(|key| joined(key, 1)).collect();
        for _again in 0..2 {
            let checks = envelopes
                .iter()
                .map(|envelope| verify_by::<Entry>(envelope, async |claim| signatures.is_true(claim).await));
            for (verified, key) in join_all(checks).await.into_iter().zip(&keys) {
                assert_eq!(verified.unwrap().account(), key.account());
            }
        }
        assert_eq!(signatures.keys.borrow().len(), READY);
    }

    #[wasm_bindgen_test]
    async fn where_the_browser_fails_the_record_tells() {
        let mut envelope = joined(&SigningKey::generate([1; 32]), 1);
        assert!(verify_by::<Entry>(&envelope, async |_claim| None).await.is_ok());
        let last = envelope.len() - 1;
        envelope[last] ^= 1;
        let refused = verify_by::<Entry>(&envelope, async |_claim| None).await;
        assert_eq!(refused, Err(VerifyError::Signature));
    }
}
