//! The DevTools protocol over Chromium's debugging pipe: NUL-terminated JSON on two file descriptors.
//!
//! A pipe needs no port, and Chromium ends by itself when the other end closes.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::Error;

/// How long the browser may take to answer one command.
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// Events kept for each page; the oldest fall out.
const MAX_EVENTS: usize = 50_000;

/// One event of a page or of a worker that belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) method: String,
    pub(crate) params: Value,
    pub(crate) from_worker: bool,
}

/// The connection to one browser.
#[derive(Clone, Debug)]
pub(crate) struct Connection(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    writer: Mutex<ChildStdin>,
    next_id: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    awaited: HashSet<u64>,
    replies: HashMap<u64, Value>,
    events: HashMap<String, Vec<Event>>,
    /// Sessions of workers, with the page's session they belong to.
    parents: HashMap<String, String>,
    ended: bool,
}

impl Connection {
    /// Speaks over the given pipe ends and reads events from now on.
    pub(crate) fn new(writer: ChildStdin, reader: ChildStdout) -> Self {
        let connection = Self(Arc::new(Shared {
            writer: Mutex::new(writer),
            next_id: AtomicU64::new(1),
            state: Mutex::default(),
            changed: Condvar::new(),
        }));
        let for_thread = connection.clone();
        thread::spawn(move || for_thread.read_all(BufReader::new(reader)));
        connection
    }

    /// Sends a command and waits for its result.
    pub(crate) fn call(&self, session: Option<&str>, method: &str, params: Value) -> Result<Value, Error> {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        self.state().awaited.insert(id);
        self.send(id, session, method, params)?;
        let start = Instant::now();
        let mut state = self.state();
        loop {
            if let Some(mut reply) = state.replies.remove(&id) {
                if let Some(error) = reply.get("error") {
                    let message =
                        error.get("message").and_then(Value::as_str).unwrap_or("no reason").to_owned();
                    return Err(Error::Refused { method: method.into(), message });
                }
                return Ok(reply.get_mut("result").map(Value::take).unwrap_or_default());
            }
            if state.ended {
                return Err(Error::BrowserEnded(format!("while {method} was under way")));
            }
            let Some(left) = CALL_LIMIT.checked_sub(start.elapsed()) else {
                state.awaited.remove(&id);
                return Err(Error::Deadline {
                    what: format!("the browser's answer to {method}"),
                    waited: CALL_LIMIT,
                    last: "nothing".into(),
                });
            };
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The events of a page and its workers so far.
    pub(crate) fn events<T>(&self, session: &str, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
        self.state().events.get(session).map(|all| all.iter().filter_map(pick).collect()).unwrap_or_default()
    }

    /// Forgets the events of a page so far.
    pub(crate) fn clear_events(&self, session: &str) {
        self.state().events.remove(session);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, id: u64, session: Option<&str>, method: &str, params: Value) -> Result<(), Error> {
        let mut message = Map::from_iter([
            ("id".to_owned(), Value::from(id)),
            ("method".to_owned(), method.into()),
            ("params".to_owned(), params),
        ]);
        if let Some(session) = session {
            message.insert("sessionId".into(), session.into());
        }
        let mut bytes = Value::Object(message).to_string().into_bytes();
        bytes.push(0);
        let mut writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(&bytes).map_err(|error| Error::BrowserEnded(error.to_string()))
    }

    fn read_all(&self, mut reader: BufReader<ChildStdout>) {
        let mut bytes = Vec::new();
        while matches!(reader.read_until(0, &mut bytes), Ok(length) if length > 0) {
            bytes.pop_if(|last| *last == 0);
            if let Ok(message) = serde_json::from_slice(&bytes) {
                self.take(message);
            }
            bytes.clear();
        }
        self.state().ended = true;
        self.0.changed.notify_all();
    }

    fn take(&self, mut message: Value) {
        if let Some(id) = message.get("id").and_then(Value::as_u64) {
            let mut state = self.state();
            if state.awaited.remove(&id) {
                state.replies.insert(id, message);
                self.0.changed.notify_all();
            }
            return;
        }
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(method), Some(session)) = (text(&message, "method"), text(&message, "sessionId")) else {
            return;
        };
        let params = message.get_mut("params").map(Value::take).unwrap_or_default();
        if method == "Target.attachedToTarget"
            && let Some(child) = text(&params, "sessionId")
        {
            self.adopt(&session, &child);
        }
        let mut state = self.state();
        let parent = state.parents.get(&session).cloned();
        let from_worker = parent.is_some();
        let events = state.events.entry(parent.unwrap_or(session)).or_default();
        if events.len() >= MAX_EVENTS {
            events.drain(..MAX_EVENTS / 2);
        }
        events.push(Event { method, params, from_worker });
    }

    /// Watches a worker from its first instruction on: it waits for us before it runs.
    fn adopt(&self, session: &str, child: &str) {
        {
            let mut state = self.state();
            let page = state.parents.get(session).map_or(session, String::as_str).to_owned();
            state.parents.insert(child.into(), page);
        }
        for (method, params) in [
            ("Runtime.enable", json!({})),
            ("Log.enable", json!({})),
            ("Network.enable", json!({})),
            ("Target.setAutoAttach", auto_attach()),
            ("Runtime.runIfWaitingForDebugger", json!({})),
        ] {
            let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
            // A worker that is already gone needs no watching.
            let _gone = self.send(id, Some(child), method, params);
        }
    }
}

/// Parameters of `Target.setAutoAttach` that let no worker start unwatched.
pub(crate) fn auto_attach() -> Value {
    json!({ "autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true })
}
