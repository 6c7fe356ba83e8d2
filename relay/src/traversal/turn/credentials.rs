//! Passwords for TURN that nobody has to store: each follows from its name, which says until when it is good.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use stun_types::attribute::Userhash;

use crate::operating::clock;

/// How long a name and password are good for. An allocation ends with them, and the tabs then connect anew.
pub(crate) const LIFETIME: Duration = Duration::from_secs(6 * 60 * 60);

/// Names end at whole multiples of this, in seconds, so that there are few of them: a client may show a name's hash
/// instead.
const GRID: u64 = 600;

/// Longest name read, in bytes: a time in seconds.
const MAX_NAME: usize = 20;

/// Makes passwords, under a key that this process alone has.
pub(crate) struct Credentials {
    key: [u8; 64],
}

/// A name and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) name: String,
    pub(crate) password: String,
}

impl Credentials {
    /// Under a fresh key.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub(crate) fn new() -> Result<Self> {
        let mut key = [0; 64];
        getrandom::fill(&mut key).context("no randomness for a key")?;
        Ok(Self { key })
    }

    /// A credential that is good for [`LIFETIME`] from now on, and a little longer.
    pub(crate) fn issue(&self) -> Credential {
        let name = last_name().to_string();
        Credential { password: self.password(&name), name }
    }

    /// The password of a name that is still good, and for how long it is.
    pub(crate) fn check(&self, name: &str) -> Option<(String, Duration)> {
        if name.len() > MAX_NAME {
            return None;
        }
        let until: u64 = name.parse().ok()?;
        let left = until.checked_sub(clock::steady() / 1_000).filter(|left| *left > 0)?;
        // Other names are none of ours, whoever found their password.
        let is_ours = until.is_multiple_of(GRID) && until <= last_name();
        is_ours.then(|| (self.password(name), Duration::from_secs(left)))
    }

    /// The name that is still good and has this hash in the realm (RFC 8489, 14.4).
    pub(crate) fn name_of(&self, hash: &[u8; 32], realm: &str) -> Option<String> {
        let last = last_name();
        let names = (0..=LIFETIME.as_secs() / GRID).map(|back| last.saturating_sub(back * GRID).to_string());
        names.into_iter().find(|name| Userhash::compute(name, realm) == *hash)
    }

    fn password(&self, name: &str) -> String {
        let mut mac = Hmac::<Sha256>::new(&self.key.into());
        mac.update(b"lichen/turn/v1\0");
        mac.update(name.as_bytes());
        BASE64.encode(mac.finalize().into_bytes())
    }
}

/// The name that is good the longest: the end of its time, in seconds.
fn last_name() -> u64 {
    (clock::steady() / 1_000).saturating_add(LIFETIME.as_secs()).div_ceil(GRID).saturating_mul(GRID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_good_for_its_time_and_its_own_password() {
        let credentials = Credentials::new().unwrap();
        let issued = credentials.issue();
        let (password, left) = credentials.check(&issued.name).unwrap();
        assert_eq!(password, issued.password);
        assert!(left >= LIFETIME && left <= LIFETIME + Duration::from_secs(GRID));
        let hash = Userhash::compute(&issued.name, "realm");
        assert_eq!(credentials.name_of(&hash, "realm").as_ref(), Some(&issued.name));
        assert_eq!(credentials.name_of(&hash, "another"), None);
        assert_ne!(Credentials::new().unwrap().issue().password, password, "another relay's");
    }

    #[test]
    fn names_of_no_use_have_no_password() {
        let credentials = Credentials::new().unwrap();
        let now = clock::steady() / 1_000;
        for name in [
            String::new(),
            "somebody".into(),
            now.to_string(),
            (now - 1).to_string(),
            (last_name() + GRID).to_string(),
            (last_name() - 1).to_string(),
            u64::MAX.to_string(),
            "9".repeat(400),
            format!("-{now}"),
        ] {
            assert_eq!(credentials.check(&name), None, "{name}");
        }
    }
}
