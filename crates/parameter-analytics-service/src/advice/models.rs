//! All that is known at a moment: a model of each quantity, and what they say of the points among which is chosen.

use std::collections::HashMap;
use std::sync::Arc;

use crate::advice::drift::changed_at;
use crate::advice::linear::ByContext;
use crate::advice::measure::{Guess, Measure, Scatter};
use crate::advice::pool::Pool;
use crate::advice::record::Row;
use crate::gp::{Prediction, neighbour};
use crate::sampler::sobol;
use crate::space::{Point, Space};
use crate::stream::Stream;

/// Low-discrepancy points that are looked at, besides what was tried.
const SCATTERED: u64 = 192;
/// Points that were tried and are looked at, those with the most records first, and the last ones.
const TRIED: (usize, usize) = (48, 16);
/// The points around which others are looked at, and how many around each.
const AROUND: (usize, usize) = (10, 16);
/// Widths of that: from a third of the cube to a hundredth, beside which records are pooled anyway.
pub(super) const WIDTHS: (f64, f64) = (0.3, 0.01);

/// Milliseconds below which latencies count as that, and dollars: a logarithm needs something above 0.
pub(super) const LEAST: (f64, f64) = (1e-3, 1e-9);
/// Of logarithms: calls that differ by a factor of 1.6 are what is believed at first.
const OF_LOGARITHMS: Guess = Guess { deviation: 0.5, records: 3.0 };
const OF_FAILURES: Guess = Guess { deviation: 0.2, records: 3.0 };
/// Scaled to at most 1: without it, two rewards that happen to be alike would say that all are.
const OF_REWARDS: Guess = Guess { deviation: 0.3, records: 1.0 };

/// A point and what is expected of a call with it, in the mean context.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) point: Point,
    pub(super) coordinates: Vec<f64>,
    /// Whether a record has this very point.
    pub(super) tried: bool,
    /// Of the mean, in [`Models::unit`]s.
    pub(super) reward: Option<Prediction>,
    /// That a call fails.
    pub(super) failure: f64,
    pub(super) latency: Option<Call>,
    pub(super) cost: Option<Call>,
}

/// The logarithm of a single call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) mean: f64,
    deviation: f64,
    /// What calls with this very point were, sorted.
    own: Option<Arc<[f64]>>,
}

/// A quantity above 0, as its logarithm.
#[derive(Debug)]
pub(super) struct Logged {
    pub(super) measure: Measure,
    pub(super) scatter: Scatter,
    own: HashMap<Box<[u64]>, Arc<[f64]>>,
}

/// What a model says counts like so many calls with the very point.
const MODEL: f64 = 20.0;
/// Fewer calls with a point than this are left to the model.
const OWN: usize = 5;

impl Logged {
    fn call(&self, point: &Point, coordinates: &[f64], mean: Prediction) -> Call {
        let single = (mean.deviation.powi(2) + self.measure.noise()).sqrt();
        Call {
            mean: mean.mean,
            deviation: single * self.scatter.spread(coordinates),
            own: self.own.get(&point.key()).cloned(),
        }
    }

    /// The chance that the next call stays at or below a limit, both as logarithms. What the model says is a prior, which calls with the
    /// very point then outweigh: where a limit is met by luck of the model alone, its violations show.
    pub(super) fn chance(&self, call: &Call, limit: f64) -> f64 {
        let modelled = self.scatter.below((limit - call.mean) / call.deviation);
        match &call.own {
            None => modelled,
            Some(own) => {
                let met = own.partition_point(|seen| *seen <= limit) as f64;
                MODEL.mul_add(modelled, met) / (MODEL + own.len() as f64)
            }
        }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub(super) struct Models {
    pub(super) reward: Option<Measure>,
    /// What rewards are divided by.
    pub(super) unit: f64,
    /// A bad reward, which a failed call is taken for.
    worst: f64,
    failure: Option<Measure>,
    /// The share of failed calls.
    failing: f64,
    pub(super) latency: Option<Logged>,
    pub(super) cost: Option<Logged>,
    /// Records with a reward since the last change of rewards, and altogether.
    pub(super) rewards: (usize, usize),
    /// Records that were seen.
    pub(super) rows: usize,
    /// The prior configurations, which come first among the candidates.
    pub(super) priors: usize,
    pub(super) candidates: Vec<Candidate>,
}

impl Models {
    /// Of these rows, in their order. `priors` come first among the candidates; `stream` scatters the others.
    pub(super) fn fit(
        space: &Space,
        rows: &[&Row],
        features: usize,
        priors: &[Point],
        stream: &mut Stream,
    ) -> Self {
        let axes = space.axes();
        let pool = Pool::of(rows, space);
        let answered = |row: &&Row| !row.failed;
        let logged = |of: fn(&Row) -> Option<f64>, least: f64| {
            let logarithm = |row: &Row| of(row).map(|value| value.max(least).ln());
            let samples = samples(rows, &pool, |row| logarithm(row).filter(|_| answered(&row)));
            let (adjusted, by_context) = settled(&samples, &pool, features);
            let (measure, left_out) =
                Measure::fit(&adjusted, &pool.centres, &axes, OF_LOGARITHMS, by_context.clone())?;
            let scatter = Scatter::fit(&measure, &left_out, &axes);
            let mut own: HashMap<Box<[u64]>, Vec<f64>> = HashMap::new();
            let skipped = samples.len() - adjusted.len();
            let with_value = rows.iter().filter(|row| answered(row) && of(row).is_some()).skip(skipped);
            for (row, (_, value)) in with_value.zip(&adjusted) {
                own.entry(row.point.key()).or_default().push(*value);
            }
            let sorted = |(key, mut values): (Box<[u64]>, Vec<f64>)| {
                values.sort_by(f64::total_cmp);
                (key, values.into())
            };
            let own = own.into_iter().filter(|(_, values)| values.len() >= OWN).map(sorted).collect();
            Some(Logged { measure, scatter, own })
        };
        let latency = logged(|row| row.latency_ms, LEAST.0);
        let cost = logged(|row| row.cost_usd, LEAST.1);

        let rewards = rows.iter().filter(|row| answered(row)).filter_map(|row| row.reward);
        let unit = rewards.map(f64::abs).fold(0.0, f64::max);
        let unit = if unit > 0.0 { unit } else { 1.0 };
        let scaled =
            samples(rows, &pool, |row| row.reward.filter(|_| answered(&row)).map(|reward| reward / unit));
        let (adjusted, by_context) = settled(&scaled, &pool, features);
        let worst = quantile(adjusted.iter().map(|(_, value)| *value), 0.01) - WORSE;
        let reward = Measure::fit(&adjusted, &pool.centres, &axes, OF_REWARDS, by_context);

        let outcome = |row: &Row| (row.failed || !row.follows).then_some(f64::from(u8::from(row.failed)));
        let outcomes = samples(rows, &pool, outcome);
        let exact: Vec<(usize, f64)> =
            outcomes.iter().map(|((_, _, value), exact)| (*exact, *value)).collect();
        let since = changed_at(&exact, pool.distinct);
        let outcomes: Vec<(usize, f64)> =
            outcomes.iter().skip(since).map(|((group, _, value), _)| (*group, *value)).collect();
        let failed: f64 = outcomes.iter().map(|(_, failed)| failed).sum();
        // As if half a call had failed (Jeffreys).
        let failing = (failed + 0.5) / (outcomes.len() as f64 + 1.0);
        let failure = (failed > 0.0)
            .then(|| Measure::fit(&outcomes, &pool.centres, &axes, OF_FAILURES, ByContext::default()))
            .flatten();
        let mut models = Self {
            reward: reward.map(|(measure, _)| measure),
            unit,
            worst,
            failure: failure.map(|(measure, _)| measure),
            failing,
            latency,
            cost,
            rewards: (adjusted.len(), scaled.len()),
            rows: rows.len(),
            priors: priors.len(),
            candidates: Vec::new(),
        };
        models.gather(space, rows, priors, stream);
        models
    }

    /// Fills the candidates: the priors, what was tried, what lies around the best of it, and points from everywhere.
    fn gather(&mut self, space: &Space, rows: &[&Row], priors: &[Point], stream: &mut Stream) {
        let axes = space.axes();
        let mut seen: HashMap<Box<[u64]>, (usize, &Point)> = HashMap::new();
        let mut tried: Vec<Box<[u64]>> = Vec::new();
        for row in rows.iter().rev() {
            let key = row.point.key();
            let (count, _) = seen.entry(key.clone()).or_insert_with(|| {
                tried.push(key);
                (0, &row.point)
            });
            *count += 1;
        }
        let (most, last) = TRIED;
        let mut by_count = tried.clone();
        by_count.sort_by_key(|key| std::cmp::Reverse(seen.get(key).map_or(0, |(count, _)| *count)));
        let keys = by_count.iter().take(most).chain(tried.iter().take(last));
        let mut points: Vec<Point> = priors.to_vec();
        let mut known: std::collections::HashSet<Box<[u64]>> = priors.iter().map(Point::key).collect();
        let mut add = |points: &mut Vec<Point>, point: Point| {
            if known.insert(point.key()) {
                points.push(point);
            }
        };
        for point in keys.filter_map(|key| seen.get(key)).map(|(_, point)| (*point).clone()) {
            // A choice that was retired is not tried again. Any other point stays as it is: to the bit, since its records are found by it.
            let point = if space.offers(&point) { point } else { space.decode(&space.encode(&point)) };
            add(&mut points, point);
        }
        let mut candidates = self.candidates(space, std::mem::take(&mut points));
        for candidate in &mut candidates {
            candidate.tried = seen.contains_key(&candidate.point.key());
        }

        let mut ranked: Vec<&Candidate> = candidates.iter().collect();
        ranked.sort_by(|a, b| self.utility(b).total_cmp(&self.utility(a)));
        let (anchors, around) = AROUND;
        for anchor in ranked.into_iter().take(anchors) {
            for _ in 0..around {
                let width = WIDTHS.0 * (WIDTHS.1 / WIDTHS.0).powf(stream.unit());
                add(&mut points, space.decode(&neighbour(&anchor.coordinates, &axes, width, stream)));
            }
        }
        let scramble = stream.bits() as u32;
        for number in 0..SCATTERED {
            add(&mut points, space.sample(&sobol::cube(number, axes.len(), scramble)));
        }
        candidates.extend(self.candidates(space, points));
        self.candidates = candidates;
    }

    /// What is expected at points.
    pub(super) fn candidates(&self, space: &Space, points: Vec<Point>) -> Vec<Candidate> {
        let coordinates: Vec<Vec<f64>> = points.iter().map(|point| space.encode(point)).collect();
        let predict = |measure: Option<&Measure>| match measure {
            Some(measure) => measure.predict(&coordinates).into_iter().map(Some).collect(),
            None => vec![None; coordinates.len()],
        };
        let (reward, failure) = (predict(self.reward.as_ref()), predict(self.failure.as_ref()));
        let of = |logged: &Option<Logged>| predict(logged.as_ref().map(|logged| &logged.measure));
        let (latency, cost) = (of(&self.latency), of(&self.cost));
        let mut candidates = Vec::with_capacity(points.len());
        let predictions = reward.into_iter().zip(failure).zip(latency).zip(cost);
        for ((point, coordinates), (((reward, failure), latency), cost)) in
            points.into_iter().zip(coordinates.iter().cloned()).zip(predictions)
        {
            let call = |logged: &Option<Logged>, mean: Option<Prediction>| {
                Some(logged.as_ref()?.call(&point, &coordinates, mean?))
            };
            let (latency, cost) = (call(&self.latency, latency), call(&self.cost, cost));
            let failure = failure.map_or(self.failing, |failure: Prediction| failure.mean.clamp(0.0, 1.0));
            candidates.push(Candidate { point, coordinates, tried: false, reward, failure, latency, cost });
        }
        candidates
    }

    /// What a call is worth that has this reward where it is answered: a failed one counts as a bad answer.
    pub(super) fn worth(&self, candidate: &Candidate, answered: f64) -> f64 {
        (1.0 - candidate.failure) * answered + candidate.failure * self.worst.min(answered)
    }

    /// What is expected of a call with a point, in units of the reward.
    pub(super) fn utility(&self, candidate: &Candidate) -> f64 {
        self.worth(candidate, candidate.reward.map_or(0.0, |reward| reward.mean))
    }
}

/// Of each row that has a value: group, context and value, and the very configuration.
fn samples<'a>(
    rows: &[&'a Row],
    pool: &Pool,
    of: impl Fn(&'a Row) -> Option<f64>,
) -> Vec<(Record<'a>, usize)> {
    let places = rows.iter().zip(&pool.groups).zip(&pool.exact);
    places.filter_map(|((row, group), exact)| Some(((*group, &*row.context, of(row)?), *exact))).collect()
}

/// By how much a failed call is worse than a bad answer, beside the greatest reward: where all answers are alike, none is bad.
const WORSE: f64 = 0.1;

/// Group, context and value.
type Record<'a> = (usize, &'a [f64], f64);

/// What lies beyond the outer hundredths by more than three times all between them counts as lying there.
const REACH: f64 = 3.0;

fn quantile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let place = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or_default()
}

/// Values in the mean context, since the last change, and drawn in where they lie absurdly far out.
fn settled(samples: &[(Record<'_>, usize)], pool: &Pool, features: usize) -> (Vec<(usize, f64)>, ByContext) {
    let (low, high) = {
        let values = || samples.iter().map(|((_, _, value), _)| *value);
        let (low, high) = (quantile(values(), 0.01), quantile(values(), 0.99));
        // Where all but a few are equal, those few are what there is to learn.
        let reach = if high > low { REACH * (high - low) } else { f64::INFINITY };
        (low - reach, high + reach)
    };
    let drawn: Vec<Record<'_>> = samples
        .iter()
        .map(|((group, context, value), _)| (*group, *context, value.clamp(low, high)))
        .collect();
    let by_context = ByContext::fit(&drawn, pool.centres.len(), features);
    let shifted = drawn.iter().map(|(group, context, value)| (*group, value - by_context.shift(context)));
    let mut adjusted: Vec<(usize, f64)> = shifted.collect();
    // Neighbours that are pooled differ, and the favourite among them changes: only the very configuration is compared with itself.
    let exact: Vec<(usize, f64)> =
        adjusted.iter().zip(samples).map(|((_, value), (_, exact))| (*exact, *value)).collect();
    adjusted.drain(..changed_at(&exact, pool.distinct));
    (adjusted, by_context)
}
