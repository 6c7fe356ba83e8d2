//! What a datagram is answered with: bytes in, bytes out.

use std::net::SocketAddr;

use stun_types::attribute::{
    AttributeStaticType, Fingerprint, MessageIntegrity, MessageIntegritySha256, Nonce, PasswordAlgorithm,
    PasswordAlgorithms, Realm, Userhash, Username, XorMappedAddress,
};
use stun_types::message::{BINDING, Message, MessageClass, MessageWrite, MessageWriteExt, MessageWriteVec};

/// Longest request read, in bytes: what passes any network in one piece (RFC 8489, 6.1).
pub(crate) const MAX_REQUEST: usize = 548;

/// Why a datagram gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ignored {
    /// Longer than a request can be.
    TooLong,
    /// Not STUN.
    Malformed,
    /// STUN, but not a Binding request.
    NotBinding,
}

/// The response to a datagram: where it came from, or which of its attributes we would have to understand and do not.
///
/// # Errors
/// Why it gets none.
pub(crate) fn answer(datagram: &[u8], from: SocketAddr) -> Result<Vec<u8>, Ignored> {
    // Who it is does not matter here, and so does not what proves it.
    const UNDERSTOOD: [stun_types::attribute::AttributeType; 9] = [
        Username::TYPE,
        Userhash::TYPE,
        MessageIntegrity::TYPE,
        MessageIntegritySha256::TYPE,
        Realm::TYPE,
        Nonce::TYPE,
        PasswordAlgorithm::TYPE,
        PasswordAlgorithms::TYPE,
        Fingerprint::TYPE,
    ];
    if datagram.len() > MAX_REQUEST {
        return Err(Ignored::TooLong);
    }
    let request = Message::from_bytes(datagram).map_err(|_not_stun| Ignored::Malformed)?;
    if !request.has_class(MessageClass::Request) || !request.has_method(BINDING) {
        return Err(Ignored::NotBinding);
    }
    if let Some(refusal) = Message::check_attribute_types(&request, &UNDERSTOOD, &[], MessageWriteVec::new())
    {
        return Ok(refusal.finish());
    }
    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
    let mut response = Message::builder_success(&request, MessageWriteVec::new());
    let mapped = XorMappedAddress::new(from, request.transaction_id());
    response.add_attribute(&mapped).map_err(|_too_long| Ignored::Malformed)?;
    Ok(response.finish())
}
