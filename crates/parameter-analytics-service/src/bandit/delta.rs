//! What was learnt, as an increment that can be added to others in any order.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::BanditError;
use super::evidence::{Evidence, Observation};
use super::options::{BanditOptions, Forget, Policy, Rewards};

/// What may not differ between increments that are added.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shape {
    rewards: Rewards,
    features: usize,
    forget: Forget,
}

impl Shape {
    pub(super) fn of(options: &BanditOptions) -> Self {
        let features = match options.policy {
            Policy::LinThompson { features } => features,
            _ => 0,
        };
        Self { rewards: options.rewards, features, forget: options.forget }
    }

    pub(super) fn features(&self) -> usize {
        self.features
    }

    fn check(&self, other: &Self) -> Result<(), BanditError> {
        let differ = |field| Err(BanditError::Differs { field });
        match other {
            other if other.rewards != self.rewards => differ("rewards"),
            other if other.features != self.features => differ("features"),
            other if other.forget != self.forget => differ("forget"),
            _ => Ok(()),
        }
    }
}

/// What rewards taught. Adding is exact, commutative and associative: sums are whole numbers, and those of different ages are kept apart
/// where age counts. So several processes can send theirs over any number of hops, and whoever has added the same ones knows the same.
/// Each must be added once; telling a repetition is up to whoever carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    shape: Shape,
    /// How many rewards had come where it was learnt: a logical clock, of which the furthest counts.
    seen: u64,
    /// By age and arm.
    slots: BTreeMap<u64, BTreeMap<Arc<str>, Evidence>>,
}

impl Delta {
    pub(super) fn new(shape: Shape) -> Self {
        Self { shape, seen: 0, slots: BTreeMap::new() }
    }

    /// Nothing, of a bandit that is made like this.
    pub fn nothing(options: &BanditOptions) -> Self {
        Self::new(Shape::of(options))
    }

    /// Adds another one.
    ///
    /// # Errors
    /// [`BanditError::Differs`] where the bandits of the two are of different make; then nothing has changed.
    pub fn merge(&mut self, other: &Self) -> Result<(), BanditError> {
        self.shape.check(&other.shape)?;
        self.seen = self.seen.max(other.seen);
        for (slot, arms) in &other.slots {
            let known = self.slots.entry(*slot).or_default();
            for (arm, evidence) in arms {
                known.entry(Arc::clone(arm)).or_default().add(evidence);
            }
        }
        Ok(())
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many rewards it counts.
    pub fn rewards(&self) -> u64 {
        let evidence = self.slots.values().flat_map(BTreeMap::values);
        evidence.fold(0, |sum, evidence| sum.wrapping_add(evidence.pulls))
    }

    /// The arms that it speaks of, each once.
    pub fn arms(&self) -> impl Iterator<Item = &Arc<str>> {
        self.slots.values().flat_map(BTreeMap::keys).collect::<std::collections::BTreeSet<_>>().into_iter()
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn slots(&self) -> &BTreeMap<u64, BTreeMap<Arc<str>, Evidence>> {
        &self.slots
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes a reward in, the `seen`th, and returns what is now known of the arm in that slot.
    pub(super) fn observe(
        &mut self,
        (slot, seen): (u64, u64),
        arm: &Arc<str>,
        observation: &Observation<'_>,
    ) -> &Evidence {
        self.seen = self.seen.max(seen);
        let evidence = self.slots.entry(slot).or_default().entry(Arc::clone(arm)).or_default();
        evidence.observe(observation);
        evidence
    }

    /// Drops what came before `first`.
    pub(super) fn drop_before(&mut self, first: u64) {
        if self.slots.first_key_value().is_some_and(|(slot, _)| *slot < first) {
            self.slots = self.slots.split_off(&first);
        }
    }
}
