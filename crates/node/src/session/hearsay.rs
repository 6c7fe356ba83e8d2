//! Compares the log with what other tabs of the mesh were shown.

use std::rc::Rc;

use lichen_bridge::Event;
use lichen_log::{Head, Record, Replica};
use lichen_record::Verified;

use super::Session;
use super::link::false_log;
use crate::Platform;
use crate::hearsay::{Signed, TwoHistories};
use crate::jobs::Done;

impl<P: Platform> Session<P> {
    /// Takes in a record that is checked, where others say what they were shown: tabs of a mesh, or witnesses.
    pub(super) fn remember(&mut self, record: &Record) {
        if !self.context.mesh.is_on() && self.witnessing.is_none() {
            return;
        }
        self.history.read(record.index.saturating_add(1), record.hash);
        let read = self.hearsay.read(&self.history);
        self.compared(read);
        self.count_as_unseen();
    }

    /// Tells the others the newest head, where it is time to.
    pub(super) fn tell_head(&mut self) {
        if self.context.mesh.is_on()
            && let Some(head) = self.hearsay.due(self.context.platform.elapsed())
        {
            self.context.mesh.tell_head(head);
        }
    }

    /// Another tab says what it was shown: its signature is checked before anything else.
    pub(super) fn hear(&mut self, envelope: Vec<u8>) {
        let context = Rc::clone(&self.context);
        self.link_work.push(Box::pin(async move {
            match context.platform.verify::<Head>(&envelope).await {
                Ok(head) => Done::Heard(head, envelope),
                // Whoever passes on what nobody signed shows nothing.
                Err(_false) => Done::Nothing,
            }
        }));
    }

    /// Takes in what another tab was shown.
    pub(super) fn heard(&mut self, head: &Verified<Head>, envelope: Vec<u8>) {
        let coordinator = self.replica.as_ref().and_then(Replica::signer);
        if coordinator != Some(head.account()) || head.get().campaign != self.context.setup.campaign {
            return;
        }
        let compared = self.hearsay.heard(Signed::new(head, envelope), &self.history);
        self.compared(compared);
    }

    fn compared(&mut self, compared: Result<(), TwoHistories>) {
        if let Err(found) = compared {
            (self.context.out)(Event::Evidence(found.evidence()));
            self.fail(false_log(&found.in_words()));
        }
    }
}
