//! The value that a Gaussian process expects over two parameters.
//!
//! Areas are found by cutting the cells of a grid at each level (Lorensen and Cline's marching squares, with straight edges). The crates
//! for it (`contour`, `contour-isobands`) bring geographic types along for what are forty lines here.

use std::fmt::Write;

use maud::{Markup, html};

use crate::report::page::caption;
use crate::report::plot::{Axis, Mark, Plot, SIDE, mark, px, stretched};
use crate::report::scale::Scale;
use crate::report::slice::axis_title;
use crate::report::surface::Surface;
use crate::report::text;
use crate::report::view::{View, is_maximised, value};
use crate::space::{Domain, Parameter};
use crate::study::Trial;

/// The most important numeric parameters are paired; four make six pictures.
const PARAMETERS: usize = 4;
/// Points of the grid across and down.
const GRID: usize = 29;
/// Areas of different colour, each with the same share of all pictures.
const BANDS: usize = 8;
/// Trials that are drawn in each picture at most.
const MOST: usize = 150;

/// What is expected at each point of a grid, row by row from the bottom.
struct Field<'a> {
    across: (usize, &'a Parameter),
    up: (usize, &'a Parameter),
    expected: Vec<f64>,
}

pub(super) fn figure(view: &View<'_>) -> Option<Markup> {
    // The other parameters are held where the best trial has them; without one that meets all constraints, where the nearest to it has them.
    let held = view.ranked.first()?;
    let numbers = held.point.numbers();
    let is_numeric = |(place, parameter): &(usize, &Parameter)| {
        let active = numbers.get(*place).is_some_and(|number| !number.is_nan());
        active
            && !parameter.domain.is_categorical()
            && parameter.domain.levels().is_none_or(|levels| levels > 2.0)
    };
    let mut parameters = view.foremost(usize::MAX);
    parameters.retain(is_numeric);
    let share = |place: usize| view.importance.get(place).map_or(0.0, |(_, share)| *share);
    parameters.sort_by(|a, b| share(b.0).total_cmp(&share(a.0)));
    parameters.truncate(PARAMETERS);
    if parameters.len() < 2 {
        return None;
    }
    let surface = Surface::of(view)?;
    let base = view.study.space().encode(&held.point);
    let fields: Vec<Field<'_>> = parameters
        .iter()
        .enumerate()
        .flat_map(|(place, &across)| parameters.iter().skip(place + 1).map(move |&up| (across, up)))
        .map(|(across, up)| Field { across, up, expected: surface.expected(&grid(&base, across.0, up.0)) })
        .collect();
    let levels = levels(view, &fields)?;
    let (drawn, thinned) = view.thinned(&view.complete, MOST);
    let how = format!(
        "Colour is the value that a Gaussian process, fitted to {}, expects over two parameters, with all others as in trial {}: dark is good. \
         Far from the black dots, which are trials, it is a guess.",
        text::trials(surface.trials),
        held.id
    );
    let mut key = vec![(Mark::Dot, "seen", "a trial")];
    key.extend(view.best.map(|_| (Mark::Ring, "ring", "the best")));
    Some(html! {
        figcaption { (caption(&how, &key, [thinned])) }
        (legend(&levels, is_maximised(view.study)))
        div.grid.contours {
            @for field in &fields { (one(view, field, &levels, &drawn)) }
        }
    })
}

/// Coordinates over two of the parameters, row by row.
fn grid(base: &[f64], across: usize, up: usize) -> Vec<Vec<f64>> {
    let share = |step: usize| step as f64 / (GRID - 1) as f64;
    let at = |(row, column): (usize, usize)| {
        let moved = |(place, coordinate): (usize, &f64)| match place {
            _ if place == across => share(column),
            _ if place == up => share(row),
            _ => *coordinate,
        };
        base.iter().enumerate().map(moved).collect()
    };
    (0..GRID).flat_map(|row| (0..GRID).map(move |column| (row, column))).map(at).collect()
}

/// Where one colour ends and the next, better one begins: the same share of all points has each. `None` where all is alike.
fn levels(view: &View<'_>, fields: &[Field<'_>]) -> Option<Vec<f64>> {
    let mut all: Vec<f64> = fields.iter().flat_map(|field| field.expected.iter().copied()).collect();
    all.sort_by(f64::total_cmp);
    if !is_maximised(view.study) {
        all.reverse();
    }
    let levels = (1..BANDS).filter_map(|band| all.get(band * all.len() / BANDS).copied());
    let levels: Vec<f64> = levels.collect();
    let differs = levels.first().zip(levels.last()).is_some_and(|(first, last)| first != last);
    differs.then_some(levels)
}

fn legend(levels: &[f64], maximised: bool) -> Markup {
    let (better, worse) = if maximised { ("≥", "<") } else { ("≤", ">") };
    let least = levels.first().map(|level| format!("{worse} {}", text::number(*level)));
    let labels =
        least.into_iter().chain(levels.iter().map(|level| format!("{better} {}", text::number(*level))));
    html! {
        ul.bands aria-label="Values of the colours" {
            @for (band, label) in labels.enumerate() { li { i class={ "b" (band) } {} (label) } }
        }
    }
}

fn one(view: &View<'_>, field: &Field<'_>, levels: &[f64], drawn: &[&Trial]) -> Markup {
    let ((across, x), (up, y)) = (field.across, field.up);
    let (x_scale, y_scale) = (Scale::of(&x.domain), Scale::of(&y.domain));
    let [x_name, y_name] = [x, y].map(|parameter| text::clean(&parameter.name, text::LABEL));
    let described = format!("Expected value over {x_name} (across) and {y_name} (up).");
    let [x_title, y_title] =
        [(&x_name, &x.domain), (&y_name, &y.domain)].map(|(name, domain)| titled(name, domain));
    let plot = Plot {
        x: Axis { title: &x_title, scale: &x_scale, ticks: 4 },
        y: Axis { title: &y_title, scale: &y_scale, ticks: 4 },
        height: 240.0,
        margin: 0.0,
        row: None,
        described: &described,
    };
    let place = |trial: &Trial| {
        let number =
            |place: usize| trial.point.numbers().get(place).copied().filter(|number| !number.is_nan());
        Some((plot.x(number(across)?), plot.y(number(up)?)))
    };
    let sign = if is_maximised(view.study) { -1.0 } else { 1.0 };
    let marks = html! {
        (stretched(&html! {
            rect.b0 width=(SIDE) height=(SIDE) {}
            @for (band, level) in levels.iter().enumerate() {
                path class={ "b" (band + 1) } d=(area(&field.expected, *level, sign)) {}
            }
        }))
        @for trial in drawn {
            @if let Some(at) = place(trial) {
                circle.seen cx=(at.0) cy=(px(at.1)) r="2.6" { title { "trial " (trial.id) ": " (text::number(value(trial))) } }
            }
        }
        @if let Some((best, at)) = view.best.and_then(|best| Some((best, place(best)?))) {
            (mark(Mark::Ring, "halo", at, ""))
            (mark(Mark::Ring, "seen ring", at, &view.hover(best)))
        }
    };
    html! { figure { (plot.around(&marks)) } }
}

fn titled(name: &str, domain: &Domain) -> String {
    match axis_title(domain) {
        "" => name.to_owned(),
        title => format!("{name} ({title})"),
    }
}

/// The path around all that is at least as good as a level; whole cells of a row are one rectangle.
fn area(expected: &[f64], level: f64, sign: f64) -> String {
    let cell = SIDE / (GRID - 1) as f64;
    let mut path = String::new();
    for row in 0..GRID - 1 {
        let mut whole: Option<usize> = None;
        for column in 0..GRID {
            let corners = [(0, 0), (1, 0), (1, 1), (0, 1)].map(|(right, up)| {
                let value = expected.get((row + up) * GRID + column + right).copied().unwrap_or(f64::NAN);
                // Halves, since a difference of two can be infinite.
                ((column + right) as f64, (row + up) as f64, sign * (level / 2.0 - value / 2.0))
            });
            let is_whole = column + 1 < GRID && corners.iter().all(|(_, _, better)| *better >= 0.0);
            match (whole, is_whole) {
                (None, true) => whole = Some(column),
                (Some(from), false) => {
                    let (left, right) = (from as f64 * cell, column as f64 * cell);
                    let (bottom, top) = (SIDE - row as f64 * cell, SIDE - (row + 1) as f64 * cell);
                    let _ =
                        write!(path, "M{} {}H{}V{}H{}z", px(left), px(bottom), px(right), px(top), px(left));
                    whole = None;
                }
                _ => {}
            }
            if column + 1 < GRID && !is_whole {
                polygon(&mut path, &cut(&corners), cell);
            }
        }
    }
    path
}

/// The part of a cell's outline where the third number is not below 0.
fn cut(corners: &[(f64, f64, f64); 4]) -> Vec<(f64, f64)> {
    let mut kept = Vec::new();
    for (from, to) in corners.iter().zip(corners.iter().cycle().skip(1)) {
        if from.2 >= 0.0 {
            kept.push((from.0, from.1));
        }
        if (from.2 >= 0.0) != (to.2 >= 0.0) {
            let share = from.2 / (from.2 - to.2);
            kept.push((from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share));
        }
    }
    kept
}

fn polygon(path: &mut String, corners: &[(f64, f64)], cell: f64) {
    for (place, (x, y)) in corners.iter().enumerate() {
        let _ =
            write!(path, "{}{} {}", if place == 0 { 'M' } else { 'L' }, px(x * cell), px(SIDE - y * cell));
    }
    if !corners.is_empty() {
        path.push('z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The area of a path, in parts of the whole: the shoelace formula over its corners.
    fn size(path: &str) -> f64 {
        let outline = |outline: &str| {
            let (mut at, mut corners) = ((0.0, 0.0), Vec::new());
            let mut rest = outline;
            while let Some(letter) = rest.chars().next() {
                let end = rest[1..].find(char::is_alphabetic).map_or(rest.len(), |end| end + 1);
                let numbers: Vec<f64> =
                    rest[1..end].split(' ').filter_map(|number| number.parse().ok()).collect();
                at = match letter {
                    'H' => (numbers[0], at.1),
                    'V' => (at.0, numbers[0]),
                    _ => (numbers[0], numbers[1]),
                };
                corners.push(at);
                rest = &rest[end..];
            }
            let pairs = corners.iter().zip(corners.iter().cycle().skip(1));
            pairs.map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum::<f64>().abs() / 2.0 / SIDE / SIDE
        };
        path.split('z').filter(|text| !text.is_empty()).map(outline).sum()
    }

    #[test]
    fn areas_are_as_large_as_what_they_show() {
        let field = |of: fn(f64, f64) -> f64| -> Vec<f64> {
            let share = |step: usize| step as f64 / (GRID - 1) as f64;
            (0..GRID * GRID).map(|place| of(share(place % GRID), share(place / GRID))).collect()
        };
        let (plane, cone) = (field(|x, _| x), field(|x, y| (x - 0.5).hypot(y - 0.5)));
        for level in [0.1, 0.33, 0.5, 0.98] {
            assert!((size(&area(&plane, level, -1.0)) - (1.0 - level)).abs() < 1e-3);
            assert!((size(&area(&plane, level, 1.0)) - level).abs() < 1e-3);
        }
        assert!((size(&area(&cone, 0.4, 1.0)) - std::f64::consts::PI * 0.16).abs() < 3e-3);
        assert!(area(&plane, 2.0, -1.0).is_empty() && (size(&area(&plane, -2.0, -1.0)) - 1.0).abs() < 1e-3);
    }
}
