//! When trials ran.

use maud::{Markup, html};

use crate::report::page::caption;
use crate::report::plot::{Axis, Mark, Percent, Plot, px};
use crate::report::scale::Scale;
use crate::report::text;
use crate::report::view::View;
use crate::study::{State, Trial};

/// Trials that are drawn at most: a bar each.
const MOST: usize = 300;
/// In px: the picture grows with the trials up to this.
const TALLEST: f64 = 360.0;
/// In px: what a bar and the gap below it take where there is room.
const BAR: f64 = 12.0;

pub(super) fn figure(view: &View<'_>) -> Option<Markup> {
    let trials: Vec<&Trial> = view.study.trials().collect();
    let end = |trial: &Trial| match trial.state {
        State::Running => view.now_ms.max(trial.started_at),
        _ => trial.ended_at.unwrap_or(trial.seen_at).max(trial.started_at),
    };
    let start = trials.iter().map(|trial| trial.started_at).min()?;
    let finish = trials.iter().map(|trial| end(trial)).max()?;
    if finish <= start {
        return None;
    }
    let whole = (finish - start) as f64;
    let (one, unit) = text::unit(whole);
    let x = Scale::linear(0.0, whole / one);
    let last = trials.len().max(2) - 1;
    let y = Scale::Linear { low: -0.5, high: last as f64 + 0.5, whole: true };
    let (drawn, thinned) = view.thinned(&trials, MOST);
    let across = format!("{unit} since {}", text::time(start));
    let described = format!("When {} ran, within {}.", text::trials(trials.len()), text::duration(whole));
    let height = (BAR * trials.len() as f64).clamp(60.0, TALLEST);
    let plot = Plot {
        x: Axis { title: &across, scale: &x, ticks: 5 },
        y: Axis { title: "trial", scale: &y, ticks: 5 },
        height,
        margin: 0.0,
        row: None,
        described: &described,
    };
    let tall = (height / trials.len() as f64 * 0.8).clamp(1.5, BAR);
    let bar = |trial: &Trial| {
        let share = |at: u64| Percent((at - start) as f64 / whole);
        let (from, until) = (share(trial.started_at), share(end(trial)));
        let class = match trial.state {
            State::Complete => "bar complete",
            State::Failed => "bar failed",
            State::Pruned => "bar pruned",
            State::Running => "bar running",
        };
        let took = text::duration((end(trial) - trial.started_at) as f64);
        // A bar that is too short to be seen is two thousandths wide.
        let wide = Percent((until.0 - from.0).max(0.002));
        html! {
            rect class=(class) x=(from) width=(wide) y=(px(plot.y(trial.id as f64) - tall / 2.0)) height=(px(tall)) {
                title { (view.hover(trial)) "\n" (trial.state) ", " (took) }
            }
        }
    };
    let there = |state: State| trials.iter().any(|trial| trial.state == state);
    let key: Vec<_> = [
        (Mark::Dot, "bar complete", "complete", there(State::Complete)),
        (Mark::Dot, "bar failed", "failed", there(State::Failed)),
        (Mark::Dot, "bar pruned", "pruned", there(State::Pruned)),
        (Mark::Dot, "bar running", "running", there(State::Running)),
    ]
    .into_iter()
    .filter_map(|(mark, class, label, there)| there.then_some((mark, class, label)))
    .collect();
    let how = "Each bar is a trial, from when it was asked for to when it ended: bars above each other ran at the same time, and gaps are \
               time in which nothing was tried.";
    Some(html! {
        figure {
            figcaption { (caption(how, &key, [thinned])) }
            (plot.around(&html! { @for trial in &drawn { (bar(trial)) } }))
        }
    })
}
