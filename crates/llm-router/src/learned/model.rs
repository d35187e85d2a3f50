//! What was learned, and what it says of a prompt.

use serde::{Deserialize, Serialize};

use super::PromptFeatures;
use super::linear::{Parabola, sigmoid};
use super::parts::{EASE_PARTS, Parts, RELATIVE_PARTS, Signals};

/// An estimate of quality and how much to trust it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Expected quality, 0 to 1.
    pub mean: f64,
    /// How much to trust it against the prior, 0 (use the prior) to 1.
    pub weight: f64,
}

/// Models of quality, learned from judged answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    pub(super) models: Vec<String>,
    /// None where nothing was found that helps to choose: then priors are used.
    pub(super) predictor: Option<Predictor>,
}

/// Fitted parts and how they are put together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Predictor {
    /// The mean score of each model.
    pub(super) means: Vec<f64>,
    pub(super) parts: Parts,
    /// For prompts like those learned from.
    pub(super) familiar: Blend,
    /// For prompts that are unlike them: only what held on groups that were left out.
    pub(super) strange: Blend,
    /// Logistic weights of [`Signals::novelty`] and an intercept: how likely a prompt is familiar.
    pub(super) gate: [f64; 3],
    /// For each model what familiar prompts still had beyond the estimate, by the estimate beyond the mean.
    pub(super) calibration: Vec<Parabola>,
}

/// How parts are put together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Blend {
    pub(super) ease: [f64; EASE_PARTS],
    /// For each model what it has beyond ease, by ease.
    pub(super) curve: Vec<Parabola>,
    /// The curve's weight first.
    pub(super) relative: [f64; RELATIVE_PARTS + 1],
    /// How far to trust it against a prior, 0 to 1.
    pub(super) trust: f64,
}

impl Blend {
    /// How easy the prompt is: expected score beyond the mean, of all models.
    pub(super) fn easy(&self, signals: &Signals) -> f64 {
        self.ease.iter().zip(signals.ease).map(|(w, s)| w * s).sum()
    }

    /// What the curve says of a model where a prompt is so easy.
    pub(super) fn curve(&self, model: usize, easy: f64) -> f64 {
        self.curve.get(model).map_or(0.0, |curve| curve.at(easy))
    }

    /// Expected score of a model beyond how easy the prompt is.
    pub(super) fn beyond_ease(&self, signals: &Signals, model: usize) -> f64 {
        let [curve, parts @ ..] = self.relative;
        let own = signals.relative.get(model).copied().unwrap_or_default();
        curve * self.curve(model, self.easy(signals)) + parts.iter().zip(own).map(|(w, s)| w * s).sum::<f64>()
    }

    /// Expected score of a model beyond its mean.
    fn beyond_mean(&self, signals: &Signals, model: usize) -> f64 {
        self.easy(signals) + self.beyond_ease(signals, model)
    }
}

impl Predictor {
    /// How likely the prompt is one like those learned from.
    pub(super) fn familiarity(&self, signals: &Signals) -> f64 {
        familiarity(&self.gate, signals)
    }

    /// Expected score of each model beyond its mean, before calibration.
    pub(super) fn beyond_means(&self, signals: &Signals) -> Vec<f64> {
        let familiar = self.familiarity(signals);
        let mix = |model: usize| {
            familiar * self.familiar.beyond_mean(signals, model)
                + (1.0 - familiar) * self.strange.beyond_mean(signals, model)
        };
        (0..self.means.len()).map(mix).collect()
    }

    /// The same, calibrated.
    fn calibrated(&self, signals: &Signals) -> Vec<f64> {
        let familiar = self.familiarity(signals);
        let mut beyond = self.beyond_means(signals);
        for (beyond, calibration) in beyond.iter_mut().zip(&self.calibration) {
            *beyond += familiar * calibration.at(*beyond);
        }
        beyond
    }
}

pub(super) fn familiarity(gate: &[f64; 3], signals: &Signals) -> f64 {
    let [share, near, intercept] = gate;
    sigmoid(share * signals.novelty[0] + near * signals.novelty[1] + intercept)
}

impl Learned {
    /// Nothing learned: every estimate is none, and priors are used.
    pub fn nothing(models: Vec<String>) -> Self {
        Self { models, predictor: None }
    }

    /// The models that were learned about.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// Whether anything was found that helps to choose. Without it priors are used.
    pub fn has_signal(&self) -> bool {
        self.predictor.is_some()
    }

    /// How well `model` would answer the prompt; none for a model that was not learned about, without a signal, and
    /// for features that another version made. Some 10 us; [`Learned::qualities`] is cheaper for all of them.
    pub fn quality(&self, features: &PromptFeatures, model: &str) -> Option<Estimate> {
        let place = self.models.iter().position(|known| known == model)?;
        self.qualities(features)?.get(place).copied()
    }

    /// How well each of [`Learned::models`] would answer the prompt, in their order; none as for
    /// [`Learned::quality`].
    pub fn qualities(&self, features: &PromptFeatures) -> Option<Vec<Estimate>> {
        let predictor = self.predictor.as_ref().filter(|_| features.is_sound())?;
        let signals = predictor.parts.signals(features, self.models.len());
        let familiar = predictor.familiarity(&signals);
        let weight = familiar * predictor.familiar.trust + (1.0 - familiar) * predictor.strange.trust;
        let estimate = |(mean, beyond): (&f64, f64)| {
            // A finite sum of finite parts; a file that was made by hand may still overflow.
            let mean = mean + beyond;
            Estimate { mean: if mean.is_finite() { mean.clamp(0.01, 0.99) } else { 0.5 }, weight }
        };
        Some(predictor.means.iter().zip(predictor.calibrated(&signals)).map(estimate).collect())
    }

    /// How likely the prompt is one like those learned from, 0 to 1; none without a signal.
    pub fn familiarity(&self, features: &PromptFeatures) -> Option<f64> {
        let predictor = self.predictor.as_ref().filter(|_| features.is_sound())?;
        Some(predictor.familiarity(&predictor.parts.signals(features, self.models.len())))
    }
}
