//! Tasks that run as long as the relay does. One that ends before, or panics, is to end the relay, for a supervisor to
//! start it again: half a relay looks like a whole one.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{Id, JoinSet};

/// Running tasks, by name; dropping them ends them.
#[derive(Default)]
pub(crate) struct Parts {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Parts {
    /// Runs a task that has no end of its own.
    pub(crate) fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), name);
    }

    /// Waits until one has ended, and says which; for ever while all go on.
    pub(crate) async fn ended(&mut self) -> &'static str {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return std::future::pending().await,
        };
        self.names.get(&id).copied().unwrap_or("a task")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_dies_is_named() {
        let mut parts = Parts::default();
        parts.spawn("the one that stays", std::future::pending());
        parts.spawn("the one that panics", async { panic!("as it should") });
        assert_eq!(parts.ended().await, "the one that panics");
        parts.spawn("the one that ends", async {});
        assert_eq!(parts.ended().await, "the one that ends");
    }
}
