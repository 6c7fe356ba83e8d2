//! What stands in the way of a session's work, as the pieces of work find it.

use std::cell::RefCell;

use lichen_store::StoreError;

use crate::hub::HubError;

/// What stands in the way, as jobs find it.
#[derive(Debug, Default)]
pub(crate) struct Obstacles {
    /// Why the device did not keep something.
    unkept: RefCell<Option<String>>,
    /// Why the device's store cannot be read.
    unreadable: RefCell<Option<String>>,
    /// Why the relay refused something.
    refused: RefCell<Option<String>>,
}

impl Obstacles {
    /// Takes in whether the device kept something.
    pub(crate) fn kept(&self, kept: &Result<(), StoreError>) {
        self.unkept.replace(kept.as_ref().err().map(ToString::to_string));
    }

    /// Takes in why the store cannot be read, or that it can.
    pub(crate) fn unreadable(&self, reason: Option<String>) {
        self.unreadable.replace(reason);
    }

    /// Takes in why the relay refused something, or that it took it.
    pub(crate) fn refused(&self, reason: Option<String>) {
        self.refused.replace(reason);
    }

    /// Takes in why the relay did not answer, if it was by its own choice.
    pub(crate) fn refused_by(&self, error: &HubError) {
        if let HubError::Refused(reason) = error {
            self.refused(Some(reason.to_string()));
        }
    }

    /// Why nothing can be kept on this device, if that is so.
    pub(crate) fn store(&self) -> Option<String> {
        let unreadable = self.unreadable.borrow().clone();
        unreadable.or_else(|| self.unkept.borrow().clone())
    }

    /// Why the relay refused something last.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.refused.borrow().clone()
    }
}
