//! The swarm: what it reports goes to the worker, and what is worth showing to whoever listens to the session.

use super::{Listener, Report, broken, unstartable};
use crate::lifecycle::Lifecycle;
use crate::site::Ice;
use crate::{crash, origin};
use futures::channel::mpsc;
use futures::future::{AbortHandle, abortable};
use futures::{StreamExt, select_biased};
use lichen_bridge::{Command, Problem};
use lichen_net::{Command as NetCommand, Event as NetEvent, swarm};
use wasm_bindgen_futures::spawn_local;

/// Most events that go to the worker at once.
const AT_ONCE: usize = 64;

/// A running swarm, which ends when this is dropped.
pub(super) struct Swarm {
    commands: mpsc::UnboundedSender<NetCommand>,
    running: AbortHandle,
    _lifecycle: Lifecycle,
}

impl Swarm {
    /// Starts a swarm whose events are posted to the worker.
    pub(super) fn start(
        ice: Ice,
        post: impl Fn(&[Command]) -> Result<(), Problem> + 'static,
        listener: Listener,
    ) -> Self {
        let (commands, due) = mpsc::unbounded();
        let run = async move {
            if let Err(problem) = run(ice, due, &post, &listener).await {
                listener(vec![Report::Broke(problem)]);
            }
        };
        let (run, running) = abortable(run);
        crash::ends_swarm(&running);
        // Aborted or at its end, there is nothing left to do.
        spawn_local(async move {
            let _end = run.await;
        });
        let lifecycle = Lifecycle::watch(&commands);
        Self { commands, running, _lifecycle: lifecycle }
    }

    /// Hands a command to the swarm.
    pub(super) fn tell(&self, command: NetCommand) -> Result<(), Problem> {
        self.commands.unbounded_send(command).map_err(|error| broken(&error.to_string()))
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Carries commands to the swarm and its events to the worker, until nobody commands any more or this is aborted.
async fn run(
    ice: Ice,
    mut due: mpsc::UnboundedReceiver<NetCommand>,
    post: &impl Fn(&[Command]) -> Result<(), Problem>,
    listener: &Listener,
) -> Result<(), Problem> {
    let servers = origin::ice_servers(ice).await;
    let (handle, events) = swarm::spawn(&servers).map_err(|error| unstartable(&error.to_string()))?;
    let mut events = events.ready_chunks(AT_ONCE);
    loop {
        select_biased! {
            command = due.next() => match command {
                Some(command) => handle.send(command).map_err(|error| broken(&error.to_string()))?,
                None => return Ok(()),
            },
            events = events.next() => match events {
                Some(events) => pass_on(events, post, listener)?,
                // It ends by itself only when it broke.
                None => return Err(broken("the swarm ended")),
            },
        }
    }
}

/// The worker hears everything, and whoever listens what can be seen.
fn pass_on(
    events: Vec<NetEvent>,
    post: &impl Fn(&[Command]) -> Result<(), Problem>,
    listener: &Listener,
) -> Result<(), Problem> {
    let seen: Vec<Report> =
        events.iter().filter(|event| is_seen(event)).cloned().map(Report::Swarm).collect();
    let commands: Vec<Command> = events.into_iter().map(Command::Net).collect();
    post(&commands)?;
    if !seen.is_empty() {
        listener(seen);
    }
    Ok(())
}

/// Whether an event changes what is shown of the connections; frames do not.
const fn is_seen(event: &NetEvent) -> bool {
    match event {
        NetEvent::Connecting { .. }
        | NetEvent::Connected { .. }
        | NetEvent::Disconnected { .. }
        | NetEvent::PeersChanged { .. }
        | NetEvent::NoDirectPath { .. }
        | NetEvent::Traffic { .. } => true,
        NetEvent::Started { .. }
        | NetEvent::Frame { .. }
        | NetEvent::Ended { .. }
        | NetEvent::Failed { .. }
        | NetEvent::Asked { .. }
        | NetEvent::Unasked { .. }
        | NetEvent::Announced { .. }
        | NetEvent::Found { .. } => false,
    }
}
