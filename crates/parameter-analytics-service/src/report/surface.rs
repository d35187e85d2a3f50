//! What a Gaussian process makes of a study: the value that it expects over two parameters.

use crate::gp::likelihood;
use crate::gp::outcome::{standardised, tamed};
use crate::gp::{Inputs, Posterior};
use crate::report::view::{View, is_maximised};
use crate::sampler::Observations;

/// See the module documentation.
pub(super) struct Surface {
    posterior: Posterior,
    /// What the model was told, as it was told and as it was observed, in order.
    known: Vec<(f64, f64)>,
    /// 1 where small values are good, -1 where large ones are.
    sign: f64,
    /// How many trials the model has seen.
    pub(super) trials: usize,
}

/// With fewer trials a surface would show the model's assumptions.
const LEAST: usize = 8;
/// Of more trials the better half and an even choice of the others: a fit costs the cube of their number, and a second is what a page may
/// take.
const MOST: usize = 256;
/// With more dimensions a model of so few trials says little.
const WIDEST: usize = 60;
/// Evaluations of the likelihood; a picture needs no more.
const EVALUATIONS: usize = 40;

impl Surface {
    /// A model of the complete trials; `None` where they are too few, or too many parameters, or all alike.
    pub(super) fn of(view: &View<'_>) -> Option<Self> {
        let known = view.study.known();
        let space = view.study.space();
        if known.len() < LEAST || space.dimensions() > WIDEST {
            return None;
        }
        let places = chosen(known);
        let values: Vec<f64> =
            places.iter().filter_map(|place| known.objective.get(*place).copied()).collect();
        let observed = tamed(&values).map_or_else(|| standardised(&values).values, |tamed| tamed.values);
        let categorical =
            space.axes().iter().map(|axis| matches!(axis, crate::space::Axis::Choices(_))).collect();
        let mut inputs = Inputs::new(categorical);
        places.iter().for_each(|place| inputs.push(&known.inputs.point(*place)));
        let start = likelihood::start(space.dimensions());
        let (logs, _) = likelihood::fit(&inputs, &observed, &[start], EVALUATIONS);
        let posterior =
            Posterior::new(likelihood::hyperparameters(&logs), &inputs, places.len(), &observed).ok()?;
        let mut pairs: Vec<(f64, f64)> = observed.into_iter().zip(values).collect();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let differs = pairs.first().zip(pairs.last()).is_some_and(|(first, last)| first.0 < last.0);
        let sign = if is_maximised(view.study) { -1.0 } else { 1.0 };
        differs.then_some(Self { posterior, known: pairs, sign, trials: places.len() })
    }

    /// The values that are expected at coordinates, within what was seen.
    pub(super) fn expected(&self, points: &[Vec<f64>]) -> Vec<f64> {
        self.posterior
            .predict_all(points)
            .iter()
            .map(|prediction| self.sign * self.back(prediction.mean))
            .collect()
    }

    /// What was told for a number in the measure of the model, between the observations that it lies between.
    fn back(&self, observed: f64) -> f64 {
        let place = self.known.partition_point(|(known, _)| *known < observed);
        let before = place.checked_sub(1).and_then(|before| self.known.get(before));
        match (before, self.known.get(place)) {
            (Some((low, from)), Some((high, to))) => {
                let share = (observed - low) / (high - low).max(f64::MIN_POSITIVE);
                from * (1.0 - share) + to * share
            }
            (Some((_, end)), None) | (None, Some((_, end))) => *end,
            (None, None) => 0.0,
        }
    }
}

/// The places of the trials that are modelled.
fn chosen(known: &Observations) -> Vec<usize> {
    let ranked = known.ranked();
    if ranked.len() <= MOST {
        return (0..ranked.len()).collect();
    }
    let (best, others) = ranked.split_at(MOST / 2);
    let every = others.len() as f64 / (MOST / 2) as f64;
    let even = (0..MOST / 2).filter_map(|number| others.get((number as f64 * every) as usize));
    best.iter().chain(even).copied().collect()
}
