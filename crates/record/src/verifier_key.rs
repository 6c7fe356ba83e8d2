//! Ed25519 keys as C2SP's `signed-note` names them: those of logs, and those of witnesses.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

/// Longest name of a key, in bytes.
const MAX_NAME: usize = 255;

/// Not the key of a verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a verifier's key, which is name+id+key")]
pub struct VerifierKeyError;

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// The note's text: type `0x01`, the signatures of logs.
    Note,
    /// A log's checkpoint and the time: type `0x04`, the signatures of witnesses.
    Cosignature,
}

/// An Ed25519 key by which signatures are checked, with the name that it signs under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    key: [u8; 32],
}

impl VerifierKey {
    /// A key with a name.
    ///
    /// # Errors
    /// [`VerifierKeyError`] if it cannot be a key's name.
    pub fn new(name: &str, kind: KeyKind, key: [u8; 32]) -> Result<Self, VerifierKeyError> {
        if is_key_name(name) { Ok(Self { name: name.to_owned(), kind, key }) } else { Err(VerifierKeyError) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The public key.
    #[must_use]
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// By which a signature tells whose it says it is: the beginning of a hash of the key and its name.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let hash = Sha256::new().chain_update(&self.name).chain_update([b'\n', self.kind.byte()]);
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.chain_update(self.key).finalize());
        [a, b, c, d]
    }
}

impl KeyKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Note => 1,
            Self::Cosignature => 4,
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = Base64::encode_string(&[&[self.kind.byte()], &self.key[..]].concat());
        write!(f, "{}+{:08x}+{key}", self.name, u32::from_be_bytes(self.id()))
    }
}

impl FromStr for VerifierKey {
    type Err = VerifierKeyError;

    fn from_str(text: &str) -> Result<Self, VerifierKeyError> {
        read_key(text).ok_or(VerifierKeyError)
    }
}

fn read_key(text: &str) -> Option<VerifierKey> {
    let (name, rest) = text.split_once('+')?;
    let (id, key) = rest.split_once('+').filter(|(id, key)| id.len() == 8 && key.len() < 64)?;
    let bytes = Base64::decode_vec(key).ok()?;
    let (kind, key) = bytes.split_first()?;
    let kind = [KeyKind::Note, KeyKind::Cosignature].into_iter().find(|one| one.byte() == *kind)?;
    let read = VerifierKey::new(name, kind, key.try_into().ok()?).ok()?;
    // Each key has one form: eight small digits of its id, and base64 as it is read here has but one.
    let is_small = !id.bytes().any(|digit| digit.is_ascii_uppercase() || digit == b'+');
    let named = u32::from_str_radix(id, 16).ok().filter(|_id| is_small)?;
    (named == u32::from_be_bytes(read.id())).then_some(read)
}

/// Whether keys can have this name.
#[must_use]
pub fn is_key_name(name: &str) -> bool {
    let is_allowed = |letter: char| !letter.is_whitespace() && !letter.is_control() && letter != '+';
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(is_allowed)
}
