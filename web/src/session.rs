//! The worker and the swarm of one visit.
//!
//! The two talk to each other over a port of their own and need no page: whoever runs a session is told, by a [`Report`], what
//! is worth showing, and gives it the person's commands. What it reports comes in order, several at a time.

mod swarm;
mod worker;

use std::rc::Rc;

use crate::crash;
use crate::origin::describe;
use crate::site::Ice;
use lichen_bridge::{Command, Event, Problem};
use swarm::Swarm;
use web_sys::MessageChannel;
use worker::Worker;

/// What a session reports.
pub(crate) enum Report {
    /// The worker said something.
    Worker(Event),
    /// The swarm was told to meet other tabs, or to keep from them.
    Meets,
    /// The swarm said something about its connections.
    Swarm(lichen_net::Event),
    /// The worker, or the way to it, broke.
    Broke(Problem),
}

/// Hears what a session reports.
pub(crate) type Listener = Rc<dyn Fn(Vec<Report>)>;

/// A running worker and, once started, a running swarm. Both end when this is dropped.
pub(crate) struct Session {
    worker: Rc<Worker>,
    listener: Listener,
}

impl Session {
    /// Starts the worker, which reports [`Event::Ready`] once it listens, and opens so many threads for its training.
    ///
    /// # Errors
    /// A problem in plain words where the browser refuses.
    pub(crate) fn start(listener: Listener, threads: u32) -> Result<Self, Problem> {
        let worker = Worker::start(Rc::clone(&listener), threads)?;
        Ok(Self { worker, listener })
    }

    /// Starts the swarm, which connects to nobody before the worker says so. Only one that is to meet other tabs can.
    ///
    /// # Errors
    /// A problem in plain words where the browser refuses.
    pub(crate) fn start_swarm(&self, ice: Ice, mesh: bool) -> Result<(), Problem> {
        let channel = MessageChannel::new().map_err(|error| unstartable(&describe(&error)))?;
        let swarm = Swarm::start(ice, mesh, channel.port1(), Rc::clone(&self.listener));
        self.worker.use_swarm(swarm, &channel.port2())
    }

    /// Posts a command to the worker.
    ///
    /// # Errors
    /// A problem in plain words where the browser refuses.
    pub(crate) fn send(&self, command: &Command) -> Result<(), Problem> {
        self.worker.post(std::slice::from_ref(command))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        crash::forget();
        self.worker.end();
    }
}

/// A running check of a campaign's record. It ends when this is dropped.
pub(crate) struct Checker(Rc<Worker>);

impl Checker {
    /// Starts the worker that checks.
    ///
    /// # Errors
    /// A problem in plain words where the browser refuses.
    pub(crate) fn start(listener: Listener, campaign: &str) -> Result<Self, Problem> {
        Worker::start_checker(listener, campaign).map(Self)
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Milliseconds since the document was opened.
pub(crate) fn now() -> f64 {
    web_sys::window().and_then(|window| window.performance()).map_or(0.0, |clock| clock.now())
}

fn unstartable(detail: &str) -> Problem {
    Problem {
        message: format!("A worker could not be started in this browser ({detail})."),
        remedy:
            "Use a current Chrome, Edge, Firefox or Safari, and check that nothing blocks web workers here."
                .to_owned(),
    }
}

fn broken(detail: &str) -> Problem {
    Problem {
        message: format!("The worker stopped unexpectedly ({detail})."),
        remedy: "Join again to continue from the last settled round. Nothing recorded is lost.".to_owned(),
    }
}
