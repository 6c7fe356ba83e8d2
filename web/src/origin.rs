//! What the page reads from where it came from, by plain GETs.

use crate::now::{self, Now};
use crate::site::{self, Campaign, Ice, Site, Unread};
use crate::way::Place;
use lichen_bridge::Problem;
use lichen_net::IceServer;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, RequestCache, RequestInit, Response, UrlSearchParams};

/// Where the relay says which campaign this is; it lies beside the page.
const SITE: &str = "./lichen.json";

/// Where the relay says where the campaign is.
const NOW: &str = "./now.json";

/// Where the relay hands out passwords for TURN.
const ICE: &str = "./ice.json";

/// How long the relay may take to answer, in milliseconds.
const TIMEOUT_MS: u32 = 10_000;

/// Reads the campaign's words, and where its relay is.
///
/// # Errors
/// A problem in plain words where they cannot be had.
pub(crate) async fn read_site() -> Result<(Campaign, Site), Unread> {
    if let Some(problem) = insecure() {
        return Err(problem.into());
    }
    let asked = asked_campaign();
    let text = match (fetch_text(&of_campaign(SITE)).await, &asked) {
        // A relay that does not have it says which it has.
        (Err(_unknown), Some(_asked)) => fetch_text(SITE).await,
        (read, _) => read,
    };
    let text = text.map_err(|error| site::unreachable(&error))?;
    let (campaign, mut site) = site::read(&text, asked.as_deref())?;
    if let Some(place) = place() {
        site.lead(&place);
    }
    Ok((campaign, site))
}

/// Asks where the campaign is; nothing where that cannot be had, which the page does without.
pub(crate) async fn read_now() -> Option<Now> {
    now::read(&fetch_text(&of_campaign(NOW)).await.ok()?)
}

/// The servers for peer connections. Where the relay has TURN it is asked for a password; without one, tabs that need
/// it find no direct path, and say so.
pub(crate) async fn ice_servers(ice: Ice) -> Vec<IceServer> {
    if !ice.turn {
        return ice.servers;
    }
    match fetch_text(ICE).await {
        Ok(text) => site::ice(&text).servers,
        Err(_refused) => ice.servers,
    }
}

/// What an exception says, for a sentence.
pub(crate) fn describe(error: &JsValue) -> String {
    let message = js_sys::Reflect::get(error, &"message".into()).ok().and_then(|message| message.as_string());
    message.unwrap_or_else(|| js_sys::Object::from(error.clone()).to_string().into())
}

/// A parameter of the page's address.
pub(crate) fn asked(name: &str) -> Option<String> {
    let search = web_sys::window().and_then(|window| window.location().search().ok()).unwrap_or_default();
    UrlSearchParams::new_with_str(&search).ok().and_then(|parameters| parameters.get(name))
}

/// The campaign that the page's address names: `?campaign=<id or name>`.
fn asked_campaign() -> Option<String> {
    asked("campaign").filter(|asked| !asked.is_empty())
}

/// What the relay says of the campaign that the address names, or of its first one.
fn of_campaign(path: &str) -> String {
    let asked = asked_campaign().map(|asked| js_sys::encode_uri_component(&asked));
    asked.map_or_else(|| path.to_owned(), |asked| format!("{path}?campaign={}", String::from(asked)))
}

/// How this page was reached.
fn place() -> Option<Place> {
    let location = web_sys::window()?.location();
    let (protocol, host) = (location.protocol().ok()?, location.hostname().ok()?);
    Some(Place::new(&protocol, &host, &location.port().ok()?, &location.pathname().ok()?))
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
    options.set_signal(Some(&AbortSignal::timeout_with_u32(TIMEOUT_MS)));
    let answer = JsFuture::from(window.fetch_with_str_and_init(address, &options));
    let response: Response = answer.await.map_err(|error| describe(&error))?.unchecked_into();
    if !response.ok() {
        return Err(format!("status {}", response.status()));
    }
    let body = response.text().map_err(|error| describe(&error))?;
    let text = JsFuture::from(body).await.map_err(|error| describe(&error))?;
    text.as_string().ok_or_else(|| "not a text".to_owned())
}
