//! Where things are, and what they were built from.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The built page.
pub(crate) fn dist() -> PathBuf {
    root().join("dist")
}

/// An empty folder in the build folder, kept until the next one of that name is asked for.
pub(crate) fn empty_folder(name: &str) -> Result<PathBuf> {
    let folder = target().join("xtask").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// A file with what something was last built from.
pub(crate) struct Stamp {
    file: PathBuf,
    now: String,
}

impl Stamp {
    /// The stamp `name` of something made from `sources` (files and folders under the root) and `settings`.
    pub(crate) fn new(name: &str, sources: &[&str], settings: &[&str]) -> Result<Self> {
        let mut hasher = DefaultHasher::new();
        settings.hash(&mut hasher);
        for source in sources {
            for (path, file) in files_under(&root().join(source))? {
                path.hash(&mut hasher);
                fs::read(&file).with_context(|| format!("reading {}", file.display()))?.hash(&mut hasher);
            }
        }
        let file = target().join("xtask").join(name);
        Ok(Self { file, now: format!("{:016x}", hasher.finish()) })
    }

    /// Whether `product` is there, untouched, and made from the same sources.
    pub(crate) fn is_fresh(&self, product: &Path) -> bool {
        let made = self.with_product(product);
        made.is_some() && fs::read_to_string(&self.file).ok() == made
    }

    /// Notes that `product` is now made from these sources.
    pub(crate) fn write(&self, product: &Path) -> Result<()> {
        let text = self.with_product(product).context("what was built is not there")?;
        fs::create_dir_all(self.file.parent().unwrap_or(&self.file))?;
        fs::write(&self.file, text).with_context(|| format!("writing {}", self.file.display()))
    }

    /// The sources' hash and the product's files with size and time, so that a product changed by others is noticed.
    fn with_product(&self, product: &Path) -> Option<String> {
        let mut hasher = DefaultHasher::new();
        let files = files_under(product).ok().filter(|files| !files.is_empty())?;
        for (path, file) in files {
            let meta = file.metadata().ok()?;
            let time = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            (path, meta.len(), time).hash(&mut hasher);
        }
        Some(format!("{} {:016x}\n", self.now, hasher.finish()))
    }
}

/// All files under a folder (or the file itself), by relative path; hidden folders and `target` are left out.
pub(crate) fn files_under(path: &Path) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let mut files = BTreeMap::new();
    let mut left = vec![path.to_owned()];
    while let Some(next) = left.pop() {
        if next.is_dir() {
            for entry in fs::read_dir(&next).with_context(|| format!("reading {}", next.display()))? {
                let child = entry?.path();
                let name = child.file_name().and_then(OsStr::to_str).unwrap_or_default();
                if !(name.starts_with('.') || name == "target" && child.is_dir()) {
                    left.push(child);
                }
            }
        } else if next.is_file() {
            files.insert(next.strip_prefix(path).unwrap_or(&next).to_owned(), next);
        }
    }
    Ok(files)
}

/// All files of the repository that git knows or would add.
pub(crate) fn tracked_files() -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    let listed = crate::run::output(&mut git)?;
    Ok(listed.lines().map(|line| root().join(line)).filter(|file| file.is_file()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_changed_by_others_is_not_fresh() {
        let folder = target().join("xtask-test");
        fs::create_dir_all(&folder).unwrap();
        let product = folder.join("product");
        fs::write(&product, "1").unwrap();
        let stamp = Stamp::new("test-stamp", &["clippy.toml"], &["a"]).unwrap();
        stamp.write(&product).unwrap();
        assert!(stamp.is_fresh(&product));
        assert!(!Stamp::new("test-stamp", &["clippy.toml"], &["b"]).unwrap().is_fresh(&product));
        fs::write(&product, "22").unwrap();
        assert!(!stamp.is_fresh(&product));
        fs::remove_dir_all(folder).unwrap();
        assert!(!stamp.is_fresh(&product));
    }
}
