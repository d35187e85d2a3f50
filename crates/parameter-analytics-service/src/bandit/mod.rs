//! Which of several arms to choose when each choice teaches something: bandits.
//!
//! A [`Bandit`] [selects](Bandit::select) an arm and is told its [reward](Bandit::reward) within an hour. What it learns are exact sums
//! ([`Delta`]), which processes exchange in any order: [`Bandit::take_delta`] here, [`Bandit::absorb`] there. Time and seed are passed in:
//! the same calls give the same arms, and a [`Snapshot`] goes on as the bandit that it was taken of.
//!
//! ```
//! use parameter_analytics_service::bandit::{Bandit, BanditOptions, Policy, Rewards};
//!
//! let options = BanditOptions::new(["short", "long"], Policy::Thompson, Rewards::Bernoulli, 42);
//! let mut bandit = Bandit::new(options)?;
//! for now_ms in 0..200 {
//!     let decision = bandit.select(None, now_ms)?;
//!     let reward = if &*decision.arm == "long" { 0.9 } else { 0.2 };
//!     bandit.reward(decision.decision_id, reward, now_ms)?;
//! }
//! let posterior = bandit.posterior(None, 200)?;
//! assert!(posterior[1].probability_best > 0.99);
//! # Ok::<(), parameter_analytics_service::bandit::BanditError>(())
//! ```
//!
//! # What another implementation has to repeat
//! To choose the same arms for the same seed it needs, in this order of the sources:
//! - `random.rs`: PCG32 (64 bits of state: O'Neill 2014, XSH-RR, as `rand_pcg` has it), SplitMix64's finaliser for a decision's
//!   state, uniform numbers of 52 bits, polar normals, Marsaglia and Tsang's gamma. Its tests hold vectors.
//! - [`libm`]'s `log` and `exp` (FreeBSD's msun, `e_log.c` and `e_exp.c`: argument reduction and a polynomial), bit for bit. Nothing else:
//!   roots are exact everywhere, and neither powers nor sines nor the error function occur. No product is fused with a sum.
//! - `evidence.rs`: sums are 128-bit integers (`BigInt`), rounded to the nearest double where they are used.
//! - `belief.rs`, `linear.rs` (in the order of its loops), `upper_bound.rs`, `best_arm.rs` and `choose.rs`. `best.rs` only for the
//!   `probability` of Thompson sampling, on which no choice depends.

mod arms;
mod belief;
mod best;
mod best_arm;
mod choose;
mod delta;
mod error;
mod evidence;
mod forgetting;
mod linear;
mod options;
mod outstanding;
mod random;
mod snapshot;
#[cfg(test)]
mod tests;
mod upper_bound;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use delta::Delta;
pub use error::BanditError;
pub use options::{BanditOptions, Clock, Forget, Policy, Rewards};
pub use outstanding::{DecisionId, EXPIRY_MS};
pub use snapshot::Snapshot;

use crate::stream::mixed;
use arms::Arms;
use best::Draw;
use delta::Shape;
use evidence::{FEATURE_MOST, FEATURE_UNITS, Observation};
use outstanding::Outstanding;
use random::Draws;

/// An arm that was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Its name.
    pub arm: Arc<str>,
    /// What to give back with the reward.
    pub decision_id: DecisionId,
    /// The probability with which this arm was chosen, in the light of what was known; to weigh rewards with when other policies are judged
    /// by them. Integrated for Thompson sampling, off by less than 0.005; exact otherwise, ties being broken at random.
    pub probability: f64,
}

/// What is known of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Its name.
    pub arm: Arc<str>,
    /// Whether it is not chosen any more.
    pub is_retired: bool,
    /// The expectation of its mean reward.
    pub mean: f64,
    /// The standard deviation of what the mean reward may be.
    pub std: f64,
    /// How many rewards that rests on; those that count less make fractions.
    pub pulls: f64,
    /// The probability that no other arm's mean reward is greater, to 0.005; 0 for a retired one.
    pub probability_best: f64,
}

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct Bandit {
    options: BanditOptions,
    arms: Arms,
    outstanding: Outstanding,
}

impl Bandit {
    /// One that knows nothing.
    ///
    /// # Errors
    /// [`BanditError`]: no arm, one twice, or an option out of its range.
    pub fn new(options: BanditOptions) -> Result<Self, BanditError> {
        // Whose decision it was, so that a reward that went astray is not counted for another one.
        let name = (mixed(options.seed) >> 32) as u32;
        Self::named(options, name)
    }

    /// The same, whose decisions have another name than that of its seed: where bandits with one seed follow upon one another, the decisions
    /// of the former must not be taken for those of the latter.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn named(options: BanditOptions, name: u32) -> Result<Self, BanditError> {
        options.check()?;
        let mut arms = Arms::new(Shape::of(&options), options.rewards, options.forget);
        for arm in &options.arms {
            arms.add(Arc::clone(arm), false)?;
        }
        arms.recount();
        let outstanding = Outstanding::new(name, options.max_outstanding);
        Ok(Self { options, arms, outstanding })
    }

    /// Chooses an arm. Some 1 us for ten arms, and as much again for the probability of Thompson sampling where rewards came since.
    ///
    /// `context` is for [`Policy::LinThompson`] alone: as many features as it says, of -1024 to 1024, counted to 2^-20 (1e-6).
    /// `now_ms` is in milliseconds since 1970, or of whatever clock.
    ///
    /// # Errors
    /// [`BanditError::Invalid`]: a context that the policy has no use for, or lacks, or that is of other length, or has no numbers.
    pub fn select(&mut self, context: Option<&[f64]>, now_ms: u64) -> Result<Decision, BanditError> {
        let context = self.context(context)?;
        self.arms.advance(now_ms);
        let mut draws = Draws::of(self.options.seed, self.outstanding.made());
        let rounded = in_features(&context);
        let (place, probability) = choose::choose(&mut self.arms, self.options.policy, &rounded, &mut draws)
            .ok_or(BanditError::NoArm)?;
        let arm = self.arms.list().get(place).map(|arm| Arc::clone(&arm.name)).ok_or(BanditError::NoArm)?;
        let decision_id = self.outstanding.wait(place, context, now_ms);
        Ok(Decision { arm, decision_id, probability })
    }

    /// Tells what came of a decision; its arm may have been retired since. The reward counts at the time at which it comes.
    ///
    /// # Errors
    /// - [`BanditError::Invalid`]: the reward is no number or out of range; the decision still waits for one.
    /// - [`BanditError::UnknownDecision`]: it is older than [an hour](EXPIRY_MS), or was not made here.
    /// - [`BanditError::Rewarded`]: it was told before.
    pub fn reward(&mut self, decision: DecisionId, reward: f64, now_ms: u64) -> Result<(), BanditError> {
        let reward = self.options.rewards.units(reward)?;
        let (place, context) = self.outstanding.settle(decision, now_ms)?;
        self.arms.advance(now_ms);
        self.arms.observe(place, &Observation { reward, context: &context });
        Ok(())
    }

    /// What is known of each arm, in the order in which they came; with a context, of its reward in that one. Some 50 us for ten arms.
    ///
    /// # Errors
    /// As [`select`](Self::select) for a context; it may always be left out, and rewards count then as if there were none.
    pub fn posterior(&mut self, context: Option<&[f64]>, now_ms: u64) -> Result<Vec<Standing>, BanditError> {
        let context = context
            .map(|context| self.context(Some(context)))
            .transpose()?
            .map(|context| in_features(&context));
        self.arms.advance(now_ms);
        let beliefs = self.arms.beliefs(context.as_deref());
        let chances = self.arms.chances_among(&beliefs, 0..beliefs.len(), Draw::Plain);
        let (zero, one) = self.options.rewards.scale();
        let standings = self.arms.list().iter().zip(beliefs.iter().zip(chances));
        let standing = |(arm, (belief, probability_best)): (&arms::Arm, (&Option<belief::Belief>, f64))| {
            let belief = belief.unwrap_or(arm.belief);
            Standing {
                arm: Arc::clone(&arm.name),
                is_retired: arm.is_retired,
                mean: zero + one * belief.mean(),
                std: one * belief.deviation(),
                pulls: arm.totals.pulls,
                probability_best,
            }
        };
        Ok(standings.map(standing).collect())
    }

    /// The best arm, once [`Policy::TopTwoThompson`] knows it; it alone is chosen from then on. `None` until then, and for other policies.
    pub fn verdict(&self) -> Option<Arc<str>> {
        let Policy::TopTwoThompson { error } = self.options.policy else { return None };
        let place = choose::best_arm(&self.arms, error)?;
        self.arms.list().get(place).map(|arm| Arc::clone(&arm.name))
    }

    /// One more arm, of which nothing is known; or one that was retired, with what is known of it.
    ///
    /// # Errors
    /// [`BanditError::ArmExists`].
    pub fn add_arm(&mut self, arm: impl Into<Arc<str>>) -> Result<(), BanditError> {
        self.arms.add(arm.into(), false)?;
        self.arms.recount();
        Ok(())
    }

    /// Never chooses the arm again. Rewards of decisions that were made before still count.
    ///
    /// # Errors
    /// [`BanditError::UnknownArm`], or [`BanditError::NoArm`] where it is the last one.
    pub fn retire_arm(&mut self, arm: &str) -> Result<(), BanditError> {
        self.arms.retire(arm)
    }

    /// Whether [`take_delta`](Self::take_delta) would give nothing.
    pub fn has_nothing_new(&self) -> bool {
        self.arms.unsent().is_empty()
    }

    /// What was learnt here since the last call, for others to [absorb](Self::absorb). What was absorbed here is not in it.
    pub fn take_delta(&mut self) -> Delta {
        self.arms.take_unsent()
    }

    /// Takes in what others learnt. An arm that is not known here comes in as a retired one, since whoever runs here may not be able to
    /// serve it; [`add_arm`](Self::add_arm) brings it into play.
    ///
    /// # Errors
    /// [`BanditError::Differs`] where the other bandit is of different make; then nothing has changed.
    pub fn absorb(&mut self, delta: &Delta, now_ms: u64) -> Result<(), BanditError> {
        self.arms.absorb(delta, now_ms)
    }

    /// Knows what `known` says from now on, and what was learnt here and not [taken](Self::take_delta): for who has all increments at hand.
    ///
    /// # Errors
    /// As [`absorb`](Self::absorb).
    pub fn relearn(&mut self, known: &Delta, now_ms: u64) -> Result<(), BanditError> {
        self.arms.relearn(known, now_ms)
    }

    /// Drops what counts no more from an increment that is kept elsewhere.
    pub fn trim(&self, delta: &mut Delta) {
        self.arms.trim(delta);
    }

    /// How it was made.
    pub fn options(&self) -> &BanditOptions {
        &self.options
    }

    /// How many decisions wait for their rewards.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// How many decisions were forgotten for newer ones before an hour was over: greater than 0 where `max_outstanding` is too small.
    pub fn pushed_out(&self) -> u64 {
        self.outstanding.pushed_out()
    }

    /// In units of features.
    fn context(&self, context: Option<&[f64]>) -> Result<Vec<i32>, BanditError> {
        let expected = match self.options.policy {
            Policy::LinThompson { features } => features,
            _ => 0,
        };
        let context = context.unwrap_or_default();
        if context.len() != expected {
            let help = match expected {
                0 => "leave it out, or make the bandit with `lin-thompson`",
                _ => "give the same features in each decision, with a constant among them",
            };
            return Err(BanditError::invalid(
                "context",
                format!("{expected} numbers"),
                format!("{} numbers", context.len()),
                help,
            ));
        }
        let most = -FEATURE_MOST..=FEATURE_MOST;
        if let Some((place, wrong)) = context.iter().enumerate().find(|(_, x)| !most.contains(*x)) {
            let help = "scale features to about -1 to 1";
            return Err(BanditError::invalid(
                format!("context[{place}]"),
                "a number from -1024 to 1024",
                wrong,
                help,
            ));
        }
        Ok(context.iter().map(|x| (x * FEATURE_UNITS + 0.5).floor() as i32).collect())
    }
}

fn in_features(context: &[i32]) -> Vec<f64> {
    context.iter().map(|x| f64::from(*x) / FEATURE_UNITS).collect()
}
