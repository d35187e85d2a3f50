//! Which parameters a language model should be called with, learned from its calls, under limits of latency, cost and quality.
//!
//! An [`Advisor`] is told what came of calls and says what to call with next. Three sources follow one another:
//!
//! 1. [`Source::Prior`]: some configurations that are known to be good for the task, or lie well apart in a space of one's own, each once.
//! 2. [`Source::Bandit`]: among these, Thompson sampling from what is believed of each.
//! 3. [`Source::Bayesian`], from some twenty rewards on: any point of the space, by Gaussian processes of the reward, the logarithms of
//!    latency and cost, and failure.
//!
//! Records of one configuration are pooled, so that the models have few inputs and learn their noise from repetition. Whether a limit is
//! met is asked of the next single call, with its scatter: the distribution of calls around what the others said of them, and what calls
//! with the very parameters were. A recommendation has the best expected reward among points that meet the limits with a chance of 0.96,
//! or where there is none, nearly the best chance, which [`Advice::feasible_probability`] then says. A change of what calls are like is
//! noticed by comparing each configuration with itself; what was before is then forgotten, for the quantity that changed.
//!
//! [`Mode::Recommend`] only exploits, without any draw. While prior configurations are untried there is nothing to exploit, and it goes
//! through them in order as records come, so that a caller who only ever asks for recommendations compares them all.
//! [`Mode::Explore`] also tries what is likely to meet the limits: all calls up to 800 rewards, then a share that declines with the rewards
//! known. Trials are draws from what is believed of the reward (Thompson sampling), so that they draw near the best point by themselves.
//!
//! # The context
//! Numbers that describe a request, such as its prompt tokens. Reward and the logarithms of latency and cost move linearly with
//! the logarithms of features, alike for all parameters, which is learned from calls with the same parameters. The first record that has
//! a context says which features there are; later ones have all of them, or none, which counts as the mean.
//!
//! # What falls short
//! Recommendations alone learn little: without trials a loop may stay with a configuration a fifth below the best. Rewards of 0 and 1, or
//! noise beyond the differences that matter, leave the best of four parameters unknown to some percent after 2,000 calls.
//! That a feature changes which parameters are best is not modelled. Quantities are modelled apart, so that the chance to meet
//! several limits is the product of theirs, which is too low where they move together. `feasible_probability` is that of calls that are
//! answered. A feature far beyond those seen is extrapolated.
//!
//! Everything is a function of the records in their order, the seed and the number of a request: an advisor that is made again from its
//! records gives the same advice to the bit (same build and CPU).

mod choose;
mod drift;
mod error;
mod limits;
mod linear;
mod measure;
mod models;
mod performance;
mod pool;
mod prior;
mod record;
mod request;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

pub use error::AdviceError;
pub use performance::Performance;
pub use prior::usual_space;
pub use record::{Context, Record};
pub use request::{Advice, Expected, Limits, Mode, Request, Source};

use choose::{Choice, Found};
use models::Models;
use record::{Row, check, magnitudes};

use crate::space::{ParameterValues, Point, Space};
use crate::stream::Stream;

/// What an advisor is made of.
#[derive(Debug, Clone, Default)]
pub struct AdvisorOptions {
    /// What can be set; without it [`usual_space`].
    pub space: Option<Space>,
    /// The kind of task, in any words: it decides the first guesses, see [`Advisor::priors`].
    pub task_type: String,
    /// Of all that is random.
    pub seed: u64,
}

/// Records that are kept: enough that a share of a percent is known to a tenth of itself, and a few MiB of memory.
const KEPT: usize = 10_000;
/// Records that models see, the last ones: with the refits that follow one record in fifty, they are always among those kept.
const SEEN: usize = 4_000;
/// Models are fitted again after a twentieth more records, and at least after so many: what is cheap per record, and soon after a change.
const REFIT: (u64, u64) = (20, 50);
/// Sets of limits for which the search is kept until the next refit.
const SEARCHES: usize = 64;
/// See the [module documentation](self). One for each model, task type and space.
#[derive(Debug)]
pub struct Advisor {
    space: Space,
    priors: Vec<Point>,
    seed: u64,
    features: Vec<Arc<str>>,
    rows: VecDeque<Row>,
    /// Records, ever; the last of them are in `rows`.
    total: u64,
    calls: u64,
    /// How many records there were when models were last due.
    due: u64,
    fitted: Option<Fitted>,
}

impl Advisor {
    /// One that knows nothing yet.
    ///
    /// # Errors
    /// None for a [`Space`] that was checked.
    pub fn new(options: AdvisorOptions) -> Result<Self, AdviceError> {
        let space = match options.space {
            Some(space) => space,
            None => usual_space()?,
        };
        Ok(Self {
            priors: prior::configurations(&space, &options.task_type, options.seed),
            space,
            seed: options.seed,
            features: Vec::new(),
            rows: VecDeque::new(),
            total: 0,
            calls: 0,
            due: 0,
            fitted: None,
        })
    }

    /// What can be set.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The configurations that are tried first, the best guess first.
    pub fn priors(&self) -> impl Iterator<Item = ParameterValues> {
        self.priors.iter().map(|point| self.space.values(point))
    }

    /// Calls that were recorded, ever.
    pub fn observations(&self) -> u64 {
        self.calls
    }

    /// Learns from a record: about a microsecond. The last 10,000 are kept, and models see the last 4,000.
    ///
    /// # Errors
    /// [`AdviceError`] names the field that cannot be; nothing was learned then.
    pub fn observe(&mut self, record: &Record) -> Result<(), AdviceError> {
        let first = self.features.is_empty() && !record.context.0.is_empty();
        let names: Vec<Arc<str>> = record.context.0.iter().map(|(name, _)| name.clone()).collect();
        let row = Row::of(record, &self.space, if first { &names } else { &self.features })?;
        if first {
            self.features = names;
        }
        self.calls += u64::from(!row.follows || row.failed);
        self.total += 1;
        self.rows.push_back(row);
        if self.rows.len() > KEPT {
            self.rows.pop_front();
        }
        let (share, most) = REFIT;
        if self.total >= self.due + (self.due / share).clamp(1, most) {
            self.due = self.total;
        }
        Ok(())
    }

    /// Whether [`observe`](Self::observe) would take the record after others, which it would take.
    ///
    /// # Errors
    /// As there.
    pub fn check<'a>(
        &self,
        record: &Record,
        mut before: impl Iterator<Item = &'a Record>,
    ) -> Result<(), AdviceError> {
        let first =
            if self.features.is_empty() { before.find(|one| !one.context.0.is_empty()) } else { None };
        let names =
            first.map(|first| first.context.0.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        Row::of(record, &self.space, names.as_deref().unwrap_or(&self.features)).map(drop)
    }

    /// What to call with. `number` picks the random numbers: the same records, request and number give the same advice, whatever else
    /// was asked before. Well below a millisecond, and some 20 ms where models are due to be fitted again.
    ///
    /// # Errors
    /// [`AdviceError`] names a limit or a feature that cannot be.
    pub fn advise(&mut self, request: &Request, number: u64) -> Result<Advice, AdviceError> {
        let Limits { max_latency_ms, max_cost_usd, min_quality } = request.limits;
        check("max_latency_ms", max_latency_ms, 0.0, "finite and at least 0")?;
        check("max_cost_usd", max_cost_usd, 0.0, "finite and at least 0")?;
        check("min_quality", min_quality, f64::MIN, "finite")?;
        let context = magnitudes(&request.context, &self.features)?;
        self.refit();
        let observations = self.calls;
        let Self { space, priors, seed, fitted, .. } = self;
        let chosen = fitted.as_mut().and_then(|Fitted { models, searches, .. }| {
            let wanted = models.wanted(request.limits, &context);
            let mut stream = Stream::new(*seed, number);
            let choice = models.among_priors(wanted, request.mode, number, &mut stream).or_else(|| {
                let grained = models.grained(wanted);
                let key = grained.key();
                if searches.len() >= SEARCHES && !searches.contains_key(&key) {
                    searches.clear();
                }
                // Its random numbers are those of the limits, so that it does not matter who asks first.
                let search = || models.explored(space, grained, &mut Stream::new(*seed, grained.number()));
                let found = searches.entry(key).or_insert_with(search);
                models.anywhere(found, wanted, request.mode, &mut stream)
            })?;
            let expected = models.expected(&choice.candidate, &context);
            Some((choice, expected))
        });
        if let Some((Choice { candidate, chance, source }, expected)) = chosen {
            let parameters = space.values(&candidate.point);
            return Ok(Advice { parameters, expected, feasible_probability: chance, source, observations });
        }
        // Those who explore at once get different ones.
        let turn = if request.mode == Mode::Explore { number % priors.len().max(1) as u64 } else { 0 };
        let parameters = priors.get(turn as usize).map(|point| space.values(point)).unwrap_or_default();
        let feasible_probability = request.limits.unknown();
        let expected = Expected::default();
        Ok(Advice { parameters, expected, feasible_probability, source: Source::Prior, observations })
    }

    /// How the calls went that were recorded with a time of at least `since` and are among the last 10,000 records.
    pub fn performance(&self, since: u64) -> Performance {
        performance::performance(self.rows.iter().filter(|row| row.at >= since), &self.space)
    }

    /// Fits the models to the records up to when they were last due, where that has not been done.
    fn refit(&mut self) {
        if self.due == 0 || self.fitted.as_ref().is_some_and(|fitted| fitted.due == self.due) {
            return;
        }
        let newer = (self.total - self.due) as usize;
        let end = self.rows.len().saturating_sub(newer);
        let rows: Vec<&Row> = self.rows.range(end.saturating_sub(SEEN)..end).collect();
        // Apart from the streams of requests, which are numbered.
        let mut stream = Stream::new(!self.seed, self.due);
        let models = Models::fit(&self.space, &rows, self.features.len(), &self.priors, &mut stream);
        self.fitted = Some(Fitted { due: self.due, models, searches: HashMap::new() });
    }
}

/// Models, and what has been searched with them.
#[derive(Debug)]
struct Fitted {
    due: u64,
    models: Models,
    searches: HashMap<[u64; 3], Found>,
}
