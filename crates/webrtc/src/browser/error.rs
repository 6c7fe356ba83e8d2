//! What can go wrong between two browsers.

use thiserror::Error;
use wasm_bindgen::JsValue;

use crate::protocol::session::SessionError;
use crate::protocol::signal::SignalError;

/// Why there is no connection, or no more.
#[derive(Debug, Error)]
pub enum Error {
    /// The signalling session ended without a connection.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The remote sent something that is no signalling message.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// The signalling stream broke.
    #[error("the signalling stream broke: {0}")]
    Stream(#[from] std::io::Error),
    /// The circuit to the remote could not be had.
    #[error("no circuit to the remote: {0}")]
    Circuit(String),
    /// The remote does not speak the signalling protocol.
    #[error("the remote does not speak {}", crate::protocol::signal::PROTOCOL)]
    Unsupported,
    /// Both sides dialled at once; the remote's attempt goes on.
    #[error("the remote's own attempt to connect goes on instead")]
    Crossed,
    /// This page has made as many peer connections as it may.
    #[error("this page may make no more peer connections for now")]
    Budget,
    /// The browser refused a call.
    #[error("the browser refused: {0}")]
    Browser(String),
    /// The remote opened streams faster than any use of them needs.
    #[error("the remote floods us with streams")]
    Flooded,
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
    /// The swarm is gone.
    #[error("the swarm is gone")]
    Gone,
}

impl From<JsValue> for Error {
    fn from(value: JsValue) -> Self {
        let error = js_sys::Error::from(value);
        Self::Browser(String::from(error.message()))
    }
}
