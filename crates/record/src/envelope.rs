//! Signs messages, and checks the signatures of others.

use alloc::string::ToString;
use alloc::vec::Vec;

#[cfg(any(test, not(all(feature = "ring", not(target_arch = "wasm32")))))]
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{AccountId, AccountIdError, Cid, DecodeError, EncodeError, MAX_ENVELOPE, decode, encode};

/// A message that accounts sign. The domain keeps a signature over one kind of message from passing for another.
pub trait Signable: Serialize + DeserializeOwned {
    /// Name of the kind of message, unique in the project, lower case letters only.
    const DOMAIN: &'static str;

    /// Whether a payload that does not decode may be one that only later versions of this program know.
    #[must_use]
    fn is_later(_payload: &[u8]) -> bool {
        false
    }
}

/// The bytes over which `account` signs the canonical `payload` of a `T`.
#[must_use]
pub fn signing_bytes<T: Signable>(account: &AccountId, payload: &[u8]) -> Vec<u8> {
    signed_bytes(T::DOMAIN, account, payload)
}

fn signed_bytes(domain: &str, account: &AccountId, payload: &[u8]) -> Vec<u8> {
    let parts: [&[u8]; 5] = [b"lichen/", domain.as_bytes(), b"/v1\0", account.as_bytes(), payload];
    parts.concat()
}

/// A signed message as it travels and is stored: nothing in it has been checked yet but its form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    account: AccountId,
    #[serde(with = "serde_bytes")]
    payload: Vec<u8>,
    #[serde(with = "serde_bytes")]
    signature: [u8; 64],
}

/// An envelope whose account is not read yet, so that its point is found once and not twice.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unread {
    #[serde(with = "serde_bytes")]
    account: [u8; 33],
    #[serde(with = "serde_bytes")]
    payload: Vec<u8>,
    #[serde(with = "serde_bytes")]
    signature: [u8; 64],
}

/// Why a signature made outside cannot go into an [`Envelope`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// Not 64 bytes `r ‖ s` with both in range.
    #[error("not a raw P-256 signature")]
    Signature,
}

impl Envelope {
    /// Puts a payload and the signature over its [`signing_bytes`] together. The signature is raw `r ‖ s` as
    /// WebCrypto returns it; `s` is moved to the lower half of its range, which WebCrypto does not do.
    ///
    /// # Errors
    /// [`AssembleError::Signature`] if the signature has not the right form. Whether it fits is not checked.
    pub fn assemble(account: AccountId, payload: Vec<u8>, signature: &[u8]) -> Result<Self, AssembleError> {
        let signature = Signature::from_slice(signature).map_err(|_opaque| AssembleError::Signature)?;
        Ok(Self::signed(account, payload, signature))
    }

    pub(crate) fn signed(account: AccountId, payload: Vec<u8>, signature: Signature) -> Self {
        let signature = signature.normalize_s().unwrap_or(signature);
        Self { account, payload, signature: signature.to_bytes().into() }
    }

    /// Reads an envelope's form without checking its signature, for telling whom it claims to be from.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are more than [`MAX_ENVELOPE`] or not the canonical form of an envelope.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, MAX_ENVELOPE)
    }

    /// The envelope's canonical bytes.
    ///
    /// # Errors
    /// [`EncodeError`] never in practice: an envelope holds only byte strings.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        encode(self)
    }

    /// Who claims to have signed.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// The message's canonical bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The raw signature `r ‖ s`.
    #[must_use]
    pub const fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

/// Why an envelope was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The envelope is too large, malformed or not canonical.
    #[error("envelope: {0}")]
    Envelope(DecodeError),
    /// The signature has not the form of one: `r` or `s` out of range.
    #[error("the signature is malformed")]
    Malformed,
    /// The signature's `s` is in the upper half, which would allow a second form of the same envelope.
    #[error("the signature is not in its lower form")]
    HighS,
    /// The signature does not fit the account, the domain and the payload.
    #[error("the signature does not match")]
    Signature,
    /// Whoever has the arithmetic could not tell whether the signature matches.
    #[error("the signature cannot be checked on this device at the moment")]
    Unable,
    /// The signed payload is malformed or not canonical.
    #[error("payload: {0}")]
    Payload(DecodeError),
    /// The signed payload has the form of such a message, and says what only a later version of this program knows.
    #[error("it is of a later version than this program")]
    Later,
}

/// A message whose signature was checked. Only [`verify`] and [`verify_by`] make one.
///
/// ```compile_fail,E0451
/// # use lichen_record::{AccountId, Cid, Verified};
/// fn forge(account: AccountId, id: Cid) -> Verified<u8> {
///     Verified { payload: 1, account, id, envelope: Vec::new() }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Verified<T> {
    payload: T,
    account: AccountId,
    id: Cid,
    envelope: Vec<u8>,
}

impl<T> Verified<T> {
    /// The message.
    pub const fn get(&self) -> &T {
        &self.payload
    }

    /// The message, giving up the proof.
    pub fn into_inner(self) -> T {
        self.payload
    }

    /// Who signed it.
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// The content id (dag-cbor) of the whole envelope: two accounts saying the same thing have different ids.
    pub const fn id(&self) -> Cid {
        self.id
    }

    /// The envelope's bytes, as they were checked.
    pub fn envelope_bytes(&self) -> &[u8] {
        &self.envelope
    }
}

/// Checks an envelope from outside: size, canonical form, signature, then the payload's form.
///
/// # Errors
/// [`VerifyError`] naming the first of these checks that failed.
pub fn verify<T: Signable>(envelope_bytes: &[u8]) -> Result<Verified<T>, VerifyError> {
    let unchecked = Unchecked::read(envelope_bytes, T::DOMAIN)?;
    let is_signed = unchecked.is_signed_by_own_arithmetic();
    unchecked.verified(is_signed, envelope_bytes)
}

/// [`verify`], with the arithmetic of the signature left to somebody faster, such as a browser's WebCrypto; `None` where that one
/// cannot tell. A program that checks all its signatures so does not contain the arithmetic.
///
/// # Errors
/// The same as [`verify`]'s, and [`VerifyError::Unable`].
pub async fn verify_by<T: Signable>(
    envelope_bytes: &[u8],
    arithmetic: impl AsyncFnOnce(&Claim) -> Option<bool>,
) -> Result<Verified<T>, VerifyError> {
    let unchecked = Unchecked::read(envelope_bytes, T::DOMAIN)?;
    let is_signed = arithmetic(&unchecked.claim).await.ok_or(VerifyError::Unable)?;
    unchecked.verified(is_signed, envelope_bytes)
}

/// What an envelope claims: that a key signed a message, by ECDSA P-256 with SHA-256.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The key's point, uncompressed as in SEC1.
    pub key: [u8; 65],
    /// What is said to be signed.
    pub message: Vec<u8>,
    /// Raw `r ‖ s`, both in range and `s` in its lower half.
    pub signature: [u8; 64],
}

/// An envelope of the right form, of which only the signature has not been checked.
struct Unchecked {
    account: AccountId,
    payload: Vec<u8>,
    key: VerifyingKey,
    signature: Signature,
    claim: Claim,
}

impl Unchecked {
    /// Reads an envelope whose message is of this domain. The same code for every message, as a tab loads it.
    fn read(envelope_bytes: &[u8], domain: &str) -> Result<Self, VerifyError> {
        let Unread { account, payload, signature: raw } =
            decode(envelope_bytes, MAX_ENVELOPE).map_err(VerifyError::Envelope)?;
        let malformed =
            |error: AccountIdError| VerifyError::Envelope(DecodeError::Malformed(error.to_string()));
        let (account, key) = AccountId::with_key(&account).map_err(malformed)?;
        let signature = Signature::from_slice(&raw).map_err(|_opaque| VerifyError::Malformed)?;
        if signature.normalize_s().is_some() {
            return Err(VerifyError::HighS);
        }
        let mut point = [0; 65];
        point.copy_from_slice(key.to_encoded_point(false).as_bytes());
        let claim = Claim { key: point, message: signed_bytes(domain, &account, &payload), signature: raw };
        Ok(Self { account, payload, key, signature, claim })
    }

    fn is_signed_by_own_arithmetic(&self) -> bool {
        is_signed(&self.key, &self.claim.message, &self.signature)
    }

    fn verified<T: Signable>(
        self,
        is_signed: bool,
        envelope_bytes: &[u8],
    ) -> Result<Verified<T>, VerifyError> {
        if !is_signed {
            return Err(VerifyError::Signature);
        }
        let payload = decode(&self.payload, MAX_ENVELOPE).map_err(|error| match error {
            DecodeError::Malformed(_) if T::is_later(&self.payload) => VerifyError::Later,
            error => VerifyError::Payload(error),
        })?;
        let (account, id) = (self.account, Cid::of_cbor(envelope_bytes));
        Ok(Verified { payload, account, id, envelope: envelope_bytes.to_vec() })
    }
}

/// Whether the key signed the message.
#[cfg(not(all(feature = "ring", not(target_arch = "wasm32"))))]
fn is_signed(key: &VerifyingKey, message: &[u8], signature: &Signature) -> bool {
    key.verify(message, signature).is_ok()
}

/// The same in a fraction of the time, with assembly for the curve: a relay does little else.
#[cfg(all(feature = "ring", not(target_arch = "wasm32")))]
fn is_signed(key: &VerifyingKey, message: &[u8], signature: &Signature) -> bool {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    let point = key.to_encoded_point(false);
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point.as_bytes());
    key.verify(message, &signature.to_bytes()).is_ok()
}

#[cfg(test)]
#[cfg(all(feature = "ring", not(target_arch = "wasm32")))]
mod tests {
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::Signer;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_verifiers_agree(
            seed in 1..=u64::MAX,
            message in prop::collection::vec(any::<u8>(), 0..200),
            changes in prop::collection::vec((0..64_usize, any::<u8>()), 0..3),
            is_noise in any::<bool>(),
            noise in prop::array::uniform32(any::<u8>()),
        ) {
            let mut secret = [7; 32];
            secret[..8].copy_from_slice(&seed.to_be_bytes());
            let signing = SigningKey::from_slice(&secret).unwrap();
            let signature: Signature = signing.sign(&message);
            let mut bytes: [u8; 64] = signature.to_bytes().into();
            for (at, value) in changes {
                bytes[at] = value;
            }
            if is_noise {
                bytes[..32].copy_from_slice(&noise);
            }
            if let Ok(signature) = Signature::from_slice(&bytes) {
                let key = VerifyingKey::from(&signing);
                let reference = key.verify(&message, &signature).is_ok();
                prop_assert_eq!(is_signed(&key, &message, &signature), reference);
            }
        }
    }
}
