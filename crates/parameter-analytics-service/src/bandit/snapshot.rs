use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Bandit;
use super::arms::Arms;
use super::delta::{Delta, Shape};
use super::error::BanditError;
use super::options::BanditOptions;
use super::outstanding::Outstanding;

/// All of a bandit, to be written down: the decisions that wait for rewards too. Whole numbers as text where JavaScript would round them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    options: BanditOptions,
    /// In the order in which they came, and whether they are retired.
    arms: Vec<(Arc<str>, bool)>,
    known: Delta,
    unsent: Delta,
    clocks: (u64, u64),
    outstanding: Outstanding,
}

impl Bandit {
    /// Everything that it knows. A bandit that is [restored](Self::restore) from it goes on to the same bit: for that, what was rounded
    /// on the way is computed anew from the sums here too.
    pub fn snapshot(&mut self) -> Snapshot {
        self.arms.recount();
        Snapshot {
            options: self.options.clone(),
            arms: self.arms.list().iter().map(|arm| (Arc::clone(&arm.name), arm.is_retired)).collect(),
            known: self.arms.known().clone(),
            unsent: self.arms.unsent().clone(),
            clocks: self.arms.clocks(),
            outstanding: self.outstanding.clone(),
        }
    }

    /// Goes on where a snapshot was taken.
    ///
    /// # Errors
    /// [`BanditError`] where the snapshot does not come from [`snapshot`](Self::snapshot): options out of range, sums of another make.
    pub fn restore(snapshot: Snapshot) -> Result<Self, BanditError> {
        let Snapshot { options, arms: names, known, unsent, clocks, outstanding } = snapshot;
        options.check()?;
        let mut arms = Arms::new(Shape::of(&options), options.rewards, options.forget);
        for (name, is_retired) in names {
            arms.add(name, is_retired)?;
        }
        if arms.active().next().is_none() {
            return Err(BanditError::NoArm);
        }
        arms.resume(&known, unsent, clocks)?;
        Ok(Self { options, arms, outstanding })
    }
}
