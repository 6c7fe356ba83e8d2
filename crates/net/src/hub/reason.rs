//! Why a relay refuses a request, on the wire and in words.

use lichen_round::Refusal;
use serde::{Deserialize, Serialize};

/// Why a relay refuses a request; a refused request has changed nothing.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The frame, or the entry or certificate in it, is longer than allowed.
    #[error("longer than allowed")]
    TooLarge,
    /// The bytes are not one whole message of this protocol.
    #[error("not a message of this protocol")]
    Malformed,
    /// The message, or what is signed in it, is not in its one canonical form.
    #[error("not in canonical form")]
    NotCanonical,
    /// The stream ended, or stalled, in the middle of the request.
    #[error("the request was cut off")]
    Truncated,
    /// The signature does not fit the payload and the account, or is not in its lower form.
    #[error("the signature does not match")]
    WrongSignature,
    /// The certificate names another peer than the one that is connected.
    #[error("the certificate is for another connection")]
    WrongPeer,
    /// The certificate's time is too far from the relay's.
    #[error("the certificate is too old, or a clock is wrong")]
    CertificateExpired,
    /// The session has not said hello.
    #[error("say hello first")]
    NotIntroduced,
    /// The entry is signed by another account than the session's.
    #[error("signed by another account than this session's")]
    WrongAccount,
    /// The relay does not keep this campaign.
    #[error("this relay does not serve this campaign")]
    UnknownCampaign,
    /// The relay does not hold this blob.
    #[error("not held here")]
    NotFound,
    /// The entry may not stand in the log now; the fold says why.
    #[error("{0}")]
    Inadmissible(Refusal),
    /// The update that the contribution names is not held here: put it first.
    #[error("the update is not held here")]
    UpdateMissing,
    /// The update is not the canonical form of one.
    #[error("the update does not decode")]
    UpdateMalformed,
    /// The update is packed in another way than the campaign's updates are.
    #[error("the update is packed in another way than this campaign's are")]
    UpdateEncoding,
    /// The update has another number of values than the model has parameters.
    #[error("the update does not fit the model")]
    UpdateShape,
    /// The update holds a value that is infinite or not a number.
    #[error("the update holds a value that is not finite")]
    UpdateNotFinite,
    /// The update is longer than the campaign allows.
    #[error("the update changes the model by more than the campaign allows")]
    UpdateTooLong,
    /// The trace that the contribution names is not held here, or has another number of states than there are: put it first.
    #[error("the trace is not held here, or is none of this campaign")]
    TraceMissing,
    /// The state that the evidence begins with is not held here: put it first.
    #[error("the evidence is not held here")]
    EvidenceMissing,
    /// The account has appended too many entries in the last minute.
    #[error("too many entries in a minute")]
    QuotaEntries,
    /// Accounts at the same network have appended too many entries in the last minute.
    #[error("too many entries in a minute from this network")]
    QuotaAddress,
    /// All tabs together make the log grow faster than others can read it.
    #[error("the record accepts no more entries at the moment")]
    Crowded,
    /// Too many accounts that the log does not know have joined from the same network lately.
    #[error("too many new accounts from this network lately")]
    TooManyAccounts,
    /// Too many members take part from the same network.
    #[error("too many members from this network")]
    TooManyMembers,
    /// The account has put too many bytes in the last minute.
    #[error("too many bytes in a minute")]
    QuotaBytes,
    /// The account has put too many bytes in the last minute, in a campaign whose updates go from tab to tab.
    #[error("too many bytes in a minute for a campaign without a hub")]
    QuotaPinned,
    /// The account, or its network, or all of them, have put too much that no entry names.
    #[error("too many unused bytes are stored here")]
    // Its name on the wire stays, as pages of earlier versions know no other.
    #[serde(rename = "quota-loose")]
    QuotaUnpinned,
    /// The blobs that the campaign's log names take all that the relay gives a campaign.
    #[error("this campaign has used up its space at this relay")]
    CampaignFull,
    /// What is left of the relay's disk is for the log.
    #[error("the relay's disk is nearly full, so it accepts no more updates")]
    DiskFull,
    /// The checkpoint that is attested is not held here: put it first.
    #[error("the checkpoint is not held here")]
    CheckpointMissing,
    /// This relay follows the campaign's own, which its `lichen.json` names, and takes nothing itself.
    #[error("this relay only follows the campaign's own, which is away")]
    Following,
    /// This relay follows the campaign's own, and has less of the log than is asked for.
    #[error("this relay does not have that much of the log yet")]
    Behind,
    /// The relay has no room for more requests at the moment.
    #[error("the relay is busy")]
    Busy,
    /// The relay cannot write to its disk at the moment: it is full, or fails. It tries again by itself.
    #[error("the relay cannot store anything at the moment")]
    StoreFailing,
    /// The relay failed, and says no more about it.
    #[error("the relay failed")]
    Internal,
}

impl Reason {
    /// The reason as a metric's label, in snake case.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::NotCanonical => "not_canonical",
            Self::Truncated => "truncated",
            Self::WrongSignature => "wrong_signature",
            Self::WrongPeer => "wrong_peer",
            Self::CertificateExpired => "certificate_expired",
            Self::NotIntroduced => "not_introduced",
            Self::WrongAccount => "wrong_account",
            Self::UnknownCampaign => "unknown_campaign",
            Self::NotFound => "not_found",
            Self::Inadmissible(refusal) => refusal.label(),
            Self::UpdateMissing => "update_missing",
            Self::UpdateMalformed => "update_malformed",
            Self::UpdateEncoding => "update_encoding",
            Self::UpdateShape => "update_shape",
            Self::UpdateNotFinite => "update_not_finite",
            Self::UpdateTooLong => "update_too_long",
            Self::TraceMissing => "trace_missing",
            Self::EvidenceMissing => "evidence_missing",
            Self::QuotaEntries => "quota_entries",
            Self::QuotaAddress => "quota_address",
            Self::Crowded => "crowded",
            Self::TooManyAccounts => "too_many_accounts",
            Self::TooManyMembers => "too_many_members",
            Self::QuotaBytes => "quota_bytes",
            Self::QuotaPinned => "quota_pinned",
            Self::QuotaUnpinned => "quota_unpinned",
            Self::CampaignFull => "campaign_full",
            Self::DiskFull => "disk_full",
            Self::CheckpointMissing => "checkpoint_missing",
            Self::Following => "following",
            Self::Behind => "behind",
            Self::Busy => "busy",
            Self::StoreFailing => "store_failing",
            Self::Internal => "internal",
        }
    }
}

#[cfg(test)]
mod tests {
    use lichen_record::{decode, encode};

    use super::*;

    #[test]
    fn wire_form() {
        assert_eq!(encode(&Reason::TooLarge).unwrap(), b"\x69too-large");
        let nested = Reason::Inadmissible(Refusal::WrongRound);
        let bytes = encode(&nested).unwrap();
        assert_eq!(bytes, b"\xa1\x6cinadmissible\x6bwrong-round");
        assert_eq!(decode::<Reason>(&bytes, 100).unwrap(), nested);
    }
}
