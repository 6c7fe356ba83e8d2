//! The swarm: a module of its own, fetched when it is first needed. The worker talks to it by itself; what is worth showing
//! comes here.

use std::rc::Rc;

use futures::future::{AbortHandle, abortable};
use js_sys::Uint8Array;
use lichen_bridge::{Message, Problem, Seen, Server};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::MessagePort;

use super::{Listener, Report, broken, unstartable};
use crate::origin::describe;
use crate::site::Ice;
use crate::swarm_module::{self as module, Running};
use crate::{crash, origin, site};

/// A running swarm, or one that is being fetched. It ends when this is dropped.
pub(super) struct Swarm {
    running: AbortHandle,
}

impl Swarm {
    /// Starts a swarm that is commanded from this port's other end.
    pub(super) fn start(ice: Ice, mesh: bool, port: MessagePort, listener: Listener) -> Self {
        let run = async move {
            match begin(ice, mesh, &port, &listener).await {
                Ok(swarm) => swarm.wait().await,
                Err(problem) => listener(vec![Report::Broke(problem)]),
            }
        };
        let (run, running) = abortable(run);
        // Once aborted, there is nothing left to do.
        spawn_local(async move {
            let _end = run.await;
        });
        Self { running }
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A swarm that has begun, and what it calls.
struct Begun {
    running: Running,
    _hear: Closure<dyn FnMut(Uint8Array)>,
}

impl Begun {
    /// Keeps it until this is dropped.
    async fn wait(self) {
        std::future::pending().await
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // One that cannot even end is broken, and has said so.
        let _broken = self.running.end();
    }
}

async fn begin(ice: Ice, mesh: bool, port: &MessagePort, listener: &Listener) -> Result<Begun, Problem> {
    let module = module::load(mesh).await.map_err(|error| site::unloaded(Some(&describe(&error))))?;
    let found = module.version().map_err(|error| site::unloaded(Some(&describe(&error))))?;
    if found != lichen_bridge::VERSION {
        return Err(site::unloaded(Some("it is of another version than the page")));
    }
    let servers: Vec<Server> = origin::ice_servers(ice).await.into_iter().map(Server::from).collect();
    let servers = Server::to_bytes(&servers).map_err(|error| broken(&error.to_string()))?;
    let hears = Rc::clone(listener);
    let hear = Closure::new(move |bytes: Uint8Array| hears(reports(&bytes.to_vec())));
    let running = module
        .start(&servers, port, hear.as_ref().unchecked_ref())
        .map_err(|error| unstartable(&describe(&error)))?;
    crash::ends_swarm(&running);
    Ok(Begun { running, _hear: hear })
}

fn reports(bytes: &[u8]) -> Vec<Report> {
    let seen = match Seen::from_bytes(bytes) {
        Ok(seen) => seen,
        Err(error) => return vec![Report::Broke(broken(&error.to_string()))],
    };
    let report = |seen| match seen {
        Seen::Meets => Report::Meets,
        Seen::Swarm(event) => Report::Swarm(event),
        Seen::Broke(reason) => Report::Broke(broken(&reason)),
    };
    seen.into_iter().map(report).collect()
}
