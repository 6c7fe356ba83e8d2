//! How tabs of a campaign find each other: one stream per tab to its relay, open for as long as the tab may be found.
//!
//! The tab writes one [`Register`] frame; the relay, once it knows the session's account, answers with a [`Notice`]
//! and with another one whenever the tab's list changes. Framing is the hub protocol's. Ending the stream, or losing
//! the connection, ends the registration. Nothing here is believed: whoever is listed still has to prove its peer id
//! when it is dialled.

use lichen_record::{CampaignId, DecodeError, EncodeError, decode, encode};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Names this protocol when a tab opens the stream that tells it of others.
pub const PROTOCOL: &str = "/lichen/rendezvous/1.0.0";

/// Longest [`Register`] frame, in bytes.
pub const MAX_REGISTER: usize = 256;

/// Longest [`Notice`] frame, in bytes.
pub const MAX_NOTICE: usize = 8 * 1024;

/// Most peers in one [`Notice::Peers`]: more than a tab connects to, so that it has a choice.
pub const MAX_LISTED: usize = 48;

/// Longest peer id in its binary form, in bytes.
pub const MAX_PEER_ID: usize = 64;

/// What a tab says: let the others of this campaign find me.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Register {
    /// Whose peers.
    pub campaign: CampaignId,
}

/// What the relay says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Notice {
    /// Who else can be reached through this relay; replaces what was said before.
    Peers {
        /// Their peer ids in binary form, at most [`MAX_LISTED`] of at most [`MAX_PEER_ID`] bytes.
        peers: Vec<ByteBuf>,
    },
    /// The registration is refused; the last notice on this stream.
    Refused {
        /// Why.
        reason: Refusal,
    },
}

/// Why a relay does not register a tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The frame is no registration.
    #[error("not a registration")]
    Malformed,
    /// The session did not say hello in time.
    #[error("say hello first")]
    NotIntroduced,
    /// The relay does not keep this campaign.
    #[error("this relay does not serve this campaign")]
    UnknownCampaign,
    /// This connection, this account or the relay has as many registrations as it may.
    #[error("too many registrations")]
    TooMany,
    /// The account registered too often in the last minute.
    #[error("too many registrations in a minute")]
    TooOften,
}

impl Refusal {
    /// The reason as a metric's label, in snake case.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotIntroduced => "not_introduced",
            Self::UnknownCampaign => "unknown_campaign",
            Self::TooMany => "too_many",
            Self::TooOften => "too_often",
        }
    }
}

impl Register {
    /// The registration as a frame's content.
    ///
    /// # Errors
    /// [`EncodeError`] never in practice: a registration holds only an id.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        encode(self)
    }

    /// Reads a frame's content.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are too many or not the canonical form of a registration.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, MAX_REGISTER)
    }
}

impl Notice {
    /// The notice as a frame's content.
    ///
    /// # Errors
    /// [`EncodeError`] never in practice: a notice holds only words and byte strings.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        encode(self)
    }

    /// Reads a frame's content.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are too many or not the canonical form of a notice, or if it lists too much.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let notice = decode(bytes, MAX_NOTICE)?;
        if let Notice::Peers { peers } = &notice {
            let longest = peers.iter().map(|peer| peer.len()).max().unwrap_or(0);
            if longest > MAX_PEER_ID {
                return Err(DecodeError::TooLarge { size: longest, cap: MAX_PEER_ID });
            }
            if peers.len() > MAX_LISTED {
                return Err(DecodeError::TooLarge { size: peers.len(), cap: MAX_LISTED });
            }
        }
        Ok(notice)
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn notices() -> impl Strategy<Value = Notice> {
        let peer = prop::collection::vec(any::<u8>(), 0..=MAX_PEER_ID).prop_map(ByteBuf::from);
        prop_oneof![
            prop::collection::vec(peer, 0..=MAX_LISTED).prop_map(|peers| Notice::Peers { peers }),
            Just(Notice::Refused { reason: Refusal::TooOften }),
        ]
    }

    proptest! {
        #[test]
        fn notices_read_back(notice in notices()) {
            prop_assert_eq!(Notice::from_bytes(&notice.to_bytes().unwrap()).unwrap(), notice);
        }

        #[test]
        fn junk_is_an_error_and_what_is_read_is_canonical(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(notice) = Notice::from_bytes(&bytes) {
                prop_assert_eq!(notice.to_bytes().unwrap(), bytes.clone());
            }
            if let Ok(register) = Register::from_bytes(&bytes) {
                prop_assert_eq!(register.to_bytes().unwrap(), bytes);
            }
        }

        #[test]
        fn a_cut_notice_is_an_error(notice in notices(), cut in any::<prop::sample::Index>()) {
            let bytes = notice.to_bytes().unwrap();
            prop_assert!(Notice::from_bytes(&bytes[..cut.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn wire_form() {
        let register = Register { campaign: CampaignId::of_manifest(b"a campaign") };
        let bytes = register.to_bytes().unwrap();
        assert_eq!(Register::from_bytes(&bytes).unwrap(), register);
        assert!(bytes.len() <= MAX_REGISTER, "{}", bytes.len());
        assert_eq!(&bytes[..10], b"\xa1\x68campaign");
        let refused = Notice::Refused { reason: Refusal::TooMany };
        assert_eq!(refused.to_bytes().unwrap(), b"\xa1\x67refused\xa1\x66reason\x68too-many");
    }

    #[test]
    fn the_longest_notice_fits_and_a_longer_one_does_not_pass() {
        let peers = |count, length| Notice::Peers { peers: vec![ByteBuf::from(vec![7; length]); count] };
        let longest = peers(MAX_LISTED, MAX_PEER_ID).to_bytes().unwrap();
        assert!(longest.len() <= MAX_NOTICE && Notice::from_bytes(&longest).is_ok());
        assert!(Notice::from_bytes(&peers(MAX_LISTED + 1, 1).to_bytes().unwrap()).is_err());
        assert!(Notice::from_bytes(&peers(1, MAX_PEER_ID + 1).to_bytes().unwrap()).is_err());
    }
}
