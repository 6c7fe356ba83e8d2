//! Why a relay refuses a request.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $label:literal, $text:literal;)+) => {
        /// Why a relay refuses a request; a refused request has changed nothing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
        #[serde(rename_all = "kebab-case")]
        pub enum Reason {
            $($(#[doc = $doc])+ #[error($text)] $variant,)+
        }

        impl Reason {
            /// Every reason, in a fixed order.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),+];

            /// The reason as a metric's label, in snake case.
            pub fn label(self) -> &'static str {
                match self {
                    $(Reason::$variant => $label,)+
                }
            }
        }
    };
}

reasons! {
    /// The frame or the entry in it is longer than allowed.
    TooLarge = "too_large", "longer than allowed";
    /// The bytes are not one whole message of this protocol, in canonical form.
    Malformed = "malformed", "not a canonical message";
    /// The stream ended, or stalled, in the middle of the request.
    Truncated = "truncated", "the request broke off";
    /// The signature does not fit the payload and the account.
    WrongSignature = "wrong_signature", "the signature does not fit";
    /// The certificate names another peer than the one that is connected.
    WrongPeer = "wrong_peer", "the certificate is for another connection";
    /// The certificate's time is too far from the relay's.
    CertificateExpired = "certificate_expired", "the certificate is too old, or a clock is wrong";
    /// The session has not said hello.
    NotIntroduced = "not_introduced", "say hello first";
    /// The entry is signed by another account than the session's.
    WrongAccount = "wrong_account", "signed by another account than this session's";
    /// The relay does not keep this campaign, or the entry is for another one.
    UnknownCampaign = "unknown_campaign", "this campaign is not kept here";
    /// No such blob, or no such record.
    NotFound = "not_found", "not found";
    /// Only the coordinator may append such an entry.
    NotCoordinator = "not_coordinator", "only the coordinator may do this";
    /// The campaign is published already.
    AlreadyPublished = "already_published", "the campaign is published already";
    /// The account has not joined.
    NotAMember = "not_a_member", "join first";
    /// The sequence number is not above the account's last one: a replay.
    StaleSequence = "stale_sequence", "this was used before";
    /// No round is open.
    RoundNotOpen = "round_not_open", "no round is open";
    /// The entry is for another round.
    WrongRound = "wrong_round", "this is for another round";
    /// The entry builds on another checkpoint.
    WrongBase = "wrong_base", "this builds on another checkpoint";
    /// The account has done this already in this round.
    Duplicate = "duplicate", "done already in this round";
    /// The round may not open or close yet.
    TooEarly = "too_early", "not yet";
    /// The campaign is over.
    Finished = "finished", "the campaign is over";
    /// The contribution's values are out of range.
    InvalidMetrics = "invalid_metrics", "values out of range";
    /// The update that the contribution names is not stored here.
    UpdateMissing = "update_missing", "the update is not stored here";
    /// The update does not decode.
    UpdateMalformed = "update_malformed", "the update does not decode";
    /// The update has another number of parameters than the model.
    UpdateShape = "update_shape", "the update does not fit the model";
    /// The update holds a value that is not finite.
    UpdateNotFinite = "update_not_finite", "the update holds a value that is not finite";
    /// The account has appended too many entries in the last minute.
    QuotaEntries = "quota_entries", "too many entries in a minute";
    /// The account has stored too many bytes in the last minute.
    QuotaBytes = "quota_bytes", "too many bytes in a minute";
    /// The relay has no room for more at the moment.
    Busy = "busy", "the relay is busy";
    /// The relay failed, and says no more about it.
    Internal = "internal", "the relay failed";
}
