//! What is left when the page's own code breaks: nothing runs on unseen, and plain words take the page's place.

use std::cell::RefCell;
use std::panic::PanicHookInfo;

use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Document, Element, HtmlElement, Worker};

use crate::swarm_module::Running as Swarm;

thread_local! {
    /// What runs at the moment.
    static RUNNING: RefCell<Running> = RefCell::default();
}

#[derive(Default)]
struct Running {
    workers: Vec<Worker>,
    swarm: Option<Swarm>,
}

/// Has this worker ended should the page break.
pub(crate) fn ends_worker(worker: &Worker) {
    RUNNING.with_borrow_mut(|running| running.workers.push(worker.clone()));
}

/// Has this swarm ended, too.
pub(crate) fn ends_swarm(swarm: &Swarm) {
    RUNNING.with_borrow_mut(|running| running.swarm = Some(swarm.clone()));
}

/// All have ended, but for a check, which ends by itself.
pub(crate) fn forget() {
    RUNNING.take();
}

/// Ends everything and says so. Called at each panic; after the first one there is nothing left to end.
pub(crate) fn hook(panic: &PanicHookInfo<'_>) {
    console_error_panic_hook::hook(panic);
    let running =
        RUNNING.with(|running| running.try_borrow_mut().map(|mut running| std::mem::take(&mut *running)));
    if let Ok(Running { workers, swarm }) = running {
        for worker in workers {
            worker.set_onmessage(None);
            worker.terminate();
        }
        if let Some(swarm) = swarm {
            // It is a module of its own, which can be called where this one is broken.
            let _broken = swarm.end();
        }
    }
    // Where even that fails, the console has the reason, which is all there is to do about it.
    let _unsaid = say();
}

/// Puts words in the place of the page, without Yew, which may hold on to what is gone.
fn say() -> Result<(), JsValue> {
    let Some(page) = web_sys::window().and_then(|window| window.document()) else { return Ok(()) };
    let Some(broken) = page.get_element_by_id("app") else { return Ok(()) };
    let main = page.create_element("main")?;
    main.set_id("main");
    main.set_class_name("frame loading");
    main.set_attribute("data-state", "broken")?;
    main.set_attribute("tabindex", "-1")?;
    let words = add(&page, &main, "div", "")?;
    words.set_class_name("notice notice-bad");
    words.set_attribute("role", "alert")?;
    add(&page, &words, "h1", "The page stopped working")?;
    add(
        &page,
        &words,
        "p",
        "Nothing is running any more, and your recorded contributions are safe. A browser extension may have \
            changed the page while it ran.",
    )?;
    add(
        &page,
        &words,
        "p",
        "Reload the page and join again. If it stops again, turn extensions off for this page.",
    )?;
    let button = add(&page, &main, "button", "Reload")?;
    button.set_class_name("button button-main");
    button.set_attribute("type", "button")?;
    // `start.mjs` listens: nothing in here can be relied on any more.
    button.set_attribute("data-reload", "")?;
    broken.replace_with_with_node_1(&main)?;
    page.set_title("Stopped · Lichen");
    if let Some(main) = main.dyn_ref::<HtmlElement>() {
        main.focus()?;
    }
    Ok(())
}

fn add(page: &Document, parent: &Element, tag: &str, text: &str) -> Result<Element, JsValue> {
    let element = page.create_element(tag)?;
    element.set_text_content(Some(text));
    parent.append_child(&element)?;
    Ok(element)
}
