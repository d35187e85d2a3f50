//! Whether parameters fit together.

use std::sync::Arc;

use crate::space::domain::{Domain, steps};
use crate::space::value::{LARGEST_WHOLE, Value};
use crate::space::{Choice, Parameter};

/// Why a space, or a setting in one, cannot be used. Its code is `UAT_INVALID_INPUT`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceError {
    /// There is nothing to set.
    #[error("a space needs at least one parameter")]
    NoParameters,
    /// Something is wrong with one parameter.
    #[error("parameter `{parameter}` {problem}")]
    Parameter {
        /// Its name.
        parameter: Arc<str>,
        /// What is wrong with it.
        problem: Problem,
    },
}

impl SpaceError {
    pub(crate) fn of(parameter: &str, problem: Problem) -> Self {
        Self::Parameter { parameter: parameter.into(), problem }
    }
}

/// What is wrong with a parameter; reads on from its name.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// An end of the range is missing.
    #[error("needs `low` and `high`")]
    NoRange,
    /// NaN, infinite, or for whole numbers a fraction or beyond 2^53.
    #[error("has {0} where a finite number is needed (for `int` a whole one below 2^53)")]
    NotFinite(f64),
    /// Nothing lies between the ends.
    #[error("needs `low` < `high`, got {low} and {high}")]
    Range {
        /// The lower end.
        low: f64,
        /// The upper end.
        high: f64,
    },
    /// Zero and below have no logarithm.
    #[error("has `log`, which needs `low` > 0 (for `int`, at least 1), got {0}")]
    Log(f64),
    /// Steps are even in values, and logarithms are not.
    #[error("has `log` and `step`; it can have one of them")]
    LogWithStep,
    /// Not above 0, wider than the range, or so small that the values cannot be told apart.
    #[error("has step {0}; it must be above 0, at most `high` - `low`, and make fewer than 2^53 steps")]
    Step(f64),
    /// There is nothing to choose from.
    #[error("needs at least one choice")]
    NoChoices,
    /// The same thing twice.
    #[error("has the choice {0} twice")]
    ChoiceTwice(Value),
    /// There is no such choice, or it was retired before.
    #[error("has no choice {0}")]
    NoSuchChoice(Value),
    /// Something must be left to choose from.
    #[error("has only {0} left, which cannot be retired")]
    LastChoice(Value),
    /// Only a categorical parameter has choices.
    #[error("is not categorical and has no choices")]
    NotCategorical,
    /// Fields that do not belong to the type.
    #[error("is of type `{kind}`, which has no `{field}`")]
    Field {
        /// Its type.
        kind: String,
        /// The field.
        field: &'static str,
    },
    /// There are three types.
    #[error("has the unknown type `{0}`; there are `float`, `int` and `categorical`")]
    Type(String),
    /// The same name twice.
    #[error("is there twice")]
    Twice,
    /// `when` names a parameter that there is not.
    #[error("has a `when` on `{0}`, which is not a parameter")]
    UnknownCondition(Arc<str>),
    /// `when` needs a value that the other parameter never has.
    #[error("has a `when` on `{0}` being {1}, which it never is")]
    NeverActive(Arc<str>, Value),
    /// A real number is never met exactly.
    #[error(
        "has a `when` on `{0}`, which is continuous; only `int`, `categorical` and stepped parameters can be compared"
    )]
    ContinuousCondition(Arc<str>),
    /// It depends on itself.
    #[error("depends on itself by its `when`")]
    Cycle,
    /// A setting of a parameter that the space does not have.
    #[error("is not in the space")]
    Unknown,
    /// A setting that the parameter cannot take.
    #[error("cannot be {0}")]
    NotAValue(Value),
    /// No setting where one is needed.
    #[error("has no value")]
    Missing,
    /// A setting where its `when` does not hold.
    #[error("has a value, and is not active by its `when`")]
    NotActive,
}

type Conditions = Vec<Vec<(usize, f64)>>;

/// The conditions by number, and an order in which each parameter comes after those that it depends on.
pub(super) fn check(parameters: &[Parameter]) -> Result<(Conditions, Vec<usize>), SpaceError> {
    if parameters.is_empty() {
        return Err(SpaceError::NoParameters);
    }
    let mut conditions = Vec::with_capacity(parameters.len());
    for (place, parameter) in parameters.iter().enumerate() {
        let fail = |problem| SpaceError::of(&parameter.name, problem);
        if parameters.iter().take(place).any(|other| other.name == parameter.name) {
            return Err(fail(Problem::Twice));
        }
        check_domain(&parameter.domain).map_err(fail)?;
        let needs = parameter.when.iter().map(|(name, value)| condition(parameters, name, value));
        conditions.push(needs.collect::<Result<Vec<_>, _>>().map_err(fail)?);
    }
    let order = ordered(&conditions)
        .map_err(|place| SpaceError::of(parameters.get(place).map_or("", |p| &p.name), Problem::Cycle))?;
    Ok((conditions, order))
}

fn check_domain(domain: &Domain) -> Result<(), Problem> {
    match domain {
        Domain::Float { low, high, log, step } => {
            check_range(*low, *high)?;
            match (log, step) {
                (true, Some(_)) => Err(Problem::LogWithStep),
                (true, None) if *low <= 0.0 => Err(Problem::Log(*low)),
                (false, Some(step)) => check_step(*low, *high, *step),
                _ => Ok(()),
            }
        }
        Domain::Int { low, high, log, step } => {
            let (least, greatest) = (*low as f64, *high as f64);
            if let Some(end) = [least, greatest].into_iter().find(|end| end.abs() >= LARGEST_WHOLE) {
                return Err(Problem::NotFinite(end));
            }
            check_range(least, greatest)?;
            match log {
                true if *step != 1 => Err(Problem::LogWithStep),
                true if *low < 1 => Err(Problem::Log(least)),
                true => Ok(()),
                false => check_step(least, greatest, *step as f64),
            }
        }
        Domain::Categorical { choices } => check_choices(choices),
    }
}

fn check_range(low: f64, high: f64) -> Result<(), Problem> {
    match [low, high].into_iter().find(|end| !end.is_finite()) {
        Some(end) => Err(Problem::NotFinite(end)),
        None if low < high => Ok(()),
        None => Err(Problem::Range { low, high }),
    }
}

fn check_step(low: f64, high: f64, step: f64) -> Result<(), Problem> {
    let fits = step.is_finite() && step > 0.0 && (2.0..LARGEST_WHOLE).contains(&steps(low, high, step));
    // A step that is lost in rounding beside `high` makes no new value.
    let seen = high - step < high && low + step > low;
    if fits && seen { Ok(()) } else { Err(Problem::Step(step)) }
}

fn check_choices(choices: &[Choice]) -> Result<(), Problem> {
    for (place, choice) in choices.iter().enumerate() {
        match choice.value {
            Value::Number(number) if !number.is_finite() => return Err(Problem::NotFinite(number)),
            _ if choices.iter().take(place).any(|other| other.value == choice.value) => {
                return Err(Problem::ChoiceTwice(choice.value.clone()));
            }
            _ => {}
        }
    }
    if choices.iter().all(|choice| choice.retired) { Err(Problem::NoChoices) } else { Ok(()) }
}

fn condition(parameters: &[Parameter], name: &Arc<str>, value: &Value) -> Result<(usize, f64), Problem> {
    let place = parameters.iter().position(|parameter| parameter.name == *name);
    let found = place.and_then(|place| Some((place, &parameters.get(place)?.domain)));
    let Some((place, domain)) = found else {
        return Err(Problem::UnknownCondition(Arc::clone(name)));
    };
    if domain.levels().is_none() {
        return Err(Problem::ContinuousCondition(Arc::clone(name)));
    }
    // The other one's own range may not have been looked at yet.
    check_domain(domain).map_err(|_| Problem::NeverActive(Arc::clone(name), value.clone()))?;
    let number = domain.number(value);
    number.map(|number| (place, number)).ok_or_else(|| Problem::NeverActive(Arc::clone(name), value.clone()))
}

/// The order, or one of those that depend on themselves.
fn ordered(conditions: &Conditions) -> Result<Vec<usize>, usize> {
    let mut order: Vec<usize> = Vec::with_capacity(conditions.len());
    let mut left: Vec<usize> = (0..conditions.len()).collect();
    while let Some(&first) = left.first() {
        let before = left.len();
        left.retain(|&place| {
            let ready = conditions
                .get(place)
                .is_none_or(|needs| needs.iter().all(|(parent, _)| order.contains(parent)));
            if ready {
                order.push(place);
            }
            !ready
        });
        if left.len() == before {
            // Whoever is left depends on a cycle; walking up its parents ends inside of it.
            let up = |place: usize| {
                let needs = conditions.get(place)?;
                needs.iter().map(|&(parent, _)| parent).find(|parent| left.contains(parent))
            };
            return Err((0..conditions.len()).fold(first, |place, _| up(place).unwrap_or(place)));
        }
    }
    Ok(order)
}
