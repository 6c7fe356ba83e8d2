//! The digits campaign that comes with the relay, with other rules where a test or a measurement needs them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;

/// What a relay needs of the campaign's folder besides the manifest.
const DATA: &str = "digits.safetensors";

/// The folder of a campaign that comes with the relay, such as `digits` or `penguins`.
#[must_use]
pub fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../relay/campaigns").join(name)
}

/// Writes the campaign into a folder, which it makes, with each first text of its manifest replaced by the second.
///
/// # Errors
/// [`Error::Unchanged`] where the manifest does not say one of them; [`Error::Io`] where a file cannot be written.
pub fn write_changed(folder: &Path, changes: &[(&str, &str)]) -> Result<(), Error> {
    let shipped = shipped("digits");
    let file = shipped.join("campaign.toml");
    let mut manifest = fs::read_to_string(&file).map_err(Error::io(format!("reading {}", file.display())))?;
    for (from, to) in changes {
        if !manifest.contains(from) {
            return Err(Error::Unchanged((*from).to_owned()));
        }
        manifest = manifest.replace(from, to);
    }
    fs::create_dir_all(folder).map_err(Error::io(format!("making {}", folder.display())))?;
    fs::write(folder.join("campaign.toml"), manifest).map_err(Error::io("writing the manifest"))?;
    fs::copy(shipped.join(DATA), folder.join(DATA)).map_err(Error::io(format!("copying {DATA}")))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changes_are_made_and_nothing_is_written_where_one_cannot_be() {
        let folder = std::env::temp_dir().join(format!("lichen-campaign-{}", std::process::id()));
        let error = write_changed(&folder, &[("no such line", "")]).unwrap_err();
        assert!(error.to_string().contains("no such line") && !folder.exists());
        write_changed(&folder, &[("topology = \"hub\"", "topology = \"mesh\"")]).unwrap();
        let manifest = fs::read_to_string(folder.join("campaign.toml")).unwrap();
        assert!(manifest.contains("topology = \"mesh\"") && folder.join(DATA).is_file());
        fs::remove_dir_all(folder).unwrap();
    }
}
