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
    /// Have the whole record checked.
    Check,
    /// Stop that.
    StopCheck,
    /// Have this drawing read.
    Draw(Rc<Drawing>),
}

impl Intent {
    /// The word that a button carries.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Leave => "leave",
            Self::ReadAgain => "read-again",
            Self::Dismiss => "dismiss",
            Self::RelayOnly(_) => "relay-only",
            Self::Threads(_) => "threads",
            Self::Look => "look",
            Self::Check => "check",
            Self::StopCheck => "stop-check",
            Self::Draw(_) => "clear",
        }
    }

    /// What a button with that word asks for; the rest needs a value.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "join" => Self::Join,
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "leave" => Self::Leave,
            "read-again" => Self::ReadAgain,
            "dismiss" => Self::Dismiss,
            "look" => Self::Look,
            "check" => Self::Check,
            "stop-check" => Self::StopCheck,
            "clear" => Self::Draw(Rc::default()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_a_button_is_its_own_and_others_ask_for_nothing() {
        for name in [
            "join",
            "pause",
            "resume",
            "leave",
            "read-again",
            "dismiss",
            "look",
            "check",
            "stop-check",
            "clear",
        ] {
            assert_eq!(Intent::named(name).unwrap().name(), name);
        }
        assert_eq!((Intent::named("threads"), Intent::named("Join")), (None, None));
    }
}
