//! The relay's other campaigns, as links.

use crate::state::ViewState;
use yew::prelude::*;

/// Links to the campaigns that there are besides this one; nothing where there are none.
pub(super) fn others(state: &ViewState) -> Html {
    let own = state.campaign().map(|campaign| campaign.id.as_str());
    let mut others = state.site.campaigns.iter().filter(|one| Some(one.id.as_str()) != own).peekable();
    if others.peek().is_none() {
        return Html::default();
    }
    let heading = if own.is_some() { "Other campaigns here" } else { "Campaigns here" };
    html! {
        <nav class="stack" aria-labelledby="campaigns">
            <h2 id="campaigns">{ heading }</h2>
            <ul>
                { for others.map(|one| html! {
                    <li><a href={format!("?campaign={}", one.id)}>{ one.title.clone() }</a>{ standing(&one.standing) }</li>
                }) }
            </ul>
        </nav>
    }
}

/// Only what the page knows is said.
fn standing(word: &str) -> Html {
    let text = match word {
        "paused" => " (paused)",
        "finished" => " (finished)",
        "retired" => " (ended)",
        _ => return Html::default(),
    };
    html! { <span class="soft">{ text }</span> }
}
