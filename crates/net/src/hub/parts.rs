//! Requests and replies that are mostly bytes, without the bytes: a relay moves these in parts, and never has all of them
//! in memory.

/// What stands before a blob's bytes in [`Request::PutBlob`](super::Request::PutBlob).
#[must_use]
pub fn put_blob(length: usize) -> Vec<u8> {
    wrapped(b"put-blob", length)
}

/// The length of the blob that [`Request::PutBlob`](super::Request::PutBlob) hands over in a frame of this length, if
/// there is one.
#[must_use]
pub fn put_blob_in(frame: usize) -> Option<usize> {
    // The longer the blob, the longer the number that says how long it is: 1, 2, 3, 5 or 9 bytes.
    let longest = put_blob(usize::MAX).len();
    (1..=longest)
        .filter_map(|head| frame.checked_sub(head))
        .find(|length| put_blob(*length).len().checked_add(*length) == Some(frame))
}

/// What stands before a blob's bytes in [`Reply::Blob`](super::Reply::Blob).
#[must_use]
pub fn blob(length: usize) -> Vec<u8> {
    wrapped(b"blob", length)
}

/// What stands before the records themselves in [`Records`](super::Records): the head, and how many they are.
#[must_use]
pub fn records(head: &[u8], count: usize) -> Vec<u8> {
    let mut bytes = vec![0xa2];
    text(&mut bytes, b"head");
    start(&mut bytes, BYTES, head.len());
    bytes.extend_from_slice(head);
    text(&mut bytes, b"records");
    start(&mut bytes, ARRAY, count);
    bytes
}

/// The same in [`Reply::Records`](super::Reply::Records).
#[must_use]
pub fn records_reply(head: &[u8], count: usize) -> Vec<u8> {
    let mut bytes = vec![0xa1];
    text(&mut bytes, b"records");
    bytes.extend(records(head, count));
    bytes
}

/// CBOR's major types.
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;

/// A map of one name to a map of `bytes`.
fn wrapped(name: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = vec![0xa1];
    text(&mut bytes, name);
    bytes.push(0xa1);
    text(&mut bytes, b"bytes");
    start(&mut bytes, BYTES, length);
    bytes
}

fn text(bytes: &mut Vec<u8>, name: &[u8]) {
    start(bytes, TEXT, name.len());
    bytes.extend_from_slice(name);
}

/// A type and a number, in its shortest form.
fn start(bytes: &mut Vec<u8>, major: u8, number: usize) {
    let major = major << 5;
    match number as u64 {
        0..=23 => bytes.push(major | number.to_le_bytes()[0]),
        number if u8::try_from(number).is_ok() => bytes.extend([major | 24, number.to_le_bytes()[0]]),
        number => match (u16::try_from(number), u32::try_from(number)) {
            (Ok(short), _) => {
                bytes.push(major | 25);
                bytes.extend(short.to_be_bytes());
            }
            (_, Ok(middle)) => {
                bytes.push(major | 26);
                bytes.extend(middle.to_be_bytes());
            }
            _ => {
                bytes.push(major | 27);
                bytes.extend(number.to_be_bytes());
            }
        },
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use lichen_log::Chain;
    use lichen_record::{CampaignId, Entry, SigningKey, encode, verify};

    use super::super::{Records, Reply, Request};
    use super::*;

    #[test]
    fn blobs_are_wrapped_as_their_messages_are() {
        for length in [0, 1, 23, 24, 255, 256, 65_535, 65_536, 1_000_000] {
            let bytes = vec![7; length];
            let put = Request::PutBlob { bytes: bytes.clone() }.to_bytes().unwrap();
            assert!(put == [put_blob(length), bytes.clone()].concat(), "{length}");
            assert_eq!(put_blob_in(put.len()), Some(length));
            let reply = Reply::Blob { bytes: bytes.clone() }.to_bytes().unwrap();
            assert!(reply == [blob(length), bytes].concat(), "{length}");
        }
        assert_eq!(put_blob_in(3), None);
        assert_eq!(put_blob_in(put_blob(0).len() + 24), None, "no blob makes a frame of this length");
    }

    #[test]
    fn records_are_wrapped_as_their_messages_are() {
        let key = SigningKey::generate([1; 32]);
        let campaign = CampaignId::of_manifest(b"a campaign");
        let mut chain = Chain::new(campaign);
        let mut records = Vec::new();
        for count in [0, 1, 24, 128] {
            while records.len() < count {
                let entry = Entry::Joined { campaign, sequence: records.len() as u64 };
                records.push(chain.append(1, &verify(&key.sign(&entry).unwrap()).unwrap()).unwrap().0);
            }
            let encoded: Vec<u8> = records.iter().flat_map(|record| encode(record).unwrap()).collect();
            let head = key.sign(chain.head()).unwrap();
            let whole = Records { records: records.clone(), head: head.clone() };
            assert_eq!(encode(&whole).unwrap(), [self::records(&head, count), encoded.clone()].concat());
            let reply = Reply::Records(whole).to_bytes().unwrap();
            assert_eq!(reply, [records_reply(&head, count), encoded].concat());
        }
    }
}
