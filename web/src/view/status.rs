//! The status bar: one sentence, progress, and the buttons that are always in sight.

use crate::intent::Intent;
use crate::state::{Lamp, Progress, Run, Sentence, ViewState};
use yew::prelude::*;

/// The bar that stays at the top while something runs.
pub(super) fn bar(sentence: &Sentence, run: &Run, is_over: bool, click: &Callback<Intent>) -> Html {
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
                <div class="status-buttons">{ buttons(run, sentence.key, is_over, click) }</div>
            </div>
            { progress(sentence) }
        </section>
    }
}

/// A remark about something that was dealt with, until it is put away.
pub(super) fn notice(state: &ViewState, click: &Callback<Intent>) -> Html {
    let Some(notice) = &state.notice else {
        return Html::default();
    };
    html! {
        <div class="notice notice-row" role="alert">
            <div><p><strong>{ &notice.message }</strong></p><p>{ &notice.remedy }</p></div>
            { button("Dismiss", "button", Intent::Dismiss, click) }
        </div>
    }
}

/// A button with a stable name.
pub(super) fn button(
    name: &'static str,
    class: &'static str,
    intent: Intent,
    click: &Callback<Intent>,
) -> Html {
    let onclick = click.reform(move |_: MouseEvent| intent.clone());
    html! {
        <button type="button" {class} {onclick}>{ name }</button>
    }
}

fn buttons(run: &Run, key: &str, is_over: bool, click: &Callback<Intent>) -> Html {
    match run {
        Run::Leaving => Html::default(),
        // There is nothing to join any more.
        Run::Idle | Run::Left | Run::Failed(_) if is_over => Html::default(),
        Run::Idle | Run::Left | Run::Failed(_) => button("Join", "button button-main", Intent::Join, click),
        Run::Paused => html! {
            <>
                { button("Resume", "button button-main", Intent::Resume, click) }
                { button("Leave", "button", Intent::Leave, click) }
            </>
        },
        Run::Joined if key == "finished" => button("Leave", "button", Intent::Leave, click),
        Run::Joined => html! {
            <>
                { button("Pause", "button", Intent::Pause, click) }
                { button("Leave", "button", Intent::Leave, click) }
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

/// The bar along the lower edge; it takes no room, so that the page does not jump when it comes and goes.
fn progress(sentence: &Sentence) -> Html {
    let label = sentence.text.clone();
    match sentence.progress {
        Progress::None => Html::default(),
        Progress::Open => html! { <progress key="open" class="status-progress" aria-label={label} /> },
        Progress::Of { done, all } => html! {
            <progress key="of" class="status-progress" max={all.to_string()} value={done.to_string()} aria-label={label} />
        },
    }
}
