//! What feedback says of each model, from the first request on.
//!
//! Thompson sampling with discounts: what each model's score is believed to be is drawn from, and the greatest draw
//! is chosen, so that a model is tried as often as it may still be the best (Thompson 1933; discounted for change by
//! Raj and Kalyani, arXiv 1707.09727). We depart from the paper in drawing from a normal distribution, since scores
//! lie anywhere in 0..1, and in discounting by time instead of by round, since requests come unevenly.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::data::fade;
use super::model::Estimate;

/// How feedback is believed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BanditOptions {
    /// After how many seconds feedback counts half.
    pub half_life_s: f64,
    /// How many scores a prior is worth.
    pub prior_weight: f64,
}

impl Default for BanditOptions {
    /// Two weeks: models change behind their names within months, and some need a week for a hundred scores. A prior
    /// is worth ten scores: a benchmark's figure is seldom off by more than the 0.15 that ten scores tell apart.
    fn default() -> Self {
        Self { half_life_s: 14.0 * 86_400.0, prior_weight: 10.0 }
    }
}

/// Feedback by model. Its state is plain data: keep it with serde.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Bandit {
    options: BanditOptions,
    arms: BTreeMap<String, Arm>,
}

/// Sums as they stood at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Arm {
    weight: f64,
    score: f64,
    at_s: f64,
}

impl Arm {
    /// Sums as they stand later. A clock that went back ages nothing.
    fn at(&self, at: Duration, half_life_s: f64) -> Self {
        let at_s = at.as_secs_f64().max(self.at_s);
        let keep = fade(at_s - self.at_s, half_life_s);
        Self { weight: self.weight * keep, score: self.score * keep, at_s }
    }
}

impl Bandit {
    /// Knows nothing yet.
    pub fn new(options: BanditOptions) -> Self {
        Self { options, arms: BTreeMap::new() }
    }

    /// Takes a score (0 to 1; others are brought to the nearer end, and what is no number is dropped) given `at` a
    /// time since any fixed moment, the Unix epoch for one.
    pub fn record(&mut self, model: &str, score: f64, at: Duration) {
        if score.is_nan() {
            return;
        }
        let half_life = self.options.half_life_s;
        let empty = Arm { weight: 0.0, score: 0.0, at_s: at.as_secs_f64() };
        let arm = self.arms.entry(model.to_owned()).or_insert(empty);
        *arm = arm.at(at, half_life);
        arm.weight += 1.0;
        arm.score += score.clamp(0.0, 1.0);
    }

    /// What a model's score is believed to be `at` a time, with a prior that counts [`BanditOptions::prior_weight`]
    /// scores. `weight` is what share of it is feedback.
    pub fn estimate(&self, model: &str, prior: f64, at: Duration) -> Estimate {
        let (mean, weight) = self.belief(model, prior, at);
        Estimate { mean, weight: weight / (weight + self.options.prior_weight).max(f64::MIN_POSITIVE) }
    }

    /// The mean and how many scores of feedback it rests on.
    fn belief(&self, model: &str, prior: f64, at: Duration) -> (f64, f64) {
        let arm = self.arms.get(model).map(|arm| arm.at(at, self.options.half_life_s));
        let (weight, score) = arm.map_or((0.0, 0.0), |arm| (arm.weight, arm.score));
        let prior_weight = self.options.prior_weight.max(1e-6);
        ((score + prior_weight * prior.clamp(0.0, 1.0)) / (weight + prior_weight), weight)
    }

    /// One draw from what a model's score may be: the mean and a normal deviation that shrinks as feedback comes.
    pub fn draw(&self, model: &str, prior: f64, at: Duration, rng: &mut fastrand::Rng) -> f64 {
        let (mean, weight) = self.belief(model, prior, at);
        let spread = (mean * (1.0 - mean) / (weight + self.options.prior_weight + 1.0)).sqrt();
        // Box and Muller; the first must not be 0.
        let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
        mean + spread * radius * (std::f64::consts::TAU * rng.f64()).cos()
    }

    /// The place of the candidate (model, prior) with the greatest draw; none without candidates.
    pub fn choose<'a>(
        &self,
        candidates: impl IntoIterator<Item = (&'a str, f64)>,
        at: Duration,
        rng: &mut fastrand::Rng,
    ) -> Option<usize> {
        let draws = candidates.into_iter().map(|(model, prior)| self.draw(model, prior, at, rng));
        draws.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(place, _)| place)
    }

    /// Forgets models that are no longer offered.
    pub fn keep(&mut self, offered: impl Fn(&str) -> bool) {
        self.arms.retain(|model, _| offered(model));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn without_feedback_the_prior_is_all_there_is() {
        let estimate = Bandit::default().estimate("a", 0.62, DAY);
        assert_eq!(estimate, Estimate { mean: 0.62, weight: 0.0 });
    }

    #[test]
    fn feedback_moves_the_estimate_and_fades() {
        let mut bandit = Bandit::default();
        for _ in 0..30 {
            bandit.record("a", 0.0, DAY);
        }
        let now = bandit.estimate("a", 0.8, DAY);
        assert!((now.mean - 0.2).abs() < 1e-9 && (now.weight - 0.75).abs() < 1e-9, "{now:?}");
        let later = bandit.estimate("a", 0.8, DAY * 15);
        assert!((later.mean - 0.32).abs() < 1e-9, "half of it is gone: {later:?}");
        let much_later = bandit.estimate("a", 0.8, DAY * 3650);
        assert!((much_later.mean - 0.8).abs() < 1e-6, "{much_later:?}");
    }

    #[test]
    fn the_better_model_is_asked_more_and_more() {
        let mut bandit = Bandit::default();
        let mut rng = fastrand::Rng::with_seed(1);
        let mut asked = [0, 0];
        for i in 0..2000 {
            let at = DAY + Duration::from_secs(i);
            let place = bandit.choose([("a", 0.5), ("b", 0.5)], at, &mut rng).expect("two candidates");
            let (model, quality) = [("a", 0.6), ("b", 0.8)][place];
            bandit.record(model, if rng.f64() < quality { 1.0 } else { 0.0 }, at);
            if i >= 1000 {
                asked[place] += 1;
            }
        }
        assert!(asked[1] > 900, "{asked:?}");
    }

    #[test]
    fn it_notices_that_the_best_became_bad() {
        let options = BanditOptions { half_life_s: 200.0, ..BanditOptions::default() };
        let mut bandit = Bandit::new(options);
        let mut rng = fastrand::Rng::with_seed(2);
        let mut late = 0;
        for i in 0..4000u64 {
            let at = Duration::from_secs(i);
            let place = bandit.choose([("a", 0.5), ("b", 0.5)], at, &mut rng).expect("two candidates");
            let quality = if (place == 0) == (i < 2000) { 0.9 } else { 0.4 };
            bandit.record(["a", "b"][place], if rng.f64() < quality { 1.0 } else { 0.0 }, at);
            late += usize::from(i >= 3000 && place == 1);
        }
        assert!(late > 800, "{late} of 1000");
    }

    #[test]
    fn its_state_survives_being_kept() {
        let mut bandit = Bandit::default();
        bandit.record("a", 0.7, DAY);
        bandit.record("a", f64::NAN, DAY);
        let kept = serde_json::to_string(&bandit).expect("JSON");
        assert_eq!(serde_json::from_str::<Bandit>(&kept).expect("a bandit"), bandit);
        bandit.keep(|model| model != "a");
        assert_eq!(bandit, Bandit::default());
    }

    proptest! {
        #[test]
        fn an_estimate_stays_between_its_scores_and_its_prior(
            scores in prop::collection::vec((0.0f64..=1.0, 0u64..1_000_000), 0..50),
            prior in 0.0f64..=1.0,
        ) {
            let mut bandit = Bandit::default();
            for (score, at) in &scores {
                bandit.record("a", *score, Duration::from_secs(*at));
            }
            let estimate = bandit.estimate("a", prior, Duration::from_secs(1_000_000));
            let low = scores.iter().map(|s| s.0).fold(prior, f64::min);
            let high = scores.iter().map(|s| s.0).fold(prior, f64::max);
            prop_assert!(estimate.mean >= low - 1e-9 && estimate.mean <= high + 1e-9);
            prop_assert!((0.0..=1.0).contains(&estimate.weight));
        }
    }
}
