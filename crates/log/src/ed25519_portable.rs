//! The check of an Ed25519 signature where the native library does not run: in a tab.

use ed25519_dalek::{Signature, Verifier, VerifyingKey};

/// Whether a signature over a message is by this key.
#[must_use]
#[cfg_attr(not(target_arch = "wasm32"), expect(unreachable_pub, reason = "here it is only tested"))]
pub fn check_ed25519(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(key)
        .is_ok_and(|key| key.verify(message, &Signature::from_bytes(signature)).is_ok())
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Ed25519Key;

    proptest! {
        #[test]
        fn both_checks_agree(
            seed in any::<[u8; 32]>(),
            message in prop::collection::vec(any::<u8>(), 0..200),
            changed in prop::option::of((0..64_usize, 1..=255_u8)),
        ) {
            let Some(key) = Ed25519Key::from_seed(&seed) else { return Ok(()) };
            let mut signature = key.sign(&message);
            if let Some((at, bits)) = changed {
                signature[at] ^= bits;
            }
            let native = crate::check_ed25519(&key.public(), &message, &signature);
            prop_assert_eq!(native, changed.is_none());
            prop_assert_eq!(check_ed25519(&key.public(), &message, &signature), native);
        }
    }
}
