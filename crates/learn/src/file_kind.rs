//! Says what a file is that was expected to be something else, so that the fault names the cause and the remedy.

use core::fmt;

/// Bytes at the start that are enough to tell.
const HEAD: usize = 4096;

/// A kind of file that people have in the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Nothing in it.
    Empty,
    /// What Git LFS leaves in the place of a file that it has not fetched.
    LfsPointer,
    /// A web page, often a server's answer that something is missing.
    Html,
    /// One array of `NumPy`.
    Numpy,
    /// A ZIP archive: `NumPy`'s `.npz`, PyTorch's `.pt`, a spreadsheet.
    Zip,
    /// Python's pickle: an older PyTorch's `.pt`, `joblib`.
    Pickle,
    /// HDF5: Keras' `.h5`, MATLAB.
    Hdf5,
    /// Columns of Apache Parquet.
    Parquet,
    /// Columns of Apache Arrow or Feather.
    Arrow,
    /// Compressed by gzip, Zstandard, bzip2 or xz.
    Compressed,
    /// A picture.
    Image,
    /// A sound recording.
    Sound,
    /// JSON.
    Json,
    /// A table as text, its values separated by commas, semicolons or tabs.
    Table,
    /// Some other text.
    Text,
    /// The right kind, or none that is known here.
    Safetensors,
}

/// What the bytes of a file look like; none for what is not recognised.
#[must_use]
pub fn file_kind(bytes: &[u8]) -> Option<FileKind> {
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    // The header first: a safetensors file begins with its length, which may be any bytes, also those of a signature.
    by_header(head).or_else(|| by_signature(head)).or_else(|| by_text(head))
}

/// First bytes that only one kind has.
fn by_signature(head: &[u8]) -> Option<FileKind> {
    const SIGNATURES: [(&[u8], FileKind); 20] = [
        (b"version https://git-lfs.github.com/spec/", FileKind::LfsPointer),
        (b"\x93NUMPY", FileKind::Numpy),
        (b"PK\x03\x04", FileKind::Zip),
        (b"PK\x05\x06", FileKind::Zip),
        (b"\x80\x02", FileKind::Pickle),
        (b"\x80\x03", FileKind::Pickle),
        (b"\x80\x04\x95", FileKind::Pickle),
        (b"\x80\x05\x95", FileKind::Pickle),
        (b"\x89HDF\r\n\x1a\n", FileKind::Hdf5),
        (b"PAR1", FileKind::Parquet),
        (b"ARROW1", FileKind::Arrow),
        (b"\x1f\x8b", FileKind::Compressed),
        (b"\x28\xb5\x2f\xfd", FileKind::Compressed),
        (b"BZh", FileKind::Compressed),
        (b"\xfd7zXZ\0", FileKind::Compressed),
        (b"\x89PNG\r\n\x1a\n", FileKind::Image),
        (b"\xff\xd8\xff", FileKind::Image),
        (b"GIF8", FileKind::Image),
        (b"OggS", FileKind::Sound),
        (b"fLaC", FileKind::Sound),
    ];
    if head.is_empty() {
        return Some(FileKind::Empty);
    }
    if head.starts_with(b"RIFF") {
        return Some(if head.get(8..12) == Some(b"WEBP") { FileKind::Image } else { FileKind::Sound });
    }
    SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature)).map(|(_, kind)| *kind)
}

/// Eight bytes of length, then a JSON object.
fn by_header(head: &[u8]) -> Option<FileKind> {
    let (length, rest) = head.split_first_chunk::<8>()?;
    let is_length = (2..=1 << 32).contains(&u64::from_le_bytes(*length));
    (is_length && rest.first() == Some(&b'{')).then_some(FileKind::Safetensors)
}

/// Text by what it begins with and by what separates its values.
fn by_text(head: &[u8]) -> Option<FileKind> {
    let is_wide = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r') || *byte >= b' ';
    if is_wide || !head.iter().all(is_text) {
        return is_wide.then_some(FileKind::Text);
    }
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins = |word: &[u8]| start.get(..word.len()).is_some_and(|first| first.eq_ignore_ascii_case(word));
    if begins(b"<!doctype html") || begins(b"<html") || begins(b"<head") {
        return Some(FileKind::Html);
    }
    if begins(b"{") || begins(b"[") {
        return Some(FileKind::Json);
    }
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_table = [b',', b';', b'\t'].iter().any(|separator| line.contains(separator));
    Some(if is_table { FileKind::Table } else { FileKind::Text })
}

impl FileKind {
    /// Whether this cannot be a campaign's manifest, whatever is in it.
    #[must_use]
    pub const fn is_no_manifest(self) -> bool {
        // A TOML file may begin like JSON, and have commas in its first line.
        !matches!(self, Self::Text | Self::Table | Self::Json)
    }

    /// What to do instead, where a data file or parameters were expected; none where it is what was expected.
    #[must_use]
    pub const fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::Empty => "write the tensors x and y into it",
            Self::LfsPointer => "fetch the file itself by `git lfs pull`",
            Self::Html => "it may be a server's answer that something is missing: download the file itself",
            Self::Numpy => {
                "save the arrays x and y by `safetensors.numpy.save_file({\"x\": x, \"y\": y}, FILE)`"
            }
            Self::Zip => {
                "load it (NumPy's .npz, PyTorch's .pt, a spreadsheet) and save its tensors as safetensors"
            }
            Self::Pickle => "load it by the program that wrote it and save its tensors as safetensors",
            Self::Hdf5 | Self::Parquet | Self::Arrow | Self::Json => {
                "read it into arrays and save them as safetensors"
            }
            Self::Compressed => "decompress it first",
            Self::Image | Self::Sound => "put all samples into one tensor x, their answers into y",
            Self::Table => {
                "read its columns as numbers and save them as the tensors x and y of a safetensors file"
            }
            Self::Text => "give a safetensors file",
            Self::Safetensors => return None,
        })
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty file",
            Self::LfsPointer => "a Git LFS pointer, which stands for a file that was not fetched",
            Self::Html => "a web page (HTML)",
            Self::Numpy => "a NumPy array (.npy)",
            Self::Zip => "a ZIP archive",
            Self::Pickle => "a Python pickle",
            Self::Hdf5 => "an HDF5 file",
            Self::Parquet => "a Parquet file",
            Self::Arrow => "an Arrow file",
            Self::Compressed => "a compressed file",
            Self::Image => "a picture",
            Self::Sound => "a sound recording",
            Self::Json => "JSON",
            Self::Table => "a table as text (CSV)",
            Self::Text => "text",
            Self::Safetensors => "a safetensors file",
        })
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn safetensors(header: &str) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
    }

    #[test]
    fn files_that_people_have_are_recognised() {
        let cases: [(&[u8], FileKind); 17] = [
            (b"", FileKind::Empty),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", FileKind::LfsPointer),
            (b"<!DOCTYPE html><title>404</title>", FileKind::Html),
            (b"\n <HTML>", FileKind::Html),
            (b"\x93NUMPY\x01\0v\0{'descr': '<f4'}", FileKind::Numpy),
            (b"PK\x03\x04\x14\0", FileKind::Zip),
            (b"\x80\x04\x95\x10", FileKind::Pickle),
            (b"\x89HDF\r\n\x1a\n", FileKind::Hdf5),
            (b"PAR1\x15\x04", FileKind::Parquet),
            (b"\x1f\x8b\x08\0", FileKind::Compressed),
            (b"\x89PNG\r\n\x1a\n", FileKind::Image),
            (b"RIFF\x24\0\0\0WAVEfmt ", FileKind::Sound),
            (b"\xef\xbb\xbf[1, 2]", FileKind::Json),
            (b"a,b\r\n1,2\r\n", FileKind::Table),
            (b"a;b\n1,5;2\n", FileKind::Table),
            (b"\xff\xfea\0,\0", FileKind::Text),
            (b"hello", FileKind::Text),
        ];
        for (bytes, kind) in cases {
            assert_eq!(file_kind(bytes), Some(kind), "{:?}", alloc::string::String::from_utf8_lossy(bytes));
            assert!(kind.remedy().is_some());
        }
        assert_eq!(file_kind(&[0, 1, 2, 3]), None);
    }

    #[test]
    fn a_safetensors_file_is_one_whatever_its_length_looks_like() {
        // Lengths whose first bytes are a pickle's or gzip's.
        for length in [0x80 + 0x200, 0x1f + 0x8b00, 64] {
            let bytes = safetensors(&alloc::format!("{{\"x\":{}", " ".repeat(length - 5)));
            assert_eq!(file_kind(&bytes), Some(FileKind::Safetensors), "{length}");
        }
        assert_eq!(FileKind::Safetensors.remedy(), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _kind = file_kind(&bytes);
            let mut long = bytes;
            long.extend(vec![b'a'; HEAD]);
            let _kind = file_kind(&long);
        }
    }
}
