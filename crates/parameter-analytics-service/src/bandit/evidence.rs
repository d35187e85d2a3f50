//! What rewards sum up to: whole numbers, so that sums do not depend on the order in which they were made.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units in which a standardised reward is counted, 2^-24 (6e-8): far below any noise, and the sum of 2^39 greatest squares still fits.
pub(super) const UNITS: f64 = 16_777_216.0;
/// Units in which a feature is counted, 2^-20, so that products of the greatest (1024) leave room for 2^67 of them.
pub(super) const FEATURE_UNITS: f64 = 1_048_576.0;
/// The greatest size of a feature.
pub(super) const FEATURE_MOST: f64 = 1_024.0;

/// An exact sum. It wraps around where no honest sum gets to, since addition stays commutative and associative that way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum(i128);

impl Sum {
    pub(super) fn add(&mut self, term: i128) {
        self.0 = self.0.wrapping_add(term);
    }

    /// In terms of 1 instead of `unit`s.
    pub(super) fn over(self, units: f64) -> f64 {
        self.0 as f64 / units
    }
}

/// As text: numbers of JSON stop being exact at 2^53 in JavaScript.
impl Serialize for Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// One reward, and what it came with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Observation<'a> {
    /// In units.
    pub(super) reward: i64,
    /// In units of features; empty where there are none.
    pub(super) context: &'a [i32],
}

/// What is known of one arm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Evidence {
    pub(super) pulls: u64,
    pub(super) sum: Sum,
    pub(super) squares: Sum,
    /// With contexts: the lower triangle of the sum of their outer products, row by row, and then the sum of reward times context.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) products: Vec<Sum>,
}

impl Evidence {
    pub(super) fn observe(&mut self, Observation { reward, context }: &Observation<'_>) {
        let reward = i128::from(*reward);
        self.pulls = self.pulls.wrapping_add(1);
        self.sum.add(reward);
        self.squares.add(reward * reward);
        if context.is_empty() {
            return;
        }
        self.products.resize(self.products.len().max(products(context.len())), Sum::default());
        let pairs = context.iter().enumerate().flat_map(|(row, x)| {
            context.iter().take(row + 1).map(move |y| i128::from(i64::from(*x) * i64::from(*y)))
        });
        let with_reward = context.iter().map(|x| i128::from(*x) * reward);
        self.products.iter_mut().zip(pairs.chain(with_reward)).for_each(|(sum, term)| sum.add(term));
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.pulls = self.pulls.wrapping_add(other.pulls);
        self.sum.add(other.sum.0);
        self.squares.add(other.squares.0);
        self.products.resize(self.products.len().max(other.products.len()), Sum::default());
        self.products.iter_mut().zip(&other.products).for_each(|(sum, term)| sum.add(term.0));
    }
}

/// How many sums a context of so many features needs.
pub(super) fn products(features: usize) -> usize {
    features * (features + 1) / 2 + features
}

/// Evidence as numbers, older parts counting less.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) pulls: f64,
    pub(super) sum: f64,
    pub(super) squares: f64,
    /// As in [`Evidence`]; empty where there are no contexts.
    pub(super) products: Vec<f64>,
}

impl Totals {
    /// Adds what counts `weight` times.
    pub(super) fn add(&mut self, evidence: &Evidence, weight: f64, features: usize) {
        self.pulls += weight * evidence.pulls as f64;
        self.sum += weight * evidence.sum.over(UNITS);
        self.squares += weight * evidence.squares.over(UNITS * UNITS);
        if features == 0 {
            return;
        }
        self.products.resize(products(features), 0.0);
        let outer = products(features) - features;
        for (place, (total, sum)) in self.products.iter_mut().zip(&evidence.products).enumerate() {
            let units = if place < outer { FEATURE_UNITS * FEATURE_UNITS } else { FEATURE_UNITS * UNITS };
            *total += weight * sum.over(units);
        }
    }

    /// The sum of squared distances from the mean.
    pub(super) fn scatter(&self) -> f64 {
        if self.pulls > 0.0 { (self.squares - self.sum * self.sum / self.pulls).max(0.0) } else { 0.0 }
    }

    /// The mean reward, 0 where there is none.
    pub(super) fn mean(&self) -> f64 {
        if self.pulls > 0.0 { self.sum / self.pulls } else { 0.0 }
    }
}
