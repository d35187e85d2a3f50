//! A picture with axes, across as wide as there is room.

use std::fmt::{self, Display, Write};

use maud::{Markup, PreEscaped, Render, html};

use crate::report::scale::Scale;
use crate::report::text;

/// A share of the width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Percent(pub(super) f64);

impl Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", text::tidy(&format!("{:.2}", self.0 * 100.0)))
    }
}

impl Render for Percent {
    fn render_to(&self, buffer: &mut String) {
        // Digits, a point and a percent sign: nothing to escape, and a `String` takes all.
        let _ = write!(buffer, "{self}");
    }
}

/// An axis of a plot.
pub(super) struct Axis<'a> {
    pub(super) title: &'a str,
    pub(super) scale: &'a Scale,
    /// Numbers that are written along it.
    pub(super) ticks: usize,
}

/// See the module documentation. Its bottom may have a row for what has no value.
pub(super) struct Plot<'a> {
    pub(super) x: Axis<'a>,
    pub(super) y: Axis<'a>,
    /// In px.
    pub(super) height: f64,
    /// In px, between the ends of the vertical axis and of the plot: [`MARGIN`], or 0 for areas.
    pub(super) margin: f64,
    /// What stands beside the bottom row, where there is one.
    pub(super) row: Option<&'a str>,
    /// Says in words what the picture shows.
    pub(super) described: &'a str,
}

/// In px: what the row at the bottom takes.
const ROW: f64 = 26.0;
/// In px: above and below the least and the greatest value, so that marks are whole.
pub(super) const MARGIN: f64 = 7.0;
/// Letters for which there is room below the narrowest plot, of 210 px.
const LETTERS: usize = 30;
/// Lines and areas are drawn in a square of this side, which is then stretched.
pub(super) const SIDE: f64 = 1000.0;

impl Plot<'_> {
    /// Where a number lies across.
    pub(super) fn x(&self, number: f64) -> Percent {
        Percent(self.x.scale.share(number))
    }

    /// In px from the top.
    pub(super) fn y(&self, number: f64) -> f64 {
        self.height_of(self.y.scale.share(number))
    }

    /// In px from the top, for a share of the vertical axis.
    pub(super) fn height_of(&self, share: f64) -> f64 {
        let bottom = self.bottom();
        bottom - self.margin - (bottom - 2.0 * self.margin) * share
    }

    /// In px from the top, without the row.
    fn bottom(&self) -> f64 {
        self.height - if self.row.is_some() { ROW } else { 0.0 }
    }

    /// The middle of the bottom row, in px from the top.
    pub(super) fn row(&self) -> f64 {
        self.height - ROW / 2.0
    }

    /// The coordinates of a point of a line.
    pub(super) fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x.scale.share(x) * SIDE, self.y(y) / self.height * SIDE)
    }

    /// The plot around its marks.
    pub(super) fn around(&self, marks: &Markup) -> Markup {
        let (x_ticks, y_ticks) = (self.x.scale.ticks(self.x.ticks), self.y.scale.ticks(self.y.ticks));
        // Names share the width; numbers are short.
        let letters = match self.x.scale {
            Scale::Bands(_) => LETTERS / x_ticks.len().max(1),
            _ => text::LABEL,
        };
        html! {
            svg.plot role="img" aria-label=(self.described) width="100%" height=(self.height) {
                text.title x="-58" y="-12" { (self.y.title) }
                @for tick in &y_ticks {
                    line.grid x1="0" x2="100%" y1=(px(self.height_of(tick.at))) y2=(px(self.height_of(tick.at))) {}
                    text.y x="-8" y=(px(self.height_of(tick.at) + 4.0)) { (tick.label) }
                }
                @if let Some(row) = self.row {
                    line.axis x1="0" x2="100%" y1=(px(self.bottom())) y2=(px(self.bottom())) {}
                    text.y x="-8" y=(px(self.row() + 4.0)) { (row) }
                }
                line.axis x1="0" x2="100%" y1=(px(self.height)) y2=(px(self.height)) {}
                @for tick in &x_ticks {
                    line.axis x1=(Percent(tick.at)) x2=(Percent(tick.at)) y1=(px(self.height)) y2=(px(self.height + 5.0)) {}
                    text.x x=(Percent(tick.at)) y=(px(self.height + 18.0)) { (text::clean(&tick.label, letters)) }
                }
                text.title.x x="50%" y=(px(self.height + 36.0)) { (self.x.title) }
                (marks)
            }
        }
    }
}

/// Stretches what is inside, in coordinates of 0 to [`SIDE`], over the plot.
pub(super) fn stretched(inside: &Markup) -> Markup {
    html! {
        svg width="100%" height="100%" viewBox={ "0 0 " (SIDE) " " (SIDE) } preserveAspectRatio="none" { (inside) }
    }
}

/// A line through points.
pub(super) fn line(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in points {
        let _ = write!(path, "{}{} {}", if path.is_empty() { 'M' } else { 'L' }, px(x), px(y));
    }
    path
}

/// A line that holds each height until the next point.
pub(super) fn steps(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in points {
        let _ = match path.is_empty() {
            true => write!(path, "M{} {}", px(x), px(y)),
            false => write!(path, "H{}V{}", px(x), px(y)),
        };
    }
    path
}

/// A mark's kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mark {
    /// A dot.
    Dot,
    /// A triangle: constraints are violated.
    Triangle,
    /// A cross: failed.
    Cross,
    /// A diamond: pruned.
    Diamond,
    /// A ring: the best.
    Ring,
}

/// A mark at a place, in a colour that its class names, with a hover text.
pub(super) fn mark(mark: Mark, class: &str, (x, y): (Percent, f64), hover: &str) -> Markup {
    let y = px(y);
    match mark {
        Mark::Dot => html! { circle class=(class) cx=(x) cy=(y) r="3.2" { title { (hover) } } },
        Mark::Ring => html! { circle class=(class) cx=(x) cy=(y) r="7" { title { (hover) } } },
        Mark::Triangle => html! { use class=(class) href="#triangle" x=(x) y=(y) { title { (hover) } } },
        Mark::Cross => html! { use class=(class) href="#cross" x=(x) y=(y) { title { (hover) } } },
        Mark::Diamond => html! { use class=(class) href="#diamond" x=(x) y=(y) { title { (hover) } } },
    }
}

/// What marks are made of; once in a page.
pub(super) const SHAPES: PreEscaped<&str> = PreEscaped(concat!(
    r#"<svg width="0" height="0" aria-hidden="true" class="shapes"><defs>"#,
    r#"<path id="triangle" d="M0-4.5 4.3 3H-4.3z"/>"#,
    r#"<path id="cross" d="M-3.2-3.2 3.2 3.2M-3.2 3.2 3.2-3.2"/>"#,
    r#"<path id="diamond" d="M0-4.2 4.2 0 0 4.2-4.2 0z"/>"#,
    "</defs></svg>"
));

/// To a tenth, as far as anybody can see.
pub(super) fn px(number: f64) -> String {
    text::tidy(&format!("{number:.1}"))
}
