//! The relay's two keys, made on the first start and kept in the data folder: the account key, which signs entries,
//! heads and receipts, and the key of the libp2p connection, whose peer id is part of the relay's address. A third one,
//! which signs checkpoints of the log's tree, follows from the account key.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hmac::{Hmac, Mac};
use lichen_log::Ed25519Key;
use lichen_net::swarm::libp2p::identity::Keypair;
use lichen_record::SigningKey;
use sha2::Sha256;

/// Readable by the owner alone.
const MODE: u32 = 0o600;

/// Reads the account key in this folder, or makes it.
pub(crate) fn account(folder: &Path) -> Result<SigningKey> {
    let account = key_bytes(&account_file(folder))?;
    SigningKey::from_bytes(&account).context("account.key holds no P-256 key")
}

/// Where the account key is.
pub(crate) fn account_file(folder: &Path) -> PathBuf {
    folder.join("account.key")
}

/// The key that signs the log's checkpoints. It follows from the account key, so that whoever takes over with that one signs
/// on with the same, and there is nothing else to keep.
pub(crate) fn log_key(account: &SigningKey) -> Result<Ed25519Key> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&account.to_bytes()[..])?;
    mac.update(b"lichen/log-key/v1");
    Ed25519Key::from_seed(&mac.finalize().into_bytes().into()).context("no key for the log's checkpoints")
}

/// Reads the key of libp2p connections in this folder, or makes it.
pub(crate) fn peer(folder: &Path) -> Result<Keypair> {
    let peer = key_bytes(&folder.join("peer.key"))?;
    Keypair::ed25519_from_bytes(peer).context("peer.key holds no Ed25519 key")
}

/// 32 secret bytes, kept in a file of this name.
fn key_bytes(path: &Path) -> Result<[u8; 32]> {
    match fs::read(path) {
        Ok(bytes) => {
            check_mode(path)?;
            bytes.try_into().map_err(|bytes: Vec<u8>| {
                anyhow::anyhow!("{} has {} bytes, a key has 32", path.display(), bytes.len())
            })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make(path),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn check_mode(path: &Path) -> Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!(
            "{} can be read by others (mode {:o}): make sure nobody has, then chmod 600 it",
            path.display(),
            mode & 0o777
        );
    }
    Ok(())
}

/// A fresh key, which is whole on the disk before it is used.
fn make(path: &Path) -> Result<[u8; 32]> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).context("no randomness for a key")?;
    // Not every 32 bytes are a P-256 key, but these are, and Ed25519 takes any.
    let key = *SigningKey::generate(random).to_bytes();
    let unfinished = path.with_extension("new");
    let written = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&unfinished)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    written().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let made = (account(folder.path()).unwrap(), peer(folder.path()).unwrap());
        let read = (account(folder.path()).unwrap(), peer(folder.path()).unwrap());
        assert_eq!(made.0.account(), read.0.account());
        assert_eq!(made.1.public(), read.1.public());
        assert_eq!(folder.path().read_dir().unwrap().count(), 2);
        for name in ["account.key", "peer.key"] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        account(folder.path()).unwrap();
        let path = folder.path().join("account.key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(account(folder.path()).is_err());
    }

    #[test]
    fn a_broken_key_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        account(folder.path()).unwrap();
        let path = folder.path().join("account.key");
        fs::write(&path, [1; 31]).unwrap();
        assert!(account(folder.path()).is_err());
        assert_eq!(fs::read(&path).unwrap(), [1; 31]);
    }
}
