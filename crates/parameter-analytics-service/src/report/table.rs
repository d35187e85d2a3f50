//! The best trials in numbers.

use maud::{Markup, html};

use crate::report::page::scrolling;
use crate::report::text;
use crate::report::view::{View, outcome};
use crate::study::Trial;

/// Rows, and columns of parameters by importance.
const ROWS: usize = 10;
const PARAMETERS: usize = 12;

pub(super) fn figure(view: &View<'_>) -> Option<Markup> {
    if view.ranked.is_empty() {
        return None;
    }
    let parameters = view.foremost(PARAMETERS);
    let constraints = &view.study.options().constraints;
    let violated = |trial: &Trial| {
        let names = constraints.iter().zip(&trial.constraint_values).filter(|(_, value)| **value > 0.0);
        let names: Vec<String> = names
            .map(|(name, value)| format!("{} by {}", text::clean(name, text::LABEL), text::number(*value)))
            .collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let rows = view.ranked.iter().take(ROWS);
    let how = "The best complete trials, the best first; trials that violate constraints come after those that do not.";
    Some(html! {
        p.how { (how) }
        @if let Some(note) = view.left_out(parameters.len()) { p.note { (note) } }
        (scrolling("Best trials", &html! {
            table {
                thead {
                    tr {
                        th.number scope="col" { "Trial" }
                        th.number scope="col" { "Value" }
                        @if !constraints.is_empty() { th scope="col" { "Violates" } }
                        @for (_, parameter) in &parameters {
                            th.number scope="col" { bdi title=(text::clean(&parameter.name, text::LINE)) { (text::clean(&parameter.name, text::LABEL)) } }
                        }
                    }
                }
                tbody {
                    @for (place, trial) in rows.enumerate() {
                        tr.first[place == 0] {
                            th.number scope="row" { (trial.id) }
                            td.number { (outcome(trial)) }
                            @if !constraints.is_empty() { td { bdi { (violated(trial)) } } }
                            @for (place, parameter) in &parameters {
                                @let number = trial.point.numbers().get(*place).copied().unwrap_or(f64::NAN);
                                td.number { bdi { (text::of_point(&parameter.domain, number, 2 * text::LABEL)) } }
                            }
                        }
                    }
                }
            }
        }))
    })
}
