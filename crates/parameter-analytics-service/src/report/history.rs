//! How values went from trial to trial.

use maud::{Markup, html};

use crate::report::page::caption;
use crate::report::plot::{Axis, MARGIN, Mark, Plot, mark, steps, stretched};
use crate::report::scale::Scale;
use crate::report::text;
use crate::report::view::{View, outcome, value};
use crate::study::{State, Trial};

/// Trials that are drawn at most, each with a hover text.
const MOST: usize = 1_000;
/// Settings in a hover text at most.
const SETTINGS: usize = 6;
/// Corners of the line of the best at most.
const CORNERS: usize = 2_000;

pub(super) fn figure(view: &View<'_>) -> Option<Markup> {
    let trials: Vec<&Trial> = view.study.trials().filter(|trial| trial.state != State::Running).collect();
    if trials.is_empty() {
        return None;
    }
    let (drawn, thinned) = view.thinned(&trials, MOST);
    let has = |wanted: &dyn Fn(&Trial) -> bool| trials.iter().any(|trial| wanted(trial));
    let x = Scale::whole(0.0, (view.study.trials().len().max(2) - 1) as f64);
    let improvements = view.improvements();
    let described = format!(
        "Values of {}, in the order in which they were started. {}",
        text::trials(trials.len()),
        improvements.last().map_or_else(
            || "None is complete and meets all constraints.".to_owned(),
            |best| format!(
                "The best, trial {}, has {}; it was the last of {} improvements.",
                best.id,
                outcome(best),
                improvements.len()
            )
        )
    );
    // Where nothing is complete, there are no values to write.
    let (title, values, height) = match view.complete.is_empty() {
        true => (String::new(), &Scale::Bands(Vec::new()), 40.0),
        false => (view.value_title(), &view.values.scale, 300.0),
    };
    let without = has(&|trial| trial.state != State::Complete);
    let plot = Plot {
        x: Axis { title: "trial", scale: &x, ticks: 6 },
        y: Axis { title: &title, scale: values, ticks: 6 },
        height,
        margin: MARGIN,
        row: without.then_some("none"),
        described: &described,
    };
    let end = view.study.trials().last().map_or(0, |trial| trial.id) as f64;
    let path = {
        let every = improvements.len().div_ceil(CORNERS).max(1);
        let corners = improvements.iter().step_by(every).map(|trial| (trial.id as f64, value(trial)));
        let last = improvements.last().map(|trial| (end, value(trial)));
        steps(corners.chain(last).map(|(x, y)| plot.place(x, y)))
    };
    let marks = html! {
        (stretched(&html! { path.line.best d=(path) {} }))
        @for trial in &drawn {
            @let (shape, class) = shape(trial);
            @let y = if trial.state == State::Complete { plot.y(value(trial)) } else { plot.row() };
            (mark(shape, class, (plot.x(trial.id as f64), y), &hover(view, trial)))
        }
        @if let Some(best) = view.best {
            (mark(Mark::Ring, "ring", (plot.x(best.id as f64), plot.y(value(best))), &hover(view, best)))
        }
    };
    let key: Vec<_> = [
        (
            Mark::Dot,
            "complete",
            "complete",
            has(&|trial| trial.state == State::Complete && trial.violation() <= 0.0),
        ),
        (Mark::Triangle, "violating", "violates a constraint", has(&|trial| trial.violation() > 0.0)),
        (Mark::Cross, "failed", "failed", has(&|trial| trial.state == State::Failed)),
        (Mark::Diamond, "pruned", "pruned (ended early)", has(&|trial| trial.state == State::Pruned)),
        (Mark::Dot, "line best", "best so far", improvements.len() > 1),
        (Mark::Ring, "ring", "the best", view.best.is_some()),
    ]
    .into_iter()
    .filter_map(|(mark, class, label, there)| there.then_some((mark, class, label)))
    .collect();
    let how = "Each mark is a trial, from the first on the left to the last on the right; where the green line still moves towards \
               better values, more trials are likely to pay.";
    Some(html! {
        figure {
            figcaption { (caption(how, &key, [thinned, view.beyond()])) }
            (plot.around(&marks))
        }
    })
}

/// A trial's mark and the class of its colour.
pub(super) fn shape(trial: &Trial) -> (Mark, &'static str) {
    match trial.state {
        State::Failed | State::Running => (Mark::Cross, "failed"),
        State::Pruned => (Mark::Diamond, "pruned"),
        State::Complete if trial.violation() > 0.0 => (Mark::Triangle, "violating"),
        State::Complete => (Mark::Dot, "complete"),
    }
}

fn hover(view: &View<'_>, trial: &Trial) -> String {
    let mut hover = view.hover(trial);
    let settings = view.study.space().parameters().iter().zip(trial.point.numbers());
    for (parameter, number) in settings.filter(|(_, number)| !number.is_nan()).take(SETTINGS) {
        let setting = text::of_point(&parameter.domain, *number, text::LABEL);
        hover.push_str(&format!("\n{} = {setting}", text::clean(&parameter.name, text::LABEL)));
    }
    hover
}
