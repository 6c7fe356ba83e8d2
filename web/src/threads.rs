//! How many threads of the processor this browser lets the page use.

/// What the build writes into a page that comes with the engine for threads.
const BUILT: &str = "meta[name=lichen-threads]";

/// Most threads offered.
const MOST: u32 = 16;

/// As many as there are, or 1 where the page was built without the engine for them, or memory cannot be shared between
/// them: the page has to be isolated from other origins for that, which a page inside of another one's is not.
pub(crate) fn most() -> u32 {
    let page = web_sys::window().and_then(|window| window.document());
    if !page.is_some_and(|page| matches!(page.query_selector(BUILT), Ok(Some(_)))) {
        return 1;
    }
    let isolated = js_sys::Reflect::get(&js_sys::global(), &"crossOriginIsolated".into());
    if !isolated.is_ok_and(|isolated| isolated.is_truthy()) {
        return 1;
    }
    let there = web_sys::window().map_or(1.0, |window| window.navigator().hardware_concurrency());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped just before")]
    let there = there.clamp(1.0, f64::from(MOST)) as u32;
    there
}
