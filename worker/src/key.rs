//! The account's key: ECDSA P-256, made by the browser, kept in IndexedDB, never to be read out.

use js_sys::{Array, Uint8Array};
use lichen_record::AccountId;
use lichen_store::IndexedDb;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{CryptoKey, CryptoKeyPair, SubtleCrypto};

use crate::signatures::algorithm;

/// Under which name the key pair is kept.
pub(crate) const NAME: &str = "key/account";

/// An account's key pair.
pub(crate) struct AccountKey {
    subtle: SubtleCrypto,
    private: CryptoKey,
    account: AccountId,
}

impl AccountKey {
    /// The key kept on this device, if there is one.
    pub(crate) async fn find(subtle: &SubtleCrypto, store: &IndexedDb) -> Result<Option<Self>, JsValue> {
        match store.value(NAME).await.map_err(to_js)? {
            Some(pair) => Self::read(subtle, &pair).await.map(Some),
            None => Ok(None),
        }
    }

    /// Makes a key and keeps it, unless another tab was faster: then that one's.
    pub(crate) async fn make(subtle: &SubtleCrypto, store: &IndexedDb) -> Result<Self, JsValue> {
        let usages = Array::of2(&"sign".into(), &"verify".into());
        let pair = subtle.generate_key_with_object(&algorithm("namedCurve", "P-256")?, false, &usages)?;
        let pair = JsFuture::from(pair).await?;
        let kept = store.value_or_insert(NAME, &pair).await.map_err(to_js)?;
        Self::read(subtle, &kept).await
    }

    /// The account that the key signs for.
    pub(crate) fn account(&self) -> AccountId {
        self.account
    }

    /// The signature over these bytes: raw `r ‖ s`, with `s` in either half of its range.
    pub(crate) async fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, JsValue> {
        let signed = self.subtle.sign_with_object_and_u8_array(
            &algorithm("hash", "SHA-256")?,
            &self.private,
            bytes,
        )?;
        Ok(Uint8Array::new(&JsFuture::from(signed).await?).to_vec())
    }

    async fn read(subtle: &SubtleCrypto, pair: &JsValue) -> Result<Self, JsValue> {
        let pair: &CryptoKeyPair = pair.unchecked_ref();
        let public = JsFuture::from(subtle.export_key("raw", &pair.get_public_key())?).await?;
        let account = AccountId::from_sec1(&Uint8Array::new(&public).to_vec()).map_err(to_js)?;
        Ok(Self { subtle: subtle.clone(), private: pair.get_private_key(), account })
    }
}

fn to_js(error: impl std::fmt::Display) -> JsValue {
    JsValue::from_str(&error.to_string())
}

#[cfg(test)]
mod tests {
    use lichen_record::{CampaignId, Entry, Envelope, encode, signing_bytes, verify};
    use wasm_bindgen_test::wasm_bindgen_test;
    use web_sys::DedicatedWorkerGlobalScope;

    use super::*;

    fn subtle() -> SubtleCrypto {
        js_sys::global().unchecked_into::<DedicatedWorkerGlobalScope>().crypto().unwrap().subtle()
    }

    async fn open(name: &str) -> IndexedDb {
        IndexedDb::open(name).await.unwrap()
    }

    fn fresh_name(test: &str) -> String {
        format!("{test}-{}", js_sys::Date::now())
    }

    async fn signed(key: &AccountKey, entry: &Entry) -> Vec<u8> {
        let payload = encode(entry).unwrap();
        let signature = key.sign(&signing_bytes::<Entry>(&key.account(), &payload)).await.unwrap();
        Envelope::assemble(key.account(), payload, &signature).unwrap().to_bytes().unwrap()
    }

    #[wasm_bindgen_test]
    async fn what_the_browser_signs_the_record_verifies() {
        let key = AccountKey::make(&subtle(), &open(&fresh_name("sign")).await).await.unwrap();
        // Half of the signatures come with a high `s`: twenty in a row without one would be a wonder.
        for sequence in 0..20 {
            let entry = Entry::Joined { campaign: CampaignId::of_manifest(b"digits"), sequence };
            let mut envelope = signed(&key, &entry).await;
            let verified = verify::<Entry>(&envelope).unwrap();
            assert_eq!(verified.account(), key.account());
            assert_eq!(verified.get(), &entry);
            let last = envelope.len() - 1;
            envelope[last] ^= 1;
            assert!(verify::<Entry>(&envelope).is_err());
        }
    }

    #[wasm_bindgen_test]
    async fn the_key_survives_a_reload() {
        let name = fresh_name("reload");
        let store = open(&name).await;
        assert!(AccountKey::find(&subtle(), &store).await.unwrap().is_none());
        let made = AccountKey::make(&subtle(), &store).await.unwrap();
        drop(store);
        let found = AccountKey::find(&subtle(), &open(&name).await).await.unwrap().unwrap();
        assert_eq!(found.account(), made.account());
        let entry = Entry::Joined { campaign: CampaignId::of_manifest(b"digits"), sequence: 1 };
        let verified = verify::<Entry>(&signed(&found, &entry).await).unwrap();
        assert_eq!(verified.account(), made.account());
    }

    #[wasm_bindgen_test]
    async fn two_tabs_at_once_make_one_account() {
        let name = fresh_name("race");
        let (here, there) = (open(&name).await, open(&name).await);
        let subtle = subtle();
        let (here, there) =
            futures::join!(AccountKey::make(&subtle, &here), AccountKey::make(&subtle, &there));
        assert_eq!(here.unwrap().account(), there.unwrap().account());
    }

    #[wasm_bindgen_test]
    async fn the_private_key_cannot_be_read_out() {
        let key = AccountKey::make(&subtle(), &open(&fresh_name("export")).await).await.unwrap();
        assert!(!key.private.extractable());
        for format in ["pkcs8", "jwk", "raw"] {
            let refused = match key.subtle.export_key(format, &key.private) {
                Ok(exported) => JsFuture::from(exported).await.is_err(),
                Err(_thrown) => true,
            };
            assert!(refused, "{format}");
        }
    }
}
