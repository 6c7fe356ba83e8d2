//! What a witness keeps: its key, and for each log the last checkpoint that it signed.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lichen_log::{Ed25519Key, Equivocation, KeyKind, SignedCheckpoint, VerifierKey, check_ed25519};
use sha2::{Digest, Sha256};

/// Readable by the owner alone.
const MODE: u32 = 0o600;

/// A witness's folder, which no other one uses meanwhile.
pub(crate) struct State {
    folder: PathBuf,
    key: Ed25519Key,
    verifier: VerifierKey,
    _lock: File,
}

impl State {
    /// Opens a folder, or makes it and a key in it.
    pub(crate) fn open(folder: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(folder.join("lock"))?;
        lock.try_lock().map_err(|_taken| Error::other("another witness uses it"))?;
        let path = folder.join("witness.key");
        let seed = match fs::read(&path) {
            Ok(bytes) => {
                if fs::metadata(&path)?.permissions().mode() & 0o077 != 0 {
                    return Err(Error::other(
                        "witness.key can be read by others: make sure nobody has, then chmod 600 it",
                    ));
                }
                bytes.try_into().map_err(|_other| Error::other("witness.key does not have 32 bytes"))?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(|error| Error::other(error.to_string()))?;
                write(folder, "witness.key", &seed)?;
                seed
            }
            Err(error) => return Err(error),
        };
        let key = Ed25519Key::from_seed(&seed).ok_or_else(|| Error::other("witness.key holds no key"))?;
        let verifier = VerifierKey::new(name, KeyKind::Cosignature, key.public()).map_err(Error::other)?;
        Ok(Self { folder: folder.to_owned(), key, verifier, _lock: lock })
    }

    /// The key by which its signatures are checked.
    pub(crate) const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs as a witness.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message)
    }

    /// The key of a log and the last checkpoint of it that was signed.
    pub(crate) fn known(&self, origin: &str) -> Result<Option<(VerifierKey, SignedCheckpoint)>> {
        let bytes = match fs::read(self.folder.join(file(origin, "checkpoint"))) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = || Error::other(format!("{} is damaged", file(origin, "checkpoint")));
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
        let (key, note) = bytes.split_at_checked(end).ok_or_else(damaged)?;
        let key = str::from_utf8(key).ok().and_then(|key| key.parse().ok()).ok_or_else(damaged)?;
        let note = note.strip_prefix(b"\n").ok_or_else(damaged)?;
        let checkpoint = SignedCheckpoint::open(note, &key, check_ed25519).map_err(|_other| damaged())?;
        Ok(Some((key, checkpoint)))
    }

    /// Keeps a checkpoint as the last one signed; it is on the disk when this returns.
    pub(crate) fn keep(&self, key: &VerifierKey, checkpoint: &SignedCheckpoint) -> Result<()> {
        let bytes = [format!("{key}\n").into_bytes(), checkpoint.to_bytes()].concat();
        write(&self.folder, &file(key.name(), "checkpoint"), &bytes)
    }

    /// Keeps what proves that a log has two histories: the log's key, what the coordinator signed about it, and the rest.
    pub(crate) fn keep_evidence(
        &self,
        key: &VerifierKey,
        certificate: &[u8],
        evidence: &Equivocation,
    ) -> Result<()> {
        let text = format!("{key}\n{}\n\n{evidence}\n", STANDARD.encode(certificate));
        write(&self.folder, &file(key.name(), "evidence"), text.as_bytes())
    }
}

fn file(origin: &str, kind: &str) -> String {
    let hash = Sha256::digest(origin);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hash}.{kind}")
}

/// Writes a file as a whole or not at all.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let (unfinished, path) = (folder.join(format!("{name}.new")), folder.join(name));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()
}
