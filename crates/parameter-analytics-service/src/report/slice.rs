//! Values over each parameter.

use maud::{Markup, html};

use crate::report::page::caption;
use crate::report::plot::{Axis, MARGIN, Mark, Percent, Plot, mark};
use crate::report::scale::Scale;
use crate::report::text;
use crate::report::view::{View, value};
use crate::space::{Domain, Parameter};
use crate::stream::mixed;
use crate::study::Trial;

/// Trials that are drawn over each parameter at most, and how many parameters: together some hundred bytes for each.
const MOST: usize = 300;
const PARAMETERS: usize = 12;
/// Shades from the first trial to the last.
pub(super) const SHADES: [&str; 5] = ["o0", "o1", "o2", "o3", "o4"];

pub(super) fn figure(view: &View<'_>) -> Option<Markup> {
    if view.complete.is_empty() {
        return None;
    }
    let parameters = view.foremost(PARAMETERS);
    let (drawn, thinned) = view.thinned(&view.complete, MOST);
    let violating = view.complete.iter().any(|trial| trial.violation() > 0.0);
    let mut key = vec![(Mark::Dot, "o0", "an early trial"), (Mark::Dot, "o4", "a late trial")];
    key.extend(violating.then_some((Mark::Triangle, "violating", "violates a constraint")));
    key.extend(view.best.map(|_| (Mark::Ring, "ring", "the best")));
    let how = "Each picture shows the value of every trial over one parameter: where good values gather is where this parameter does \
               well, and late (dark or bright) marks show where the search went.";
    Some(html! {
        figcaption { (caption(how, &key, [view.left_out(parameters.len()), thinned, view.beyond()])) }
        div.grid {
            @for (place, parameter) in &parameters { (one(view, *place, parameter, &drawn)) }
        }
    })
}

fn one(view: &View<'_>, place: usize, parameter: &Parameter, drawn: &[&Trial]) -> Markup {
    let scale = Scale::of(&parameter.domain);
    let name = text::clean(&parameter.name, 2 * text::LABEL);
    let best = view.best.and_then(|best| best.point.numbers().get(place).copied());
    let described = match best.filter(|number| !number.is_nan()) {
        Some(number) => format!(
            "Values over {name}. The best trial has {name} = {}.",
            text::of_point(&parameter.domain, number, text::LINE)
        ),
        None => format!("Values over {name}."),
    };
    let plot = Plot {
        x: Axis { title: axis_title(&parameter.domain), scale: &scale, ticks: 4 },
        y: Axis { title: "", scale: &view.values.scale, ticks: 4 },
        height: 170.0,
        margin: MARGIN,
        row: None,
        described: &described,
    };
    let at = |trial: &Trial| {
        let number = trial.point.numbers().get(place).copied().unwrap_or(f64::NAN);
        let share = scale.share(number) + apart(&scale, trial.id);
        (!number.is_nan()).then(|| (Percent(share), plot.y(value(trial))))
    };
    let count = view.study.trials().len().max(1) as f64;
    let marks = html! {
        @for trial in drawn {
            @if let Some(at) = at(trial) {
                @let shade = SHADES.get((trial.id as f64 / count * SHADES.len() as f64) as usize).copied().unwrap_or("o4");
                @let (shape, class) = if trial.violation() > 0.0 { (Mark::Triangle, "violating") } else { (Mark::Dot, shade) };
                (mark(shape, class, at, &hover(view, trial, parameter, place)))
            }
        }
        @if let Some((best, at)) = view.best.and_then(|best| Some((best, at(best)?))) {
            (mark(Mark::Ring, "ring", at, &hover(view, best, parameter, place)))
        }
    };
    html! {
        figure {
            h3 { bdi { (name) } }
            (plot.around(&marks))
        }
    }
}

fn hover(view: &View<'_>, trial: &Trial, parameter: &Parameter, place: usize) -> String {
    let number = trial.point.numbers().get(place).copied().unwrap_or(f64::NAN);
    format!("{}\n{}", view.hover(trial), text::of_point(&parameter.domain, number, text::LABEL))
}

/// Trials with the same choice beside each other, always at the same place.
fn apart(scale: &Scale, trial: u64) -> f64 {
    match scale {
        Scale::Bands(names) => {
            ((mixed(trial) >> 11) as f64 * 0.5f64.powi(53) - 0.5) * 0.5 / names.len().max(1) as f64
        }
        _ => 0.0,
    }
}

/// What an axis says beside its parameter's name.
pub(super) fn axis_title(domain: &Domain) -> &'static str {
    match domain {
        Domain::Float { log: true, .. } | Domain::Int { log: true, .. } => "logarithmic",
        _ => "",
    }
}
