use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{Float64Array, PromiseRaw};
use napi_derive::napi;
use runtime::Parameters;
use runtime::parameter_analytics_service::SharedBandit;
use runtime::parameter_analytics_service::bandit::DecisionId;

use super::crossing;
use crate::error::Crossing;

/// An arm that was chosen.
#[napi(object, object_from_js = false)]
pub struct Decision {
    /// Its name.
    pub arm: String,
    /// To be given back.
    pub decision_id: String,
    /// With which it was chosen.
    pub probability: f64,
}

/// What is known of an arm.
#[napi(object, object_from_js = false)]
pub struct ArmPosterior {
    /// Its name.
    pub arm: String,
    /// Of its rewards.
    pub mean: f64,
    /// How far the mean may be off.
    pub std: f64,
    /// Rewards that this rests on.
    pub pulls: f64,
    /// That no other arm's mean is greater.
    pub probability_best: f64,
}

/// A bandit that is open.
#[napi]
pub struct Bandit {
    parameters: Arc<Parameters>,
    shared: Arc<SharedBandit>,
}

impl Bandit {
    pub(super) fn new(parameters: Arc<Parameters>, shared: Arc<SharedBandit>) -> Self {
        Self { parameters, shared }
    }

    fn now(&self) -> u64 {
        self.parameters.analytics().now()
    }
}

#[napi]
impl Bandit {
    /// Chooses an arm.
    #[napi(catch_unwind)]
    pub fn select(&self, context: Option<Float64Array>) -> napi::Result<Decision> {
        let decision = self.shared.select(context.as_deref(), self.now()).map_err(crossing)?;
        Ok(Decision {
            arm: decision.arm.to_string(),
            decision_id: decision.decision_id.to_string(),
            probability: decision.probability,
        })
    }

    /// Says what came of a decision.
    #[napi(catch_unwind)]
    pub fn reward(&self, decision_id: String, reward: f64) -> napi::Result<()> {
        let decision: DecisionId = decision_id.parse().map_err(|error| crossing(From::from(error)))?;
        Ok(self.shared.reward(decision, reward, self.now()).map_err(crossing)?)
    }

    /// What is known of each arm.
    #[napi(catch_unwind)]
    pub fn posterior(&self) -> napi::Result<Vec<ArmPosterior>> {
        let standings = self.shared.posterior(None, self.now()).map_err(crossing)?;
        let posterior =
            standings.into_iter().filter(|standing| !standing.is_retired).map(|standing| ArmPosterior {
                arm: standing.arm.to_string(),
                mean: standing.mean,
                std: standing.std,
                pulls: standing.pulls,
                probability_best: standing.probability_best,
            });
        Ok(posterior.collect())
    }

    /// Keeps what was rewarded, and learns what others learnt.
    #[napi(catch_unwind)]
    pub fn flush<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        let (parameters, shared) = (Arc::clone(&self.parameters), Arc::clone(&self.shared));
        env.spawn_future(async move {
            let flushed = parameters.run(move |analytics| shared.flush(analytics.now())).await;
            Ok(flushed.map_err(Crossing::from)?)
        })
    }
}
