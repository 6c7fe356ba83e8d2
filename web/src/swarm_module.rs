//! The module that carries bytes, which is fetched when somebody takes part.

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::MessagePort;

/// The module's bindings, where tabs only talk to the relay; they lie beside the page.
const HUB: &str = "./lichen-swarm.js";

/// Those where tabs meet each other.
const MESH: &str = "./lichen-swarm-mesh.js";

/// What `load.mjs` offers under this name fetches a module and starts it.
const LOAD: &str = "lichenLoad";

#[wasm_bindgen]
extern "C" {
    /// The module.
    pub(crate) type Module;

    /// The version of the vocabulary that it speaks.
    #[wasm_bindgen(method, catch)]
    pub(crate) fn version(this: &Module) -> Result<u32, JsValue>;

    /// Starts a swarm that is commanded from the port's other end, and calls `hear` with what is worth showing.
    #[wasm_bindgen(method, catch)]
    pub(crate) fn start(
        this: &Module,
        servers: &[u8],
        port: &MessagePort,
        hear: &Function,
    ) -> Result<Running, JsValue>;

    /// A swarm that runs.
    #[derive(Clone)]
    pub(crate) type Running;

    /// Ends it; nothing happens if it has ended.
    #[wasm_bindgen(method, catch)]
    pub(crate) fn end(this: &Running) -> Result<(), JsValue>;
}

/// Fetches the module that can meet other tabs, or the one that cannot.
pub(crate) async fn load(mesh: bool) -> Result<Module, JsValue> {
    let load: Function = Reflect::get(&js_sys::global(), &LOAD.into())?.dyn_into()?;
    let bindings = if mesh { MESH } else { HUB };
    let module: Promise = load.call1(&JsValue::UNDEFINED, &bindings.into())?.dyn_into()?;
    Ok(JsFuture::from(module).await?.unchecked_into())
}
