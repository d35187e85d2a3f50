//! The arms and what is believed of each: exact sums, and what follows from them, kept until they change.

use std::collections::HashMap;
use std::sync::Arc;

use super::belief::Belief;
use super::best::{Curve, Curves, Draw, chance};
use super::delta::{Delta, Shape};
use super::error::BanditError;
use super::evidence::{FEATURE_UNITS, Observation, Totals, UNITS};
use super::linear::Weights;
use super::options::{Forget, Rewards};

/// One arm.
#[derive(Debug, Clone)]
pub(super) struct Arm {
    pub(super) name: Arc<str>,
    pub(super) is_retired: bool,
    /// What counts, of slots that no more rewards are expected for.
    older: Totals,
    /// All that counts.
    pub(super) totals: Totals,
    pub(super) belief: Belief,
    pub(super) weights: Option<Weights>,
    /// Made when it is asked for.
    curve: Option<Curve>,
    /// The chance of an optimistic draw, computed when it is asked for.
    chance: Option<f64>,
}

/// See the module documentation.
#[derive(Debug, Clone)]
pub(super) struct Arms {
    pub(super) rewards: Rewards,
    forget: Forget,
    features: usize,
    list: Vec<Arm>,
    places: HashMap<Arc<str>, usize>,
    known: Delta,
    unsent: Delta,
    /// That rewards now go to.
    slot: u64,
    /// A logical clock: at least how many rewards came here.
    seen: u64,
    curves: Curves,
}

impl Arms {
    pub(super) fn new(shape: Shape, rewards: Rewards, forget: Forget) -> Self {
        Self {
            rewards,
            forget,
            features: shape.features(),
            list: Vec::new(),
            places: HashMap::new(),
            known: Delta::new(shape),
            unsent: Delta::new(shape),
            slot: 0,
            seen: 0,
            curves: Curves::new(),
        }
    }

    pub(super) fn list(&self) -> &[Arm] {
        &self.list
    }

    /// Those that may be chosen, with their places.
    pub(super) fn active(&self) -> impl Iterator<Item = (usize, &Arm)> {
        self.list.iter().enumerate().filter(|(_, arm)| !arm.is_retired)
    }

    pub(super) fn place(&self, arm: &str) -> Result<usize, BanditError> {
        self.places.get(arm).copied().ok_or_else(|| BanditError::UnknownArm {
            arm: arm.into(),
            known: self.list.iter().map(|arm| Arc::clone(&arm.name)).collect(),
        })
    }

    /// A new one, or a retired one that comes back with what is known of it. It is counted by the [recount](Self::recount) that has to follow.
    pub(super) fn add(&mut self, name: Arc<str>, is_retired: bool) -> Result<(), BanditError> {
        match self.places.get(&name).and_then(|place| self.list.get_mut(*place)) {
            Some(arm) if arm.is_retired => arm.is_retired = is_retired,
            Some(_) => return Err(BanditError::ArmExists { arm: name }),
            None => {
                self.places.insert(Arc::clone(&name), self.list.len());
                self.list.push(Arm {
                    name,
                    is_retired,
                    older: Totals::default(),
                    totals: Totals::default(),
                    belief: Belief::of(&Totals::default(), self.rewards, 0.0),
                    weights: None,
                    curve: None,
                    chance: None,
                });
            }
        }
        Ok(())
    }

    pub(super) fn retire(&mut self, arm: &str) -> Result<(), BanditError> {
        let place = self.place(arm)?;
        if !self.active().any(|(other, _)| other != place) {
            return Err(BanditError::NoArm);
        }
        if let Some(arm) = self.list.get_mut(place) {
            arm.is_retired = true;
        }
        self.list.iter_mut().for_each(|arm| arm.chance = None);
        Ok(())
    }

    /// Lets time pass. A clock that goes back changes nothing.
    pub(super) fn advance(&mut self, now_ms: u64) {
        let slot = self.forget.slot(now_ms, self.seen);
        if slot > self.slot {
            self.slot = slot;
            let first = self.forget.first(slot);
            self.known.drop_before(first);
            self.unsent.drop_before(first);
            self.recount();
        }
    }

    /// Takes a reward in, at the time that was last told.
    pub(super) fn observe(&mut self, place: usize, observation: &Observation<'_>) {
        let Some(arm) = self.list.get_mut(place) else { return };
        self.seen = self.seen.saturating_add(1);
        let evidence = self.known.observe((self.slot, self.seen), &arm.name, observation);
        arm.totals.clone_from(&arm.older);
        // The products are used where weights are made anew, which counts all slots again.
        arm.totals.add(evidence, 1.0, 0);
        self.unsent.observe((self.slot, self.seen), &arm.name, observation);
        let is_inexact = arm.weights.as_mut().is_some_and(|weights| {
            let context: Vec<f64> =
                observation.context.iter().map(|x| f64::from(*x) / FEATURE_UNITS).collect();
            weights.observe(&context, observation.reward as f64 / UNITS)
        });
        if is_inexact {
            self.recount();
        } else {
            self.believe(Some(place));
        }
    }

    /// Takes in what others learnt. Arms that are not known here come in as retired ones.
    pub(super) fn absorb(&mut self, delta: &Delta, now_ms: u64) -> Result<(), BanditError> {
        self.known.merge(delta)?;
        let unknown: Vec<Arc<str>> =
            delta.arms().filter(|arm| !self.places.contains_key(*arm)).map(Arc::clone).collect();
        for arm in unknown {
            self.add(arm, true)?;
        }
        self.seen = self.seen.max(delta.seen());
        self.advance(now_ms);
        self.known.drop_before(self.forget.first(self.slot));
        self.recount();
        Ok(())
    }

    /// Knows what is in `known` and unsent, and nothing else.
    pub(super) fn relearn(&mut self, known: &Delta, now_ms: u64) -> Result<(), BanditError> {
        let mut all = self.unsent.clone();
        all.merge(known)?;
        self.known = Delta::new(self.unsent.shape());
        self.absorb(&all, now_ms)
    }

    pub(super) fn trim(&self, delta: &mut Delta) {
        delta.drop_before(self.forget.first(self.slot));
    }

    /// What was learnt here since the last time.
    pub(super) fn take_unsent(&mut self) -> Delta {
        let shape = self.unsent.shape();
        std::mem::replace(&mut self.unsent, Delta::new(shape))
    }

    pub(super) fn known(&self) -> &Delta {
        &self.known
    }

    pub(super) fn unsent(&self) -> &Delta {
        &self.unsent
    }

    pub(super) fn clocks(&self) -> (u64, u64) {
        (self.slot, self.seen)
    }

    /// Goes on from where another one stood.
    pub(super) fn resume(
        &mut self,
        known: &Delta,
        unsent: Delta,
        (slot, seen): (u64, u64),
    ) -> Result<(), BanditError> {
        self.known.merge(known)?;
        self.unsent.merge(&unsent)?;
        (self.slot, self.seen) = (slot, seen);
        self.recount();
        Ok(())
    }

    /// Counts everything again, which must give what counting step by step gave.
    pub(super) fn recount(&mut self) {
        for arm in &mut self.list {
            arm.older = Totals::default();
            let mut present = None;
            for (slot, evidence) in
                self.known.slots().iter().filter_map(|(slot, arms)| Some((slot, arms.get(&arm.name)?)))
            {
                if *slot == self.slot {
                    present = Some(evidence);
                } else {
                    arm.older.add(evidence, self.forget.weight(*slot, self.slot), self.features);
                }
            }
            arm.totals.clone_from(&arm.older);
            if let Some(evidence) = present {
                arm.totals.add(evidence, 1.0, self.features);
            }
            if self.features > 0 {
                arm.weights = Some(Weights::of(&arm.totals, self.features, self.rewards));
            }
        }
        self.believe(None);
    }

    /// Draws conclusions for the arm whose sums have changed, or for all.
    fn believe(&mut self, changed: Option<usize>) {
        let (sum, pulls) = self
            .list
            .iter()
            .fold((0.0, 0.0), |(sum, pulls), arm| (sum + arm.totals.sum, pulls + arm.totals.pulls));
        let others = if pulls > 0.0 { sum / pulls } else { 0.0 };
        for (place, arm) in self.list.iter_mut().enumerate() {
            arm.chance = None;
            // An arm without rewards is believed to be like the others.
            if changed.is_none_or(|changed| changed == place) || arm.totals.pulls == 0.0 {
                arm.belief = Belief::of(&arm.totals, self.rewards, others);
                arm.curve = None;
            }
        }
    }

    /// How probable it is that an arm's draw is the greatest.
    pub(super) fn chance(&mut self, place: usize, draw: Draw) -> f64 {
        if draw == Draw::Optimistic
            && let Some(known) = self.list.get(place).and_then(|arm| arm.chance)
        {
            return known;
        }
        for arm in self.list.iter_mut().filter(|arm| !arm.is_retired && arm.curve.is_none()) {
            arm.curve = Some(self.curves.of(arm.belief));
        }
        let curves: Vec<Option<&Curve>> =
            self.list.iter().map(|arm| arm.curve.as_ref().filter(|_| !arm.is_retired)).collect();
        let found = chance(place, &curves, draw);
        if draw == Draw::Optimistic
            && let Some(arm) = self.list.get_mut(place)
        {
            arm.chance = Some(found);
        }
        found
    }

    /// The same for beliefs that hold for one context only; `None` for retired arms.
    pub(super) fn chances_among(
        &self,
        beliefs: &[Option<Belief>],
        places: impl Iterator<Item = usize>,
        draw: Draw,
    ) -> Vec<f64> {
        let curves: Vec<Option<Curve>> =
            beliefs.iter().map(|belief| Some(self.curves.of((*belief)?))).collect();
        let curves: Vec<Option<&Curve>> = curves.iter().map(Option::as_ref).collect();
        places.map(|place| chance(place, &curves, draw)).collect()
    }

    /// What is believed of the reward of each arm in a context; without one, or without weights, of its mean.
    pub(super) fn beliefs(&self, context: Option<&[f64]>) -> Vec<Option<Belief>> {
        let in_context = |arm: &Arm| match (context, &arm.weights) {
            (Some(context), Some(weights)) => weights.belief(context),
            _ => arm.belief,
        };
        self.list.iter().map(|arm| (!arm.is_retired).then(|| in_context(arm))).collect()
    }
}
