//! A private key in memory, for relays and tests; browsers keep theirs in WebCrypto.

use alloc::vec::Vec;
use core::fmt;

use p256::ecdsa::Signature;
use p256::ecdsa::signature::Signer;
use p256::elliptic_curve::zeroize::Zeroizing;
use sha2::{Digest, Sha256};

use crate::{AccountId, EncodeError, Envelope, Signable, encode, signing_bytes};

/// An account's private key in memory, for native programs. It is wiped when dropped and never printed.
#[derive(Clone)]
pub struct SigningKey(p256::ecdsa::SigningKey);

/// Why bytes are not a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a private key of P-256")]
pub struct SigningKeyError;

impl SigningKey {
    /// Makes a key from 32 bytes of fresh randomness.
    #[must_use]
    pub fn generate(random: [u8; 32]) -> Self {
        let mut candidate = Zeroizing::new(random);
        // One in 2^32 random strings is no scalar of the curve: hash on until one is.
        loop {
            if let Ok(key) = Self::from_bytes(&candidate) {
                return key;
            }
            candidate = Zeroizing::new(Sha256::digest(*candidate).into());
        }
    }

    /// Reads a key from its 32 bytes (big-endian scalar).
    ///
    /// # Errors
    /// [`SigningKeyError`] if the number is zero or not below the curve's order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SigningKeyError> {
        p256::ecdsa::SigningKey::from_slice(bytes).map(Self).map_err(|_opaque| SigningKeyError)
    }

    /// The key's 32 bytes (big-endian scalar), wiped when dropped.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// The public key.
    #[must_use]
    pub fn account(&self) -> AccountId {
        AccountId::from_verifying_key(self.0.verifying_key())
    }

    /// Signs bytes as WebCrypto does: the raw signature `r ‖ s` over them. Give it [`signing_bytes`] and nothing else,
    /// so that every signature belongs to a domain. Deterministic (RFC 6979).
    #[must_use]
    pub fn sign_bytes(&self, bytes: &[u8]) -> [u8; 64] {
        let signature: Signature = self.0.sign(bytes);
        signature.to_bytes().into()
    }

    /// Signs a message and returns the bytes of its envelope. Deterministic (RFC 6979).
    ///
    /// # Errors
    /// [`EncodeError`] if the message has no canonical form.
    pub fn sign<T: Signable>(&self, message: &T) -> Result<Vec<u8>, EncodeError> {
        let account = self.account();
        let payload = encode(message)?;
        let signature: Signature = self.0.sign(&signing_bytes::<T>(&account, &payload));
        Envelope::signed(account, payload, signature).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.account()).finish()
    }
}
