//! What a request is refused for, where something else found the fault.

use lichen_learn::UpdateError;
use lichen_net::hub::Reason;
use lichen_net::swarm::frame::FrameError;
use lichen_record::{DecodeError, VerifyError};

use crate::log::ledger::AppendError;
use crate::log::newcomers::Limited;

pub(super) const fn frame_reason(error: &FrameError) -> Reason {
    match error {
        FrameError::TooLong { .. } => Reason::TooLarge,
        FrameError::Truncated | FrameError::Stalled | FrameError::Stream(_) => Reason::Truncated,
    }
}

pub(super) const fn decode_reason(error: &DecodeError) -> Reason {
    match error {
        DecodeError::TooLarge { .. } => Reason::TooLarge,
        DecodeError::NotCanonical => Reason::NotCanonical,
        DecodeError::Malformed(_) => Reason::Malformed,
    }
}

pub(super) const fn verify_reason(error: &VerifyError) -> Reason {
    match error {
        VerifyError::Envelope(error) | VerifyError::Payload(error) => decode_reason(error),
        VerifyError::Malformed | VerifyError::HighS | VerifyError::Signature => Reason::WrongSignature,
        VerifyError::Later => Reason::Malformed,
        // Not of the arithmetic here, which can always tell.
        VerifyError::Unable => Reason::Internal,
    }
}

pub(super) const fn update_reason(error: &UpdateError) -> Reason {
    match error {
        UpdateError::Count { .. } | UpdateError::Length { .. } | UpdateError::Shapes => Reason::UpdateShape,
        UpdateError::NotFinite { .. } => Reason::UpdateNotFinite,
        UpdateError::TooLong { .. } => Reason::UpdateTooLong,
        UpdateError::Encoding { .. } => Reason::UpdateEncoding,
        UpdateError::Decode(_) | UpdateError::Block { .. } => Reason::UpdateMalformed,
    }
}

pub(super) const fn append_reason(error: &AppendError) -> Reason {
    match error {
        AppendError::Refused(refusal) => Reason::Inadmissible(*refusal),
        AppendError::Limited(Limited::Entries) => Reason::Crowded,
        AppendError::Limited(Limited::Accounts) => Reason::TooManyAccounts,
        AppendError::Limited(Limited::Members) => Reason::TooManyMembers,
        AppendError::Following => Reason::Following,
        AppendError::StoreFailing => Reason::StoreFailing,
        AppendError::Ended => Reason::Busy,
    }
}

pub(super) fn internal(error: impl std::fmt::Display) -> Reason {
    tracing::error!("a request failed: {error}");
    Reason::Internal
}
