//! The status bar: one sentence, progress, and the buttons that are always in sight.

use crate::intent::Intent;
use crate::state::{Lamp, Progress, Run, Sentence, ViewState};
use yew::prelude::*;

/// The bar that stays at the top while something runs.
pub(super) fn bar(sentence: &Sentence, run: &Run, is_over: bool) -> Html {
    html! {
        <section class="status" aria-label="What is happening">
            <div class="status-row">
                <div class="status-text">
                    <span class={classes!("lamp", lamp(sentence.lamp))} aria-hidden="true" />
                    <div>
                        <p class="status-sentence number">{ &sentence.text }</p>
                        if let Some(advice) = &sentence.advice {
                            <p class="status-advice">{ advice }</p>
                        }
                    </div>
                </div>
                <div class="status-buttons">{ buttons(run, sentence.key, is_over) }</div>
            </div>
            { progress(sentence) }
        </section>
    }
}

/// A remark about something that was dealt with, until it is put away.
pub(super) fn notice(state: &ViewState) -> Html {
    html! {
        <>
            if let Some(notice) = &state.notice {
                <div class="notice notice-row" role="alert">
                    <div><p><strong>{ &notice.message }</strong></p><p>{ &notice.remedy }</p></div>
                    { button("Dismiss", "button", &Intent::Dismiss) }
                </div>
            }
            if let Some(evidence) = &state.evidence {
                <details class="notice evidence">
                    <summary>{ "The relay has signed two histories: keep this as evidence" }</summary>
                    <pre tabindex="0">{ evidence }</pre>
                </details>
            }
        </>
    }
}

/// A button with a stable name. It carries what it asks for, which the page reads when it is clicked, and no button
/// ever becomes another one.
pub(super) fn button(name: &'static str, class: &'static str, intent: &Intent) -> Html {
    html! {
        <button type="button" key={name} {class} data-intent={intent.name()}>{ name }</button>
    }
}

fn buttons(run: &Run, key: &str, is_over: bool) -> Html {
    match run {
        Run::Leaving => Html::default(),
        // There is nothing to join any more.
        Run::Idle | Run::Left | Run::Failed(_) if is_over => Html::default(),
        Run::Idle | Run::Left | Run::Failed(_) => button("Join", "button button-main", &Intent::Join),
        Run::Paused => html! {
            <>
                { button("Resume", "button button-main", &Intent::Resume) }
                { button("Leave", "button", &Intent::Leave) }
            </>
        },
        Run::Joined if matches!(key, "finished" | "retired") => button("Leave", "button", &Intent::Leave),
        Run::Joined => html! {
            <>
                { button("Pause", "button", &Intent::Pause) }
                { button("Leave", "button", &Intent::Leave) }
            </>
        },
    }
}

fn lamp(lamp: Lamp) -> &'static str {
    match lamp {
        Lamp::Off => "lamp-off",
        Lamp::Busy => "lamp-busy",
        Lamp::Good => "lamp-good",
        Lamp::Bad => "lamp-bad",
    }
}

/// The bar along the lower edge; it takes no room, so that the page does not jump when it comes and goes. What has no
/// known end is shown only while the tab is getting ready: most of the time it waits for others, and a bar that moves
/// then costs more than the training.
fn progress(sentence: &Sentence) -> Html {
    let label = sentence.text.clone();
    match sentence.progress {
        Progress::None => Html::default(),
        Progress::Open if sentence.lamp != Lamp::Busy => Html::default(),
        Progress::Open => html! { <progress key="open" class="status-progress" aria-label={label} /> },
        Progress::Of { done, all } => html! {
            <progress key="of" class="status-progress" max={all.to_string()} value={done.to_string()} aria-label={label} />
        },
    }
}
