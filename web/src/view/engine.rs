//! What trains on this device, how fast, and why that was chosen.

use super::{cost, fact};
use crate::format;
use crate::intent::Intent;
use crate::state::{Run, Threads, ViewState};
use lichen_bridge::{Engine, EngineKind};
use web_sys::HtmlSelectElement;
use yew::prelude::*;

/// The engine in use.
pub(super) fn engine(state: &ViewState, now: f64, click: &Callback<Intent>) -> Html {
    html! {
        <section class="card" aria-labelledby="engine">
            <h2 id="engine">{ "This device" }</h2>
            if let Some(engine) = &state.engine {
                { measured(engine, state, now) }
            } else {
                <p class="empty">{ "Both engines are measured here, and the faster one trains." }</p>
            }
            if matches!(state.run, Run::Left | Run::Failed(_)) {
                { threads(state, click) }
            }
        </section>
    }
}

/// The choice of how many threads train, where there are several.
pub(super) fn threads(state: &ViewState, click: &Callback<Intent>) -> Html {
    let Threads { wanted, most } = state.threads;
    if most < 2 {
        return Html::default();
    }
    let onchange = click.reform(|event: Event| {
        let chosen = event.target_dyn_into::<HtmlSelectElement>().map(|select| select.value());
        Intent::Threads(chosen.and_then(|number| number.parse().ok()).unwrap_or(1))
    });
    html! {
        <div class="switch">
            <label>
                { "Processor threads" }
                <select aria-describedby="threads" {onchange}>
                    { for (1..=most).map(|count| html! {
                        <option value={count.to_string()} selected={count == wanted}>{ count }</option>
                    }) }
                </select>
            </label>
            <p class="soft small" id="threads">
                { "More threads train faster and leave less of this device for everything else. The result is the same." }
            </p>
        </div>
    }
}

/// The engine's word for automation.
pub(super) fn key(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Cpu => "cpu",
        EngineKind::Gpu => "gpu",
    }
}

fn name(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Cpu => "Processor (WebAssembly)",
        EngineKind::Gpu => "Graphics card (WebGPU)",
    }
}

fn measured(engine: &Engine, state: &ViewState, now: f64) -> Html {
    html! {
        <div class="stack">
            <dl class="facts facts-row">
                { fact("Trains on", html! { name(engine.kind) }) }
                if engine.threads > 1 {
                    { fact("Threads", html! { engine.threads.to_string() }) }
                }
                { cost::measured(state, now) }
                if let Some(rate) = engine.samples_per_second {
                    { fact("Speed in the last round", html! { format!("{} samples per second", format::rate(rate)) }) }
                } else {
                    // Measured on a few first steps; what a whole round took is truer, and not to be told beside it.
                    if let Some(ms) = engine.cpu_ms {
                        { fact("One step on the processor", html! { format::duration(ms) }) }
                    }
                    if let Some(ms) = engine.gpu_ms {
                        { fact("One step on the graphics card", html! { format::duration(ms) }) }
                    }
                }
                if let Some(loss) = state.own_loss {
                    { fact("Training loss here", html! {
                        format!("{loss:.3} in round {}", format::count(state.own_loss_round))
                    }) }
                }
            </dl>
            <p class="soft small">{ &engine.why }</p>
        </div>
    }
}
