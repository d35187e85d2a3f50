//! The values that one parameter can take, and where they lie in 0..1.

use crate::space::value::{LARGEST_WHOLE, Value};

/// One value of a categorical parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What is given to the caller.
    pub value: Value,
    /// Known from trials, and not tried any more.
    pub retired: bool,
}

/// The values that a parameter can take.
#[derive(Debug, Clone, PartialEq)]
pub enum Domain {
    /// Real numbers.
    Float {
        /// The least.
        low: f64,
        /// The greatest; with a step, the greatest that `low` and whole steps reach.
        high: f64,
        /// Whether ratios count instead of differences.
        log: bool,
        /// Only `low`, `low + step`, and so on.
        step: Option<f64>,
    },
    /// Whole numbers.
    Int {
        /// The least.
        low: i64,
        /// The greatest, or above the greatest by less than a step.
        high: i64,
        /// Whether ratios count instead of differences.
        log: bool,
        /// Only `low`, `low + step`, and so on; at least 1.
        step: i64,
    },
    /// Things without an order.
    Categorical {
        /// At least one that is not retired.
        choices: Vec<Choice>,
    },
}

impl Domain {
    /// Real numbers from `low` to `high`.
    pub fn float(low: f64, high: f64) -> Self {
        Self::Float { low, high, log: false, step: None }
    }

    /// Real numbers from `low` to `high` whose ratios count.
    pub fn log_float(low: f64, high: f64) -> Self {
        Self::Float { low, high, log: true, step: None }
    }

    /// Whole numbers from `low` to `high`.
    pub fn int(low: i64, high: i64) -> Self {
        Self::Int { low, high, log: false, step: 1 }
    }

    /// Things without an order.
    pub fn choices<V: Into<Value>>(choices: impl IntoIterator<Item = V>) -> Self {
        let choice = |value: V| Choice { value: value.into(), retired: false };
        Self::Categorical { choices: choices.into_iter().map(choice).collect() }
    }

    /// How many values there are; `None` for all real numbers of a range.
    pub fn levels(&self) -> Option<f64> {
        match self {
            Self::Float { step: None, .. } => None,
            Self::Float { low, high, step: Some(step), .. } => Some(steps(*low, *high, *step)),
            Self::Int { low, high, step, .. } => Some(whole_steps(*low as f64, *high as f64, *step as f64)),
            Self::Categorical { choices } => {
                Some(choices.iter().filter(|choice| !choice.retired).count() as f64)
            }
        }
    }

    pub(crate) fn is_categorical(&self) -> bool {
        matches!(self, Self::Categorical { .. })
    }

    /// The number of a point that lies at a place in 0..1, where each value has the same share of the whole (of the logarithm, with
    /// `log`). A retired choice has none.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let share = if share.is_nan() { 0.5 } else { share.clamp(0.0, 1.0) };
        match *self {
            Self::Float { low, high, log: false, step: None } => {
                (low * (1.0 - share) + high * share).clamp(low, high)
            }
            Self::Float { low, high, log: true, .. } => {
                (low.ln() * (1.0 - share) + high.ln() * share).exp().clamp(low, high)
            }
            Self::Float { low, high, step: Some(step), .. } => {
                let cell = cell_at(share, steps(low, high, step));
                tidy(step.mul_add(cell, low)).clamp(low, high)
            }
            Self::Int { low, high, log: true, .. } => {
                let (from, to) = log_cells(low as f64, high as f64);
                (from * (1.0 - share) + to * share).exp().round().clamp(low as f64, high as f64)
            }
            Self::Int { low, high, step, .. } => {
                let (low, high, step) = (low as f64, high as f64, step as f64);
                step.mul_add(cell_at(share, whole_steps(low, high, step)), low)
            }
            Self::Categorical { ref choices } => {
                let mut there =
                    choices.iter().enumerate().filter(|(_, choice)| !choice.retired).map(|(place, _)| place);
                let count = choices.iter().filter(|choice| !choice.retired).count();
                there.nth(cell_at(share, count as f64) as usize).unwrap_or(0) as f64
            }
        }
    }

    /// Where in 0..1 a number of a point lies: the middle of its share. Not for choices.
    pub(crate) fn share(&self, number: f64) -> f64 {
        let share = match *self {
            // Halves, since a difference of two can be infinite.
            Self::Float { low, high, log: false, step: None } => {
                (number / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0)
            }
            Self::Float { low, high, log: true, .. } => (number.ln() - low.ln()) / (high.ln() - low.ln()),
            Self::Float { low, high, step: Some(step), .. } => {
                (((number - low) / step).round() + 0.5) / steps(low, high, step)
            }
            Self::Int { low, high, log: true, .. } => {
                let (from, to) = log_cells(low as f64, high as f64);
                (number.ln() - from) / (to - from)
            }
            Self::Int { low, high, step, .. } => {
                let (low, high, step) = (low as f64, high as f64, step as f64);
                (((number - low) / step).round() + 0.5) / whole_steps(low, high, step)
            }
            Self::Categorical { .. } => number,
        };
        if self.is_categorical() { share } else { share.clamp(0.0, 1.0) }
    }

    /// What a caller gets for a number of a point.
    pub(crate) fn value(&self, number: f64) -> Option<Value> {
        match self {
            Self::Float { .. } | Self::Int { .. } => Some(Value::Number(number)),
            Self::Categorical { choices } => choices.get(number as usize).map(|choice| choice.value.clone()),
        }
    }

    /// The number of a point for what a caller gave; `None`: it is not one of the values.
    pub(crate) fn number(&self, value: &Value) -> Option<f64> {
        match (self, value) {
            (Self::Categorical { choices }, value) => {
                choices.iter().position(|choice| choice.value == *value).map(|place| place as f64)
            }
            (Self::Float { low, high, .. }, Value::Number(number)) => {
                let near = if matches!(self, Self::Float { step: Some(_), .. }) {
                    self.at(self.share(*number))
                } else {
                    *number
                };
                let tolerance = 1e-9 * number.abs().max(near.abs());
                ((near - number).abs() <= tolerance && (*low..=*high).contains(&near)).then_some(near)
            }
            (Self::Int { low, high, .. }, Value::Number(number)) => {
                let inside = (*low as f64..=*high as f64).contains(number);
                (inside && self.at(self.share(*number)) == *number).then_some(*number)
            }
            _ => None,
        }
    }
}

/// How many steps of some size reach from one end to the other.
fn exact_steps(low: f64, high: f64, step: f64) -> f64 {
    (high / 2.0 - low / 2.0) / (step / 2.0)
}

/// Values on a grid of whole numbers, which need no tolerance: a billionth of a billion steps would be one too many.
fn whole_steps(low: f64, high: f64, step: f64) -> f64 {
    exact_steps(low, high, step).min(LARGEST_WHOLE).floor() + 1.0
}

/// Values on a grid: a step that misses `high` by rounding alone still reaches it.
pub(crate) fn steps(low: f64, high: f64, step: f64) -> f64 {
    let exact = exact_steps(low, high, step);
    (exact + 1e-9 * exact.clamp(1.0, LARGEST_WHOLE)).min(LARGEST_WHOLE).floor() + 1.0
}

fn cell_at(share: f64, cells: f64) -> f64 {
    (share * cells).floor().min(cells - 1.0).max(0.0)
}

/// The logarithms between which whole numbers lie, half a number more at both ends so that the ends have their share.
fn log_cells(low: f64, high: f64) -> (f64, f64) {
    ((low - 0.5).ln(), (high + 0.5).ln())
}

/// The nearest number of 15 digits, which is what people write: 0.1 + 2 * 0.1 becomes 0.3.
fn tidy(number: f64) -> f64 {
    format!("{number:.14e}").parse().unwrap_or(number)
}
