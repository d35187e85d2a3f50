//! What a study is.

use maud::{Markup, html};

use crate::report::page::scrolling;
use crate::report::text::{self, clean, number};
use crate::report::view::{View, is_maximised, outcome};
use crate::space::{Domain, Parameter};
use crate::study::{PrunerKind, State};

/// Parameters and choices that are listed at most.
const PARAMETERS: usize = 200;
const CHOICES: usize = 24;

fn count(view: &View<'_>, state: State) -> usize {
    view.study.trials().filter(|trial| trial.state == state).count()
}

/// A sentence and the most important numbers.
pub(super) fn summary(view: &View<'_>) -> Markup {
    let trials = view.study.trials().len();
    let (complete, failed) = (count(view, State::Complete), count(view, State::Failed));
    let (pruned, running) = (count(view, State::Pruned), count(view, State::Running));
    let violating = view.complete.iter().filter(|trial| trial.violation() > 0.0).count();
    let aim = if is_maximised(view.study) { "largest" } else { "smallest" };
    let lead = match view.best {
        Some(best) => format!(
            "The {aim} value of {} is {}, found by trial {}{}.",
            text::trials(trials),
            outcome(best),
            best.id,
            if violating > 0 { ", among those that meet all constraints" } else { "" }
        ),
        None if trials == 0 => "Nothing has been tried yet.".to_owned(),
        None if complete == 0 => {
            format!("None of {} is complete yet, so that there is no value to show.", text::trials(trials))
        }
        None => "No complete trial meets all constraints.".to_owned(),
    };
    let optional = [(violating, "violating"), (failed, "failed"), (pruned, "pruned"), (running, "running")];
    html! {
        p.lead { (lead) }
        ul.tiles {
            @if let Some(best) = view.best {
                li { b { (outcome(best)) } span { "best value" } }
                li { b { (best.id) } span { "best trial" } }
            }
            li { b { (text::count(trials)) } span { "trials" } }
            li { b { (text::count(complete)) } span { "complete" } }
            @for (count, label) in optional.iter().filter(|(count, _)| *count > 0) {
                li { b { (text::count(*count)) } span { (label) } }
            }
        }
    }
}

/// How it was made.
pub(super) fn list(view: &View<'_>) -> Markup {
    let options = view.study.options();
    let sampler = view.study.sampler();
    let kind = format!("{:?}", sampler.sampler).to_lowercase();
    let pruner = match options.pruner {
        PrunerKind::None => "none",
        PrunerKind::Median => "median: ends trials that are worse than half of the others were",
        PrunerKind::SuccessiveHalving => "successive halving: goes on with the best quarter",
    };
    let constraints: Vec<String> = options.constraints.iter().map(|name| clean(name, text::LINE)).collect();
    let started = view.study.trials().next().map(|trial| trial.started_at);
    html! {
        dl {
            dt { "Name" } dd { bdi { (clean(&options.name, text::LINE)) } }
            dt { "Aim" } dd { (if is_maximised(view.study) { "maximise" } else { "minimise" }) }
            dt { "Sampler" } dd { (kind) ": " (sampler.reason) }
            dt { "Seed" } dd { (options.seed) }
            dt { "Pruner" } dd { (pruner) }
            @if !constraints.is_empty() { dt { "Constraints" } dd { bdi { (constraints.join(", ")) } " (met up to 0)" } }
            @if let Some(started) = started { dt { "First trial" } dd { (text::time(started)) } }
            dt { "Trials" }
            dd {
                @for (place, state) in [State::Complete, State::Running, State::Failed, State::Pruned].into_iter().enumerate() {
                    @if place > 0 { ", " }
                    (text::count(count(view, state))) " " (state)
                }
            }
        }
        (space(view))
    }
}

fn space(view: &View<'_>) -> Markup {
    let parameters = view.study.space().parameters();
    html! {
        @if parameters.len() > PARAMETERS { p.note { "The first " (PARAMETERS) " of " (parameters.len()) " parameters are listed." } }
        (scrolling("Parameters", &html! {
            table.full {
                thead { tr { th scope="col" { "Parameter" } th scope="col" { "Values" } th scope="col" { "Active" } } }
                tbody {
                    @for parameter in parameters.iter().take(PARAMETERS) {
                        tr {
                            th scope="row" { bdi { (clean(&parameter.name, text::LINE)) } }
                            td { bdi { (values(&parameter.domain)) } }
                            td { bdi { (when(parameter)) } }
                        }
                    }
                }
            }
        }))
    }
}

fn values(domain: &Domain) -> String {
    let with = |log: bool| if log { ", logarithmic" } else { "" };
    match domain {
        Domain::Float { low, high, log, step } => {
            let step = step.map(|step| format!(" in steps of {}", number(step))).unwrap_or_default();
            format!("{} to {}{step}{}", number(*low), number(*high), with(*log))
        }
        Domain::Int { low, high, log, step } => {
            let steps = if *step == 1 { String::new() } else { format!(" in steps of {step}") };
            format!("whole numbers, {low} to {high}{steps}{}", with(*log))
        }
        Domain::Categorical { choices } => {
            let retired = |retired: bool| if retired { " (retired)" } else { "" };
            let named = choices
                .iter()
                .take(CHOICES)
                .map(|choice| format!("{}{}", text::setting(&choice.value, 40), retired(choice.retired)));
            let more = choices.len().saturating_sub(CHOICES);
            let more = (more > 0).then(|| format!("{more} more"));
            named.chain(more).collect::<Vec<_>>().join(", ")
        }
    }
}

fn when(parameter: &Parameter) -> String {
    let needs = parameter
        .when
        .iter()
        .map(|(name, value)| format!("{} = {}", clean(name, 40), text::setting(value, 40)));
    let needs: Vec<String> = needs.collect();
    if needs.is_empty() { "always".to_owned() } else { format!("where {}", needs.join(" and ")) }
}
