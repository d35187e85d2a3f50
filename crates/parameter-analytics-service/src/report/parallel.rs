//! Whole trials, a line for each.

use maud::{Markup, html};

use crate::report::page::{caption, scrolling};
use crate::report::plot::{Mark, Percent, SIDE, line, px, stretched};
use crate::report::scale::Scale;
use crate::report::text;
use crate::report::view::{View, value};
use crate::study::Trial;

/// Trials that are drawn at most; more lines are a tangle.
const MOST: usize = 250;
/// Parameters at most, by importance.
const PARAMETERS: usize = 10;
/// In px: the picture, and what an axis takes across at least.
const HEIGHT: f64 = 250.0;
const ACROSS: usize = 96;
/// Letters for which there is room between two axes.
const LETTERS: usize = 13;
/// In px: the row for parameters that are not active.
const ROW: f64 = 24.0;
/// Where a class of line begins, in parts of the trials from the best: dark ones are good.
const CLASSES: [(f64, &str); 4] = [(0.1, "line p3"), (0.25, "line p2"), (0.5, "line p1"), (1.0, "line p0")];

pub(super) fn figure(view: &View<'_>) -> Option<Markup> {
    if view.complete.len() < 2 {
        return None;
    }
    let parameters = view.foremost(PARAMETERS);
    let (drawn, thinned) = view.thinned(&view.ranked, MOST);
    let scales: Vec<Scale> = parameters.iter().map(|(_, parameter)| Scale::of(&parameter.domain)).collect();
    let conditional = parameters.iter().any(|(_, parameter)| !parameter.when.is_empty());
    let bottom = HEIGHT - if conditional { ROW } else { 0.0 };
    let last = scales.len() as f64;
    let across = |axis: usize| axis as f64 / last;
    let line_of = |trial: &Trial| {
        let value = (0.0, bottom * (1.0 - view.values.scale.share(value(trial))));
        let settings = parameters.iter().zip(&scales).enumerate().map(|(axis, ((place, _), scale))| {
            let number = trial.point.numbers().get(*place).copied().unwrap_or(f64::NAN);
            let y = if number.is_nan() { HEIGHT - ROW / 3.0 } else { bottom * (1.0 - scale.share(number)) };
            (across(axis + 1), y)
        });
        line(std::iter::once(value).chain(settings).map(|(x, y)| (x * SIDE, y / HEIGHT * SIDE)))
    };
    let rank = |trial: &Trial| {
        let place = view.ranked.partition_point(|other| view.study.order(other, trial).is_lt());
        place as f64 / view.ranked.len() as f64
    };
    let class = |trial: &Trial| {
        CLASSES.iter().find(|(until, _)| rank(trial) < *until).map_or("line p0", |(_, class)| *class)
    };
    let names = parameters.iter().map(|(_, parameter)| text::clean(&parameter.name, LETTERS));
    let axes: Vec<(String, &Scale)> =
        std::iter::once(("value".to_owned(), &view.values.scale)).chain(names.zip(&scales)).collect();
    let described = format!(
        "A line for each of {}, over {} axes: the value and the parameters.",
        text::trials(drawn.len()),
        axes.len()
    );
    let how = "Each line is a trial: it starts at its value on the left and crosses every axis where the parameter was set; where the \
               dark (or bright) lines run together, good trials agree.";
    let mut key = vec![
        (Mark::Dot, "line p3", "the best tenth"),
        (Mark::Dot, "line p2", "the best quarter"),
        (Mark::Dot, "line p1", "the better half"),
        (Mark::Dot, "line p0", "the others"),
    ];
    key.extend(view.best.map(|_| (Mark::Dot, "line best", "the best")));
    let picture = html! {
        svg.plot.parallel role="img" aria-label=(described) width="100%" height=(HEIGHT) {
            (stretched(&html! {
                // The best last, above the others.
                @for trial in drawn.iter().rev() {
                    path class=(class(trial)) d=(line_of(trial)) { title { (view.hover(trial)) } }
                }
                @if let Some(best) = view.best {
                    path.line.best d=(line_of(best)) { title { (view.hover(best)) } }
                }
            }))
            @for (axis, (name, scale)) in axes.iter().enumerate() {
                @let x = Percent(across(axis));
                line.axis x1=(x) x2=(x) y1="0" y2=(px(bottom)) {}
                text.title.x x=(x) y=(px(HEIGHT + 20.0)) { (name) }
                @for tick in scale.ticks(4) {
                    text.tick x=(x) dx="5" y=(px(bottom * (1.0 - tick.at) + 4.0)) { (text::clean(&tick.label, LETTERS)) }
                }
            }
            @if conditional {
                text.y x="-8" y=(px(HEIGHT - ROW / 3.0 + 4.0)) { "off" }
            }
        }
    };
    let off = conditional
        .then(|| "A parameter that is not active in a trial is crossed below its axis (off).".to_owned());
    Some(html! {
        figure {
            figcaption { (caption(how, &key, [view.left_out(parameters.len()), off, thinned, view.beyond()])) }
            (scrolling("Parallel coordinates", &html! {
                div style={ "min-width:" (axes.len() * ACROSS) "px" } { (picture) }
            }))
        }
    })
}
