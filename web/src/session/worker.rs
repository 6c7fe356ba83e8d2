//! The worker: what it says goes to whoever listens to the session.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::swarm::Swarm;
use super::{Listener, Report, broken, unstartable};
use crate::origin::describe;
use crate::{crash, site};
use lichen_bridge::{Command, Event, Problem, transfer};
use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, MessageEvent, MessagePort, WorkerOptions, WorkerType};

/// The worker's loader, as Trunk names it; it lies beside the page.
const LOADER: &str = "./lichen-worker_loader.js";

/// The loader that opens threads for the worker first.
const LOADER_WITH_THREADS: &str = "./lichen-worker-threads.js";

/// The loader of the worker that checks.
const CHECKER: &str = "./lichen-checker_loader.js";

/// A running worker.
pub(super) struct Worker {
    worker: web_sys::Worker,
    listener: Listener,
    /// Whether it has said anything.
    has_begun: Cell<bool>,
    swarm: RefCell<Option<Swarm>>,
    heard: RefCell<Option<Heard>>,
}

/// What the worker's messages and errors call, for as long as it runs.
struct Heard {
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(ErrorEvent)>,
}

impl Worker {
    /// Starts the worker with so many threads, or says in plain words why the browser refuses.
    pub(super) fn start(listener: Listener, threads: u32) -> Result<Rc<Self>, Problem> {
        let loader = if threads > 1 { LOADER_WITH_THREADS } else { LOADER };
        Self::load(listener, loader, &format!("lichen-{threads}"))
    }

    /// Starts the worker that checks this campaign's record, likewise.
    pub(super) fn start_checker(listener: Listener, campaign: &str) -> Result<Rc<Self>, Problem> {
        Self::load(listener, CHECKER, campaign)
    }

    /// Starts the worker that this loader loads, under a name that tells it what it has to know first.
    fn load(listener: Listener, loader: &str, name: &str) -> Result<Rc<Self>, Problem> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        options.set_name(name);
        let worker = web_sys::Worker::new_with_options(loader, &options)
            .map_err(|error| unstartable(&describe(&error)))?;
        crash::ends_worker(&worker);
        let started = Rc::new(Self {
            worker,
            listener,
            has_begun: Cell::new(false),
            swarm: RefCell::default(),
            heard: RefCell::default(),
        });
        started.listen();
        Ok(started)
    }

    /// Has the worker order this swarm about from now on, which listens at the port's other end.
    pub(super) fn use_swarm(&self, swarm: Swarm, port: &MessagePort) -> Result<(), Problem> {
        *self.swarm.borrow_mut() = Some(swarm);
        let posted = self.worker.post_message_with_transfer(port, &js_sys::Array::of1(port));
        posted.map_err(|error| broken(&describe(&error)))
    }

    /// Posts commands, all at once.
    pub(super) fn post(&self, commands: &[Command]) -> Result<(), Problem> {
        transfer::send(commands, |message, list| self.worker.post_message_with_transfer(message, list))
            .map_err(|error| broken(&error.to_string()))
    }

    /// Ends the worker and the swarm.
    pub(super) fn end(&self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
        self.swarm.take();
        self.heard.take();
    }

    fn listen(self: &Rc<Self>) {
        let [by_message, by_error] = [Rc::downgrade(self), Rc::downgrade(self)];
        let on_message = Closure::new(move |event: MessageEvent| {
            if let Some(worker) = by_message.upgrade() {
                worker.hear(&event);
            }
        });
        let on_error = Closure::new(move |event: ErrorEvent| {
            if let Some(worker) = by_error.upgrade() {
                worker.report(vec![Report::Broke(blame(&event, worker.has_begun.get()))]);
            }
        });
        self.worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        self.worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        *self.heard.borrow_mut() = Some(Heard { _on_message: on_message, _on_error: on_error });
    }

    /// Takes in what the worker posted.
    fn hear(&self, event: &MessageEvent) {
        self.has_begun.set(true);
        let reports = match transfer::receive::<Event>(event) {
            Ok(events) => events.into_iter().map(Report::Worker).collect(),
            Err(error) => vec![Report::Broke(broken(&error.to_string()))],
        };
        self.report(reports);
    }

    fn report(&self, reports: Vec<Report>) {
        if !reports.is_empty() {
            (self.listener)(reports);
        }
    }
}

/// What an error event of the worker means; one about a script that did not load has no message.
fn blame(event: &ErrorEvent, has_begun: bool) -> Problem {
    let message = js_sys::Reflect::get(event, &"message".into()).ok().and_then(|message| message.as_string());
    match message.filter(|message| !message.is_empty()) {
        Some(message) if has_begun => broken(&message),
        message => site::unloaded(message.as_deref()),
    }
}
