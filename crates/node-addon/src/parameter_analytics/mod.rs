//! `ParameterAnalytics` for JavaScript. What has a shape of the user's making, such as a search space or a trial's parameters, crosses as
//! JSON; what is called often, a bandit's decisions, crosses flat and at once.

mod advice;
mod bandit;
mod study;

use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{PromiseRaw, within_runtime_if_available};
use napi_derive::napi;
use runtime::parameter_analytics_service::bandit::{BanditOptions, Clock, Forget};
use runtime::parameter_analytics_service::study::StudyOptions;
use runtime::parameter_analytics_service::{CallOutcome, PolicyName, RewardName};
use runtime::{Parameters, ParametersPlace};

use crate::error::Crossing;
use bandit::Bandit;
use study::Study;

/// The service of the core.
#[napi]
pub struct ParameterAnalytics {
    parameters: Arc<Parameters>,
}

/// A bandit; the wrapper has checked it and filled in the defaults.
#[napi(object, object_to_js = false)]
pub struct NewBandit {
    /// Under which what it learns is kept.
    pub name: String,
    /// At least one.
    pub arms: Vec<String>,
    /// A name of `BanditOptions.policy`.
    pub policy: String,
    /// `bernoulli` or `gaussian`.
    pub reward: String,
    /// With `lin-thompson`.
    pub context_dims: Option<u32>,
    /// In rewards, at least 8.
    pub half_life: Option<f64>,
    /// Absent: one that nobody knows.
    pub seed: Option<f64>,
}

#[napi]
impl ParameterAnalytics {
    /// `storage`: a folder, `:memory:` or a URL of Redis. Reads nothing yet.
    #[napi(constructor, catch_unwind)]
    pub fn new(storage: String) -> napi::Result<Self> {
        let place = ParametersPlace::parse(&storage);
        let opened = within_runtime_if_available(|| Parameters::open(place));
        Ok(Self { parameters: opened.map_err(Crossing::from)? })
    }

    /// `OptimizeResult` for an `OptimizeRequest`, both as JSON.
    #[napi(catch_unwind)]
    pub fn optimize<'env>(&self, env: &'env Env, request: String) -> napi::Result<PromiseRaw<'env, String>> {
        let parameters = Arc::clone(&self.parameters);
        env.spawn_future(async move {
            let request: advice::OptimizeRequest = study::read("request", &request)?;
            let advised = parameters.run(move |analytics| {
                let (about, request) = request.into_request()?;
                analytics.optimize(&about, &request)
            });
            Ok(advice::advised(&advised.await.map_err(Crossing::from)?).to_string())
        })
    }

    /// Learns from an `Outcome` as JSON.
    #[napi(catch_unwind)]
    pub fn record<'env>(&self, env: &'env Env, outcome: String) -> napi::Result<PromiseRaw<'env, ()>> {
        let parameters = Arc::clone(&self.parameters);
        env.spawn_future(async move {
            let outcome: CallOutcome = study::read("outcome", &outcome)?;
            Ok(parameters.run(move |analytics| analytics.record(&outcome)).await.map_err(Crossing::from)?)
        })
    }

    /// How calls went, for a `PerformanceFilter`, both as JSON.
    #[napi(catch_unwind)]
    pub fn performance<'env>(
        &self,
        env: &'env Env,
        filter: String,
    ) -> napi::Result<PromiseRaw<'env, String>> {
        let parameters = Arc::clone(&self.parameters);
        env.spawn_future(async move {
            let filter: advice::Filter = study::read("filter", &filter)?;
            let since = filter.since_ms.unwrap_or_default() as u64;
            let rows = parameters
                .run(move |analytics| analytics.performance(since))
                .await
                .map_err(Crossing::from)?;
            let rows = rows.iter().filter(|(about, _)| filter.takes(about));
            let rows: Vec<_> =
                rows.map(|(about, performance)| advice::performance(about, performance)).collect();
            Ok(serde_json::Value::from(rows).to_string())
        })
    }

    /// Creates a study, or opens the one that was made of the same: `StudyOptions` as JSON, with all defaults filled in.
    #[napi(catch_unwind)]
    pub fn create_study<'env>(
        &self,
        env: &'env Env,
        options: String,
    ) -> napi::Result<PromiseRaw<'env, Study>> {
        let parameters = Arc::clone(&self.parameters);
        env.spawn_future(async move {
            let options: StudyOptions = study::read("space", &options)?;
            let shared = parameters.run(move |analytics| Ok(analytics.create_study(&options)?.0)).await;
            Ok(Study::new(parameters, shared.map_err(Crossing::from)?))
        })
    }

    /// Opens a study.
    #[napi(catch_unwind)]
    pub fn load_study<'env>(&self, env: &'env Env, name: String) -> napi::Result<PromiseRaw<'env, Study>> {
        let parameters = Arc::clone(&self.parameters);
        env.spawn_future(async move {
            let shared = parameters.run(move |analytics| analytics.load_study(&name)).await;
            Ok(Study::new(parameters, shared.map_err(Crossing::from)?))
        })
    }

    /// A bandit; what is kept of it is learnt at its first `flush`.
    #[napi(catch_unwind)]
    pub fn bandit(&self, bandit: NewBandit) -> napi::Result<Bandit> {
        let analytics = self.parameters.analytics();
        let policy: PolicyName = study::named("policy", bandit.policy)?;
        let reward: RewardName = study::named("reward", bandit.reward)?;
        let policy = policy.with(bandit.context_dims.map(|dims| dims as usize)).map_err(crossing)?;
        let forget = match bandit.half_life {
            Some(length) => Forget::HalfLife { length: length as u64, clock: Clock::Rewards },
            None => Forget::Never,
        };
        let seed = bandit.seed.map_or_else(|| analytics.seed(), |seed| seed as u64);
        let options = BanditOptions::new(
            bandit.arms.iter().map(|arm| Arc::from(&**arm)),
            policy,
            reward.rewards(),
            seed,
        );
        let options = BanditOptions { forget, ..options };
        let shared = analytics.bandit(&bandit.name, &options).map_err(crossing)?;
        Ok(Bandit::new(Arc::clone(&self.parameters), shared))
    }

    /// Keeps what bandits have learnt, and lets go of the storage.
    #[napi(catch_unwind)]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        let parameters = Arc::clone(&self.parameters);
        env.spawn_future(async move { Ok(parameters.close().await.map_err(Crossing::from)?) })
    }
}

fn crossing(error: runtime::parameter_analytics_service::AnalyticsError) -> Crossing {
    runtime::RuntimeError::from(error).into()
}
