//! How values are spread: the empirical distribution function.

use maud::{Markup, html};

use crate::report::page::caption;
use crate::report::plot::{Axis, MARGIN, Plot, steps, stretched};
use crate::report::scale::Scale;
use crate::report::text;
use crate::report::view::{View, value};

/// Steps of the curve at most; more could not be seen.
const MOST: usize = 400;

pub(super) fn figure(view: &View<'_>) -> Option<Markup> {
    let count = view.complete.len();
    if count < 2 {
        return None;
    }
    let mut values: Vec<f64> = view.complete.iter().map(|trial| value(trial)).collect();
    values.sort_by(f64::total_cmp);
    let shares = Scale::linear(0.0, 100.0);
    let median = values.get(count / 2).copied().unwrap_or_default();
    let title = view.value_title();
    let described = format!(
        "Shares of values. Half of {} are at {} or below.",
        text::trials(count),
        text::number(median)
    );
    let plot = Plot {
        x: Axis { title: &title, scale: &view.values.scale, ticks: 5 },
        y: Axis { title: "trials at or below, %", scale: &shares, ticks: 4 },
        height: 200.0,
        margin: MARGIN,
        row: None,
        described: &described,
    };
    let every = count.div_ceil(MOST);
    let last = values.last().map(|value| (*value, 100.0));
    let corners = values
        .iter()
        .zip(1..)
        .map(|(value, below)| (*value, 100.0 * f64::from(below) / count as f64))
        .step_by(every)
        .chain(last);
    let first = values.first().map(|value| (*value, 0.0));
    let path = steps(first.into_iter().chain(corners).map(|(x, y)| plot.place(x, y)));
    let how = "The curve says which share of all complete trials has at most a value: it is steep where values are common.";
    Some(html! {
        figure {
            figcaption { (caption(how, &[], [view.beyond()])) }
            (plot.around(&stretched(&html! { path.line.complete d=(path) {} })))
        }
    })
}
