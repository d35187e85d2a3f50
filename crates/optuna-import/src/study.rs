use crate::distribution::Distribution;

/// A study as Optuna has written it.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// Unique in its file.
    pub name: String,
    /// One for each objective.
    pub directions: Vec<Direction>,
    /// By number.
    pub trials: Vec<Trial>,
}

/// Which values are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Small ones.
    Minimize,
    /// Large ones.
    Maximize,
}

/// Where a trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Somebody was at it when the file was written.
    Running,
    /// It was to be run, perhaps with some of its parameters; Optuna calls it enqueued.
    Waiting,
    /// It has its values.
    Complete,
    /// It was ended early; it may have a value, which is the last that it reported.
    Pruned,
    /// It has none.
    Failed,
}

/// One try.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// From 0.
    pub number: u64,
    /// Where it is.
    pub state: State,
    /// What was tried, in the order in which it was asked for; those of another trial can be others.
    pub parameters: Vec<Setting>,
    /// One for each objective, once complete. Can be infinite.
    pub values: Vec<f64>,
    /// Steps and what was reported there, by step. Can be infinite or NaN.
    pub intermediate: Vec<(i64, f64)>,
    /// Names and values of constraints, which are met up to 0; can be infinite. Those of a sampler's `constraints_func` are named by their
    /// place, from "0".
    pub constraints: Vec<(String, f64)>,
    /// When it was asked, in ms since 1970. Optuna 5 writes UTC; before it wrote the local time of whoever ran it without saying where that
    /// is, and what is read here is then off by its distance from UTC.
    pub started_at_ms: Option<i64>,
    /// When it ended, with the same doubt.
    pub ended_at_ms: Option<i64>,
}

/// What a parameter was set to.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Unique in its trial.
    pub name: String,
    /// A number, or one of the distribution's choices.
    pub value: Value,
    /// What it was drawn from.
    pub distribution: Distribution,
}

/// A number or a choice.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Python's `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// Whole or not; a choice can be infinite or NaN.
    Number(f64),
    /// Any text.
    Text(String),
    /// Whatever else was given to Optuna as a choice, as JSON.
    Other(String),
}
