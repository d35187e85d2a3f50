//! What trials reported on their way.

use maud::{Markup, html};

use crate::report::page::caption;
use crate::report::plot::{Axis, MARGIN, Mark, Plot, line, stretched};
use crate::report::scale::Scale;
use crate::report::text;
use crate::report::view::View;
use crate::study::{State, Trial};

/// Trials that are drawn at most, and points of each line.
const MOST: usize = 80;
const POINTS: usize = 120;

pub(super) fn figure(view: &View<'_>) -> Option<Markup> {
    let reporting: Vec<&Trial> = view.study.trials().filter(|trial| !trial.reports.is_empty()).collect();
    let reports = || reporting.iter().flat_map(|trial| trial.reports.iter());
    let last = reports().map(|(step, _)| *step).max()?;
    let first = reports().map(|(step, _)| *step).min()?;
    let mut values: Vec<f64> = reports().map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = values.first().copied().zip(values.last().copied())?;
    let x = Scale::whole(first as f64, last as f64);
    let y = if low > 0.0 && low * 1e3 < high { Scale::Log { low, high } } else { Scale::linear(low, high) };
    let (drawn, thinned) = view.thinned(&reporting, MOST);
    let described =
        format!("Values that {} reported at steps {first} to {last}.", text::trials(reporting.len()));
    let title =
        if matches!(y, Scale::Log { .. }) { "reported value (logarithmic)" } else { "reported value" };
    let plot = Plot {
        x: Axis { title: "step", scale: &x, ticks: 6 },
        y: Axis { title, scale: &y, ticks: 5 },
        height: 260.0,
        margin: MARGIN,
        row: None,
        described: &described,
    };
    let path = |trial: &Trial| {
        let every = trial.reports.len().div_ceil(POINTS);
        let end = trial.reports.last();
        let points = trial.reports.iter().step_by(every).chain(end);
        let points: Vec<(f64, f64)> = points.map(|(step, value)| plot.place(*step as f64, *value)).collect();
        // A single report is a short dash, so that it can be seen.
        let alone = points.first().filter(|_| trial.reports.len() == 1).map(|(x, y)| (x + 10.0, *y));
        line(points.into_iter().chain(alone))
    };
    let class = |trial: &Trial| match trial.state {
        State::Pruned => "line thin pruned",
        State::Failed => "line thin failed",
        State::Complete | State::Running => "line thin complete",
    };
    let best = view.best.filter(|best| !best.reports.is_empty());
    let marks = stretched(&html! {
        @for trial in &drawn { path class=(class(trial)) d=(path(trial)) { title { (view.hover(trial)) } } }
        @if let Some(best) = best { path.line.best d=(path(best)) { title { (view.hover(best)) } } }
    });
    let there = |state: State| reporting.iter().any(|trial| trial.state == state);
    let key: Vec<_> = [
        (Mark::Dot, "line complete", "complete or running", there(State::Complete) || there(State::Running)),
        (Mark::Dot, "line pruned", "pruned (ended early)", there(State::Pruned)),
        (Mark::Dot, "line failed", "failed", there(State::Failed)),
        (Mark::Dot, "line best", "the best", best.is_some()),
    ]
    .into_iter()
    .filter_map(|(mark, class, label, there)| there.then_some((mark, class, label)))
    .collect();
    let how = "Each line is a trial on its way: lines that end early were given up, and that was right where they lie on the worse side \
               of the others.";
    Some(html! {
        figure {
            figcaption { (caption(how, &key, [thinned])) }
            (plot.around(&marks))
        }
    })
}
