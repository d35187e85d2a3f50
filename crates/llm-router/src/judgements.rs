//! What judgements of answers say of each model, from the first one on.
//!
//! Means of scores of which older ones count less, by time and by what came after them, since models change behind their names. Where a question's quality is also
//! [estimated](crate::learned::Learned), what is learnt here is what scores have beyond the estimate: hard questions are then nobody's
//! fault. Whoever explores chooses by a draw from what a quality may be (Thompson sampling; Thompson 1933, discounted for change by
//! Raj and Kalyani, arXiv 1707.09727), so that a model is tried as often as it may still be the best. We depart from the paper in
//! drawing from a normal distribution, since scores lie anywhere in 0..1, and in discounting by time instead of by round, since
//! requests come unevenly, and by judgements too, since a busy model's change must not take weeks to be seen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::learned::{Estimate, Learned, PromptFeatures, fade};
use crate::score::{PRIOR_WEIGHT, quality};

/// Two weeks: models change behind their names within months, and some need a week for a hundred judgements.
pub const HALF_LIFE: Duration = Duration::from_secs(14 * 86_400);
/// What remains of a judgement's weight once another one of the model has come: a hundred judgements are all that counts, which tell
/// 0.1 apart.
const DISCOUNT: f64 = 0.99;

/// A quality that was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Belief {
    /// 0 to 1.
    pub mean: f64,
    /// How many judgements it is worth; the prior of the configuration is worth a few.
    pub weight: f64,
}

/// What was seen of a question before anybody was asked; kept until somebody says how good its answer was.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    features: Option<Arc<PromptFeatures>>,
    learned: Option<Arc<Learned>>,
    /// For each model of `learned`, in its order.
    estimates: Vec<Estimate>,
}

impl Seen {
    /// Looks at the prompt: some 20 us for 500 characters, and twice that where there is something learned to ask.
    pub fn of(prompt: &str, learned: Option<&Arc<Learned>>) -> Self {
        let features = PromptFeatures::of(prompt, None);
        let estimates = learned.and_then(|learned| learned.qualities(&features)).unwrap_or_default();
        Self { features: Some(Arc::new(features)), learned: learned.cloned(), estimates }
    }

    /// What is known of the prompt; no text.
    pub fn features(&self) -> Option<&PromptFeatures> {
        self.features.as_deref()
    }

    /// How well the model is expected to answer, by what was learned from judged answers.
    pub fn estimate(&self, model: &str) -> Option<Estimate> {
        let place = self.learned.as_ref()?.models().iter().position(|known| known == model)?;
        self.estimates.get(place).copied()
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let features =
            self.features.as_ref().map_or(0, |features| 4 * features.form.len() + 8 * features.words.len());
        features + size_of::<Estimate>() * self.estimates.len()
    }
}

/// How good an answer was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Who answered.
    pub model: Arc<str>,
    /// 0 to 1.
    pub score: f64,
    /// What was expected of the answer, where that was estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<f64>,
    /// What is known of the prompt; no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<PromptFeatures>,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Judgements(HashMap<Arc<str>, Judged>);

#[derive(Debug, Default)]
struct Judged {
    scores: Faded,
    /// What scores had beyond what was expected.
    beyond: Faded,
    samples: u64,
}

/// A sum of which older parts count less, as it stood at a time.
#[derive(Debug, Clone, Copy, Default)]
struct Faded {
    sum: f64,
    weight: f64,
    at: Duration,
}

impl Faded {
    /// As it stands later. A clock that went back ages nothing.
    fn at(&self, at: Duration) -> Self {
        let keep = fade(at.saturating_sub(self.at).as_secs_f64(), HALF_LIFE.as_secs_f64());
        Self { sum: self.sum * keep, weight: self.weight * keep, at: at.max(self.at) }
    }

    fn add(&mut self, value: f64, at: Duration) {
        let Self { sum, weight, at } = self.at(at);
        *self = Self { sum: sum.mul_add(DISCOUNT, value), weight: weight.mul_add(DISCOUNT, 1.0), at };
    }
}

impl Judgements {
    /// Takes one in. A score outside of 0..1 counts as the nearer end, and none is dropped silently: what is no number is refused
    /// before it comes here.
    pub fn take(&mut self, judgement: &Judgement) {
        let at = Duration::from_millis(judgement.at_ms);
        let score = judgement.score.clamp(0.0, 1.0);
        let judged = match self.0.get_mut(&judgement.model) {
            Some(judged) => judged,
            None => self.0.entry(Arc::clone(&judgement.model)).or_default(),
        };
        judged.samples += 1;
        judged.scores.add(score, at);
        if let Some(expected) = judgement.expected {
            judged.beyond.add(score - expected, at);
        }
    }

    /// How good the model's answers are at a time (since 1970): where there is an estimate for the question, that and what judgements had
    /// beyond theirs; the mean of the judgements otherwise. `None`: nothing is known, and the prior counts.
    pub fn belief(&self, model: &str, estimate: Option<Estimate>, at: Duration) -> Option<Belief> {
        let judged = self.0.get(model);
        let Some(Estimate { mean, weight: trust }) = estimate else {
            let scores = judged?.scores.at(at);
            return (scores.weight > 0.0)
                .then(|| Belief { mean: scores.sum / scores.weight, weight: scores.weight });
        };
        let beyond = judged.map_or(Faded::default(), |judged| judged.beyond.at(at));
        // A few judgements move it little.
        let shift = beyond.sum / (beyond.weight + PRIOR_WEIGHT);
        let trust = trust.clamp(0.0, 0.99);
        let weight = PRIOR_WEIGHT * trust / (1.0 - trust) + beyond.weight;
        Some(Belief { mean: (mean + shift).clamp(0.0, 1.0), weight })
    }

    /// Judgements of the model that were taken in.
    pub fn samples(&self, model: &str) -> u64 {
        self.0.get(model).map_or(0, |judged| judged.samples)
    }

    /// Whether nobody has judged anything yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One draw from what a quality may be: its mean, and a normal deviation that shrinks as judgements come.
pub fn drawn(prior: Option<f64>, belief: Option<Belief>, rng: &mut fastrand::Rng) -> f64 {
    let mean = quality(prior, belief);
    let weight = belief.map_or(0.0, |belief| belief.weight);
    let spread = (mean * (1.0 - mean) / (weight + PRIOR_WEIGHT + 1.0)).sqrt();
    // Box and Muller; the logarithm's argument must not be 0.
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    (mean + spread * radius * (std::f64::consts::TAU * rng.f64()).cos()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY_MS: u64 = 86_400_000;

    fn judged(model: &str, score: f64, at_ms: u64) -> Judgement {
        Judgement { at_ms, model: model.into(), score, expected: None, features: None }
    }

    #[test]
    fn without_judgements_nothing_is_believed() {
        let none = Judgements::default();
        assert_eq!(none.belief("a", None, HALF_LIFE), None);
        assert_eq!((none.samples("a"), none.is_empty()), (0, true));
    }

    #[test]
    fn judgements_move_a_quality_and_fade() {
        let mut judgements = Judgements::default();
        for _ in 0..24 {
            judgements.take(&judged("a", 0.0, DAY_MS));
        }
        let at = |days: u64| {
            quality(Some(0.8), judgements.belief("a", None, Duration::from_millis(days * DAY_MS)))
        };
        assert!((at(1) - 0.217).abs() < 1e-3, "{}", at(1));
        assert!((at(15) - 0.342).abs() < 1e-3, "half of it is gone: {}", at(15));
        assert!((at(3650) - 0.8).abs() < 1e-6, "{}", at(3650));
        assert_eq!(at(0), at(1), "a clock that went back ages nothing");
        assert_eq!(judgements.samples("a"), 24);
    }

    #[test]
    fn beside_an_estimate_only_what_is_beyond_it_counts() {
        let mut judgements = Judgements::default();
        let estimate = |mean| Some(Estimate { mean, weight: 0.9 });
        for _ in 0..100 {
            let hard = Judgement { expected: Some(0.1), ..judged("as expected", 0.1, 0) };
            judgements.take(&hard);
            judgements.take(&Judgement { expected: Some(0.9), ..judged("worse", 0.4, 0) });
        }
        let mean =
            |model, expected| judgements.belief(model, estimate(expected), Duration::ZERO).unwrap().mean;
        assert!((mean("as expected", 0.8) - 0.8).abs() < 1e-9);
        assert!((mean("worse", 0.8) - 0.356).abs() < 0.01, "{}", mean("worse", 0.8));
        assert_eq!(mean("never judged", 0.8), 0.8);
    }

    #[test]
    fn a_model_that_became_worse_is_noticed_however_much_was_good_before() {
        let mut judgements = Judgements::default();
        for round in 0..1_200 {
            judgements.take(&judged("a", if round < 1_000 { 1.0 } else { 0.0 }, round));
        }
        let now = judgements.belief("a", None, Duration::from_secs(2)).unwrap();
        assert!(now.mean < 0.15 && now.weight < 100.0, "{now:?}");
    }

    #[test]
    fn the_better_model_is_asked_more_and_more() {
        let (mut judgements, mut rng) = (Judgements::default(), fastrand::Rng::with_seed(1));
        let mut asked = [0, 0];
        for round in 0..2_000 {
            let at = Duration::from_secs(round);
            let draws =
                ["good", "bad"].map(|model| drawn(Some(0.5), judgements.belief(model, None, at), &mut rng));
            let chosen = usize::from(draws[1] > draws[0]);
            if round >= 1_000 {
                asked[chosen] += 1;
            }
            let score = if rng.f64() < [0.8, 0.6][chosen] { 1.0 } else { 0.0 };
            judgements.take(&judged(["good", "bad"][chosen], score, round * 1_000));
        }
        assert!(asked[0] > 900, "{asked:?}");
    }

    #[test]
    fn a_judgement_is_the_same_after_it_was_written() {
        let features = PromptFeatures::of("What is 2 + 2?", None);
        let judgement = Judgement { expected: Some(0.25), features: Some(features), ..judged("a", 0.5, 7) };
        let text = serde_json::to_string(&judgement).unwrap();
        assert!(!text.contains("What"), "{text}");
        assert_eq!(serde_json::from_str::<Judgement>(&text).unwrap(), judgement);
    }

    proptest! {
        #[test]
        fn beliefs_and_draws_are_qualities(
            scores in prop::collection::vec((0.0..=1.0f64, prop::option::of(0.0..=1.0f64), 0..1_000_000_000u64), 0..40),
            estimate in prop::option::of((0.0..=1.0f64, 0.0..=1.0f64)),
            prior in prop::option::of(0.0..=1.0f64),
            at in 0..2_000_000u64,
            seed: u64,
        ) {
            let mut judgements = Judgements::default();
            for (score, expected, at_ms) in scores {
                judgements.take(&Judgement { expected, ..judged("m", score, at_ms) });
            }
            let estimate = estimate.map(|(mean, weight)| Estimate { mean, weight });
            let belief = judgements.belief("m", estimate, Duration::from_secs(at));
            if let Some(belief) = belief {
                prop_assert!((0.0..=1.0 + 1e-9).contains(&belief.mean) && belief.weight >= 0.0, "{belief:?}");
            }
            let draw = drawn(prior, belief, &mut fastrand::Rng::with_seed(seed));
            prop_assert!((0.0..=1.0).contains(&draw));
        }
    }
}
