//! Accounts: public keys on the curve P-256, written as `did:key`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use p256::ecdsa::VerifyingKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_bytes::ByteArray;

const DID_KEY: &str = "did:key:z";

/// Multicodec `p256-pub` (0x1200) as a varint.
const P256_PUB: [u8; 2] = [0x80, 0x24];

/// A person's public key: a point of the curve P-256, named `did:key:zDn…` (W3C did:key, multicodec `p256-pub`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId([u8; 33]);

/// Why something is not an [`AccountId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountIdError {
    /// Not a point of P-256 in SEC1 form, or the point at infinity.
    #[error("not a point of P-256")]
    Point,
    /// Text that is not `did:key:z` followed by base58btc of a P-256 key.
    #[error("not a did:key of a P-256 public key")]
    Text,
}

impl AccountId {
    /// Reads a public key in SEC1 form, compressed (33 bytes) or as WebCrypto exports it (`raw`, 65 bytes).
    ///
    /// # Errors
    /// [`AccountIdError::Point`] if the bytes are not a point of the curve.
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, AccountIdError> {
        Self::with_key(bytes).map(|(account, _key)| account)
    }

    /// The account, and the point that its bytes stand for: finding that is a good part of checking a signature.
    pub(crate) fn with_key(bytes: &[u8]) -> Result<(Self, VerifyingKey), AccountIdError> {
        // The library also reads the rare compact form (tag 5), which would be a second name for the same key.
        if !matches!(bytes, [2..=4, ..]) {
            return Err(AccountIdError::Point);
        }
        let key = VerifyingKey::from_sec1_bytes(bytes).map_err(|_opaque| AccountIdError::Point)?;
        Ok((Self::from_verifying_key(&key), key))
    }

    /// The compressed point.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 33] {
        &self.0
    }

    pub(crate) fn from_verifying_key(key: &VerifyingKey) -> Self {
        let mut bytes = [0; 33];
        bytes.copy_from_slice(key.to_encoded_point(true).as_bytes());
        Self(bytes)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = Vec::with_capacity(P256_PUB.len() + self.0.len());
        key.extend_from_slice(&P256_PUB);
        key.extend_from_slice(&self.0);
        f.write_str(DID_KEY)?;
        f.write_str(&bs58::encode(key).into_string())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for AccountId {
    type Err = AccountIdError;

    fn from_str(text: &str) -> Result<Self, AccountIdError> {
        let encoded = text.strip_prefix(DID_KEY).ok_or(AccountIdError::Text)?;
        // Decoding base58 takes quadratic time: refuse what cannot be a key before it.
        if encoded.len() > 64 {
            return Err(AccountIdError::Text);
        }
        let key = bs58::decode(encoded).into_vec().map_err(|_opaque| AccountIdError::Text)?;
        let point = key.strip_prefix(&P256_PUB).ok_or(AccountIdError::Text)?;
        if point.len() != 33 {
            return Err(AccountIdError::Text);
        }
        Self::from_sec1(point)
    }
}

impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(de::Error::custom);
        }
        let bytes = ByteArray::<33>::deserialize(deserializer)?;
        Self::from_sec1(&*bytes).map_err(de::Error::custom)
    }
}

impl From<AccountId> for String {
    fn from(account: AccountId) -> Self {
        account.to_string()
    }
}
