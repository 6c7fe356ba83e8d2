//! What is known of a campaign besides its statements, and how to reach who is behind it.

use super::copy::Copy;
use super::fact;
use crate::format;
use crate::now::Changed;
use crate::site::Campaign;
use crate::state::{ViewState, Words};
use lichen_bridge::Topic;
use yew::prelude::*;

/// What the statements have not told already.
pub(super) fn facts(state: &ViewState, campaign: &Campaign) -> Html {
    html! {
        <dl class="facts facts-row">
            if !campaign.card.tells(Topic::Organiser) {
                { fact("Organiser", html! { <>{ &campaign.card.organiser.name }{ contact(&campaign.card.organiser.contact) }</> }) }
            }
            if !campaign.card.tells(Topic::Licence) {
                { fact("Licence of the model", html! { &campaign.card.licence }) }
            }
            if !campaign.card.tells(Topic::Data) {
                { fact("Data", html! { &campaign.card.credit }) }
            }
            if let Some(target) = state.target() {
                { fact("Goal", html! { format!("{} right on data that nobody trains on", format::percent(target)) }) }
            }
            if let Some(records) = state.witnessed {
                { fact("Record", html! {
                    format!("Witnesses have seen the first {} entries that this tab was shown", format::count(records))
                }) }
            }
            if !state.changes().is_empty() {
                { fact("Changed by the organiser", html! {
                    <>{ for state.changes().iter().rev().map(|changed| html! { <span class="block">{ in_words(changed) }</span> }) }</>
                }) }
            }
            { fact("Campaign id", html! {
                <>
                    <Copy text={campaign.id.clone()} what="Campaign id" head={12} tail={8} />
                    <span class="soft small block">{ checked(&state.words) }</span>
                </>
            }) }
        </dl>
    }
}

/// What changed, from which round on, and when that began.
fn in_words(Changed { round, time, settings }: &Changed) -> String {
    let goal = settings.target_accuracy.map(|target| format!("the goal is {}", format::percent(target)));
    let rate = settings.learning_rate.map(|rate| format!("the learning rate is {rate}"));
    let deadline = settings.deadline_ms.map(|deadline| {
        let whole = deadline / 1000;
        format!("a round waits for {}", format::plural(whole, "second", "seconds"))
    });
    let what: Vec<String> = [goal, rate, deadline].into_iter().flatten().collect();
    format!("From round {} on ({}), {}.", format::count(*round), format::date(*time), what.join(", "))
}

fn checked(words: &Words) -> &'static str {
    match words {
        Words::Verified(_) => "This text was checked against the id.",
        _ => "This text is checked against the id when you join.",
    }
}

/// The organiser's address: a link where it is one, else as it stands.
pub(super) fn contact(contact: &str) -> Html {
    if contact.is_empty() {
        return Html::default();
    }
    let Some(href) = link(contact) else {
        return html! { <>{ ", " }{ contact }</> };
    };
    let shown = contact.trim_start_matches("mailto:").trim_start_matches("https://").to_owned();
    html! { <>{ ", " }<a {href} rel="noopener noreferrer">{ shown }</a></> }
}

/// Where a contact leads; only to the web by https and to mail, whatever the campaign's text says.
fn link(contact: &str) -> Option<String> {
    if contact.starts_with("https://") || contact.starts_with("mailto:") {
        return Some(contact.to_owned());
    }
    let is_mail = contact.contains('@') && !contact.contains([' ', ':', '/', '?']);
    is_mail.then(|| format!("mailto:{contact}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_and_mail_addresses_become_links() {
        assert_eq!(link("https://example.org/lab").as_deref(), Some("https://example.org/lab"));
        assert_eq!(link("lab@example.org").as_deref(), Some("mailto:lab@example.org"));
        assert_eq!(link("javascript:alert(1)"), None);
        assert_eq!(link("javascript:alert('a@b')"), None);
        assert_eq!(link("Room 12"), None);
    }
}
