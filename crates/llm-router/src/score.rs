//! The terms of a score. Each is made of the model and the question alone, so that what else there is changes nobody's score.

use crate::catalogue::Model;
use crate::config::Weights;
use crate::decision::{Estimate, Terms};
use crate::judgements::Belief;
use crate::question::Question;
use crate::snapshot::Standing;

/// The length of an answer that is reckoned with where the question does not limit it, in tokens: about a page.
const EXPECTED_ANSWER_TOKENS: u64 = 512;
/// The prior counts as much as so many judgements: a few do not turn a configured order over, a dozen do.
pub(crate) const PRIOR_WEIGHT: f64 = 8.0;
/// The prior where none is configured.
const UNKNOWN_QUALITY: f64 = 0.5;
/// USD at which the term of the price is a half: a cent, which a page costs of a dear model and a book of a cheap one.
const HALF_COST_USD: f64 = 0.01;
/// Milliseconds at which the term of latency is a half: a page at a hundred tokens a second.
const HALF_LATENCY_MS: f64 = 5_000.0;
/// A model that has not answered yet is neither quick nor slow.
const UNKNOWN_LATENCY: f64 = 0.5;

/// What the answer is expected to take.
pub(crate) fn estimate(question: &Question, model: &Model, standing: &Standing) -> Estimate {
    let Standing { health, prompt_tokens, .. } = standing;
    let prompt_tokens = prompt_tokens.unwrap_or(question.prompt_tokens.tokens);
    let longest = question.output_tokens.unwrap_or(EXPECTED_ANSWER_TOKENS);
    let longest = longest.min(model.max_output_tokens.unwrap_or(u64::MAX));
    // Nano-USD: what a budget would reserve.
    let cost_usd = model.price.map(|price| price.most_nano_usd(prompt_tokens, longest) as f64 / 1e9);
    // A limit is seldom reached: what is paid at most is by the limit, how long it takes by what is usual.
    let usual = longest.min(EXPECTED_ANSWER_TOKENS) as f64;
    let writing_ms = health.tokens_per_s.filter(|rate| *rate > 0.0).map_or(0.0, |rate| usual / rate * 1e3);
    let latency_ms = health.first_token_ms.map(|first| first + writing_ms);
    Estimate { prompt_tokens, cost_usd, latency_ms }
}

/// `tier` is how well the model's tier fits, 0 to 1.
pub(crate) fn terms(model: &Model, standing: &Standing, estimate: &Estimate, tier: f64) -> Terms {
    let health = &standing.health;
    Terms {
        tier,
        quality: standing.drawn.unwrap_or_else(|| quality(model.quality, standing.quality)),
        price: estimate.cost_usd.map_or(0.0, |usd| HALF_COST_USD / (HALF_COST_USD + usd)),
        latency: estimate.latency_ms.map_or(UNKNOWN_LATENCY, |ms| HALF_LATENCY_MS / (HALF_LATENCY_MS + ms)),
        health: if health.is_up { 1.0 - health.error_rate.clamp(0.0, 1.0) } else { 0.0 },
    }
}

/// How good a model's answers are taken to be, 0 to 1: the prior of the configuration, and what was learnt in proportion to its weight.
pub fn quality(prior: Option<f64>, learned: Option<Belief>) -> f64 {
    let prior = prior.unwrap_or(UNKNOWN_QUALITY);
    let Some(Belief { mean, weight }) = learned.filter(|learned| learned.weight > 0.0) else { return prior };
    (prior * PRIOR_WEIGHT + mean * weight) / (PRIOR_WEIGHT + weight)
}

/// The weighted mean of the terms; 0 where nothing counts.
pub(crate) fn score(terms: &Terms, weights: &Weights) -> f64 {
    let (mut sum, mut whole) = (0.0, 0.0);
    for ((_, term), (_, weight)) in terms.named().into_iter().zip(weights.named()) {
        sum += term * weight;
        whole += weight;
    }
    if whole > 0.0 { sum / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::Target;

    #[test]
    fn a_few_judgements_move_a_prior_and_many_replace_it() {
        assert_eq!(quality(Some(0.8), None), 0.8);
        assert!((quality(Some(0.8), Some(Belief { mean: 0.0, weight: 1.0 })) - 0.711).abs() < 0.001);
        assert!(quality(Some(0.8), Some(Belief { mean: 0.0, weight: 50.0 })) < 0.12);
    }

    #[test]
    fn what_is_paid_is_by_the_limit_and_how_long_it_takes_by_what_is_usual() {
        let model = Model { price: Some(route_plan::Price::new(1.0, 10.0)), ..Model::new("m") };
        let health = route_plan::ModelHealth {
            first_token_ms: Some(200.0),
            tokens_per_s: Some(100.0),
            ..route_plan::ModelHealth::default()
        };
        let standing = Standing { health, ..Standing::default() };
        let question = Question { output_tokens: Some(10_000), ..Question::new(Target::Auto, 1_000) };
        let expected = estimate(&question, &model, &standing);
        assert_eq!(expected.cost_usd, Some(0.101));
        assert_eq!(expected.latency_ms, Some(5_320.0));
        let short = Question { output_tokens: Some(100), ..question };
        assert_eq!(estimate(&short, &model, &standing).latency_ms, Some(1_200.0));
    }
}
