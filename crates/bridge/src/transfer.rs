//! Messages as transferred `ArrayBuffer`s, for `postMessage` on either side.

use js_sys::{Array, ArrayBuffer, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::MessageEvent;

use crate::{BridgeError, MAX_MESSAGE, Message};

/// Posts a message through `post`, which is the port's `postMessage(message, transfer)`.
///
/// # Errors
/// [`BridgeError::NotPosted`] where the browser throws, [`BridgeError::Encode`] for a number that is not finite.
pub fn send<M: Message>(
    message: &M,
    post: impl FnOnce(&JsValue, &JsValue) -> Result<(), JsValue>,
) -> Result<(), BridgeError> {
    let buffer = Uint8Array::from(message.to_bytes()?.as_slice()).buffer();
    let transfer = Array::of1(&buffer);
    post(&buffer, &transfer).map_err(|error| BridgeError::NotPosted(format!("{error:?}")))
}

/// Reads the message that an event brought; the size is checked before anything is copied.
///
/// # Errors
/// Refuses what is not an `ArrayBuffer` holding a message of this kind.
pub fn receive<M: Message>(event: &MessageEvent) -> Result<M, BridgeError> {
    let buffer: ArrayBuffer = event.data().dyn_into().map_err(|_not_a_buffer| BridgeError::NotABuffer)?;
    let length = buffer.byte_length();
    if length as usize > MAX_MESSAGE {
        return Err(BridgeError::TooLong(length));
    }
    M::from_bytes(&Uint8Array::new(&buffer).to_vec())
}
