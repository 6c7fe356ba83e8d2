//! Accuracy and loss over the rounds: two plots and a table that says the same.

use super::owned::texts;
use super::plot::{self, Point, Span};
use crate::format;
use crate::state::{Evaluation, ViewState};
use std::rc::Rc;
use yew::prelude::*;

/// Rows in the table; earlier rounds are not listed.
const MAX_ROWS: usize = 120;

/// The plots and their table.
pub(super) fn results(state: &ViewState) -> Html {
    html! {
        <section class="card results" aria-labelledby="results">
            <div class="card-head">
                <h2 id="results">{ "How the model learns" }</h2>
                <p class="soft small">{ "One point for each settled round" }</p>
            </div>
            <Plots history={state.history.clone()} target={state.target()} />
        </section>
    }
}

/// What the plots show; they are drawn again only when it changes.
#[derive(PartialEq, Properties)]
struct PlotsProps {
    history: Rc<Vec<Evaluation>>,
    target: Option<f64>,
}

#[component(Plots)]
fn plots(props: &PlotsProps) -> Html {
    if props.history.is_empty() {
        return texts(
            html! { <p class="plot-empty">{ "The curves appear once the first result has been measured." }</p> },
        );
    }
    let accuracy: Vec<Point> =
        props.history.iter().map(|point| Point { round: point.round, value: point.accuracy }).collect();
    let loss: Vec<Point> =
        props.history.iter().map(|point| Point { round: point.round, value: point.loss }).collect();
    texts(html! {
        <>
            <div class="plots">
                { accuracy_plot(&accuracy, props.target) }
                { loss_plot(&loss) }
            </div>
            <Table history={props.history.clone()} />
        </>
    })
}

fn accuracy_plot(points: &[Point], target: Option<f64>) -> Html {
    let foot = plot::foot(points.iter().map(|point| point.value));
    let labels =
        plot::labels(foot * 100.0, 100.0).into_iter().map(|label| format!("{label}\u{a0}%")).collect();
    draw(&Drawing {
        name: "accuracy",
        title: "Accuracy",
        description: describe("Accuracy", points, format::percent),
        labels,
        up: Span::new(foot, 1.0),
        from_zero: foot == 0.0,
        mark: target.filter(|target| *target >= foot),
        points,
    })
}

fn loss_plot(points: &[Point]) -> Html {
    let top = plot::ceiling(points.iter().map(|point| point.value));
    draw(&Drawing {
        name: "loss",
        title: "Loss",
        description: describe("Loss", points, |loss| format!("{loss:.3}")),
        labels: plot::labels(0.0, top),
        up: Span::new(0.0, top),
        from_zero: true,
        mark: None,
        points,
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
    points: &'a [Point],
}

fn draw(drawing: &Drawing<'_>) -> Html {
    let (name, up) = (drawing.name, drawing.up);
    let across = plot::rounds(drawing.points);
    let drawn = plot::thin(drawing.points, plot::MAX_DRAWN);
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
                <path class={format!("line {name}")} d={plot::line(&drawn, across, up)} />
                if let Some(last) = drawn.last() {
                    <path class={format!("dot {name}")} d={plot::dot(*last, across, up)} />
                }
            </svg>
            <div class="plot-across" aria-hidden="true">{ ends(drawing.points) }</div>
        </figure>
    }
}

fn ends(points: &[Point]) -> Html {
    match (points.first(), points.last()) {
        (Some(first), Some(last)) if first.round != last.round => html! {
            <><span>{ format!("round {}", first.round) }</span><span>{ last.round }</span></>
        },
        (Some(only), _) => html! { <><span /><span>{ format!("round {}", only.round) }</span><span /></> },
        _ => Html::default(),
    }
}

fn describe(what: &str, points: &[Point], show: impl Fn(f64) -> String) -> String {
    match (points.first(), points.last()) {
        (Some(first), Some(last)) if first.round != last.round => format!(
            "{what} went from {} in round {} to {} in round {}. The table below has every value.",
            show(first.value),
            first.round,
            show(last.value),
            last.round
        ),
        (Some(only), _) => format!("{what} is {} in round {}.", show(only.value), only.round),
        _ => format!("{what} is not measured yet."),
    }
}

/// What the table lists.
#[derive(PartialEq, Properties)]
struct TableProps {
    history: Rc<Vec<Evaluation>>,
}

/// The same values as a table; its rows are made only while it is unfolded.
#[component(Table)]
fn table(props: &TableProps) -> Html {
    let open = use_state(|| false);
    let ontoggle = {
        let open = open.clone();
        Callback::from(move |event: Event| open.set(is_open(&event)))
    };
    let left_out = props.history.len().saturating_sub(MAX_ROWS);
    texts(html! {
        <details {ontoggle}>
            <summary>{ "Show as a table" }</summary>
            if *open {
                <div class="scroll" tabindex="0" role="group" aria-label="Accuracy and loss by round">
                    <table>
                        <caption>
                            { "Accuracy and loss on held-out data, latest round first" }
                            if left_out > 0 { { format!("; {} earlier rounds are not listed", format::count(left_out as u64)) } }
                        </caption>
                        <thead>
                            <tr><th scope="col">{ "Round" }</th><th scope="col" class="figure">{ "Accuracy" }</th><th scope="col" class="figure">{ "Loss" }</th></tr>
                        </thead>
                        <tbody>{ for props.history.iter().rev().take(MAX_ROWS).map(row) }</tbody>
                    </table>
                </div>
            }
        </details>
    })
}

fn row(point: &Evaluation) -> Html {
    html! {
        <tr key={point.round}>
            <th scope="row">{ point.round }</th>
            <td class="figure">{ format::percent(point.accuracy) }</td>
            <td class="figure">{ format!("{:.4}", point.loss) }</td>
        </tr>
    }
}

fn is_open(event: &Event) -> bool {
    event.target_dyn_into::<web_sys::HtmlDetailsElement>().is_some_and(|details| details.open())
}
