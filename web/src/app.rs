//! The Yew component: everything that happens goes through the reducer, and its effects are carried out here.

use crate::intent::Intent;
use crate::now::Now;
use crate::session::{self, Checker, Report, Session};
use crate::site::{Campaign, Site, Unread};
use crate::state::{Effect, Link, Run, Threads, ViewState, WATCH_MS};
use crate::{origin, threads, view, wishes};
use gloo_events::EventListener;
use gloo_timers::callback::{Interval, Timeout};
use lichen_bridge::{EnginePreference, Event, Problem};
use std::cell::Cell;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web_sys::{FocusOptions, HtmlElement};
use yew::prelude::*;

/// How soon a change that no click asked for is drawn, in milliseconds, so that others of the same moment come along.
const FRAME_MS: u32 = 50;

/// Least time between two such drawings, in milliseconds: figures are read no faster, and each drawing costs.
const GAP_MS: f64 = 1_000.0;

/// How many times as long as a drawing takes there is none at least: on a slow device figures move less often, and drawing
/// them costs no larger share of it.
const REST: f64 = 250.0;

/// The longest time between two drawings that follows from that, in milliseconds.
const LONGEST_GAP_MS: f64 = 3_000.0;

/// The same while nobody sees the page: only its title shows, in the row of tabs.
const HIDDEN_GAP_MS: f64 = 5_000.0;

/// The part of the page that everything happens in.
const MAIN: &str = "#main";

/// The button that begins a check, and the one in its place that ends it.
const CHECK: &str = "[data-intent=check]";
const STOP_CHECK: &str = "[data-intent=stop-check]";

/// Time between two drawings of a long wait's countdown, in milliseconds.
const SECOND_MS: u32 = 1_000;

/// How long goodbyes may take before everything is closed without them, in milliseconds.
const GOODBYE_MS: u32 = 1_500;

/// Replaces what the document holds while the page loads by the app.
pub(crate) fn mount() {
    let root =
        web_sys::window().and_then(|window| window.document()).and_then(|page| page.get_element_by_id("app"));
    match root {
        Some(root) => yew::Renderer::<App>::with_root(root).render(),
        None => yew::Renderer::<App>::new().render(),
    };
}

/// The page.
struct App {
    state: ViewState,
    session: Option<Session>,
    checker: Option<Checker>,
    /// The next drawing, when one is due.
    frame: Option<Timeout>,
    /// When the page was drawn last, on its clock, and when the drawing under way began.
    drawn: f64,
    drawing: Cell<f64>,
    /// How long the last drawing took, in milliseconds.
    took: f64,
    goodbye: Option<Timeout>,
    /// Looks whether the worker answers, while there is one.
    watch: Option<Interval>,
    _seen: Option<EventListener>,
    /// The window's title, as last set.
    title: String,
    /// Where the focus goes, when the element that has it is about to go.
    refocus: Option<&'static str>,
}

/// What can happen to the page.
enum Message {
    Click(Intent),
    Site(Result<(Campaign, Site), Unread>),
    Now(Option<Now>),
    Reports(Vec<Report>),
    Checker(Vec<Report>),
    Frame,
    Seen,
    GoodbyeOver,
    Watch,
}

impl Component for App {
    type Message = Message;
    type Properties = ();

    fn create(context: &Context<Self>) -> Self {
        let mut state = ViewState::new(preference());
        state.relay_only = wishes::relay_only();
        state.threads = Threads::new(threads_wanted(), threads::most());
        let mut app = Self {
            state,
            session: None,
            checker: None,
            frame: None,
            drawn: 0.0,
            drawing: Cell::default(),
            took: 0.0,
            goodbye: None,
            watch: None,
            _seen: listen_for_sight(context),
            title: String::new(),
            refocus: None,
        };
        app.perform(vec![Effect::ReadSite, Effect::ReadNow], context);
        app
    }

    fn update(&mut self, context: &Context<Self>, message: Message) -> bool {
        let now = session::now();
        let was = self.state.run.clone();
        let (effects, draw) = match message {
            Message::Click(intent) => {
                self.refocus = match intent {
                    Intent::Check => Some(STOP_CHECK),
                    Intent::StopCheck => Some(CHECK),
                    _ => self.refocus,
                };
                (self.state.click(intent, now), true)
            }
            Message::Site(read) => {
                self.state.read_site(read);
                // Who is here stands above the button: whoever aims at it must not have it move away.
                (Vec::new(), self.state.is_now_told())
            }
            Message::Now(read) => (self.state.read_now(read), true),
            Message::Reports(reports) => return self.take_all(reports, now, context),
            Message::Checker(reports) => {
                let told = |report| match report {
                    Report::Worker(event) => self.state.checker_told(event),
                    Report::Broke(problem) => self.state.check_broke(problem),
                    Report::Meets | Report::Swarm(_) => Vec::new(),
                };
                let effects = reports.into_iter().flat_map(told).collect();
                let is_over = !self.state.is_checking();
                if is_over && has_focus(STOP_CHECK) {
                    self.refocus = Some(CHECK);
                }
                (effects, is_over)
            }
            Message::GoodbyeOver => (self.state.closed(), true),
            Message::Watch => (self.state.watch(now), false),
            Message::Frame | Message::Seen => {
                self.frame = None;
                (Vec::new(), true)
            }
        };
        self.perform(effects, context);
        let turned = self.has_turned(&was);
        self.schedule(draw || turned, now, context)
    }

    fn view(&self, context: &Context<Self>) -> Html {
        let now = session::now();
        self.drawing.set(now);
        view::page(&self.state, now, &context.link().callback(Message::Click))
    }

    fn rendered(&mut self, _context: &Context<Self>, _first: bool) {
        let title = self.state.title(session::now());
        if title != self.title {
            entitle(&title);
            self.title = title;
        }
        self.drawn = session::now();
        self.took = self.drawn - self.drawing.get();
        if let Some(selector) = self.refocus.take() {
            focus(selector);
        }
    }
}

impl App {
    /// Takes in what the session reports, and draws it soon, where it can be seen at all.
    fn take_all(&mut self, reports: Vec<Report>, now: f64, context: &Context<Self>) -> bool {
        let was = self.state.run.clone();
        let had_reached_goal = self.state.has_reached_goal();
        let is_seen = !reports.iter().all(is_unseen);
        for report in reports {
            let effects = self.take(report, now);
            self.perform(effects, context);
        }
        // What everybody waits for is shown at once.
        let at_once = self.has_turned(&was) || self.state.has_reached_goal() && !had_reached_goal;
        (is_seen || at_once) && self.schedule(at_once, now, context)
    }

    fn take(&mut self, report: Report, now: f64) -> Vec<Effect> {
        match report {
            Report::Worker(event) => return self.state.apply(event, now),
            Report::Broke(problem) => return self.state.broke(problem),
            Report::Meets => self.state.meet(),
            Report::Swarm(event) => self.state.observe(&event, now),
        }
        Vec::new()
    }

    /// Whether what the visitor asked for is another thing now; then the focus goes where that is to be seen.
    fn has_turned(&mut self, was: &Run) -> bool {
        let turned = std::mem::discriminant(was) != std::mem::discriminant(&self.state.run);
        if turned {
            self.refocus = focus_after(was, &self.state.run).or(self.refocus);
        }
        turned
    }

    fn perform(&mut self, effects: Vec<Effect>, context: &Context<Self>) {
        let mut due = effects;
        // Carrying out an effect can break the session, which has effects of its own, but those cannot break it again.
        while !due.is_empty() {
            let broken: Vec<Problem> =
                due.into_iter().filter_map(|effect| self.carry_out(effect, context).err()).collect();
            due = broken.into_iter().flat_map(|problem| self.state.broke(problem)).collect();
        }
    }

    fn carry_out(&mut self, effect: Effect, context: &Context<Self>) -> Result<(), Problem> {
        match effect {
            Effect::ReadSite => {
                let link = context.link().clone();
                spawn_local(async move { link.send_message(Message::Site(origin::read_site().await)) });
            }
            Effect::ReadNow => {
                let link = context.link().clone();
                spawn_local(async move { link.send_message(Message::Now(origin::read_now().await)) });
            }
            Effect::StartWorker => {
                self.goodbye = None;
                let link = context.link().clone();
                let listener = Rc::new(move |reports| link.send_message(Message::Reports(reports)));
                self.session = Some(Session::start(listener, self.state.threads.wanted)?);
                let link = context.link().clone();
                self.watch = Some(Interval::new(WATCH_MS, move || link.send_message(Message::Watch)));
            }
            Effect::StartSwarm => {
                if let Some(session) = &self.session {
                    session.start_swarm(self.state.site.ice.clone(), self.state.site.mesh)?;
                }
            }
            Effect::Send(command) => {
                if let Some(session) = &self.session {
                    session.send(&command)?;
                }
            }
            Effect::Remember(relay_only) => wishes::keep_relay_only(relay_only),
            Effect::RememberThreads(wanted) => wishes::keep_threads(wanted),
            Effect::StartCheck(campaign) => {
                let link = context.link().clone();
                let listener = Rc::new(move |reports| link.send_message(Message::Checker(reports)));
                match Checker::start(listener, &campaign) {
                    Ok(checker) => self.checker = Some(checker),
                    // What takes part goes on.
                    Err(problem) => drop(self.state.check_broke(problem)),
                }
            }
            Effect::EndCheck => self.checker = None,
            Effect::CloseSoon => {
                let link = context.link().clone();
                self.goodbye =
                    Some(Timeout::new(GOODBYE_MS, move || link.send_message(Message::GoodbyeOver)));
            }
            Effect::Close => {
                self.session = None;
                self.goodbye = None;
                self.watch = None;
            }
        }
        Ok(())
    }

    /// Draws at once, or soon and once for everything that happens until then. A countdown that somebody
    /// sees is drawn once a second.
    fn schedule(&mut self, at_once: bool, now: f64, context: &Context<Self>) -> bool {
        let wait = match self.state.link {
            _ if !at_once => FRAME_MS.max(whole_ms(self.drawn + self.gap() - now)),
            _ if is_hidden() => return at_once,
            Link::Lost { retry_at: Some(retry_at), .. } if retry_at > now => {
                FRAME_MS.max(whole_ms((retry_at - now) % 1000.0))
            }
            _ if self.state.counts_down(now) => SECOND_MS,
            _ => return at_once,
        };
        if self.frame.is_none() {
            let link = context.link().clone();
            self.frame = Some(Timeout::new(wait, move || link.send_message(Message::Frame)));
        }
        at_once
    }

    /// Least time between two drawings that no click asked for, in milliseconds.
    fn gap(&self) -> f64 {
        if is_hidden() { HIDDEN_GAP_MS } else { (self.took * REST).clamp(GAP_MS, LONGEST_GAP_MS) }
    }
}

/// Whether nobody sees the page.
fn is_hidden() -> bool {
    web_sys::window().and_then(|window| window.document()).is_some_and(|page| page.hidden())
}

/// Draws the page when somebody sees it again.
fn listen_for_sight(context: &Context<App>) -> Option<EventListener> {
    let page = web_sys::window()?.document()?;
    let link = context.link().clone();
    Some(EventListener::new(&page, "visibilitychange", move |_event| {
        if !is_hidden() {
            link.send_message(Message::Seen);
        }
    }))
}

/// Milliseconds that are whole and not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped just before")]
fn whole_ms(ms: f64) -> u32 {
    ms.clamp(0.0, 60_000.0).ceil() as u32
}

/// Whether a report changes nothing that is worth a drawing of its own: counted bytes are shown with whatever is drawn
/// next.
const fn is_unseen(report: &Report) -> bool {
    matches!(report, Report::Worker(Event::Alive) | Report::Swarm(lichen_net::Event::Traffic { .. }))
}

/// Where the focus goes when what was clicked is replaced, so that a keyboard's user is not thrown back to the top of the
/// tab order: Pause gives way to Resume and back, the rest to another page.
fn focus_after(was: &Run, now: &Run) -> Option<&'static str> {
    match (was, now) {
        (Run::Joined, Run::Paused) => Some("[data-intent=resume]"),
        (Run::Paused, Run::Joined) => Some("[data-intent=pause]"),
        (_, Run::Joined | Run::Left | Run::Failed(_)) => Some(MAIN),
        _ => None,
    }
}

/// The engine that the address asks for: `?engine=cpu` or `?engine=gpu`.
fn preference() -> EnginePreference {
    match origin::asked("engine").as_deref() {
        Some("cpu") => EnginePreference::Cpu,
        Some("gpu") => EnginePreference::Gpu,
        _ => EnginePreference::Auto,
    }
}

/// The threads that the address asks for, `?threads=2`, else those that were wanted last time.
fn threads_wanted() -> u32 {
    origin::asked("threads").and_then(|number| number.parse().ok()).unwrap_or_else(wishes::threads)
}

/// Sets the window's title.
fn entitle(title: &str) {
    if let Some(page) = web_sys::window().and_then(|window| window.document()) {
        page.set_title(title);
    }
}

/// Whether this element has the focus.
fn has_focus(selector: &str) -> bool {
    let page = web_sys::window().and_then(|window| window.document());
    page.and_then(|page| page.active_element()).is_some_and(|active| active.matches(selector) == Ok(true))
}

/// Moves the focus to this element; a new page is shown from its top.
fn focus(selector: &str) {
    let Some(window) = web_sys::window() else {
        return;
    };
    let element = window.document().and_then(|page| page.query_selector(selector).ok().flatten());
    if let Some(element) = element.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
        let options = FocusOptions::new();
        options.set_prevent_scroll(true);
        // An element that cannot take the focus leaves it where it is, which is all there is to do about it.
        let _unfocused = element.focus_with_options(&options);
        if selector == MAIN {
            window.scroll_to_with_x_and_y(0.0, 0.0);
        }
    }
}
