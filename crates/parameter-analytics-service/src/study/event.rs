use serde::{Deserialize, Serialize};

use crate::sampler::{Fit, SamplerKind};
use crate::space::{ParameterValues, Value};
use crate::study::{State, StudyOptions};

/// What happened to a study: all of it, in order, makes the study again. Times are ms since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Event {
    /// The first.
    Created {
        /// What it was made from.
        options: StudyOptions,
        /// When.
        at: u64,
    },
    /// A trial went out.
    Asked {
        /// Its number.
        trial: u64,
        /// What is tried.
        parameters: ParameterValues,
        /// Which sampler chose it.
        by: SamplerKind,
        /// The hyperparameters that were fitted for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fit: Option<Fit>,
        /// When.
        at: u64,
    },
    /// A trial ended.
    Told {
        /// Its number.
        trial: u64,
        /// Not running.
        state: State,
        /// One for each objective, where it is complete.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        values: Vec<f64>,
        /// One for each constraint, where it is complete.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        constraint_values: Vec<f64>,
        /// When.
        at: u64,
    },
    /// A value on the way.
    Reported {
        /// The trial's number.
        trial: u64,
        /// How far it is.
        step: u64,
        /// What it has.
        value: f64,
        /// When.
        at: u64,
    },
    /// A worker lives.
    Beat {
        /// The trial's number.
        trial: u64,
        /// When.
        at: u64,
    },
    /// There is more to choose from.
    ChoiceAdded {
        /// The parameter's name.
        parameter: String,
        /// The choice.
        choice: Value,
    },
    /// There is less to choose from.
    ChoiceRetired {
        /// The parameter's name.
        parameter: String,
        /// The choice.
        choice: Value,
    },
}
