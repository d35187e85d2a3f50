//! Where an acquisition is largest.
//!
//! Many points are looked at, low-discrepancy ones and neighbours of the best that are known; the best of them are the starts of a
//! [quasi-Newton search](crate::gp::bounded) in the continuous dimensions, in turn with an exchange of one discrete value at a time, as
//! Optuna's sampler does (`optuna/_gp/optim_mixed.py`). We depart from it in taking neighbours of several known points, since the best
//! acquisition of a model that is nearly sure lies within a thousandth of the best point, where no low-discrepancy point falls.

use crate::gp::acquisition::Acquisition;
use crate::gp::bounded::{Limits, minimise};
use crate::gp::posterior::Scratch;
use crate::sampler::sobol;
use crate::space::{Axis, Space};
use crate::stream::Stream;

/// How hard is looked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Low-discrepancy points.
    pub scattered: usize,
    /// Neighbours of each of the best points.
    pub neighbours: usize,
    /// Quasi-Newton searches.
    pub starts: usize,
    /// Evaluations of each.
    pub evaluations: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { scattered: 512, neighbours: 64, starts: 6, evaluations: 60 }
    }
}

/// Up to so many ordered values are exchanged one by one; more of them are as good as continuous.
pub(crate) const FEW_LEVELS: f64 = 16.0;
/// Alternations of the quasi-Newton search and the exchange; they end sooner where nothing moves.
const ROUNDS: usize = 4;

/// A point in coordinates and what it is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The acquisition there.
    pub value: f64,
    /// Coordinates of a point of the space.
    pub coordinates: Vec<f64>,
}

/// The best places, the best first; at least one. `anchors` are the best known points.
pub fn maximise(
    acquisition: &Acquisition<'_>,
    space: &Space,
    anchors: &[Vec<f64>],
    effort: Effort,
    stream: &mut Stream,
) -> Vec<Candidate> {
    let axes = space.axes();
    let snap = |coordinates: &[f64]| space.encode(&space.decode(coordinates));
    let seed = stream.bits() as u32;
    let mut points: Vec<Vec<f64>> = (0..effort.scattered)
        .map(|index| space.encode(&space.sample(&sobol::cube(index as u64, axes.len(), seed))))
        .collect();
    for anchor in anchors {
        for _ in 0..effort.neighbours {
            // From a fifth of the cube down to a ten-thousandth.
            let width = 0.2 * 10f64.powf(-3.3 * stream.unit());
            points.push(snap(&neighbour(anchor, &axes, width, stream)));
        }
    }
    let values = acquisition.values(&points);
    let mut raw: Vec<Candidate> = points
        .into_iter()
        .zip(values)
        .map(|(coordinates, value)| Candidate { value: ordered(value), coordinates })
        .collect();
    let scattered_best = best_of(raw.get(..effort.scattered).unwrap_or_default()).cloned();
    raw.sort_by(|a, b| b.value.total_cmp(&a.value));
    let mut starts = spread(&raw, effort.starts.saturating_sub(1));
    starts.extend(scattered_best);
    let search = Search { acquisition, space, axes: &axes, effort };
    let mut found: Vec<Candidate> = starts.into_iter().map(|start| search.from(start)).collect();
    // What was only looked at comes after, for when the best are known points.
    found.extend(raw.into_iter().take(32));
    found.sort_by(|a, b| b.value.total_cmp(&a.value));
    found
}

/// The least for what is not a number.
pub(crate) fn ordered(value: f64) -> f64 {
    if value.is_nan() { f64::NEG_INFINITY } else { value }
}

fn best_of(candidates: &[Candidate]) -> Option<&Candidate> {
    candidates.iter().max_by(|a, b| a.value.total_cmp(&b.value))
}

/// The best, and then those that are not beside one that was taken.
fn spread(sorted: &[Candidate], count: usize) -> Vec<Candidate> {
    let mut taken: Vec<Candidate> = Vec::with_capacity(count + 1);
    for candidate in sorted {
        let far = |other: &Candidate| {
            let distances = candidate.coordinates.iter().zip(&other.coordinates);
            distances.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) > 0.05
        };
        if taken.len() < count && taken.iter().all(far) {
            taken.push(candidate.clone());
        }
    }
    taken
}

/// Some coordinates moved, numbers by about a width.
pub(crate) fn neighbour(anchor: &[f64], axes: &[Axis], width: f64, stream: &mut Stream) -> Vec<f64> {
    let share = [1.0, 0.5, 2.0 / axes.len().max(1) as f64][stream.below(3)];
    let always = stream.below(axes.len());
    let mut moved = anchor.to_vec();
    for (place, (coordinate, axis)) in moved.iter_mut().zip(axes).enumerate() {
        if place != always && stream.unit() >= share {
            continue;
        }
        match *axis {
            Axis::Choices(count) => {
                if stream.unit() < 0.3 {
                    *coordinate = stream.below(count) as f64;
                }
            }
            Axis::Levels(levels) => {
                let step = width.max(1.0 / levels);
                *coordinate = (*coordinate + step * stream.normal()).clamp(0.0, 1.0);
            }
            Axis::Continuous => *coordinate = (*coordinate + width * stream.normal()).clamp(0.0, 1.0),
        }
    }
    moved
}

struct Search<'a> {
    acquisition: &'a Acquisition<'a>,
    space: &'a Space,
    axes: &'a [Axis],
    effort: Effort,
}

impl Search<'_> {
    fn from(&self, start: Candidate) -> Candidate {
        let mut here = start;
        for _ in 0..ROUNDS {
            let before = here.value;
            here = self.climb(here);
            match self.exchange(&here) {
                Some(better) => here = better,
                None => break,
            }
            if here.value <= before {
                break;
            }
        }
        here
    }

    /// The quasi-Newton search with few-valued and inactive dimensions held.
    fn climb(&self, here: Candidate) -> Candidate {
        let point = self.space.decode(&here.coordinates);
        let held = |(axis, number): (&Axis, &f64)| match axis {
            _ if number.is_nan() => true,
            Axis::Continuous => false,
            Axis::Levels(levels) => *levels <= FEW_LEVELS,
            Axis::Choices(_) => true,
        };
        let held: Vec<bool> = self.axes.iter().zip(point.numbers()).map(held).collect();
        if held.iter().all(|held| *held) {
            return here;
        }
        let pairs = here.coordinates.iter().zip(&held);
        let bounds: Vec<(f64, f64)> =
            pairs.map(|(&at, &held)| if held { (at, at) } else { (0.0, 1.0) }).collect();
        let mut scratch = Scratch::default();
        let mut coordinates = here.coordinates.clone();
        let negative = |x: &[f64], gradient: &mut [f64]| {
            let value = self.acquisition.gradient(x, &mut scratch, gradient);
            gradient.iter_mut().for_each(|slope| *slope = -*slope);
            -value
        };
        // A thousandth in the logarithm of the improvement changes nothing that matters.
        let limits = Limits { evaluations: self.effort.evaluations, gradient: 1e-4, gain: 1e-5 };
        let value = -minimise(negative, &mut coordinates, &bounds, limits);
        let exact = self.axes.iter().zip(&held).all(|(axis, held)| *held || *axis == Axis::Continuous);
        let found =
            if exact { Candidate { value: ordered(value), coordinates } } else { self.valued(&coordinates) };
        if found.value >= here.value { found } else { here }
    }

    fn valued(&self, coordinates: &[f64]) -> Candidate {
        let coordinates = self.space.encode(&self.space.decode(coordinates));
        let values = self.acquisition.values(std::slice::from_ref(&coordinates));
        Candidate { value: values.first().map_or(f64::NEG_INFINITY, |value| ordered(*value)), coordinates }
    }

    /// The best point that differs in one discrete value; `None`: none is better.
    fn exchange(&self, here: &Candidate) -> Option<Candidate> {
        let mut points = Vec::new();
        for (place, axis) in self.axes.iter().enumerate() {
            let at = here.coordinates.get(place).copied().unwrap_or_default();
            let others: Vec<f64> = match *axis {
                Axis::Continuous => Vec::new(),
                Axis::Choices(count) => (0..count).map(|choice| choice as f64).collect(),
                Axis::Levels(levels) if levels <= FEW_LEVELS => {
                    (0..levels as u32).map(|level| (f64::from(level) + 0.5) / levels).collect()
                }
                Axis::Levels(levels) => {
                    [-8.0, -4.0, -2.0, -1.0, 1.0, 2.0, 4.0, 8.0].map(|steps| at + steps / levels).into()
                }
            };
            for other in others {
                let mut moved = here.coordinates.clone();
                if let Some(coordinate) = moved.get_mut(place) {
                    *coordinate = other;
                }
                points.push(self.space.encode(&self.space.decode(&moved)));
            }
        }
        let values = self.acquisition.values(&points);
        let candidates = points.into_iter().zip(values);
        let best = candidates.max_by(|(_, a), (_, b)| ordered(*a).total_cmp(&ordered(*b)));
        let found = best.map(|(coordinates, value)| Candidate { value: ordered(value), coordinates });
        found.filter(|found| found.value > here.value + 1e-9)
    }
}
