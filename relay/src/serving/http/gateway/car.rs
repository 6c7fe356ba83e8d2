//! Content-addressable archives (CARv1) of at most one block.

/// The header: `{roots: [id], version: 1}` in DAG-CBOR, behind its length.
pub(super) fn header(id: &[u8]) -> Vec<u8> {
    let roots = [b"\xa2\x65roots\x81\xd8\x2a".as_slice(), &byte_string_head(id.len() + 1), &[0], id].concat();
    let header = [&roots, b"\x67version\x01".as_slice()].concat();
    [&length(header.len() as u64), &header[..]].concat()
}

/// What comes before the bytes of a block.
pub(super) fn before_block(id: &[u8], bytes: u64) -> Vec<u8> {
    [length(bytes.saturating_add(id.len() as u64)), id.to_vec()].concat()
}

/// The head of a CBOR byte string of less than 256 bytes.
fn byte_string_head(length: usize) -> Vec<u8> {
    match u8::try_from(length) {
        Ok(short @ ..24) => vec![0x40 | short],
        Ok(longer) => vec![0x58, longer],
        // No id is as long.
        Err(_) => Vec::new(),
    }
}

/// A number as an unsigned LEB128, seven bits to a byte.
fn length(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [.., low] = (number & 0x7f).to_be_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_multiformats_has_them() {
        for (number, bytes) in
            [(0, &[0][..]), (127, &[127]), (128, &[0x80, 1]), (300, &[0xac, 2]), (16_384, &[0x80, 0x80, 1])]
        {
            assert_eq!(length(number), bytes);
        }
    }

    #[test]
    fn a_header_is_the_one_of_the_specification() {
        // One root whose id has 36 bytes, as ids with sha2-256 have.
        let id: Vec<u8> = (0..36).collect();
        let header = header(&id);
        assert_eq!(header.len(), 1 + 0x3a);
        assert_eq!(header[0], 0x3a);
        assert_eq!(&header[1..13], b"\xa2\x65roots\x81\xd8\x2a\x58\x25");
        assert_eq!(&header[header.len() - 9..], b"\x67version\x01");
    }
}
