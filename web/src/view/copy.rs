//! An id shown short: the whole on hover, on the clipboard on click.

use super::owned::texts;
use crate::format;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use yew::prelude::*;

/// What to show and copy.
#[derive(PartialEq, Properties)]
pub(super) struct CopyProps {
    /// The whole id.
    pub(super) text: AttrValue,
    /// What it is, for the button's name.
    pub(super) what: AttrValue,
    /// Characters kept at the beginning.
    #[prop_or(8)]
    pub(super) head: usize,
    /// Characters kept at the end.
    #[prop_or(6)]
    pub(super) tail: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Short,
    Copied,
    Whole,
}

/// An id that can be copied; where the clipboard is closed to the page, the whole id is shown instead.
#[component(Copy)]
pub(super) fn copy(props: &CopyProps) -> Html {
    let shown = use_state(|| Shown::Short);
    let onclick = {
        let (shown, text) = (shown.clone(), props.text.clone());
        Callback::from(move |_: MouseEvent| {
            let (shown, text) = (shown.clone(), text.clone());
            spawn_local(async move {
                let copied = write_clipboard(&text).await;
                shown.set(if copied { Shown::Copied } else { Shown::Whole });
            });
        })
    };
    let text = match *shown {
        Shown::Whole => props.text.to_string(),
        Shown::Short | Shown::Copied => format::short(&props.text, props.head, props.tail),
    };
    let label = format!("{} {text}, copy the whole", props.what);
    texts(html! {
        <>
            <button type="button" class="copy code" translate="no" title={props.text.clone()} aria-label={label} {onclick}>{ text }</button>
            if *shown == Shown::Copied {
                <span class="copy-done" role="status">{ "Copied" }</span>
            }
        </>
    })
}

/// Whether the text is on the clipboard now. Browsers offer the clipboard to secure contexts only.
async fn write_clipboard(text: &str) -> bool {
    let Some(window) = web_sys::window() else {
        return false;
    };
    if !window.is_secure_context() {
        return false;
    }
    JsFuture::from(window.navigator().clipboard().write_text(text)).await.is_ok()
}
