//! What a study knows, in the form in which samplers use it.

use std::collections::HashSet;

use crate::gp::Inputs;
use crate::space::{Axis, Point, Space};

/// See the module documentation. Observations are in the order in which they were told.
#[derive(Debug, Clone)]
pub struct Observations {
    /// The coordinates of the trials that are complete.
    pub inputs: Inputs,
    /// Their numbers.
    pub trials: Vec<u64>,
    /// Their values, smaller is better.
    pub objective: Vec<f64>,
    /// For each constraint, their values; feasible up to 0.
    pub constraints: Vec<Vec<f64>>,
    /// Trials that are out: their numbers and coordinates.
    pub pending: Vec<(u64, Vec<f64>)>,
    /// The coordinates of trials that ended without a value.
    pub fruitless: Vec<Vec<f64>>,
    visited: HashSet<Box<[u64]>>,
}

impl Observations {
    /// None yet.
    pub fn new(space: &Space, constraints: usize) -> Self {
        let categorical = space.axes().iter().map(|axis| matches!(axis, Axis::Choices(_))).collect();
        Self {
            inputs: Inputs::new(categorical),
            trials: Vec::new(),
            objective: Vec::new(),
            constraints: vec![Vec::new(); constraints],
            pending: Vec::new(),
            fruitless: Vec::new(),
            visited: HashSet::new(),
        }
    }

    /// A trial goes out.
    pub fn ask(&mut self, trial: u64, space: &Space, point: &Point) {
        self.pending.push((trial, space.encode(point)));
        self.visited.insert(point.key());
    }

    /// A trial that was out comes back: with a value (smaller is better) and one for each constraint, or with nothing.
    pub fn tell(&mut self, trial: u64, told: Option<(f64, &[f64])>) {
        let Some(place) = self.pending.iter().position(|(out, _)| *out == trial) else {
            return;
        };
        let (_, coordinates) = self.pending.remove(place);
        let Some((value, constraints)) = told else {
            self.fruitless.push(coordinates);
            return;
        };
        self.inputs.push(&coordinates);
        self.trials.push(trial);
        self.objective.push(value);
        for (known, value) in self.constraints.iter_mut().zip(constraints) {
            known.push(*value);
        }
    }

    /// Complete trials.
    pub fn len(&self) -> usize {
        self.objective.len()
    }

    /// Whether no trial is complete.
    pub fn is_empty(&self) -> bool {
        self.objective.is_empty()
    }

    /// Whether the point was tried, is out, or has failed.
    pub fn visited(&self, point: &Point) -> bool {
        self.visited.contains(&point.key())
    }

    /// The sum of what goes beyond the constraints; 0 where all are met.
    pub fn violation(&self, place: usize) -> f64 {
        self.constraints.iter().filter_map(|values| values.get(place)).map(|value| value.max(0.0)).sum()
    }

    /// The complete trials, the best first: feasible ones by value, then the others by how much they violate.
    pub fn ranked(&self) -> Vec<usize> {
        let mut places: Vec<(f64, f64, usize)> = self
            .objective
            .iter()
            .enumerate()
            .map(|(place, value)| (self.violation(place), *value, place))
            .collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        places.into_iter().map(|(_, _, place)| place).collect()
    }
}
