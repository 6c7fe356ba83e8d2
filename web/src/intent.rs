//! What a visitor can ask for.

use crate::drawing::Drawing;
use std::rc::Rc;

/// A visitor's click.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Intent {
    /// Take part.
    Join,
    /// Stop training for now.
    Pause,
    /// Go on training.
    Resume,
    /// Stop everything.
    Leave,
    /// Read the campaign's words again.
    ReadAgain,
    /// Put a notice away.
    Dismiss,
    /// Use the relay only, or other tabs too.
    RelayOnly(bool),
    /// Let this many threads of the processor train, from the next joining on.
    Threads(u32),
    /// See what the model says of samples, without taking part.
    Look,
    /// Have this drawing read.
    Draw(Rc<Drawing>),
}
