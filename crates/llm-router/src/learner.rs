//! What is learnt of how good answers are, behind a trait: the decision itself takes the numbers.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::catalogue::Model;

/// A quality that was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Learned {
    /// 0 to 1.
    pub mean: f64,
    /// How many observations it is worth; the prior of the configuration is worth a few.
    pub weight: f64,
}

/// What a question is remembered by until somebody says how good its answer was: numbers that only the [`Learner`] reads.
pub type Features = Arc<[f32]>;

/// Whoever learns from feedback which model answers which question well.
pub trait Learner: fmt::Debug + Send + Sync {
    /// What the question is remembered by. `prompt` gives its text; it is read only by those who need it.
    fn features(&self, prompt: &dyn Fn() -> String) -> Features;

    /// How good the model's answer to such a question will be; `None`: nothing is known, and the prior counts. Asked for each model of
    /// each question: it must not wait.
    fn quality(&self, features: &Features, model: &Model) -> Option<Learned>;

    /// An answer of the model to such a question was so good, 0 to 1.
    fn feedback(&self, features: &Features, model: &str, score: f64);

    /// How many judgements of the model's answers were taken in.
    fn samples(&self, model: &str) -> u64;
}

/// What remains of a judgement's weight once another one has come: of one fifty judgements ago about a third, so that models that
/// change are noticed.
const DISCOUNT: f64 = 0.98;

/// The simplest learner: the mean of each model's judgements, whatever the question, of which older ones count less.
#[derive(Debug, Default)]
pub struct DiscountedMeans(RwLock<HashMap<Arc<str>, Mean>>);

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    weight: f64,
    samples: u64,
}

impl Learner for DiscountedMeans {
    fn features(&self, _prompt: &dyn Fn() -> String) -> Features {
        Features::default()
    }

    fn quality(&self, _features: &Features, model: &Model) -> Option<Learned> {
        let means = self.0.read();
        let mean = means.get(&model.name)?;
        Some(Learned { mean: mean.sum / mean.weight, weight: mean.weight })
    }

    fn feedback(&self, _features: &Features, model: &str, score: f64) {
        let mut means = self.0.write();
        let mean = match means.get_mut(model) {
            Some(mean) => mean,
            None => means.entry(model.into()).or_default(),
        };
        mean.sum = mean.sum.mul_add(DISCOUNT, score);
        mean.weight = mean.weight.mul_add(DISCOUNT, 1.0);
        mean.samples += 1;
    }

    fn samples(&self, model: &str) -> u64 {
        self.0.read().get(model).map_or(0, |mean| mean.samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_follows_a_model_that_changes() {
        let learner = DiscountedMeans::default();
        let (none, model) = (Features::default(), Model::new("m"));
        assert_eq!(learner.quality(&none, &model), None);
        learner.feedback(&none, "m", 1.0);
        assert_eq!(learner.quality(&none, &model), Some(Learned { mean: 1.0, weight: 1.0 }));
        for _ in 0..200 {
            learner.feedback(&none, "m", 0.0);
        }
        let learned = learner.quality(&none, &model).unwrap();
        assert!(learned.mean < 0.01 && learned.weight < 50.0 && learned.weight > 48.0, "{learned:?}");
        assert_eq!((learner.samples("m"), learner.samples("other")), (201, 0));
    }
}
