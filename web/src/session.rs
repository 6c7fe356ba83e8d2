//! The worker and the swarm of one visit, and the bytes between them.

use std::cell::Cell;
use std::rc::Rc;

use crate::crash;
use crate::lifecycle::Lifecycle;
use crate::now::{self, Now};
use crate::site::{self, Ice, Site};
use crate::state::Campaign;
use crate::way::Place;
use futures::channel::mpsc;
use futures::future::{AbortHandle, abortable};
use futures::{StreamExt, select_biased};
use lichen_bridge::{Command, Event, Problem, transfer};
use lichen_net::{IceServer, swarm};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    AbortSignal, ErrorEvent, MessageEvent, RequestCache, RequestInit, Response, Worker, WorkerOptions,
    WorkerType,
};
use yew::Callback;

/// The worker's loader, as Trunk names it; it lies beside the page.
const WORKER: &str = "./lichen-worker_loader.js";

/// The loader that opens threads for the worker first.
const WORKER_WITH_THREADS: &str = "./lichen-worker-threads.js";

/// Where the relay says which campaign this is; it lies beside the page.
const SITE: &str = "./lichen.json";

/// Where the relay says where the campaign is.
const NOW: &str = "./now.json";

/// Where the relay hands out passwords for TURN.
const ICE: &str = "./ice.json";

/// How long the relay may take to say so, in milliseconds.
const SITE_TIMEOUT_MS: u32 = 10_000;

/// Under which name this device keeps the wish to use the relay only.
const RELAY_ONLY: &str = "lichen-relay-only";

/// What a session reports.
pub(crate) enum Report {
    /// The worker said something.
    Worker(Event),
    /// The swarm said something.
    Swarm(lichen_net::Event),
    /// The worker, or the way to it, broke.
    Broke(Problem),
}

/// A running worker and, once started, a running swarm. Both end when this is dropped.
pub(crate) struct Session {
    worker: Worker,
    report: Callback<Report>,
    swarm: Option<Swarm>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(ErrorEvent)>,
}

struct Swarm {
    commands: mpsc::UnboundedSender<lichen_net::Command>,
    running: AbortHandle,
    _lifecycle: Lifecycle,
}

impl Session {
    /// Starts the worker, which reports [`Event::Ready`] once it listens, and opens so many threads for its training.
    ///
    /// # Errors
    /// A problem in plain words where the browser refuses.
    pub(crate) fn start(report: Callback<Report>, threads: u32) -> Result<Self, Problem> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        options.set_name(&format!("lichen-{threads}"));
        let loader = if threads > 1 { WORKER_WITH_THREADS } else { WORKER };
        let worker =
            Worker::new_with_options(loader, &options).map_err(|error| unstartable(&describe(&error)))?;
        let has_begun = Rc::new(Cell::new(false));
        let on_message = listen(&report, &has_begun);
        let on_error = watch(&report, &has_begun);
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        crash::ends_worker(&worker);
        Ok(Self { worker, report, swarm: None, _on_message: on_message, _on_error: on_error })
    }

    /// Starts the swarm, which connects to nobody before the worker says so.
    pub(crate) fn start_swarm(&mut self, ice: Ice) {
        let (commands, due) = mpsc::unbounded();
        let (run, running) = abortable(run_swarm(ice, due, self.report.clone()));
        crash::ends_swarm(&running);
        // Aborted or at its end, there is nothing left to do.
        spawn_local(async move {
            let _end = run.await;
        });
        let lifecycle = Lifecycle::watch(&commands);
        self.swarm = Some(Swarm { commands, running, _lifecycle: lifecycle });
    }

    /// Posts a command to the worker.
    ///
    /// # Errors
    /// A problem in plain words where the browser refuses.
    pub(crate) fn send(&self, command: &Command) -> Result<(), Problem> {
        transfer::send(command, |message, list| self.worker.post_message_with_transfer(message, list))
            .map_err(|error| broken(&error.to_string()))
    }

    /// Hands a command to the swarm.
    ///
    /// # Errors
    /// A problem in plain words where the swarm is not running.
    pub(crate) fn tell_swarm(&self, command: lichen_net::Command) -> Result<(), Problem> {
        let Some(swarm) = &self.swarm else {
            return Err(broken("the swarm is not running"));
        };
        swarm.commands.unbounded_send(command).map_err(|error| broken(&error.to_string()))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        crash::forget();
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
        if let Some(swarm) = &self.swarm {
            swarm.running.abort();
        }
    }
}

/// Carries commands to the swarm and reports its events, until nobody commands any more or this is aborted.
async fn run_swarm(
    ice: Ice,
    mut due: mpsc::UnboundedReceiver<lichen_net::Command>,
    report: Callback<Report>,
) {
    let (handle, mut events) = match swarm::spawn(ice_servers(ice).await) {
        Ok(spawned) => spawned,
        Err(error) => return report.emit(Report::Broke(unstartable(&error.to_string()))),
    };
    loop {
        select_biased! {
            command = due.next() => match command {
                Some(command) => if let Err(error) = handle.send(command) {
                    return report.emit(Report::Broke(broken(&error.to_string())));
                },
                None => return,
            },
            event = events.next() => match event {
                Some(event) => report.emit(Report::Swarm(event)),
                // It ends by itself only when it broke.
                None => return report.emit(Report::Broke(broken("the swarm ended"))),
            },
        }
    }
}

/// The servers for peer connections. Where the relay has TURN it is asked for a password; without one, tabs that need
/// it find no direct path, and say so.
async fn ice_servers(ice: Ice) -> Vec<IceServer> {
    if !ice.turn {
        return ice.servers;
    }
    match fetch_text(ICE).await {
        Ok(text) => site::ice(&text).servers,
        Err(_refused) => ice.servers,
    }
}

/// Milliseconds since the document was opened.
pub(crate) fn now() -> f64 {
    web_sys::window().and_then(|window| window.performance()).map_or(0.0, |clock| clock.now())
}

/// Reads the campaign's words, and where its relay is, from where the page came from.
///
/// # Errors
/// A problem in plain words where they cannot be had.
pub(crate) async fn read_site() -> Result<(Campaign, Site), Problem> {
    if let Some(problem) = insecure() {
        return Err(problem);
    }
    let text = fetch_text(SITE).await.map_err(|error| site::unreachable(&error))?;
    let (campaign, mut site) = site::read(&text)?;
    if let Some(place) = place() {
        site.lead(&place);
    }
    Ok((campaign, site))
}

/// How this page was reached.
fn place() -> Option<Place> {
    let location = web_sys::window()?.location();
    let (protocol, host) = (location.protocol().ok()?, location.hostname().ok()?);
    Some(Place::new(&protocol, &host, &location.port().ok()?, &location.pathname().ok()?))
}

/// Asks where the campaign is; nothing where that cannot be had, which the page does without.
pub(crate) async fn read_now() -> Option<Now> {
    now::read(&fetch_text(NOW).await.ok()?)
}

/// Why nobody can join at this address: browsers offer keys and locks to secure ones only.
fn insecure() -> Option<Problem> {
    let window = web_sys::window()?;
    let secure = js_sys::Reflect::get(&window, &"isSecureContext".into()).ok()?;
    // A browser that does not know the word is asked no further.
    (secure == JsValue::FALSE).then(|| site::insecure(&window.location().host().unwrap_or_default()))
}

async fn fetch_text(address: &str) -> Result<String, String> {
    let window = web_sys::window().ok_or("no window")?;
    let options = RequestInit::new();
    options.set_cache(RequestCache::NoStore);
    options.set_signal(Some(&AbortSignal::timeout_with_u32(SITE_TIMEOUT_MS)));
    let answer = JsFuture::from(window.fetch_with_str_and_init(address, &options));
    let response: Response = answer.await.map_err(|error| describe(&error))?.unchecked_into();
    if !response.ok() {
        return Err(format!("status {}", response.status()));
    }
    let body = response.text().map_err(|error| describe(&error))?;
    let text = JsFuture::from(body).await.map_err(|error| describe(&error))?;
    text.as_string().ok_or_else(|| "not a text".to_owned())
}

fn listen(report: &Callback<Report>, has_begun: &Rc<Cell<bool>>) -> Closure<dyn FnMut(MessageEvent)> {
    let (report, has_begun) = (report.clone(), Rc::clone(has_begun));
    Closure::new(move |event: MessageEvent| {
        has_begun.set(true);
        report.emit(match transfer::receive::<Event>(&event) {
            Ok(event) => Report::Worker(event),
            Err(error) => Report::Broke(broken(&error.to_string())),
        });
    })
}

fn watch(report: &Callback<Report>, has_begun: &Rc<Cell<bool>>) -> Closure<dyn FnMut(ErrorEvent)> {
    let (report, has_begun) = (report.clone(), Rc::clone(has_begun));
    Closure::new(move |event: ErrorEvent| report.emit(Report::Broke(blame(&event, has_begun.get()))))
}

/// What an error event of the worker means; one about a script that did not load has no message.
fn blame(event: &ErrorEvent, has_begun: bool) -> Problem {
    let message = js_sys::Reflect::get(event, &"message".into()).ok().and_then(|message| message.as_string());
    match message.filter(|message| !message.is_empty()) {
        Some(message) if has_begun => broken(&message),
        message => site::unloaded(message.as_deref()),
    }
}

fn describe(error: &JsValue) -> String {
    let message = js_sys::Reflect::get(error, &"message".into()).ok().and_then(|message| message.as_string());
    message.unwrap_or_else(|| format!("{error:?}"))
}

fn unstartable(detail: &str) -> Problem {
    Problem {
        message: format!("Training could not be started in this browser ({detail})."),
        remedy:
            "Use a current Chrome, Edge, Firefox or Safari, and check that nothing blocks web workers here."
                .to_owned(),
    }
}

fn broken(detail: &str) -> Problem {
    Problem {
        message: format!("The worker stopped unexpectedly ({detail})."),
        remedy: "Join again to go on from the last settled round. Nothing recorded is lost.".to_owned(),
    }
}

/// Whether this device's visitor wants no connection to other tabs. Where the browser keeps nothing, the answer is no.
pub(crate) fn remembered_relay_only() -> bool {
    kept().and_then(|storage| storage.get_item(RELAY_ONLY).ok().flatten()).is_some()
}

/// Keeps that wish on this device.
pub(crate) fn remember_relay_only(on: bool) {
    let Some(storage) = kept() else { return };
    // A browser that refuses to keep it asks again next time, which is all there is to do about it.
    let _refused = if on { storage.set_item(RELAY_ONLY, "yes") } else { storage.remove_item(RELAY_ONLY) };
}

/// What this browser keeps for the page.
pub(crate) fn kept() -> Option<web_sys::Storage> {
    web_sys::window()?.local_storage().ok().flatten()
}
