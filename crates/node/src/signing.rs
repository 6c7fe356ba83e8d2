//! Signs with the account's key, which the platform keeps.

use lichen_bridge::Problem;
use lichen_record::{AccountId, Envelope, Signable, encode, signing_bytes};

use crate::Platform;

/// Signs a message with the account's key and wraps it.
pub(crate) async fn sign<P: Platform, T: Signable>(
    platform: &P,
    account: AccountId,
    message: &T,
) -> Result<Vec<u8>, Problem> {
    let payload = encode(message).map_err(|error| unsigned(&error))?;
    let signature = platform.sign(&signing_bytes::<T>(&account, &payload)).await?;
    let envelope = Envelope::assemble(account, payload, &signature).map_err(|error| unsigned(&error))?;
    envelope.to_bytes().map_err(|error| unsigned(&error))
}

fn unsigned(error: &dyn std::fmt::Display) -> Problem {
    Problem {
        message: format!("A message could not be signed: {error}."),
        remedy: "Reload the page; if it happens again, report it.".into(),
    }
}
