//! What taking part costs: what can be said before, and what is measured while it runs.

use super::fact;
use crate::format;
use crate::site::Cost;
use crate::state::ViewState;
use yew::prelude::*;

/// Rounds are not counted as shorter than this, in milliseconds: computing and sending take time, too.
const SHORTEST_ROUND_MS: u64 = 1_000;

/// People that the estimate is made for where fewer are there.
const FEW: u64 = 3;

/// Nothing is said of less time than this since joining, in milliseconds: it would be the start's share.
const MEASURED_AFTER_MS: f64 = 10_000.0;

/// The costs as far as they follow from the campaign.
pub(super) fn expected(state: &ViewState) -> Html {
    let Some(cost) = state.campaign().and_then(|campaign| campaign.cost) else {
        return Html::default();
    };
    let people = state.present().map_or(0, |now| now.members).saturating_add(1).max(FEW);
    html! {
        <section class="stack" aria-labelledby="costs">
            <h2 id="costs">{ "What it costs you" }</h2>
            <dl class="promises thirds">
                <div><dt>{ "Time" }</dt><dd>{ time(cost) }</dd></div>
                <div><dt>{ "Data" }</dt><dd>{ data(cost, people) }</dd></div>
                <div><dt>{ "Processor and battery" }</dt><dd>{ POWER }</dd></div>
            </dl>
        </section>
    }
}

const POWER: &str = "It works in short bursts on one core of your processor, or on your graphics card, and rests \
    in between: from a few percent of a core to all of it, depending on your device. This page measures it while \
    it runs. A battery goes down faster meanwhile, and old devices get warm: plug in if you can.";

/// What was measured since joining.
pub(super) fn measured(state: &ViewState, now: f64) -> Html {
    let Some(elapsed) = state.joined_at.map(|joined| now - joined).filter(|ms| *ms >= MEASURED_AFTER_MS)
    else {
        return Html::default();
    };
    if !state.is_taking_part() {
        return Html::default();
    }
    let threads = state.engine.as_ref().map_or(1, |engine| engine.threads);
    let share = (state.effort.busy_ms(now) / elapsed).clamp(0.0, 1.0);
    let bytes = state.traffic.received.saturating_add(state.traffic.sent) as f64 * 60_000.0 / elapsed;
    html! {
        <>
            { fact("At work since you joined", html! { <span>{ at_work(share, threads) }</span> }) }
            { fact("Data", html! { <span>{ format!("{} a minute", format::bytes(whole(bytes))) }</span> }) }
        </>
    }
}

fn at_work(share: f64, threads: u32) -> String {
    let percent = (share * 100.0).ceil();
    if threads > 1 {
        format!("{percent:.0}\u{a0}% of the time, on {threads} cores")
    } else {
        format!("{percent:.0}\u{a0}% of the time, on one core")
    }
}

fn time(cost: Cost) -> String {
    let all = cost.interval_ms.max(SHORTEST_ROUND_MS).saturating_mul(cost.rounds) as f64 / 1000.0;
    format!(
        "As much as you like: even a minute helps. Pause and Leave take effect at once, and closing the page ends \
         it. All {} rounds together take {} or longer.",
        format::count(cost.rounds),
        format::wait(all)
    )
}

fn data(cost: Cost, people: u64) -> String {
    let rounds_a_minute = 60_000 / cost.interval_ms.clamp(SHORTEST_ROUND_MS, 60_000);
    let start = cost.data_bytes.saturating_add(cost.model_bytes);
    // What this tab sends, and what it gets from each of the others.
    let round = cost.model_bytes.saturating_mul(people);
    format!(
        "About {} at the start. Then up to {} a minute with {people} people, and more with more people: each \
            sends what it has learned to all the others. Longer rounds need less.",
        format::bytes(start),
        format::bytes(round.saturating_mul(rounds_a_minute)),
    )
}

/// A number of bytes without its fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped, and a fraction says nothing"
)]
fn whole(bytes: f64) -> u64 {
    bytes.clamp(0.0, 1e15) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: Cost = Cost { data_bytes: 117_000, model_bytes: 10_000, interval_ms: 1_500, rounds: 1_000 };

    #[test]
    fn costs_follow_from_the_campaign() {
        assert!(time(DIGITS).contains("25\u{a0}minutes or longer"), "{}", time(DIGITS));
        let told = data(DIGITS, 3);
        assert!(told.contains("About 127.0\u{a0}kB at the start"), "{told}");
        assert!(told.contains("up to 1.2\u{a0}MB a minute with 3 people"), "{told}");
        let slow = data(Cost { interval_ms: 86_400_000, ..DIGITS }, 3);
        assert!(slow.contains("up to 30.0\u{a0}kB a minute"), "{slow}");
    }

    #[test]
    fn nothing_overflows_or_divides_by_nothing() {
        let most = Cost { data_bytes: u64::MAX, model_bytes: u64::MAX, interval_ms: 0, rounds: u64::MAX };
        assert!(data(most, u64::MAX).contains("TB") && !time(most).is_empty());
        assert_eq!(at_work(0.061, 1), "7\u{a0}% of the time, on one core");
        assert_eq!(whole(f64::INFINITY), 1_000_000_000_000_000);
    }
}
