//! The end, and the goal on the way there: thanks, what was reached, and what can be done now.

use super::facts::facts;
use super::{check, trial};
use crate::format;
use crate::intent::Intent;
use crate::now::Now;
use crate::site::Campaign;
use crate::state::{Run, ViewState};
use yew::prelude::*;

/// Thanks to whoever takes part or did, once the goal is reached or all is done.
pub(super) fn thanks(state: &ViewState, now: f64) -> Html {
    let (reached, over) = (state.has_reached_goal(), state.is_over());
    let Some(campaign) = state.campaign().filter(|_| reached || over) else {
        return Html::default();
    };
    let title = match (over, over && state.ended_at_goal()) {
        (true, true) => "The goal is reached, and the campaign is over. Thank you!",
        (true, false) => "The campaign is over. Thank you!",
        (false, _) => "The goal is reached. Thank you!",
    };
    html! {
        <section class="card thanks stack" aria-labelledby="thanks">
            <h2 id="thanks">{ title }</h2>
            <p>{ reached_so_far(state) }</p>
            if state.recorded > 0 {
                <p>{ given(state, now) }</p>
            }
            <p>{ next(state, over) }</p>
            { download(state.checkpoint(), campaign) }
        </section>
    }
}

/// What a visitor of a finished campaign sees in place of an invitation.
pub(super) fn ended(state: &ViewState, campaign: &Campaign, now: &Now, click: &Callback<Intent>) -> Html {
    html! {
        <>
            <header>
                <p class="eyebrow">{ farewell(now) }</p>
                <h1 id="title">{ campaign.card.title.clone() }</h1>
                <p class="purpose">{ campaign.card.purpose.clone() }</p>
            </header>
            <p>{ learned(state, now) }</p>
            { download(now.checkpoint.as_deref(), campaign) }
            { trial::trial(state, click) }
            { check::check(state) }
            <details>
                <summary>{ "More about it" }</summary>
                { facts(state, campaign) }
            </details>
        </>
    }
}

const fn farewell(now: &Now) -> &'static str {
    if now.retired {
        "The organiser has ended this campaign for good. Thank you to everybody who took part!"
    } else if now.goal_reached {
        "This campaign has reached its goal. Thank you to everybody who took part!"
    } else {
        "This campaign is over. Thank you to everybody who took part!"
    }
}

fn learned(state: &ViewState, now: &Now) -> String {
    let rounds = format::plural(now.settled, "round", "rounds");
    let contributions = format::plural(now.contributions, "contribution", "contributions");
    let done = format!(
        "Volunteers' browser tabs trained this model together: {contributions} in {rounds}. Nothing is trained any more."
    );
    match trial::ability(state) {
        Some(ability) => format!("{done} {ability}"),
        None => done,
    }
}

fn reached_so_far(state: &ViewState) -> String {
    let by = match state.member_count {
        0 | 1 => "Volunteers' browser tabs have".to_owned(),
        people => format!(
            "{} who are here now, and all before them, have",
            format::plural(people, "person", "people")
        ),
    };
    match state.accuracy() {
        Some(accuracy) => {
            format!(
                "{by} taught the model to get {} right that nobody trained on.",
                format::of_hundred(accuracy)
            )
        }
        None => format!("{by} completed the training of the model."),
    }
}

fn given(state: &ViewState, now: f64) -> String {
    let gave = format::plural(state.recorded, "contribution", "contributions");
    let busy = state.effort.busy_ms(now) / 1000.0;
    if busy < 1.0 {
        return format!("You gave {gave}. They stay in the public record.");
    }
    format!(
        "You gave {gave}, for which this device worked for {}. They stay in the public record.",
        format::wait(busy)
    )
}

fn next(state: &ViewState, over: bool) -> String {
    if over {
        return "Nothing is trained any more. Try the model, take it with you, or close this page."
            .to_owned();
    }
    let rounds = state.campaign().and_then(|campaign| campaign.cost).map(|cost| format::count(cost.rounds));
    let until = rounds.map_or_else(String::new, |rounds| format!(", until round {rounds}"));
    match state.run {
        Run::Left | Run::Failed(_) => {
            format!("The others continue{until}: every round may improve it a little.")
        }
        _ => format!(
            "It continues{until}, since every round may improve it a little. Stay or leave as you like: you have \
                done what you were asked to do."
        ),
    }
}

/// The model as a file, from where the page came from.
fn download(checkpoint: Option<&str>, campaign: &Campaign) -> Html {
    // Only a content id comes into an address.
    let Some(cid) = checkpoint.filter(|cid| cid.bytes().all(|byte| byte.is_ascii_alphanumeric())) else {
        return Html::default();
    };
    html! {
        <p>
            <a href={format!("./blob/{cid}")} download={file_name(&campaign.card.title)}>{ "Download the model" }</a>
            <span class="soft small">{ format!(" (safetensors, licence {})", campaign.card.licence) }</span>
        </p>
    }
}

/// A file's name of a title's letters.
fn file_name(title: &str) -> String {
    let plain: String = title
        .to_lowercase()
        .chars()
        .map(|letter| if letter.is_alphanumeric() { letter } else { '-' })
        .take(60)
        .collect();
    format!("{plain}.safetensors")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_becomes_a_plain_name() {
        assert_eq!(file_name("Handwritten digits"), "handwritten-digits.safetensors");
        assert_eq!(file_name("../../x"), "------x.safetensors");
    }
}
