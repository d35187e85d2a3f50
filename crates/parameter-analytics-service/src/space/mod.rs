//! What may be tried: named parameters, each with the values that it can take.
//!
//! A [`Space`] is checked when it is made. A [`Point`] of it holds one number for each parameter; the models see points as
//! [coordinates](Space::encode): numbers in 0..1, and categories by their number.

mod check;
mod choices;
mod coordinates;
mod document;
mod domain;
mod value;

use std::sync::Arc;

pub use check::{Problem, SpaceError};
pub use coordinates::Axis;
pub use document::SpaceDocument;
pub use domain::{Choice, Domain};
pub use value::{Ordered, ParameterValues, Value};

/// One thing that can be set.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Unique in its space.
    pub name: Arc<str>,
    /// The values that it can take.
    pub domain: Domain,
    /// It is active where each of these parameters is active and has this value.
    pub when: Vec<(Arc<str>, Value)>,
}

impl Parameter {
    /// One that is always active.
    pub fn new(name: &str, domain: Domain) -> Self {
        Self { name: name.into(), domain, when: Vec::new() }
    }

    /// The same, active only where another one has a value.
    #[must_use]
    pub fn when(mut self, parameter: &str, value: impl Into<Value>) -> Self {
        self.when.push((parameter.into(), value.into()));
        self
    }
}

/// Parameters that fit together.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    parameters: Vec<Parameter>,
    /// For each parameter, which others must have which number of a [`Point`] for it to be active.
    conditions: Vec<Vec<(usize, f64)>>,
    /// Every parameter after those that it depends on.
    order: Vec<usize>,
}

/// One number for each parameter, in the order of the space: the value itself, the number of the choice (from 0), or NaN where the
/// parameter is not active. Stays valid when choices are added or retired.
#[derive(Debug, Clone)]
pub struct Point(pub(crate) Box<[f64]>);

impl Point {
    /// The numbers.
    pub fn numbers(&self) -> &[f64] {
        &self.0
    }

    /// What two points have in common only if they are the same.
    pub(crate) fn key(&self) -> Box<[u64]> {
        // Adding 0 makes a negative zero positive.
        self.0
            .iter()
            .map(|number| if number.is_nan() { u64::MAX } else { (number + 0.0).to_bits() })
            .collect()
    }
}

impl PartialEq for Point {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Space {
    /// Checks that the parameters fit together.
    ///
    /// # Errors
    /// [`SpaceError`] names the parameter and what is wrong with it.
    pub fn new(parameters: Vec<Parameter>) -> Result<Self, SpaceError> {
        let (conditions, order) = check::check(&parameters)?;
        Ok(Self { parameters, conditions, order })
    }

    /// The parameters in their order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// How many parameters there are; at least one.
    pub fn dimensions(&self) -> usize {
        self.parameters.len()
    }

    /// How many different points there can be at most; `None` where a parameter is continuous.
    pub fn cardinality(&self) -> Option<f64> {
        self.parameters.iter().map(|parameter| parameter.domain.levels()).product()
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.parameters.iter().position(|parameter| &*parameter.name == name)
    }

    /// Makes what is not active NaN, and what is active but NaN the domain's middle.
    fn settle(&self, numbers: &mut [f64]) {
        for &place in &self.order {
            let (Some(conditions), Some(parameter)) =
                (self.conditions.get(place), self.parameters.get(place))
            else {
                continue;
            };
            let active = conditions.iter().all(|&(parent, needed)| numbers.get(parent) == Some(&needed));
            if let Some(number) = numbers.get_mut(place) {
                match active {
                    false => *number = f64::NAN,
                    true if number.is_nan() => *number = parameter.domain.at(0.5),
                    true => {}
                }
            }
        }
    }

    /// Whether none of a point's choices is retired.
    pub(crate) fn offers(&self, point: &Point) -> bool {
        let numbers = self.parameters.iter().zip(&point.0);
        numbers.into_iter().all(|(parameter, number)| {
            number.is_nan() || !parameter.domain.is_categorical() || parameter.domain.offers(*number)
        })
    }

    /// The settings of a point.
    pub fn values(&self, point: &Point) -> ParameterValues {
        let settings = self.parameters.iter().zip(&point.0).filter(|(_, number)| !number.is_nan());
        let named = settings.filter_map(|(parameter, &number)| {
            Some((Arc::clone(&parameter.name), parameter.domain.value(number)?))
        });
        Ordered(named.collect())
    }

    /// The point of settings that somebody chose.
    ///
    /// # Errors
    /// [`SpaceError`] where a value is missing, unknown, or not one that its parameter can take.
    pub fn point(&self, values: &ParameterValues) -> Result<Point, SpaceError> {
        if let Some((unknown, _)) = values.0.iter().find(|(name, _)| self.position(name).is_none()) {
            return Err(SpaceError::of(unknown, Problem::Unknown));
        }
        let mut numbers = vec![f64::NAN; self.dimensions()];
        for (parameter, number) in self.parameters.iter().zip(&mut numbers) {
            if let Some(value) = values.get(&parameter.name) {
                let known = parameter.domain.number(value);
                *number = known
                    .ok_or_else(|| SpaceError::of(&parameter.name, Problem::NotAValue(value.clone())))?;
            }
        }
        let mut settled = numbers.clone();
        self.settle(&mut settled);
        let differs =
            numbers.iter().zip(&settled).position(|(given, settled)| given.is_nan() != settled.is_nan());
        match differs.and_then(|place| Some((self.parameters.get(place)?, numbers.get(place)?.is_nan()))) {
            Some((parameter, true)) => Err(SpaceError::of(&parameter.name, Problem::Missing)),
            Some((parameter, false)) => Err(SpaceError::of(&parameter.name, Problem::NotActive)),
            None => Ok(Point(settled.into())),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
