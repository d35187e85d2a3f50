//! A study of Optuna's as one of ours.

use std::collections::BTreeSet;
use std::sync::Arc;

use optuna_import::{Distribution, Setting, State as Theirs, Study, Trial, Value as TheirValue};
use runtime::parameter_analytics_service::StudyDocument;
use runtime::parameter_analytics_service::space::{Choice, Domain, Ordered, Parameter, Space, Value};
use runtime::parameter_analytics_service::study::{Direction, State, StudyOptions, TrialDocument};

use crate::failure::Failure;

/// What was taken over, and what was not.
pub(super) struct Converted {
    pub(super) document: StudyDocument,
    /// Trials that had not ended.
    pub(super) unfinished: usize,
    /// Complete trials with an infinite value: they come as failed.
    pub(super) infinite: usize,
}

/// Converts a study.
pub(super) fn converted(study: &Study) -> Result<Converted, Failure> {
    let [direction] = study.directions[..] else {
        let message = format!(
            "the study `{}` has {} objectives, and one can be taken over",
            study.name,
            study.directions.len()
        );
        return Err(Failure::new("UAT_UNSUPPORTED", message));
    };
    let ended = |trial: &&Trial| matches!(trial.state, Theirs::Complete | Theirs::Pruned | Theirs::Failed);
    let trials: Vec<&Trial> = study.trials.iter().filter(ended).collect();
    let space = space(&trials)?;
    let constraints: Vec<Arc<str>> =
        names(&trials, |trial| trial.constraints.iter().map(|(name, _)| &**name));
    let mut infinite = 0;
    let mut documents = Vec::new();
    for (id, trial) in (0..).zip(&trials) {
        let constraint_values: Vec<f64> =
            constraints.iter().filter_map(|name| constraint(trial, name)).collect();
        let is_whole = trial.values.iter().chain(&constraint_values).all(|value| value.is_finite())
            && constraint_values.len() == constraints.len();
        let state = match trial.state {
            Theirs::Complete if is_whole => State::Complete,
            Theirs::Pruned => State::Pruned,
            Theirs::Complete => {
                infinite += 1;
                State::Failed
            }
            _ => State::Failed,
        };
        let setting = |setting: &Setting| Some((Arc::from(&*setting.name), value(&setting.value)?));
        let at = |time: Option<i64>| time.and_then(|ms| u64::try_from(ms).ok());
        let reports = trial.intermediate.iter().filter(|(_, value)| value.is_finite());
        documents.push(TrialDocument {
            id,
            parameters: Ordered(trial.parameters.iter().filter_map(setting).collect()),
            values: (state == State::Complete).then(|| trial.values.clone()),
            constraint_values: (state == State::Complete && !constraints.is_empty())
                .then_some(constraint_values),
            reports: reports.filter_map(|(step, value)| Some((u64::try_from(*step).ok()?, *value))).collect(),
            state,
            started_at: at(trial.started_at_ms).unwrap_or_default(),
            ended_at: at(trial.ended_at_ms),
        });
    }
    let direction = match direction {
        optuna_import::Direction::Minimize => Direction::Minimize,
        optuna_import::Direction::Maximize => Direction::Maximize,
    };
    let options =
        StudyOptions { directions: vec![direction], constraints, ..StudyOptions::new(&study.name, space) };
    let unfinished = study.trials.len() - trials.len();
    Ok(Converted { document: StudyDocument { options, trials: documents }, unfinished, infinite })
}

fn constraint(trial: &Trial, name: &str) -> Option<f64> {
    // One that is met by far is met.
    trial.constraints.iter().find(|(own, _)| own == name).map(|(_, value)| value.clamp(f64::MIN, f64::MAX))
}

/// Each name once, in the order in which it first comes.
fn names<'a, I: Iterator<Item = &'a str>>(
    trials: &[&'a Trial],
    of: impl Fn(&'a Trial) -> I,
) -> Vec<Arc<str>> {
    let mut seen = BTreeSet::new();
    trials.iter().flat_map(|trial| of(trial)).filter(|name| seen.insert(*name)).map(Arc::from).collect()
}

/// What all trials are points of. A parameter that some trials lack depends on another one, which is found by what those have that have it.
fn space(trials: &[&Trial]) -> Result<Space, Failure> {
    let names = names(trials, |trial| trial.parameters.iter().map(|setting| &*setting.name));
    let mut parameters: Vec<Parameter> = Vec::new();
    for name in &names {
        let settings: Vec<&Setting> = trials.iter().filter_map(|trial| setting(trial, name)).collect();
        let mut parameter = Parameter::new(name, domain(name, &settings)?);
        if settings.len() < trials.len() {
            let (parent, needed) = condition(trials, name, &names).ok_or_else(|| {
                let message = format!(
                    "the parameter `{name}` is in {} of {} trials, and no other parameter's value says in which",
                    settings.len(),
                    trials.len()
                );
                Failure::new("UAT_UNSUPPORTED", message)
            })?;
            parameter = parameter.when(&parent, needed);
        }
        parameters.push(parameter);
    }
    Space::new(parameters).map_err(|error| Failure::new("UAT_INVALID_INPUT", error.to_string()))
}

fn setting<'a>(trial: &'a Trial, name: &str) -> Option<&'a Setting> {
    trial.parameters.iter().find(|setting| setting.name == *name)
}

/// The value of another parameter that exactly the trials have which have this one.
fn condition(trials: &[&Trial], name: &str, names: &[Arc<str>]) -> Option<(Arc<str>, Value)> {
    names.iter().filter(|parent| &***parent != name).find_map(|parent| {
        let first = trials.iter().find(|trial| setting(trial, name).is_some())?;
        let needed = &setting(first, parent)?.value;
        let agrees = |trial: &&Trial| {
            let has = setting(trial, parent).is_some_and(|setting| setting.value == *needed);
            has == setting(trial, name).is_some()
        };
        trials.iter().all(agrees).then(|| Some((Arc::clone(parent), value(needed)?))).flatten()
    })
}

/// What all of these were drawn from: the widest range, every choice.
fn domain(name: &str, settings: &[&Setting]) -> Result<Domain, Failure> {
    let differ = || {
        let message = format!("the parameter `{name}` was drawn from distributions that do not go together");
        Failure::new("UAT_UNSUPPORTED", message)
    };
    let mut all: Option<Domain> = None;
    for setting in settings {
        all = Some(match (all, own_domain(&setting.distribution)) {
            (None, own) => own,
            (
                Some(Domain::Float { low: a, high: b, log, step }),
                Domain::Float { low, high, log: own_log, step: own },
            ) if log == own_log && step == own => {
                Domain::Float { low: a.min(low), high: b.max(high), log, step }
            }
            (
                Some(Domain::Int { low: a, high: b, log, step }),
                Domain::Int { low, high, log: own_log, step: own },
            ) if log == own_log && step == own => {
                Domain::Int { low: a.min(low), high: b.max(high), log, step }
            }
            (Some(Domain::Categorical { mut choices }), Domain::Categorical { choices: own }) => {
                for choice in own {
                    if !choices.iter().any(|known| known.value == choice.value) {
                        choices.push(choice);
                    }
                }
                Domain::Categorical { choices }
            }
            _ => return Err(differ()),
        });
    }
    match all {
        // Optuna allows ranges of one value, which decide nothing.
        Some(Domain::Float { low, high, .. }) if low == high => Ok(Domain::choices([low])),
        Some(Domain::Int { low, high, .. }) if low == high => Ok(Domain::choices([low as f64])),
        Some(domain) => Ok(domain),
        None => Err(differ()),
    }
}

fn own_domain(distribution: &Distribution) -> Domain {
    match distribution {
        Distribution::Float { low, high, log, step } => {
            Domain::Float { low: *low, high: *high, log: *log, step: *step }
        }
        Distribution::Int { low, high, log, step } => {
            Domain::Int { low: *low, high: *high, log: *log, step: *step }
        }
        Distribution::Categorical { choices } => Domain::Categorical {
            choices: choices
                .iter()
                .filter_map(|choice| Some(Choice { value: value(choice)?, retired: false }))
                .collect(),
        },
    }
}

/// Python's `None`, and what is no single value, are told by their text.
fn value(value: &TheirValue) -> Option<Value> {
    match value {
        TheirValue::None => Some("None".into()),
        TheirValue::Bool(value) => Some((*value).into()),
        TheirValue::Number(value) => {
            value.is_finite().then(|| (*value).into()).or_else(|| Some(value.to_string().as_str().into()))
        }
        TheirValue::Text(text) => Some(text.as_str().into()),
        TheirValue::Other(json) => Some(json.as_str().into()),
    }
}
