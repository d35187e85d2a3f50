//! The tree-structured Parzen estimator: points that are likely among the good ones and unlikely among the others.
//!
//! Bergstra et al. ("Algorithms for Hyper-Parameter Optimization", NeurIPS 2011) in the multivariate form of Falkner et al. (BOHB, ICML
//! 2018), with the bandwidths of Optuna's multivariate sampler (Watanabe 2023, arXiv 2304.11127). We depart from both in comparing a
//! point only in the dimensions that are active in it, so that a condition needs no group of its own.

use crate::sampler::Observations;
use crate::space::{Axis, Point, Space};
use crate::stream::Stream;

/// Of ten trials one is good, up to this many: more would blur where the best are (Optuna's default).
const MOST_GOOD: usize = 25;
/// Trials of each kind that are compared with; of more, every so many.
const MOST_OTHERS: usize = 2_000;
/// Points that are drawn from the good ones; Optuna draws 24, and each costs a few us here.
const DRAWS: usize = 64;

/// A mixture with one part for each trial and one for the whole cube.
struct Parzen<'a> {
    centres: Vec<Vec<f64>>,
    axes: &'a [Axis],
    width: f64,
    /// The chance that a part leaves its category.
    leave: f64,
    /// The logarithm of what a normal density is divided by.
    edge: f64,
    /// For each axis of categories the logarithms of the chances of a part's own category and of each of all.
    chances: Vec<[f64; 2]>,
}

impl<'a> Parzen<'a> {
    fn new(centres: Vec<Vec<f64>>, axes: &'a [Axis]) -> Self {
        let count = centres.len().max(1) as f64;
        let width = 0.2 * count.powf(-1.0 / (axes.len() as f64 + 4.0));
        let least = 1.0 / (count + 1.0).min(100.0);
        let (width, leave) = (width.max(least), 1.0 / (count + 1.0));
        let edge = (width * (2.0 * std::f64::consts::PI).sqrt()).ln();
        let chances = axes.iter().map(|axis| match axis {
            Axis::Choices(count) => {
                let elsewhere = leave / *count as f64;
                [(1.0 - leave + elsewhere).ln(), elsewhere.ln()]
            }
            _ => [0.0; 2],
        });
        Self { centres, axes, width, leave, edge, chances: chances.collect() }
    }

    fn draw(&self, stream: &mut Stream) -> Vec<f64> {
        let centre = self.centres.get(stream.below(self.centres.len() + 1));
        let coordinate = |(place, axis): (usize, &Axis)| {
            let centre = centre.and_then(|centre| centre.get(place)).copied();
            match (*axis, centre) {
                (Axis::Choices(_), Some(choice)) if stream.unit() >= self.leave => choice,
                (Axis::Choices(count), _) => stream.below(count) as f64,
                (_, None) => stream.unit(),
                // Reflected at the walls, which is what a truncated normal looks like from inside.
                (_, Some(centre)) => {
                    let moved = (centre + self.width * stream.normal()).rem_euclid(2.0);
                    if moved > 1.0 { 2.0 - moved } else { moved }
                }
            }
        };
        self.axes.iter().enumerate().map(coordinate).collect()
    }

    /// The logarithm of the density at a point, up to a constant for the dimension, in the active dimensions.
    fn log_density(&self, at: &[f64], active: &[bool]) -> f64 {
        let in_cube = |(axis, active): (&Axis, &bool)| match axis {
            Axis::Choices(count) if *active => -(*count as f64).ln(),
            _ => 0.0,
        };
        let whole: f64 = self.axes.iter().zip(active).map(in_cube).sum();
        let parts = self.centres.iter().map(|centre| self.log_part(centre, at, active)).chain([whole]);
        let parts: Vec<f64> = parts.collect();
        let most = parts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + (parts.iter().map(|part| (part - most).exp()).sum::<f64>() / parts.len() as f64).ln()
    }

    fn log_part(&self, centre: &[f64], at: &[f64], active: &[bool]) -> f64 {
        let mut sum = 0.0;
        let coordinates = self.axes.iter().zip(&self.chances).zip(centre).zip(at).zip(active);
        for ((((axis, [own, each]), centre), at), _) in coordinates.filter(|(_, active)| **active) {
            sum += match axis {
                Axis::Choices(_) => *if at == centre { own } else { each },
                _ => {
                    let z = (at - centre) / self.width;
                    -0.5 * z * z - self.edge
                }
            };
        }
        sum
    }
}

/// Points to try next, the best first; not empty. Needs at least one observation.
pub(super) fn suggest(space: &Space, known: &Observations, stream: &mut Stream) -> Vec<Point> {
    let axes = space.axes();
    let ranked = known.ranked();
    let good = ranked.len().div_ceil(10).clamp(1, MOST_GOOD);
    let (good, others) = ranked.split_at(good.min(ranked.len()));
    let every = others.len().div_ceil(MOST_OTHERS).max(1);
    let points = |places: &mut dyn Iterator<Item = &usize>| -> Vec<Vec<f64>> {
        places.map(|place| known.inputs.point(*place)).collect()
    };
    // What is out, or came to nothing, is not good until it is told.
    let mut rest = points(&mut others.iter().step_by(every));
    rest.extend(known.pending.iter().map(|(_, coordinates)| coordinates.clone()));
    rest.extend(known.fruitless.iter().rev().take(MOST_OTHERS).cloned());
    let (good, rest) = (Parzen::new(points(&mut good.iter()), &axes), Parzen::new(rest, &axes));
    let mut drawn: Vec<(f64, Point)> = (0..DRAWS)
        .map(|_| {
            let point = space.decode(&good.draw(stream));
            let active: Vec<bool> = point.numbers().iter().map(|number| !number.is_nan()).collect();
            let at = space.encode(&point);
            (good.log_density(&at, &active) - rest.log_density(&at, &active), point)
        })
        .collect();
    drawn.sort_by(|a, b| b.0.total_cmp(&a.0));
    drawn.into_iter().map(|(_, point)| point).collect()
}
