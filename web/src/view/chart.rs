//! Accuracy and loss over the rounds: two plots and a table that says the same.

use super::owned::texts;
use super::plot::{self, Point, Span};
use super::rounds_table::Table;
use crate::format;
use crate::state::{Evaluation, ViewState};
use lichen_bridge::Reported;
use std::rc::Rc;
use yew::prelude::*;

/// The plots and their table.
pub(super) fn results(state: &ViewState) -> Html {
    html! {
        <section class="card results" aria-labelledby="results">
            <div class="card-head">
                <h2 id="results">{ "How the model learns" }</h2>
                <p class="soft small">{ "One point for each settled round" }</p>
            </div>
            <Plots history={state.history.clone()} reported={state.reported.clone()} target={state.target()} />
        </section>
    }
}

/// What the plots show; they are drawn again only when it changes.
#[derive(PartialEq, Properties)]
struct PlotsProps {
    history: Rc<Vec<Evaluation>>,
    reported: Rc<Vec<Reported>>,
    target: Option<f64>,
}

#[component(Plots)]
fn plots(props: &PlotsProps) -> Html {
    let PlotsProps { history, reported, target } = props;
    let before = before(reported, history);
    if history.is_empty() && before.is_empty() {
        return texts(
            html! { <p class="plot-empty">{ "The curves appear once the first result has been measured." }</p> },
        );
    }
    let accuracy = Curve {
        before: before.iter().map(|one| Point { round: one.round, value: one.accuracy }).collect(),
        measured: history.iter().map(|one| Point { round: one.round, value: one.accuracy }).collect(),
    };
    let loss = Curve {
        before: before.iter().map(|one| Point { round: one.round, value: one.loss }).collect(),
        measured: history.iter().map(|one| Point { round: one.round, value: one.loss }).collect(),
    };
    texts(html! {
        <>
            <div class="plots">
                { accuracy_plot(&accuracy, *target) }
                { loss_plot(&loss) }
            </div>
            if !before.is_empty() {
                <p class="plot-before soft small">
                    <svg viewBox="0 0 24 8" aria-hidden="true" focusable="false"><path d="M1 4H23" /></svg>
                    <span>{ BEFORE }</span>
                </p>
            }
            <Table history={history.clone()} before={before.len()} reported={reported.clone()} />
        </>
    })
}

const BEFORE: &str = "Before you joined, as contributors reported: each measured on its own training data, and \
    nobody has checked it.";

/// The reported rounds that this tab has measured neither itself nor anything before.
fn before<'a>(reported: &'a [Reported], history: &[Evaluation]) -> &'a [Reported] {
    let first = history.first().map_or(u64::MAX, |first| first.round);
    let count = reported.partition_point(|one| one.round < first);
    reported.get(..count).unwrap_or_default()
}

/// What was reported, and from some round on what was measured here.
struct Curve {
    before: Vec<Point>,
    measured: Vec<Point>,
}

impl Curve {
    fn values(&self) -> impl Iterator<Item = f64> {
        self.before.iter().chain(&self.measured).map(|point| point.value)
    }

    /// The first round and the last.
    fn ends(&self) -> Option<(u64, u64)> {
        let first = self.before.first().or(self.measured.first())?;
        let last = self.measured.last().or(self.before.last())?;
        Some((first.round, last.round))
    }
}

fn accuracy_plot(curve: &Curve, target: Option<f64>) -> Html {
    let foot = plot::foot(curve.values());
    let labels =
        plot::labels(foot * 100.0, 100.0).into_iter().map(|label| format!("{label}\u{a0}%")).collect();
    draw(&Drawing {
        name: "accuracy",
        title: "Accuracy",
        description: describe("Accuracy", curve, format::percent),
        labels,
        up: Span::new(foot, 1.0),
        from_zero: foot == 0.0,
        mark: target.filter(|target| *target >= foot),
        curve,
    })
}

fn loss_plot(curve: &Curve) -> Html {
    let top = plot::ceiling(curve.values());
    draw(&Drawing {
        name: "loss",
        title: "Loss",
        description: describe("Loss", curve, |loss| format!("{loss:.3}")),
        labels: plot::labels(0.0, top),
        up: Span::new(0.0, top),
        from_zero: true,
        mark: None,
        curve,
    })
}

/// One plot's contents.
struct Drawing<'a> {
    name: &'static str,
    title: &'static str,
    description: String,
    labels: Vec<String>,
    up: Span,
    from_zero: bool,
    mark: Option<f64>,
    curve: &'a Curve,
}

fn draw(drawing: &Drawing<'_>) -> Html {
    let (name, up) = (drawing.name, drawing.up);
    let across = plot::rounds(drawing.curve.ends());
    let drawn = plot::thin(&drawing.curve.measured, plot::MAX_DRAWN);
    let before = plot::thin(&drawing.curve.before, plot::MAX_DRAWN);
    let (title, description) = (format!("{name}-title"), format!("{name}-description"));
    html! {
        <figure class="plot">
            <figcaption>
                { drawing.title }
                if let Some(mark) = drawing.mark {
                    <span class="key">
                        <svg viewBox="0 0 20 8" aria-hidden="true" focusable="false"><path class="mark" d="M0 4H20" /></svg>
                        { format!("goal {}", format::percent(mark)) }
                    </span>
                }
            </figcaption>
            <div class="plot-up" aria-hidden="true">{ for drawing.labels.iter().map(|label| html! { <span>{ label }</span> }) }</div>
            <svg
                class="plot-canvas"
                viewBox={format!("0 0 {0:.0} {0:.0}", plot::SIDE)}
                preserveAspectRatio="none"
                role="img"
                aria-labelledby={format!("{title} {description}")}
            >
                <title id={title.clone()}>{ format!("{} by round", drawing.title) }</title>
                <desc id={description.clone()}>{ &drawing.description }</desc>
                <path class="grid" d={plot::grid()} />
                // An area compares with zero, so it is drawn only where the scale has it.
                if drawing.from_zero {
                    <path class={format!("area-{name}")} d={plot::area(&drawn, across, up)} />
                }
                if let Some(mark) = drawing.mark {
                    <path class="mark" d={plot::level(mark, up)} />
                }
                if !before.is_empty() {
                    <path class={format!("line before {name}")} d={plot::line(&before, across, up)} />
                }
                <path class={format!("line {name}")} d={plot::line(&drawn, across, up)} />
                if let Some(last) = drawn.last() {
                    <path class={format!("dot {name}")} d={plot::dot(*last, across, up)} />
                }
            </svg>
            <div class="plot-across" aria-hidden="true">{ ends(drawing.curve) }</div>
        </figure>
    }
}

fn ends(curve: &Curve) -> Html {
    match curve.ends() {
        Some((first, last)) if first != last => html! {
            <><span>{ format!("round {first}") }</span><span>{ last }</span></>
        },
        Some((only, _)) => html! { <><span /><span>{ format!("round {only}") }</span><span /></> },
        None => Html::default(),
    }
}

/// The curve in words.
fn describe(what: &str, curve: &Curve, show: impl Fn(f64) -> String) -> String {
    let went = |points: &[Point]| match (points.first(), points.last()) {
        (Some(first), Some(last)) if first.round != last.round => format!(
            "went from {} in round {} to {} in round {}",
            show(first.value),
            first.round,
            show(last.value),
            last.round
        ),
        (Some(only), _) => format!("was {} in round {}", show(only.value), only.round),
        _ => "is not measured yet".to_owned(),
    };
    let before = match curve.before.as_slice() {
        [] => String::new(),
        before => format!(" Before you joined it {}, as contributors reported.", went(before)),
    };
    format!("{what} {}.{before} The table below has every value.", went(&curve.measured))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(rounds: &[u64]) -> Vec<Point> {
        rounds.iter().map(|&round| Point { round, value: round as f64 / 10.0 }).collect()
    }

    #[test]
    fn what_was_reported_ends_where_measuring_begins() {
        let reported: Vec<Reported> =
            (1..=6).map(|round| Reported { round, loss: 1.0, accuracy: 0.5 }).collect();
        let measured =
            Evaluation { round: 5, checkpoint: String::new(), loss: 0.9, accuracy: 0.6, samples: 9 };
        assert_eq!(before(&reported, &[measured]).last().unwrap().round, 4);
        assert_eq!(before(&reported, &[]).len(), 6);
    }

    #[test]
    fn both_parts_are_told_apart_in_words() {
        let curve = Curve { before: points(&[1, 4]), measured: points(&[5, 8]) };
        assert_eq!(curve.ends(), Some((1, 8)));
        let told = describe("Accuracy", &curve, |value| format!("{value:.1}"));
        let expected = "Accuracy went from 0.5 in round 5 to 0.8 in round 8. Before you joined it went from 0.1 in round 1 to \
            0.4 in round 4, as contributors reported. The table below has every value.";
        assert_eq!(told, expected);
        let curve = Curve { before: points(&[1]), measured: Vec::new() };
        assert!(
            describe("Loss", &curve, |value| value.to_string())
                .starts_with("Loss is not measured yet. Before")
        );
    }
}
