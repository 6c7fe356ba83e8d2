//! Signs receipts: one for each entry appended, which is most of what a busy relay computes.
//!
//! The same account key as everywhere, with ring's assembly for the curve. Its signatures are randomised where the
//! other ones follow from the message; whoever checks them sees no difference.

use anyhow::{Result, anyhow};
use lichen_record::{AccountId, Envelope, Signable, SigningKey, encode, signing_bytes};
use p256::ecdsa::VerifyingKey;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

/// The relay's account key, ready to sign fast.
pub(crate) struct Signer {
    account: AccountId,
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    /// A signer with this key.
    ///
    /// # Errors
    /// Never for a key that is one.
    pub(crate) fn new(key: &SigningKey) -> Result<Self> {
        let account = key.account();
        let point = VerifyingKey::from_sec1_bytes(account.as_bytes());
        let point = point.map_err(|_opaque| anyhow!("the account is no key"))?;
        let point = point.to_encoded_point(false);
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &key.to_bytes()[..],
            point.as_bytes(),
            &random,
        );
        let key = key.map_err(|error| anyhow!("the account key is of no use: {error}"))?;
        Ok(Self { account, key, random })
    }

    /// Signs a message and returns the bytes of its envelope.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub(crate) fn sign<T: Signable>(&self, message: &T) -> Result<Vec<u8>> {
        let payload = encode(message)?;
        let signature = self.key.sign(&self.random, &signing_bytes::<T>(&self.account, &payload));
        let signature = signature.map_err(|_opaque| anyhow!("no randomness for a signature"))?;
        Ok(Envelope::assemble(self.account, payload, signature.as_ref())?.to_bytes()?)
    }
}

#[cfg(test)]
mod tests {
    use lichen_record::{SessionCertificate, verify};

    use super::*;

    #[test]
    fn what_it_signs_is_signed_by_the_account() {
        let key = SigningKey::generate([3; 32]);
        let signer = Signer::new(&key).unwrap();
        // A signature in the upper half would be refused; half of those that ring makes are.
        for issued in 0..64 {
            let message = SessionCertificate { peer: vec![1; 38], issued };
            let envelope = signer.sign(&message).unwrap();
            let verified = verify::<SessionCertificate>(&envelope).unwrap();
            assert_eq!((verified.account(), verified.get()), (key.account(), &message));
        }
    }
}
