//! Hands a campaign to a running relay.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use lichen_net::publishing::{Publication, SCHEME, body};
use lichen_record::{CampaignId, SigningKey};

use crate::read_campaign;
use crate::relay::{Relay, parse_url};

/// How long a relay may take until it serves what it has taken, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(500);

/// Readable by the owner alone.
const MODE: u32 = 0o600;

/// What `lichen publish` is told.
#[derive(Args)]
pub(crate) struct PublishArguments {
    /// The relay's address, such as https://relay.example.org.
    #[arg(long, value_parser = parse_url, env = "LICHEN_RELAY")]
    relay: Option<String>,
    /// File with the organiser's key; made if it is not there. Keep it: the account follows from it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The manifest, a TOML file, with its data file beside it. Without one, the key's account is printed.
    #[arg(requires = "relay")]
    manifest: Option<PathBuf>,
}

/// Publishes a campaign, or prints the account that would.
pub(crate) fn publish(arguments: &PublishArguments) -> Result<()> {
    let key = read_key(&arguments.key)?;
    let (Some(url), Some(manifest)) = (&arguments.relay, &arguments.manifest) else {
        println!("{}", key.account());
        return Ok(());
    };
    let (manifest_bytes, _manifest, data) = read_campaign(manifest)?;
    let campaign = CampaignId::of_manifest(&manifest_bytes);

    let relay = Relay::new(url);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("this machine's clock")?;
    let issued = u64::try_from(since.as_millis())?;
    let publication = key.sign(&Publication { campaign, relay: relay.peer()?, issued })?;
    let header = format!("{SCHEME} {}", STANDARD.encode(publication));
    relay.publish(&header, &body(&manifest_bytes, &data)?)?;
    let start = Instant::now();
    while !relay.serves(campaign)? {
        ensure!(
            start.elapsed() < PATIENCE,
            "the relay has taken the campaign and does not serve it: its log says why"
        );
        std::thread::sleep(AGAIN);
    }
    println!("{}/?campaign={campaign}", url.trim_end_matches('/'));
    Ok(())
}

/// The key in a file, which is made where there is none.
pub(crate) fn read_key(path: &Path) -> Result<SigningKey> {
    let named = || path.display().to_string();
    let bytes = match fs::read(path) {
        Ok(bytes) => {
            if fs::metadata(path).with_context(named)?.permissions().mode() & 0o077 != 0 {
                bail!("{} can be read by others: make sure nobody has, then chmod 600 it", path.display());
            }
            bytes
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make_key(path).with_context(named)?,
        Err(error) => return Err(error).with_context(named),
    };
    let bytes: [u8; 32] =
        bytes.try_into().map_err(|_other| anyhow!("{} does not have 32 bytes", path.display()))?;
    SigningKey::from_bytes(&bytes).with_context(|| format!("{} holds no P-256 key", path.display()))
}

fn make_key(path: &Path) -> Result<Vec<u8>> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no randomness for a key: {error}"))?;
    // Not every 32 bytes are a P-256 key, but these are.
    let key = SigningKey::generate(random).to_bytes().to_vec();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("organiser.key");
        let made = read_key(&path).unwrap().account();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(read_key(&path).unwrap().account(), made);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read_key(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::write(&path, [1; 31]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(MODE)).unwrap();
        assert!(read_key(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), [1; 31], "a broken key is not replaced");
    }
}
