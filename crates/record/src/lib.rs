//! Content ids, canonical DAG-CBOR, signed envelopes and the log's entry types.
//!
//! Everything that leaves a node is one of three things: a blob named by its [`Cid`], a message in canonical
//! DAG-CBOR ([`encode`], [`decode`]), or such a message signed by an account and wrapped in an [`Envelope`].
//! Bytes from outside become a [`Verified`] value in one place, [`verify`], after a size cap, a strict decode and
//! the signature's check; there is no other way to make one.
//!
//! # Wire format
//!
//! | what | bytes |
//! |---|---|
//! | content id | CIDv1, sha2-256, codec raw (`0x55`) or dag-cbor (`0x71`): 36 bytes, in DAG-CBOR a link (tag 42), as text base32 lower case |
//! | account | compressed P-256 point: 33 bytes, in DAG-CBOR a byte string, as text `did:key:zDn…` |
//! | struct | a map from field names in lower-kebab case |
//! | enum | externally tagged: a map of one key, the variant's name in lower-kebab case; a variant without fields is the bare name |
//! | integer | shortest form |
//! | float (`f32`, `f64`) | always 64 bits, finite |
//! | envelope | `{"account": bytes(33), "payload": bytes, "signature": bytes(64)}`, the payload being canonical DAG-CBOR itself |
//! | signature | ECDSA P-256 with SHA-256, raw `r ‖ s`, `s` in the lower half |
//! | signed bytes | `"lichen/" domain "/v1\0" ‖ account (33 bytes) ‖ payload` |
//!
//! Map keys are sorted by length, then by bytes. Whatever is not the one canonical form of its value is refused:
//! decoding encodes again and compares. The account is part of what is signed because an ECDSA signature alone
//! fits other keys as well, so that a stranger could claim it under a key made to fit.
//!
//! Domains in use: `entry`, `session` (this crate), `head`, `receipt`, `log-key` (the log).
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod account;
mod cid;
mod codec;
mod decision;
mod engine;
mod entry;
mod envelope;
mod limits;
#[cfg(feature = "sign")]
mod signing_key;
pub mod text;
mod verifier_key;

pub use account::{AccountId, AccountIdError};
pub use cid::{Cid, CidError, CidHasher, Codec};
pub use codec::{DecodeError, EncodeError, decode, encode};
pub use decision::{Decision, Settings};
pub use engine::{EngineKind, EngineVersion};
pub use entry::{CampaignId, Entry, Evidence, Metrics, MetricsError, RoundNumber, SessionCertificate};
pub use envelope::{
    AssembleError, Claim, Envelope, Signable, Verified, VerifyError, signing_bytes, verify, verify_by,
};
pub use limits::{MAX_BLOB, MAX_ENTRY, MAX_ENVELOPE, MAX_MANIFEST};
#[cfg(feature = "sign")]
pub use signing_key::{SigningKey, SigningKeyError};
pub use verifier_key::{KeyKind, VerifierKey, VerifierKeyError, is_key_name};
