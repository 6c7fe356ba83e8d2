//! The field to draw in: by finger, pen and mouse, and by keys.

use super::owned::texts;
use crate::drawing::{Drawing, Point};
use std::fmt::Write;
use std::rc::Rc;
use web_sys::Element;
use yew::prelude::*;

/// Length of a cell's side in the drawing's own units.
const UNIT: f32 = 10.0;

/// What is drawn, how fine the keys' steps are, and whom to tell.
#[derive(PartialEq, Properties)]
pub(super) struct FieldProps {
    /// What is drawn so far.
    pub(super) drawing: Rc<Drawing>,
    /// Steps from left to right.
    pub(super) width: usize,
    /// Steps from top to bottom.
    pub(super) height: usize,
    /// Is told each finished line, and each step with the keys.
    pub(super) change: Callback<Rc<Drawing>>,
}

/// What the field keeps between two events.
#[derive(Default)]
struct Pen {
    /// The drawing with the line under way; none while the pen is up.
    live: Option<Drawing>,
    /// The drawing with the last finished line, until whoever was told of it gives it back.
    told: Option<Rc<Drawing>>,
    /// The drawing that was given last.
    given: Option<Rc<Drawing>>,
    /// Where the keys have moved to, in cells; none before the first key.
    place: Option<(usize, usize)>,
}

/// The field.
#[component(Field)]
pub(super) fn field(props: &FieldProps) -> Html {
    let node = use_node_ref();
    let pen = use_mut_ref(Pen::default);
    let update = use_force_update();
    let down = {
        let (node, pen, update, drawing) = (node.clone(), pen.clone(), update.clone(), props.drawing.clone());
        Callback::from(move |event: PointerEvent| {
            let Some(element) = node.cast::<Element>().filter(|_| event.button() == 0) else { return };
            event.prevent_default();
            // Without it, a line ends where the pointer leaves the field.
            let _captured = element.set_pointer_capture(event.pointer_id());
            let mut pen = pen.borrow_mut();
            let mut drawing = Drawing::clone(pen.told.as_ref().unwrap_or(&drawing));
            drawing.begin(place(&element, &event));
            pen.live = Some(drawing);
            drop(pen);
            update.force_update();
        })
    };
    let moved = {
        let (node, pen, update) = (node.clone(), pen.clone(), update.clone());
        Callback::from(move |event: PointerEvent| {
            let Some(element) = node.cast::<Element>().filter(|_| event.buttons() != 0) else { return };
            let mut pen = pen.borrow_mut();
            let Some(live) = &mut pen.live else { return };
            live.extend(place(&element, &event));
            drop(pen);
            update.force_update();
        })
    };
    let up = {
        let (pen, change) = (pen.clone(), props.change.clone());
        move || {
            let finished = pen.borrow_mut().live.take();
            if let Some(drawing) = finished.map(Rc::new) {
                pen.borrow_mut().told = Some(drawing.clone());
                change.emit(drawing);
            }
        }
    };
    let [lift, cancel] = [up.clone(), up.clone()].map(|up| Callback::from(move |_: PointerEvent| up()));
    let leave = Callback::from(move |_: FocusEvent| up());
    let key = key_handler(props, &pen, &update);
    pen.borrow_mut().given(&props.drawing);
    let pen = pen.borrow();
    let shown = pen.live.as_ref().unwrap_or(&props.drawing);
    let (width, height) = (props.width as f32 * UNIT, props.height as f32 * UNIT);
    texts(html! {
        <div
            ref={node} class="field" role="application" tabindex="0" aria-labelledby="draw" aria-describedby="draw-hint"
            onpointerdown={down} onpointermove={moved} onpointerup={lift} onpointercancel={cancel}
            onkeydown={key} onblur={leave}
        >
            <svg viewBox={format!("0 0 {width} {height}")} aria-hidden="true" focusable="false">
                <path class="field-grid" d={grid(props.width, props.height)} />
                { for shown.strokes().iter().map(|stroke| html! { <path class="field-ink" d={line(stroke, width, height)} /> }) }
                if let Some((column, row)) = pen.place {
                    <rect class="field-cursor" x={at(column)} y={at(row)} width={UNIT.to_string()} height={UNIT.to_string()} />
                }
            </svg>
            <span class="visually-hidden" role="status">{ said(&pen) }</span>
        </div>
    })
}

/// What keys do: arrows move, Space and Enter put the pen down and lift it, Delete clears.
fn key_handler(
    props: &FieldProps,
    pen: &Rc<std::cell::RefCell<Pen>>,
    update: &UseForceUpdateHandle,
) -> Callback<KeyboardEvent> {
    let (pen, update) = (pen.clone(), update.clone());
    let (drawing, change, size) = (props.drawing.clone(), props.change.clone(), (props.width, props.height));
    Callback::from(move |event: KeyboardEvent| {
        if event.ctrl_key() || event.alt_key() || event.meta_key() {
            return;
        }
        let told = match Key::of(&event.key()) {
            Some(key) => pen.borrow_mut().press(key, size, &drawing),
            None => return,
        };
        event.prevent_default();
        if let Some(drawing) = told {
            change.emit(Rc::new(drawing));
        }
        update.force_update();
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Step(isize, isize),
    Pen,
    Clear,
}

impl Key {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "ArrowLeft" => Self::Step(-1, 0),
            "ArrowRight" => Self::Step(1, 0),
            "ArrowUp" => Self::Step(0, -1),
            "ArrowDown" => Self::Step(0, 1),
            " " | "Enter" => Self::Pen,
            "Delete" | "Backspace" => Self::Clear,
            _ => return None,
        })
    }
}

impl Pen {
    /// Takes in the drawing as it is given: what was told before it is in it, or was cleared.
    fn given(&mut self, drawing: &Rc<Drawing>) {
        if self.given.as_ref().is_none_or(|given| !Rc::ptr_eq(given, drawing)) {
            self.given = Some(drawing.clone());
            self.told = None;
        }
    }

    /// Does what a key asks; the drawing to tell about, if it has changed.
    fn press(&mut self, key: Key, (width, height): (usize, usize), drawing: &Drawing) -> Option<Drawing> {
        let (column, row) = self.place.unwrap_or((width / 2, height / 2));
        let middle = |(column, row): (usize, usize)| {
            Point::new((column as f32 + 0.5) / width as f32, (row as f32 + 0.5) / height as f32)
        };
        match key {
            Key::Step(right, down) => {
                let step = |from: usize, by: isize, most: usize| {
                    from.saturating_add_signed(by).min(most.saturating_sub(1))
                };
                let place = (step(column, right, width), step(row, down, height));
                self.place = Some(place);
                let live = self.live.as_mut()?;
                live.extend(middle(place));
                Some(live.clone())
            }
            Key::Pen => {
                self.place = Some((column, row));
                if let Some(finished) = self.live.take() {
                    return Some(finished);
                }
                let mut live = drawing.clone();
                live.begin(middle((column, row)));
                self.live = Some(live.clone());
                Some(live)
            }
            Key::Clear => {
                self.live = None;
                Some(Drawing::default())
            }
        }
    }
}

/// Where on the field a pointer is.
#[expect(clippy::cast_possible_truncation, reason = "a place on a screen")]
fn place(element: &Element, event: &PointerEvent) -> Point {
    let field = element.get_bounding_client_rect();
    let part = |at: f64, from: f64, all: f64| if all > 0.0 { ((at - from) / all) as f32 } else { 0.0 };
    Point::new(
        part(event.client_x().into(), field.left(), field.width()),
        part(event.client_y().into(), field.top(), field.height()),
    )
}

fn said(pen: &Pen) -> String {
    let Some((column, row)) = pen.place else {
        return String::new();
    };
    let state = if pen.live.is_some() { "pen down" } else { "pen up" };
    format!("Row {}, column {}, {state}.", row + 1, column + 1)
}

fn at(cell: usize) -> String {
    (cell as f32 * UNIT).to_string()
}

fn grid(width: usize, height: usize) -> String {
    let (right, bottom) = (at(width), at(height));
    let down = (1..width).map(|column| format!("M{} 0V{bottom}", at(column)));
    let across = (1..height).map(|row| format!("M0 {}H{right}", at(row)));
    down.chain(across).collect()
}

fn line(stroke: &[Point], width: f32, height: f32) -> String {
    let mut line = String::new();
    for (place, point) in stroke.iter().chain(stroke.last()).enumerate() {
        // Writing to a string does not fail. A line to where it is already makes a dot of a single point.
        let _written = write!(
            line,
            "{}{:.1} {:.1}",
            if place == 0 { 'M' } else { 'L' },
            point.x * width,
            point.y * height
        );
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_draw_a_line() {
        let (mut pen, size) = (Pen::default(), (8, 8));
        let nothing = Drawing::default();
        let mut told = None;
        for name in ["ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", " "] {
            told = pen.press(Key::of(name).unwrap(), size, &nothing);
        }
        assert_eq!(told.take().unwrap().strokes(), [vec![Point::new(0.5625, 0.0625)]]);
        for _row in 0..9 {
            told = pen.press(Key::Step(0, 1), size, &nothing);
        }
        assert_eq!(said(&pen), "Row 8, column 5, pen down.");
        let drawn = told.unwrap();
        assert_eq!(drawn.strokes()[0].len(), 10);
        assert_eq!(pen.press(Key::Pen, size, &nothing).as_ref(), Some(&drawn), "the pen is lifted");
        assert_eq!(pen.press(Key::Step(1, 0), size, &drawn), None, "and draws no more");
        assert_eq!(pen.press(Key::Clear, size, &drawn), Some(Drawing::default()));
        assert_eq!(Key::of("Tab"), None);
    }

    #[test]
    fn a_line_told_a_moment_ago_is_not_lost_to_the_next_one() {
        let (mut pen, before) = (Pen::default(), Rc::new(Drawing::default()));
        pen.given(&before);
        let mut line = Drawing::default();
        line.begin(Point::new(0.5, 0.5));
        pen.told = Some(Rc::new(line.clone()));
        pen.given(&before);
        assert_eq!(pen.told.as_deref(), Some(&line), "it has not come back yet");
        pen.given(&Rc::new(line));
        assert_eq!(pen.told, None);
    }

    #[test]
    fn a_single_point_is_a_dot() {
        assert_eq!(line(&[Point::new(0.5, 0.25)], 80.0, 80.0), "M40.0 20.0L40.0 20.0");
        assert_eq!(grid(2, 2), "M10 0V20M0 10H20");
    }
}
