//! A folder with a folder for each campaign, looked through again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most files of a campaign's folder that are looked at; it needs two.
const MAX_FILES: usize = 64;

/// What is in the folder, as far as it is known.
pub(super) struct Folder {
    path: PathBuf,
    /// How each campaign's folder was when it was looked at last, and when it was tried last.
    seen: BTreeMap<PathBuf, Seen>,
    faulty: BTreeSet<PathBuf>,
    is_begun: bool,
}

#[derive(Default)]
struct Seen {
    last: Files,
    tried: Option<Files>,
}

/// The files of a campaign's folder: name, time and length of each.
type Files = Vec<(OsString, Option<SystemTime>, u64)>;

impl Folder {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, seen: BTreeMap::new(), faulty: BTreeSet::new(), is_begun: false }
    }

    /// The campaigns' folders to be tried, by name: those that have changed since, and have not while somebody could still
    /// be writing there. The first time all of them.
    pub(super) fn changed(&mut self) -> Vec<PathBuf> {
        let found = campaigns(&self.path);
        self.seen.retain(|path, _seen| found.contains_key(path));
        self.faulty.retain(|path| found.contains_key(path));
        let mut changed = Vec::new();
        for (path, files) in found {
            let seen = self.seen.entry(path.clone()).or_default();
            let is_quiet = seen.last == files || !self.is_begun;
            if is_quiet && seen.tried.as_ref() != Some(&files) {
                seen.tried = Some(files.clone());
                changed.push(path);
            }
            seen.last = files;
        }
        self.is_begun = true;
        changed
    }

    /// Takes in whether a campaign's folder can be served.
    pub(super) fn tried(&mut self, path: PathBuf, is_served: bool) {
        if is_served {
            self.faulty.remove(&path);
        } else {
            self.faulty.insert(path);
        }
    }

    /// How many cannot.
    pub(super) fn faulty(&self) -> usize {
        self.faulty.len()
    }
}

/// The folders in it that hold a manifest. What cannot be read is not there yet, or not any more.
fn campaigns(folder: &Path) -> BTreeMap<PathBuf, Files> {
    let items = fs::read_dir(folder).into_iter().flatten().flatten();
    let shown = items.filter(|item| !item.file_name().to_string_lossy().starts_with('.'));
    let paths = shown.map(|item| item.path()).filter(|path| path.join("campaign.toml").is_file());
    paths.map(|path| (path.clone(), files(&path))).collect()
}

fn files(folder: &Path) -> Files {
    let items = fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_FILES);
    let mut files: Files = items
        .filter_map(|item| {
            // What a link leads to is what counts.
            let metadata = fs::metadata(item.path()).ok()?;
            Some((item.file_name(), metadata.modified().ok(), metadata.len()))
        })
        .collect();
    files.sort_unstable();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_tried_once_it_is_whole_and_again_when_it_has_changed() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("b/campaign.toml", "b");
        write("a/campaign.toml", "a");
        write(".hidden/campaign.toml", "a");
        write("notes/readme.txt", "no campaign");
        let [a, b] = ["a", "b"].map(|name| root.path().join(name));
        let mut folder = Folder::new(root.path().into());
        assert_eq!(folder.changed(), [a.clone(), b.clone()], "all at the start, by name");
        folder.tried(a, true);
        folder.tried(b.clone(), false);
        assert_eq!((folder.changed().len(), folder.faulty()), (0, 1), "nothing has changed");
        write("b/data.safetensors", "half of it");
        assert!(folder.changed().is_empty(), "somebody may be writing");
        write("b/data.safetensors", "all of it, which is more");
        assert!(folder.changed().is_empty(), "and was");
        assert_eq!(folder.changed(), std::slice::from_ref(&b));
        folder.tried(b, true);
        write("c/campaign.toml", "c");
        assert!(folder.changed().is_empty());
        assert_eq!((folder.changed(), folder.faulty()), (vec![root.path().join("c")], 0));
        fs::remove_dir_all(root.path().join("c")).unwrap();
        folder.tried(root.path().join("c"), false);
        assert_eq!((folder.changed().len(), folder.faulty()), (0, 0), "what is gone is no fault");
    }
}
