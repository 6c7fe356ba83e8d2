//! The page drawn in each of its states, natively: checked here, and written out as files on request.
//!
//! `LICHEN_GALLERY=DIR cargo test -p lichen-web gallery` writes one HTML file for each state into DIR, beside which
//! `web/style` has to lie as `style`.

mod states;

use self::states::{
    NOW, at_goal, campaign, checks, finished, invited, invited_in_a_pause, joined, looking, meshed, on_hold,
    present, result, retired, several, states, too_late, training, update, walled_in,
};
use crate::intent::Intent;
use crate::now::Now;
use crate::site::Site;
use crate::state::{Run, ViewState, Words};
use lichen_bridge::Phase;
use std::rc::Rc;
use yew::prelude::*;

#[derive(PartialEq, Properties)]
struct FrameProps {
    state: ViewState,
}

#[component(Frame)]
fn frame(props: &FrameProps) -> Html {
    super::page(&props.state, NOW, &Callback::from(|_: Intent| {}))
}

fn drawn(state: ViewState) -> String {
    let page = yew::LocalServerRenderer::<Frame>::with_props(FrameProps { state }).hydratable(false).render();
    futures::executor::block_on(page)
}

/// The values of an attribute in a page, in order.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    page.split(&start).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn no_state_needs_more_than_the_strict_content_security_policy() {
    for (name, state) in states() {
        let page = drawn(state);
        assert!(!page.contains(" style="), "{name} has an inline style");
        assert!(
            !page.contains("<script") && !page.contains("<style"),
            "{name} has an inline script or style"
        );
        assert!(!page.contains(" onclick="), "{name} has an inline handler");
    }
}

#[test]
fn every_state_has_one_first_heading_one_main_part_and_unique_ids() {
    for (name, state) in states() {
        let page = drawn(state);
        assert_eq!(page.matches("<h1").count(), 1, "{name}");
        assert_eq!(page.matches("<main").count(), 1, "{name}");
        let ids = values(&page, "id");
        let unique: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "{name} repeats an id: {ids:?}");
        for named in values(&page, "aria-labelledby").iter().flat_map(|names| names.split(' ')) {
            assert!(ids.contains(&named), "{name} has no element called {named}");
        }
    }
}

#[test]
fn every_drawing_has_words_or_is_decoration() {
    for (name, state) in states() {
        let page = drawn(state);
        for drawing in page.split("<svg").skip(1) {
            let tag = drawing.split('>').next().unwrap_or_default();
            let worded =
                tag.contains("role=\"img\"") && drawing.contains("<title") && drawing.contains("<desc");
            assert!(
                worded || tag.contains("aria-hidden=\"true\""),
                "{name} has a drawing without words: <svg{tag}>"
            );
        }
    }
}

#[test]
fn the_buttons_that_matter_are_there_in_every_state() {
    let expected: &[(&str, &[&str])] = &[
        ("several", &["Join", "See what it can read"]),
        ("unknown", &["Try again"]),
        ("reading", &[]),
        ("missing", &["Try again"]),
        ("idle", &["Join", "See what it can read"]),
        ("looking", &["Join", "Clear"]),
        ("finished", &["Leave"]),
        ("at-goal", &["Leave"]),
        ("too-late", &["See what it can read"]),
        ("mesh", &["Pause", "Leave"]),
        ("walled-in", &["Pause", "Leave"]),
        ("checking", &["Pause", "Leave"]),
        ("training", &["Pause", "Leave"]),
        ("paused", &["Resume", "Leave"]),
        ("offline", &["Pause", "Leave"]),
        ("standby", &["Pause", "Leave"]),
        ("left", &["Join", "See what it can read"]),
        ("failed", &["Join", "See what it can read"]),
        ("check-under-way", &["Join", "See what it can read"]),
        ("check-right", &["Join", "See what it can read"]),
        ("check-wrong", &["Pause", "Leave"]),
        ("two-histories", &["Join", "See what it can read"]),
        ("not-drawn", &["Pause", "Leave"]),
        ("on-hold", &["Pause", "Leave"]),
        ("retired", &["Leave"]),
        ("invited-in-a-pause", &["Join", "See what it can read"]),
    ];
    assert_eq!(states().len(), expected.len());
    for ((name, state), (expected_name, buttons)) in states().into_iter().zip(expected) {
        assert_eq!(name, *expected_name);
        let page = drawn(state);
        for button in ["Join", "Pause", "Resume", "Leave", "Try again", "See what it can read"] {
            let there = page.contains(&format!(">{button}</button>"));
            assert_eq!(there, buttons.contains(&button), "{button} in {name}");
        }
    }
}

#[test]
fn the_main_part_carries_what_automation_reads() {
    let page = drawn(training());
    let main = page.split("<main").nth(1).and_then(|rest| rest.split('>').next()).unwrap();
    let last = update(1023).to_string();
    for (attribute, value) in [
        ("data-state", "training"),
        ("data-round", "23"),
        ("data-accuracy", "0.956804"),
        ("data-contributions", "4"),
        ("data-checkpoint", last.as_str()),
        ("data-engine", "cpu"),
        ("data-first-step-ms", "19000.0"),
        ("data-peers", "2"),
    ] {
        assert_eq!(values(main, attribute), [value], "{attribute} in <main{main}>");
    }
    let main = drawn(invited());
    assert_eq!(values(&main, "data-state"), ["idle"]);
    assert!(values(&main, "data-accuracy").is_empty() && values(&main, "data-first-step-ms").is_empty());
}

#[test]
fn what_the_campaign_says_is_text_and_never_markup() {
    let mut state = invited();
    let mut hostile = campaign();
    hostile.card.title = "<img src=x onerror=alert(1)>".to_owned();
    hostile.card.organiser.contact = "javascript:alert(1)".to_owned();
    hostile.card.statements.clear();
    state.read_site(Ok((hostile, Site::default())));
    let page = drawn(state);
    assert!(!page.contains("<img") && page.contains("&lt;img"));
    assert!(page.contains("javascript:alert(1)") && !page.contains("href=\"javascript"));
}

#[test]
fn gallery_is_written_on_request() {
    let Ok(folder) = std::env::var("LICHEN_GALLERY") else {
        return;
    };
    for (name, state) in states() {
        let page = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
             <link rel=stylesheet href=style/tokens.css><link rel=stylesheet href=style/page.css><link rel=stylesheet href=style/model.css><div id=app>{}</div>",
            drawn(state)
        );
        std::fs::write(format!("{folder}/{name}.html"), page).unwrap();
    }
}

#[test]
fn an_invitation_says_what_it_is_what_it_costs_and_who_asks() {
    let page = drawn(invited());
    for words in [
        "network of volunteers",
        "3\u{a0}people are here now.",
        "round 40 of 1\u{202f}000",
        "Those who train it say that it reads 97 of 100.",
        "About 126.8\u{a0}kB at the start",
        "a minute with 4 people",
        "battery goes down faster",
        "This server is run by City library, computer room",
        "https://library.example/lichen",
        "network address",
        "makes a key",
        "clear this site’s data",
        "Nothing runs, connects",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let before_details = page.split("<details").next().unwrap();
    let read: String =
        before_details.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect();
    for word in ["epoch", "loss", "checkpoint", "hash", "DID", "did:", "gradient", "relay", "sample"] {
        assert!(!read.contains(word), "{word} is not explained in {read}");
    }
    let mut unnamed = campaign();
    unnamed.operator = None;
    let mut state = invited();
    state.read_site(Ok((unnamed, Site::default())));
    assert!(drawn(state).contains("has not given a name here"));
}

#[test]
fn what_the_relay_says_of_another_campaign_is_not_shown() {
    let mut state = invited();
    state.read_now(Some(Now { campaign: "another".to_owned(), finished: true, ..present() }));
    let page = drawn(state);
    assert!(page.contains(">Join<") && !page.contains("people are here now"));
}

#[test]
fn guesses_are_told_in_words_and_not_by_colour_alone() {
    let page = drawn(looking());
    assert_eq!(page.matches("class=\"picture\"").count(), 24);
    assert_eq!(page.matches(": wrong, at least 40\u{a0}% sure.").count(), 4);
    assert_eq!(page.matches(": right, at least 90\u{a0}% sure.").count(), 20);
    assert_eq!(page.matches(">it is ").count(), 4);
    assert!(page.contains(
        "The model reads 97 of 100, as counted on this device just now. 20 of these 24 are right."
    ));
    assert!(page.contains("It hesitates between 7 (51\u{a0}%) and 9 (36\u{a0}%)."));
    assert!(page.contains("stays on this device"));
    let joined = drawn(training());
    assert!(joined.contains("The model reads 95 of 100. 20 of these 24 are right."), "the measured figure");
}

#[test]
fn a_check_says_how_far_it_is_and_what_it_found() {
    let [under_way, right, wrong] = checks().map(drawn);
    let ask = ">Check this model</button>";
    assert!(
        drawn(invited()).contains(ask) && drawn(training()).contains(ask) && drawn(too_late()).contains(ask)
    );
    assert!(
        under_way.contains("<progress aria-labelledby=\"check\" max=\"37\" value=\"17\">"),
        "{under_way}"
    );
    assert!(under_way.contains(">17 of 37<") && under_way.contains(">Stop checking</button>"));
    assert!(right.contains("all 37 results were checked by this tab") && right.contains(ask));
    assert!(
        wrong.contains("class=\"check notice notice-bad\"")
            && wrong.contains("The result of round 12 is not")
    );
    for page in [under_way, right, wrong, drawn(invited())] {
        assert!(page.contains("<div role=\"status\" class=\"check"), "what is said is read out: {page}");
    }
}

#[test]
fn a_campaign_without_pictures_shows_none() {
    for mut state in [invited(), training()] {
        let mut plain = campaign();
        plain.card.show = None;
        state.words = Words::Stated(Rc::new(plain));
        let page = drawn(state);
        assert!(!page.contains("See what it can") && !page.contains("class=\"picture\""));
    }
}

#[test]
fn the_goal_and_the_end_are_events() {
    assert!(drawn(training()).contains("The goal is reached. Thank you!"));
    let mut early = training();
    early.history = Rc::new((0..9).map(result).collect());
    assert!(!drawn(early).contains("Thank you!"));
    let page = drawn(finished());
    for words in [
        "The campaign is over. Thank you!",
        "You gave 4\u{a0}contributions",
        "Download the model",
        "./blob/bafk",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let page = drawn(too_late());
    for words in [
        "This campaign is over. Thank you",
        "117\u{a0}contributions in 1\u{202f}000\u{a0}rounds",
        "reads 97 of 100",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains(">Join<") && !page.contains("What it costs you"));
}

#[test]
fn a_goal_that_ends_the_campaign_is_its_end_and_its_success() {
    let page = drawn(at_goal());
    for words in [
        "The goal is reached, and the campaign is over. Thank you!",
        "You gave 4\u{a0}contributions",
        "Nothing is trained any more.",
        "Download the model",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let mut late = too_late();
    let now = Now { goal_reached: true, ..late.present().unwrap().clone() };
    late.read_now(Some(now));
    let page = drawn(late);
    assert!(page.contains("This campaign has reached its goal. Thank you"));
    assert!(!page.contains(">Join<"));
}

#[test]
fn left_and_failed_pages_keep_what_was_reached() {
    for (name, state) in states().into_iter().filter(|(name, _)| ["left", "failed"].contains(name)) {
        assert!(matches!(state.run, Run::Left | Run::Failed(_)), "{name}");
        assert!(drawn(state).contains("My contributions"), "{name}");
    }
}

#[test]
fn peers_are_shown_only_where_tabs_meet() {
    assert!(!drawn(training()).contains("Direct connections"));
    let page = drawn(meshed());
    for text in [
        "Direct connections",
        "1\u{a0}tab<",
        "direct, from here",
        "relayed, to connect",
        "1.2\u{a0}MB",
        "Use the relay only",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert_eq!(values(&page, "data-direct"), ["1"]);
    assert!(!page.contains("Your network does not let"));
    assert!(drawn(walled_in()).contains("Your network does not let"));
    let mut shy = meshed();
    shy.click(Intent::RelayOnly(true), NOW);
    assert!(drawn(shy).contains("relay only<"));
}

#[test]
fn whoever_wants_the_relay_only_can_say_so_before_joining() {
    assert!(!drawn(invited()).contains("Use the relay only"));
    let mut state = invited();
    let mut mesh = campaign();
    mesh.card.mesh = true;
    state.read_site(Ok((mesh, Site::default())));
    assert!(drawn(state).contains("Use the relay only"));
}

#[test]
fn where_threads_can_share_memory_their_number_is_chosen_before_joining() {
    use crate::state::{Effect, Threads};
    assert!(!drawn(invited()).contains("Processor threads"));
    let mut state = invited();
    state.threads = Threads::new(1, 4);
    assert_eq!(state.click(Intent::Threads(2), NOW), [Effect::RememberThreads(2)]);
    assert!(drawn(state.clone()).contains("<option value=\"2\" selected"));
    assert_eq!(state.click(Intent::Threads(99), NOW), [Effect::RememberThreads(4)]);
    assert_eq!(state.click(Intent::Threads(0), NOW), [Effect::RememberThreads(1)]);
    state.click(Intent::Threads(3), NOW);
    state.click(Intent::Join, NOW);
    assert_eq!(state.threads.wanted, 3);
    assert!(!drawn(state.clone()).contains("Processor threads"));
    state.click(Intent::Leave, NOW);
    state.closed();
    assert!(drawn(state).contains("<option value=\"3\" selected"));
    let mut state = training();
    assert!(!drawn(state.clone()).contains("Threads"));
    if let Some(engine) = &mut state.engine {
        engine.threads = 3;
    }
    assert!(drawn(state).contains("Threads"));
}

/// What stands between the tags of a page, each with whether another tag of the same element follows or precedes it.
#[test]
fn no_text_stands_beside_an_element() {
    for (name, state) in states() {
        let page = drawn(state);
        // Yew marks where components begin and end.
        let page = page.split("<!--").map(|part| part.split_once("-->").map_or(part, |(_, rest)| rest));
        let page: String = page.collect();
        let mut tags = page.split('<').skip(1).peekable();
        while let Some(tag) = tags.next() {
            let (tag, text) = tag.split_once('>').unwrap_or_default();
            let next = tags.peek().copied().unwrap_or_default();
            let alone = !tag.starts_with('/') && next.starts_with('/');
            assert!(text.is_empty() || alone, "{name}: {text:?} stands between <{tag}> and <{next}");
        }
    }
}

#[test]
fn each_button_carries_what_it_says() {
    for (name, state) in states() {
        let page = drawn(state);
        for button in page.split("<button").skip(1) {
            let (tag, rest) = button.split_once('>').unwrap();
            if tag.contains("class=\"copy ") {
                continue;
            }
            let said = rest.split('<').next().unwrap().to_ascii_lowercase();
            let carried = values(tag, "data-intent");
            let known = carried.first().and_then(|word| Intent::named(word)).is_some();
            assert!(known, "{name} has a button without a purpose: {tag}");
            let said = said.replace("try again", "read-again").replace("see what it can read", "look");
            let said = said.replace("check this model", "check").replace("stop checking", "stop-check");
            assert_eq!(carried, [said.as_str()], "{name}");
        }
    }
}

#[test]
fn each_figure_names_the_round_that_it_is_of() {
    let mut state = training();
    state.click(Intent::Pause, NOW);
    let page = drawn(state.clone());
    assert!(page.contains("After round 23, on 360 samples"), "the last result");
    assert!(page.contains("<dt>Round under way</dt><dd class=\"number\">24</dd>"));
    assert!(page.contains("0.214 in round 24"));
    state.round = Some(crate::state::Round { number: 24, cohort: 3, contributions: 3, settled: true });
    assert!(drawn(state).contains("<dt>Last round</dt><dd class=\"number\">24</dd>"));
}

#[test]
fn what_checked_work_counts_is_said_in_words() {
    let said = |confirmed, expelled| {
        let mut state = training();
        state.audited = Some(lichen_bridge::Audited { confirmed, earn: 3, expelled });
        drawn(state)
    };
    assert!(!drawn(training()).contains("data-audited"), "nothing where nobody checks");
    assert!(
        said(0, false).contains("repeats one of your turns, to check it. What you contribute counts in part")
    );
    assert!(said(1, false).contains("repeated 1\u{a0}turn of yours and got the same"));
    assert!(said(1, false).contains("until that went well 2\u{a0}more times."));
    assert!(said(2, false).contains("until that went well once more."));
    assert!(said(3, false).contains("counts in full."));
    assert!(said(3, true).contains("not accepted in this campaign any more"));
}

#[test]
fn one_speed_is_told_and_not_two_that_differ() {
    let mut state = training();
    assert!(!drawn(state.clone()).contains("One step on"));
    if let Some(engine) = &mut state.engine {
        engine.samples_per_second = None;
    }
    assert!(drawn(state).contains("One step on the processor"));
}

#[test]
fn who_has_left_does_not_claim_to_know_who_takes_part() {
    let mut state = training();
    state.click(Intent::Leave, NOW);
    state.closed();
    let page = drawn(state);
    assert!(!page.contains("nobody else yet") && page.contains("only while it takes part itself"));
    assert!(!drawn(joined(Phase::Connecting)).contains("nobody else yet"), "nothing is known yet");
}

#[test]
fn nothing_moves_while_a_tab_waits_for_others() {
    for phase in [Phase::WaitingForRound, Phase::Sending, Phase::Aggregating, Phase::WaitingForClose] {
        assert!(!drawn(joined(phase)).contains("<progress"));
    }
    assert!(drawn(joined(Phase::Connecting)).contains("<progress"));
    let css = include_str!("../../style/page.css");
    assert!(!css.contains("infinite"), "what moves for ever costs for ever");
}

#[test]
fn what_the_organiser_decided_is_said_in_plain_words() {
    let page = drawn(on_hold());
    assert!(page.contains("The organiser has paused this campaign.") && page.contains("lamp-off"), "{page}");
    assert!(page.contains("From round 12 on (2026-12-01), the learning rate is 0.001."), "{page}");
    let page = drawn(invited_in_a_pause());
    assert!(page.contains("The organiser has paused this campaign.") && page.contains("your tab waits"));
    let page = drawn(retired());
    assert!(page.contains("The organiser has ended this campaign for good."), "{page}");
    let mut late = invited();
    late.read_now(Some(Now { finished: true, retired: true, ..present() }));
    assert!(drawn(late).contains("ended this campaign for good"));
}

#[test]
fn other_campaigns_are_links_and_the_one_that_is_shown_is_none() {
    assert!(!drawn(invited()).contains("<nav"), "where there is only one");
    let [several, unknown] = several().map(drawn);
    assert!(several.contains("(paused)") && !several.contains("later"), "only known words are said");
    assert!(several.contains("Other campaigns here") && !unknown.contains("Other campaigns"));
    let links = |page: &str| values(page, "href").into_iter().filter(|href| href.starts_with('?')).count();
    assert_eq!((links(&several), links(&unknown)), (2, 3));
    assert!(unknown.contains("is not here") && several.contains("href=\"?campaign=bafkreitides\""));
}
