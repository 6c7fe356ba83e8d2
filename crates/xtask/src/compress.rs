//! Compresses the built page once, so that the relay need not do it for each visitor.

use std::fs;
use std::io::Write as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result};

use crate::workspace;

/// Files shorter than this gain nothing.
const SHORTEST: usize = 1024;
const BROTLI_QUALITY: u32 = 11;
const BROTLI_WINDOW: u32 = 22;
const BUFFER: usize = 64 * 1024;

/// Writes `NAME.br` and `NAME.gz` beside each file of `folder` that gets smaller.
pub(crate) fn folder(folder: &Path) -> Result<()> {
    let files: Vec<PathBuf> = workspace::files_under(folder)?.into_values().collect();
    thread::scope(|scope| {
        let plain = files.iter().filter(|file| !is_compressed(file));
        let under_way: Vec<_> = plain.map(|file| scope.spawn(move || one(file))).collect();
        under_way.into_iter().try_for_each(|file| file.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn one(file: &Path) -> Result<()> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    for (ending, compressed) in [("br", brotli(&bytes)?), ("gz", gzip(&bytes)?)] {
        if bytes.len() >= SHORTEST && compressed.len() < bytes.len() {
            let name = file.with_added_extension(ending);
            fs::write(&name, compressed).with_context(|| format!("writing {}", name.display()))?;
        }
    }
    Ok(())
}

/// Whether a file is one of those that [`folder`] writes.
pub(crate) fn is_compressed(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "br" || ending == "gz")
}

/// Brotli at its best quality.
pub(crate) fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut writer = brotli::CompressorWriter::new(Vec::new(), BUFFER, BROTLI_QUALITY, BROTLI_WINDOW);
    writer.write_all(bytes)?;
    writer.flush()?;
    Ok(writer.into_inner())
}

/// Gzip at its best level, without a time stamp.
pub(crate) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes)?;
    Ok(writer.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn both_give_the_bytes_back() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(|n| (n % 1000).to_le_bytes()).collect();
        let (mut from_brotli, mut from_gzip) = (Vec::new(), Vec::new());
        let packed = brotli(&bytes).unwrap();
        assert!(packed.len() < bytes.len() / 10);
        brotli::Decompressor::new(&packed[..], BUFFER).read_to_end(&mut from_brotli).unwrap();
        flate2::read::GzDecoder::new(&gzip(&bytes).unwrap()[..]).read_to_end(&mut from_gzip).unwrap();
        assert!(from_brotli == bytes && from_gzip == bytes);
    }
}
