//! The safetensors format: a reader for any valid file, and a writer whose bytes depend on nothing but names,
//! shapes and values.
//!
//! Source: <https://github.com/huggingface/safetensors>, "Format": u64 little-endian header length, JSON header,
//! tightly packed data.

use crate::ModelError;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// Largest header read.
pub const MAX_HEADER: usize = 1 << 20;
/// Most tensors read from one file.
pub const MAX_TENSORS: usize = 4096;
/// Most dimensions of a tensor.
pub const MAX_DIMENSIONS: usize = 8;

/// Type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// Truth value, one byte.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 32 bits.
    I32,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 64 bits.
    I64,
    /// Unsigned, 64 bits.
    U64,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

const ELEMENT_TYPES: [(&str, ElementType, usize); 11] = [
    ("BOOL", ElementType::Bool, 1),
    ("U8", ElementType::U8, 1),
    ("I8", ElementType::I8, 1),
    ("I16", ElementType::I16, 2),
    ("U16", ElementType::U16, 2),
    ("I32", ElementType::I32, 4),
    ("U32", ElementType::U32, 4),
    ("I64", ElementType::I64, 8),
    ("U64", ElementType::U64, 8),
    ("F32", ElementType::F32, 4),
    ("F64", ElementType::F64, 8),
];

impl ElementType {
    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> usize {
        ELEMENT_TYPES.iter().find(|entry| entry.1 == self).map_or(1, |entry| entry.2)
    }
}

/// A tensor of a file: borrowed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// Type of the elements.
    pub element: ElementType,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Little-endian elements, row-major.
    pub bytes: &'a [u8],
}

impl View<'_> {
    /// The elements as floats (64-bit integers beyond 2^24 are rounded).
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "rounding to single precision is what is asked for")]
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    pub fn to_f32(&self) -> Vec<f32> {
        let chunks = self.bytes.chunks_exact(self.element.size());
        chunks
            .map(|chunk| match (self.element, chunk) {
                (ElementType::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
                (ElementType::F64, &[a, b, c, d, e, f, g, h]) => {
                    f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32
                }
                _ => integer(self.element, chunk) as f32,
            })
            .collect()
    }

    /// The elements as integers; `None` for floats.
    #[must_use]
    pub fn to_integers(&self) -> Option<Vec<i64>> {
        if matches!(self.element, ElementType::F32 | ElementType::F64) {
            return None;
        }
        Some(self.bytes.chunks_exact(self.element.size()).map(|chunk| integer(self.element, chunk)).collect())
    }
}

fn integer(element: ElementType, chunk: &[u8]) -> i64 {
    let mut wide = [0u8; 8];
    for (to, from) in wide.iter_mut().zip(chunk) {
        *to = *from;
    }
    let value = i64::from_le_bytes(wide);
    let signed = matches!(element, ElementType::I8 | ElementType::I16 | ElementType::I32);
    let unused = 64 - 8 * element.size();
    if signed { (value << unused) >> unused } else { value }
}

/// Reads any valid file of the known element types, in order of names.
///
/// # Errors
/// [`ModelError::File`] where header or layout break the format or a cap; [`ModelError::FileTensor`] where one
/// tensor does.
pub fn read(bytes: &[u8]) -> Result<Vec<(String, View<'_>)>, ModelError> {
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or(ModelError::File("shorter than its header"))?;
    let too_long = |_| ModelError::File("header too long");
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(too_long)?;
    if length > MAX_HEADER {
        return Err(ModelError::File("header too long"));
    }
    let (header, data) = rest.split_at_checked(length).ok_or(ModelError::File("shorter than its header"))?;
    let entries = Header { rest: header }.entries()?;
    let mut tensors: Vec<(String, View<'_>)> = Vec::with_capacity(entries.len());
    let mut spans = Vec::with_capacity(entries.len());
    for entry in entries {
        let fault = |problem| ModelError::FileTensor { name: entry.name.clone(), problem };
        let elements = entry.shape.iter().try_fold(1usize, |all, &extent| all.checked_mul(extent));
        let size = elements.and_then(|elements| elements.checked_mul(entry.element.size()));
        let size = size.ok_or_else(|| fault("larger than memory"))?;
        if entry.begin.checked_add(size) != Some(entry.end) {
            return Err(fault("its offsets do not span its shape"));
        }
        let bytes = data.get(entry.begin..entry.end).ok_or_else(|| fault("lies outside the file"))?;
        // In order from the start: a sort of its own would be the only one of pairs in the module.
        let span = (entry.begin, entry.end);
        spans.insert(spans.partition_point(|&known| known < span), span);
        let view = View { element: entry.element, shape: entry.shape, bytes };
        match tensors.binary_search_by(|(other, _)| other.as_str().cmp(&entry.name)) {
            Ok(_) => return Err(ModelError::FileTensor { name: entry.name, problem: "is there twice" }),
            Err(at) => tensors.insert(at, (entry.name, view)),
        }
    }
    let mut end = 0;
    for span in spans {
        if span.0 != end {
            return Err(ModelError::File("data has gaps or overlaps"));
        }
        end = span.1;
    }
    if end != data.len() { Err(ModelError::File("bytes behind the last tensor")) } else { Ok(tensors) }
}

/// Writes single-precision tensors, which must come in order of their names, as one canonical file: no spaces
/// in the header but those that pad it to 8 bytes, data in order of the names.
#[must_use]
pub fn write<'a>(tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [f32])> + Clone) -> Vec<u8> {
    let mut header = String::from("{");
    let mut end = 0;
    for (index, (name, shape, data)) in tensors.clone().enumerate() {
        let begin = end;
        end += data.len() * 4;
        header.push_str(if index == 0 { "\"" } else { ",\"" });
        header.push_str(name);
        header.push_str("\":{\"dtype\":\"F32\",\"shape\":[");
        for (axis, extent) in shape.iter().enumerate() {
            let separator = if axis == 0 { "" } else { "," };
            let _ = write!(header, "{separator}{extent}");
        }
        let _ = write!(header, "],\"data_offsets\":[{begin},{end}]}}");
    }
    header.push('}');
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    let mut bytes = Vec::with_capacity(8 + header.len() + end);
    bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    for (_, _, data) in tensors {
        for value in data {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
    }
    bytes
}

struct Entry {
    name: String,
    element: ElementType,
    shape: Vec<usize>,
    begin: usize,
    end: usize,
}

/// The little JSON that headers are made of.
struct Header<'a> {
    rest: &'a [u8],
}

impl Header<'_> {
    fn entries(mut self) -> Result<Vec<Entry>, ModelError> {
        let mut entries = Vec::new();
        self.expect(b'{')?;
        if !self.accept(b'}') {
            loop {
                let name = self.string()?;
                self.expect(b':')?;
                if name == "__metadata__" {
                    self.metadata()?;
                } else {
                    entries.push(self.entry(name)?);
                }
                if entries.len() > MAX_TENSORS {
                    return Err(ModelError::File("too many tensors"));
                }
                if !self.accept(b',') {
                    break;
                }
            }
            self.expect(b'}')?;
        }
        self.skip_spaces();
        if self.rest.is_empty() {
            Ok(entries)
        } else {
            Err(ModelError::File("header goes on behind its end"))
        }
    }

    fn entry(&mut self, name: String) -> Result<Entry, ModelError> {
        let (mut element, mut shape, mut offsets) = (None, None, None);
        self.expect(b'{')?;
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            let fresh = match key.as_str() {
                "dtype" => element.replace(self.string()?).is_none(),
                "shape" => shape.replace(self.numbers()?).is_none(),
                "data_offsets" => offsets.replace(self.numbers()?).is_none(),
                _ => false,
            };
            if !fresh {
                return Err(ModelError::FileTensor { name, problem: "has unknown or repeated fields" });
            }
            if !self.accept(b',') {
                break;
            }
        }
        self.expect(b'}')?;
        let (Some(element), Some(shape), Some(offsets)) = (element, shape, offsets) else {
            return Err(ModelError::FileTensor { name, problem: "lacks dtype, shape or data_offsets" });
        };
        let Some(known) = ELEMENT_TYPES.iter().find(|known| known.0 == element) else {
            return Err(ModelError::FileTensor {
                name,
                problem: "has an element type that is not read here",
            });
        };
        let &[begin, end] = offsets.as_slice() else {
            return Err(ModelError::FileTensor { name, problem: "needs two data_offsets" });
        };
        Ok(Entry { name, element: known.1, shape, begin, end })
    }

    fn metadata(&mut self) -> Result<(), ModelError> {
        self.expect(b'{')?;
        if self.accept(b'}') {
            return Ok(());
        }
        loop {
            self.string()?;
            self.expect(b':')?;
            self.string()?;
            if !self.accept(b',') {
                return self.expect(b'}');
            }
        }
    }

    fn skip_spaces(&mut self) {
        while let [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn accept(&mut self, wanted: u8) -> bool {
        self.skip_spaces();
        match self.rest {
            [first, rest @ ..] if *first == wanted => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, wanted: u8) -> Result<(), ModelError> {
        if self.accept(wanted) { Ok(()) } else { Err(ModelError::File("header is not the JSON it must be")) }
    }

    fn string(&mut self) -> Result<String, ModelError> {
        self.expect(b'"')?;
        let mut bytes = Vec::new();
        loop {
            match self.rest {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    let invalid = |_| ModelError::File("header is not UTF-8");
                    return String::from_utf8(bytes).map_err(invalid);
                }
                [b'\\', escaped @ (b'"' | b'\\' | b'/'), rest @ ..] => {
                    bytes.push(*escaped);
                    self.rest = rest;
                }
                [b'\\', b'n', rest @ ..] => {
                    bytes.push(b'\n');
                    self.rest = rest;
                }
                [b'\\', ..] => return Err(ModelError::File("header has escapes that are not read here")),
                [byte, rest @ ..] if *byte >= b' ' => {
                    bytes.push(*byte);
                    self.rest = rest;
                }
                _ => return Err(ModelError::File("header is not the JSON it must be")),
            }
        }
    }

    fn numbers(&mut self) -> Result<Vec<usize>, ModelError> {
        let mut numbers = Vec::new();
        self.expect(b'[')?;
        if self.accept(b']') {
            return Ok(numbers);
        }
        loop {
            numbers.push(self.number()?);
            if numbers.len() > MAX_DIMENSIONS {
                return Err(ModelError::File("a tensor has too many dimensions"));
            }
            if !self.accept(b',') {
                self.expect(b']')?;
                return Ok(numbers);
            }
        }
    }

    fn number(&mut self) -> Result<usize, ModelError> {
        self.skip_spaces();
        let mut value = None;
        while let [digit @ b'0'..=b'9', rest @ ..] = self.rest {
            let next = value.unwrap_or(0usize).checked_mul(10);
            let next = next.and_then(|value| value.checked_add(usize::from(digit - b'0')));
            value = Some(next.ok_or(ModelError::File("a number is too large"))?);
            self.rest = rest;
        }
        value.ok_or(ModelError::File("header is not the JSON it must be"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn a_file_of_another_writer_is_read() {
        let header = r#" {"__metadata__":{"format":"pt"}, "y":{"dtype":"I64","shape":[1],"data_offsets":[2,10]},
            "x":{"dtype":"I8","data_offsets":[0,2],"shape":[2,1]}} "#;
        let bytes = file(header, &[255, 3, 254, 255, 255, 255, 255, 255, 255, 255]);
        let tensors = read(&bytes).unwrap();
        let [(first, x), (second, y)] = &tensors[..] else { panic!("{tensors:?}") };
        assert_eq!((first.as_str(), second.as_str()), ("x", "y"));
        assert_eq!(x.to_f32(), [-1.0, 3.0]);
        assert_eq!(x.shape, [2, 1]);
        assert_eq!(y.to_integers(), Some(vec![-2]));
    }

    #[test]
    fn broken_files_are_refused() {
        let entry = |offsets: &str| format_entry("F32", "[1]", offsets);
        assert!(read(&[1, 2, 3]).is_err());
        assert!(read(&u64::MAX.to_le_bytes()).is_err());
        assert!(read(&file(&entry("[0,8]"), &[0; 8])).is_err(), "offsets beyond the shape");
        assert!(read(&file(&entry("[0,4]"), &[0; 3])).is_err(), "too short");
        assert!(read(&file(&entry("[0,4]"), &[0; 5])).is_err(), "too long");
        assert!(read(&file(&entry("[1,5]"), &[0; 5])).is_err(), "a gap");
        assert!(read(&file(&format_entry("F32", "[18446744073709551615,8]", "[0,4]"), &[0; 4])).is_err());
        assert!(read(&file(&format_entry("F8", "[1]", "[0,4]"), &[0; 4])).is_err());
        assert!(read(&file("{} x", &[])).is_err());
        assert!(read(&file(&entry("[0,4]"), &[0; 4])).is_ok());
    }

    fn format_entry(dtype: &str, shape: &str, offsets: &str) -> String {
        alloc::format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    }
}
