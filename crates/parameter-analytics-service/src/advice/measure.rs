//! One quantity over the space: a Gaussian process of the means of configurations, and how single calls scatter around it.

use crate::advice::linear::{ByContext, slopes};
use crate::gp::likelihood::{self, Within};
use crate::gp::lower::Lower;
use crate::gp::normal::below;
use crate::gp::{Inputs, Posterior, Prediction};
use crate::space::Axis;

/// Evaluations of the likelihood for a fit. It starts anew each time, so that advice depends on the records alone, and what 25 do not
/// reach changes predictions by less than their deviation.
const FIT_EVALUATIONS: usize = 25;
/// The noise is believed to be so much of all variance as if so many records had said so. The likelihood of a few records is as high
/// where the model goes through each of them, which takes the first coins for the truth.
const NOISE: (f64, f64) = (4.0, 0.4);

/// See the module documentation. Numbers are in the quantity's own measure, in the mean context.
#[derive(Debug, Clone)]
pub(super) struct Measure {
    posterior: Posterior,
    centre: f64,
    /// The deviation of what was observed.
    pub(super) unit: f64,
    pub(super) by_context: ByContext,
}

/// What is believed of the spread before anything is known, and as if from how many records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guess {
    pub(super) deviation: f64,
    pub(super) records: f64,
}

impl Measure {
    /// Of the records, given as group and value, of inputs with these coordinates. `None`: there are none.
    pub(super) fn fit(
        records: &[(usize, f64)],
        centres: &[Vec<f64>],
        axes: &[Axis],
        guess: Guess,
        by_context: ByContext,
    ) -> Option<(Self, Vec<LeftOut>)> {
        let count = records.len() as f64;
        let centre = records.iter().map(|(_, value)| value).sum::<f64>() / count.max(1.0);
        let squares: f64 = records.iter().map(|(_, value)| (value - centre).powi(2)).sum();
        let prior = guess.records * guess.deviation * guess.deviation;
        let deviation = ((squares + prior) / (count + guess.records)).sqrt();
        // Differences in the last digit are rounding.
        let unit = if deviation > 1e-14 * centre.abs() && deviation > 0.0 {
            deviation
        } else {
            centre.abs().max(1e-9)
        };

        let mut sums = vec![(0.0, 0.0); centres.len()];
        for (group, value) in records {
            if let Some((sum, count)) = sums.get_mut(*group) {
                *sum += (value - centre) / unit;
                *count += 1.0;
            }
        }
        let mut inputs = Inputs::new(axes.iter().map(|axis| matches!(axis, Axis::Choices(_))).collect());
        let mut place_of = vec![usize::MAX; centres.len()];
        let mut observed = Vec::new();
        for ((coordinates, place), (sum, count)) in centres.iter().zip(&mut place_of).zip(sums) {
            if count > 0.0 {
                *place = observed.len();
                inputs.push_pooled(coordinates, count);
                observed.push(sum / count);
            }
        }
        let placed: Vec<(usize, f64)> = records
            .iter()
            .filter_map(|(group, value)| Some((*place_of.get(*group)?, (value - centre) / unit)))
            .collect();
        let squares: f64 =
            placed.iter().filter_map(|(place, z)| Some((z - observed.get(*place)?).powi(2))).sum();
        let (records, variance) = NOISE;
        let within = Within {
            squares: squares + records * variance,
            degrees: count - observed.len() as f64 + records,
        };
        let mut start = likelihood::start(axes.len());
        if let Some(noise) = start.last_mut() {
            *noise = (within.squares / within.degrees).ln().clamp(-12.0, 0.0);
        }
        let (logs, _) = likelihood::fit_pooled(&inputs, &observed, within, &[start], FIT_EVALUATIONS);
        let posterior =
            Posterior::new(likelihood::hyperparameters(&logs), &inputs, inputs.len(), &observed).ok()?;
        let measure = Self { posterior, centre, unit, by_context };
        let left_out = measure.left_out(&placed, &inputs, &observed);
        (!observed.is_empty()).then_some((measure, left_out))
    }

    /// The mean of calls at each of the points, and how sure that is.
    pub(super) fn predict(&self, points: &[Vec<f64>]) -> Vec<Prediction> {
        let predictions = self.posterior.predict_all(points).into_iter();
        predictions
            .map(|p| Prediction {
                mean: p.mean.mul_add(self.unit, self.centre),
                deviation: p.deviation * self.unit,
            })
            .collect()
    }

    /// Of the mean at each of some points together, in [`Self::unit`]s.
    pub(super) fn joint(&self, points: &[Vec<f64>]) -> Option<Lower> {
        self.posterior.joint(points)
    }

    /// The variance of single calls around their mean.
    pub(super) fn noise(&self) -> f64 {
        self.posterior.hyperparameters().noise * self.unit * self.unit
    }

    /// Each record against what all others say of it: those of other inputs by the Gaussian process, those of the same by their mean.
    fn left_out(&self, placed: &[(usize, f64)], inputs: &Inputs, observed: &[f64]) -> Vec<LeftOut> {
        let noise = self.posterior.hyperparameters().noise;
        let by_input = self.posterior.left_out(observed);
        let one = |(place, z): &(usize, f64)| {
            let (own, count, others) =
                (observed.get(*place)?, inputs.counts().get(*place)?, by_input.get(*place)?);
            let precision = others.deviation.powi(-2);
            let (rest, own_precision) = (count - 1.0, (count - 1.0) / noise);
            let mean_of_rest = if rest > 0.0 { (own * count - z) / rest } else { 0.0 };
            let mean = (precision * others.mean + own_precision * mean_of_rest) / (precision + own_precision);
            let variance = 1.0 / (precision + own_precision) + noise;
            let (residual, deviation) = (z - mean, variance.sqrt());
            Some(LeftOut { input: *place, residual: residual * self.unit, z: residual / deviation })
        };
        placed.iter().filter_map(one).collect()
    }

    /// The coordinates of an input of [`LeftOut`].
    fn input(&self, place: usize) -> Vec<f64> {
        self.posterior.inputs().point(place)
    }
}

/// A record beside what all others say of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeftOut {
    input: usize,
    residual: f64,
    /// In standard deviations of what was expected of a single call.
    z: f64,
}

/// How single calls scatter, where a normal distribution would be believed too easily: the distribution of what was left out, with a
/// spread that may differ over the space (multiplicative heteroscedasticity, Harvey 1976).
#[derive(Debug, Clone)]
pub(super) struct Scatter {
    /// Sorted.
    zs: Vec<f64>,
    spread: Vec<f64>,
    axes: Vec<Axis>,
    /// The mean of `exp(residual)`: what the mean of calls is beside their median (smearing, Duan 1983).
    pub(super) smear: f64,
}

/// The normal distribution counts like so many records.
const NORMAL: f64 = 10.0;
/// The spread is taken as even until so many records say otherwise; the logarithm of a square scatters by 2.2, so fewer say little.
const EVEN: f64 = 10.0;
/// Records of one input that count for the spread: those of the favourite are not all there is.
const COUNTED: f64 = 30.0;
/// The logarithm of the spread at most, either way: a factor of 3.
const SPREAD: f64 = 1.1;
/// Added to squares, so that a record that was met exactly does not count for more than any other.
const SOFT: f64 = 0.05;

impl Scatter {
    pub(super) fn fit(measure: &Measure, left_out: &[LeftOut], axes: &[Axis]) -> Self {
        let mut sums: Vec<(f64, f64)> = vec![(0.0, 0.0); measure.posterior.len()];
        for record in left_out {
            if let Some((sum, count)) = sums.get_mut(record.input) {
                *sum += (record.z * record.z + SOFT).ln();
                *count += 1.0;
            }
        }
        let count: f64 = sums.iter().map(|(_, count)| count.min(COUNTED)).sum();
        let total: f64 = sums.iter().map(|(sum, count)| sum / count.max(1.0) * count.min(COUNTED)).sum();
        let mean = total / count.max(1.0);
        let designs: Vec<Vec<f64>> =
            (0..sums.len()).map(|place| design(&measure.input(place), axes)).collect();
        let records = designs
            .iter()
            .zip(&sums)
            .filter(|(_, (_, count))| *count > 0.0)
            .map(|(design, (sum, count))| (&**design, sum / count - mean, count.min(COUNTED)));
        let dimensions = designs.first().map_or(0, Vec::len);
        let mut scatter = Self {
            zs: Vec::new(),
            spread: slopes(records, dimensions, EVEN),
            axes: axes.to_vec(),
            smear: 1.0,
        };
        let of_input: Vec<f64> = (0..sums.len()).map(|place| scatter.spread(&measure.input(place))).collect();
        scatter.zs = left_out
            .iter()
            .map(|record| record.z / of_input.get(record.input).copied().unwrap_or(1.0))
            .collect();
        scatter.zs.sort_by(f64::total_cmp);
        // A factor of e^3 is an outlier, which is not to make every call look slow.
        let factor = |record: &LeftOut| record.residual.clamp(-3.0, 3.0).exp();
        scatter.smear = left_out.iter().map(factor).sum::<f64>() / left_out.len().max(1) as f64;
        scatter
    }

    /// How wide calls scatter at a point beside the others.
    pub(super) fn spread(&self, point: &[f64]) -> f64 {
        let terms = design(point, &self.axes).into_iter().zip(&self.spread);
        (0.5 * terms.map(|(x, slope)| x * slope).sum::<f64>()).clamp(-SPREAD, SPREAD).exp()
    }

    /// The chance that a call lies below so many standard deviations.
    pub(super) fn below(&self, z: f64) -> f64 {
        let seen = self.zs.partition_point(|seen| *seen <= z) as f64;
        NORMAL.mul_add(below(z), seen) / (NORMAL + self.zs.len() as f64)
    }
}

/// Numbers around 0, and for each category whether it is that one.
fn design(point: &[f64], axes: &[Axis]) -> Vec<f64> {
    let mut design = Vec::with_capacity(axes.len());
    for (coordinate, axis) in point.iter().zip(axes) {
        match axis {
            // More than eight categories have too few records each.
            Axis::Choices(count) => {
                design.extend((0..(*count).min(8)).map(|choice| f64::from(*coordinate == choice as f64)));
            }
            _ => design.push(coordinate - 0.5),
        }
    }
    design
}
