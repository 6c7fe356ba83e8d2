//! Signed notes (C2SP `signed-note`): text, and below it a line for each signature.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64ct::{Base64, Encoding};
use lichen_record::{VerifierKey, is_key_name};

/// Most bytes that a note may take: some 16 of the longest signatures there are.
pub const MAX_NOTE: usize = 64 * 1024;

/// Most signatures of a note.
const MAX_SIGNATURES: usize = 32;

const SIGNATURE_BEGINS: &str = "\u{2014} ";

/// Whether an Ed25519 signature over a message is by a key: whoever has the arithmetic gives it.
pub type CheckEd25519 = fn(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool;

/// That a key signed a message, which is yet to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ed25519Claim {
    /// The public key.
    pub key: [u8; 32],
    /// What it is said to have signed.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: [u8; 64],
}

impl Ed25519Claim {
    /// Whether it is true, by this arithmetic.
    #[must_use]
    pub fn is_true(&self, check: CheckEd25519) -> bool {
        check(&self.key, &self.message, &self.signature)
    }
}

/// Why something is not the note that it has to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Larger than a note may be.
    #[error("a note of {0} bytes, at most {MAX_NOTE} are allowed")]
    Size(usize),
    /// Not a note.
    #[error("not a signed note")]
    Malformed,
    /// The key has not signed it.
    #[error("not signed by {0}")]
    Unsigned(String),
    /// It says that the key has signed it, which is not so.
    #[error("the signature by {0} is wrong")]
    Forged(String),
}

/// Text with signatures, of which nothing is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One line below a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError::Size`] or [`NoteError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE {
            return Err(NoteError::Size(bytes.len()));
        }
        let note = str::from_utf8(bytes).map_err(|_other| NoteError::Malformed)?;
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::Malformed);
        }
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let lines = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let signatures: Vec<_> =
            lines.split('\n').map(read_signature).collect::<Option<_>>().ok_or(NoteError::Malformed)?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::Malformed);
        }
        Ok(Self { text: text.to_owned() + "\n", signatures })
    }

    /// A note with one signature. The text has to end with a newline.
    #[must_use]
    pub fn new(text: String, signature: NoteSignature) -> Self {
        Self { text, signatures: alloc::vec![signature] }
    }

    /// What is signed, the last newline included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, unchecked.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Puts a signature below it, in place of the one by the same key if there is one. Whether there was room for it.
    pub fn sign(&mut self, signature: NoteSignature) -> bool {
        let is_same = |one: &NoteSignature| one.name == signature.name && one.id == signature.id;
        if let Some(place) = self.signatures.iter_mut().find(|one| is_same(one)) {
            *place = signature;
            return true;
        }
        let has_room = self.signatures.len() < MAX_SIGNATURES;
        if has_room {
            self.signatures.push(signature);
        }
        has_room
    }

    /// The signature that says it is by this key; whether it is has to be checked.
    #[must_use]
    pub fn signature_by(&self, key: &VerifierKey) -> Option<&NoteSignature> {
        let id = key.id();
        self.signatures.iter().find(|one| one.name == key.name() && one.id == id)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl NoteSignature {
    /// The signature by a key.
    #[must_use]
    pub fn new(key: &VerifierKey, bytes: Vec<u8>) -> Self {
        Self { name: key.name().to_owned(), id: key.id(), bytes }
    }

    /// The name that it is signed under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the key made of the text.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = Base64::encode_string(&[&self.id[..], &self.bytes].concat());
        write!(f, "{SIGNATURE_BEGINS}{} {bytes}", self.name)
    }
}

fn read_signature(line: &str) -> Option<NoteSignature> {
    let (name, bytes) = line.strip_prefix(SIGNATURE_BEGINS)?.split_once(' ')?;
    let bytes = Base64::decode_vec(bytes).ok()?;
    let (id, bytes) = bytes.split_first_chunk()?;
    (is_key_name(name) && !bytes.is_empty()).then(|| NoteSignature {
        name: name.to_owned(),
        id: *id,
        bytes: bytes.to_vec(),
    })
}
