//! The page's files in a folder, for operators with a page of their own: looked at for each request, so that a page under
//! development is always the newest, and sent in parts, so that nobody's patience keeps a file in memory.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use futures::stream;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::{INDEX, inline_scripts};

/// Bytes of a part.
const PART: usize = 32 * 1024;

/// Longest page whose scripts are looked for; those of a longer one do not run.
const LONGEST_INDEX: u64 = 1024 * 1024;

/// A folder with a page.
pub(crate) struct Folder {
    path: PathBuf,
    /// The page's scripts as they were read last, and from which of its versions.
    scripts: Mutex<Option<(HeaderValue, Arc<[String]>)>>,
}

/// A file that is open.
pub(super) struct Found {
    file: File,
    pub(super) length: u64,
    pub(super) etag: HeaderValue,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, scripts: Mutex::default() }
    }

    /// The file of this name, with nothing of it read. Each has one name: no other way leads to it.
    pub(super) async fn find(&self, name: &str) -> Option<Found> {
        // Nothing outside the folder, and nothing hidden in it.
        if name.split('/').any(|part| part.is_empty() || part.starts_with('.')) || name.contains('\\') {
            return None;
        }
        let file = File::open(self.path.join(Path::new(name))).await.ok()?;
        let metadata = file.metadata().await.ok().filter(Metadata::is_file)?;
        Some(Found { etag: etag(&metadata)?, length: metadata.len(), file })
    }

    /// The hashes of the scripts written into the page.
    pub(super) async fn scripts(&self) -> Arc<[String]> {
        let Some(found) = self.find(INDEX).await else { return Arc::default() };
        if let Some((etag, scripts)) = &*self.known()
            && *etag == found.etag
        {
            return Arc::clone(scripts);
        }
        let Found { file, length, etag } = found;
        let mut html = Vec::new();
        let read = file.take(LONGEST_INDEX + 1).read_to_end(&mut html).await;
        let is_whole = read.is_ok() && length <= LONGEST_INDEX;
        let scripts: Arc<[String]> = if is_whole { inline_scripts(&html).into() } else { Arc::default() };
        *self.known() = Some((etag, Arc::clone(&scripts)));
        scripts
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<(HeaderValue, Arc<[String]>)>> {
        // It is replaced as a whole, whatever happened to another thread.
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What changes whenever the file is written.
fn etag(metadata: &Metadata) -> Option<HeaderValue> {
    let written = metadata.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    HeaderValue::try_from(format!("\"{:x}-{:x}\"", written.as_nanos(), metadata.len())).ok()
}

impl Found {
    /// Its bytes, part after part. One that becomes shorter meanwhile breaks off.
    pub(super) fn body(self) -> Body {
        let parts = stream::try_unfold((self.file, self.length), |(mut file, left)| async move {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(PART);
            if wanted == 0 {
                return Ok(None);
            }
            let mut part = vec![0; wanted];
            let count = file.read(&mut part).await?;
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            part.truncate(count);
            Ok(Some((Bytes::from(part), (file, left.saturating_sub(count as u64)))))
        });
        Body::from_stream(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(found: Found) -> Vec<u8> {
        axum::body::to_bytes(found.body(), usize::MAX).await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn nothing_outside_the_folder_is_served_and_nothing_by_two_names() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("page/a")).unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        std::fs::write(folder.path().join("page/.hidden"), "hidden").unwrap();
        std::fs::write(folder.path().join("page/a/shown"), "shown").unwrap();
        let page = Folder::new(folder.path().join("page"));
        assert_eq!(read(page.find("a/shown").await.unwrap()).await, b"shown");
        let others = ["../secret", "/etc/passwd", ".hidden", "./a/shown", "a/../a/shown", "..", "a", "a/"];
        for path in others.into_iter().chain(["a//shown", "a/./shown", "a/shown/", ""]) {
            assert!(page.find(path).await.is_none(), "{path}");
        }
    }

    #[tokio::test]
    async fn a_file_is_as_it_was_written_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(INDEX);
        std::fs::write(&path, "<script>one()</script>").unwrap();
        let page = Folder::new(folder.path().into());
        let first = page.find(INDEX).await.unwrap().etag;
        let scripts = page.scripts().await;
        assert_eq!((scripts.len(), page.find(INDEX).await.unwrap().etag), (1, first.clone()));
        assert!(Arc::ptr_eq(&scripts, &page.scripts().await), "it was read again");
        std::fs::write(&path, "<script>another()</script>").unwrap();
        let written = page.find(INDEX).await.unwrap();
        assert!(written.etag != first && page.scripts().await != scripts);
        assert_eq!(read(written).await, b"<script>another()</script>");
        std::fs::remove_file(&path).unwrap();
        assert!(page.find(INDEX).await.is_none() && page.scripts().await.is_empty());
    }

    #[tokio::test]
    async fn a_large_file_comes_whole_and_a_cut_one_breaks_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&path, &bytes).unwrap();
        let page = Folder::new(folder.path().into());
        assert!(read(page.find("large").await.unwrap()).await == bytes);
        let found = page.find("large").await.unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(100_000).unwrap();
        assert!(axum::body::to_bytes(found.body(), usize::MAX).await.is_err());
    }
}
