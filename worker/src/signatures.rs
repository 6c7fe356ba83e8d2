//! Checks signatures with the browser's cryptography: native code beside this thread instead of wasm on it.

use std::cell::RefCell;
use std::collections::VecDeque;

use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use lichen_log::Ed25519Claim;
use lichen_record::Claim;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{CryptoKey, SubtleCrypto};

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

    /// Whether an Ed25519 signature is right; `None` where the browser has no arithmetic for it.
    pub(crate) async fn is_signed(&self, claim: &Ed25519Claim) -> Option<bool> {
        self.check_ed25519(claim).await.ok()?.as_bool()
    }

    async fn check_ed25519(&self, claim: &Ed25519Claim) -> Result<JsValue, JsValue> {
        let (key, usages) = (Uint8Array::from(&claim.key[..]), Array::of1(&"verify".into()));
        let import = self.subtle.import_key_with_str("raw", &key, "Ed25519", false, &usages)?;
        let key: CryptoKey = JsFuture::from(import).await?.unchecked_into();
        let checked = self.subtle.verify_with_str_and_u8_array_and_u8_array(
            "Ed25519",
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

/// The parameters of ECDSA, of which each call needs one.
pub(crate) fn algorithm(parameter: &str, value: &str) -> Result<Object, JsValue> {
    let algorithm = Object::new();
    Reflect::set(&algorithm, &"name".into(), &"ECDSA".into())?;
    Reflect::set(&algorithm, &parameter.into(), &value.into())?;
    Ok(algorithm)
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

    /// RFC 8032, section 7.1, test 2.
    #[wasm_bindgen_test]
    async fn ed25519_is_that_of_the_specification() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let right = Ed25519Claim {
            key: hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c").try_into().unwrap(),
            message: vec![0x72],
            signature: hex(concat!(
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
                "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
            ))
            .try_into()
            .unwrap(),
        };
        let signatures = signatures();
        assert_eq!(signatures.is_signed(&right).await, Some(true));
        let mut wrong = [right.clone(), right.clone(), right];
        wrong[0].message[0] ^= 1;
        wrong[1].signature[7] ^= 1;
        wrong[2].key[7] ^= 1;
        for claim in &wrong {
            assert_ne!(signatures.is_signed(claim).await, Some(true), "{claim:?}");
        }
    }

    #[wasm_bindgen_test]
    async fn where_the_browser_fails_nothing_is_believed_or_said_to_be_false() {
        let envelope = joined(&SigningKey::generate([1; 32]), 1);
        let unable = verify_by::<Entry>(&envelope, async |_claim| None).await;
        assert_eq!(unable, Err(VerifyError::Unable));
    }
}
