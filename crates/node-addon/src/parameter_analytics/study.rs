use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::PromiseRaw;
use napi_derive::napi;
use runtime::parameter_analytics_service::report;
use runtime::parameter_analytics_service::space::Value;
use runtime::parameter_analytics_service::study::{Outcome, Study as Core, StudyError};
use runtime::parameter_analytics_service::{AnalyticsError, SharedStudy};
use runtime::{Parameters, RuntimeError};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::crossing;
use crate::error::Crossing;

/// A study that is open. Trials cross as JSON; their numbers are whole.
#[napi]
pub struct Study {
    parameters: Arc<Parameters>,
    shared: Arc<SharedStudy>,
}

impl Study {
    pub(super) fn new(parameters: Arc<Parameters>, shared: Arc<SharedStudy>) -> Self {
        Self { parameters, shared }
    }

    /// Changes the study on a thread that may block.
    fn change<'env, T: Send + 'static, R>(
        &self,
        env: &'env Env,
        mut act: impl FnMut(&mut Core, u64) -> Result<T, StudyError> + Send + 'static,
        convert: impl FnOnce(T, &SharedStudy) -> Result<R, Crossing> + Send + 'static,
    ) -> napi::Result<PromiseRaw<'env, R>>
    where
        R: napi::bindgen_prelude::ToNapiValue + Send + 'static,
    {
        let (parameters, shared) = (Arc::clone(&self.parameters), Arc::clone(&self.shared));
        env.spawn_future(async move {
            let changed = Arc::clone(&shared);
            let done = parameters
                .run(move |analytics| {
                    let now = analytics.now();
                    changed.change(|study| act(study, now))
                })
                .await
                .map_err(Crossing::from)?;
            Ok(convert(done, &shared)?)
        })
    }

    fn changed<'env>(
        &self,
        env: &'env Env,
        act: impl FnMut(&mut Core, u64) -> Result<(), StudyError> + Send + 'static,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        self.change(env, act, |(), _| Ok(()))
    }

    fn now(&self) -> Result<Arc<Core>, Crossing> {
        self.shared.now().map_err(crossing)
    }
}

#[napi]
impl Study {
    /// Its name.
    #[napi(getter, catch_unwind)]
    pub fn name(&self) -> napi::Result<String> {
        Ok(self.now()?.options().name.to_string())
    }

    /// How often a worker says that it lives, in ms.
    #[napi(getter, catch_unwind)]
    pub fn heartbeat_ms(&self) -> napi::Result<Option<f64>> {
        Ok(self.now()?.options().heartbeat_ms.map(|ms| ms as f64))
    }

    /// The next trials, as JSON.
    #[napi(catch_unwind)]
    pub fn ask<'env>(&self, env: &'env Env, count: u32) -> napi::Result<PromiseRaw<'env, String>> {
        self.change(
            env,
            move |study, now| study.ask(count as usize, now),
            |asked, shared| {
                let study = shared.now().map_err(crossing)?;
                let trials = asked.iter().filter_map(|trial| study.trial(*trial).ok());
                written(&trials.map(|trial| study.document(trial)).collect::<Vec<_>>())
            },
        )
    }

    /// Ends a trial; without values it failed.
    #[napi(catch_unwind)]
    pub fn tell<'env>(
        &self,
        env: &'env Env,
        trial: f64,
        values: Option<Vec<f64>>,
        constraint_values: Vec<f64>,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        let outcome = match values {
            Some(values) => Outcome::Values(values, constraint_values),
            None => Outcome::Nothing,
        };
        self.changed(env, move |study, now| study.tell(trial as u64, outcome.clone(), now))
    }

    /// A value on the way.
    #[napi(catch_unwind)]
    pub fn report<'env>(
        &self,
        env: &'env Env,
        trial: f64,
        step: f64,
        value: f64,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        self.changed(env, move |study, now| study.report(trial as u64, step as u64, value, now))
    }

    /// Whether a trial is worth no more effort.
    #[napi(catch_unwind)]
    pub fn should_prune<'env>(&self, env: &'env Env, trial: f64) -> napi::Result<PromiseRaw<'env, bool>> {
        self.change(env, move |study, _| study.should_prune(trial as u64), |should, _| Ok(should))
    }

    /// The worker of a trial lives.
    #[napi(catch_unwind)]
    pub fn heartbeat<'env>(&self, env: &'env Env, trial: f64) -> napi::Result<PromiseRaw<'env, ()>> {
        self.changed(env, move |study, now| study.heartbeat(trial as u64, now))
    }

    /// One more choice, as JSON.
    #[napi(catch_unwind)]
    pub fn add_choice<'env>(
        &self,
        env: &'env Env,
        parameter: String,
        choice: String,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        let choice: Value = read("choice", &choice)?;
        self.changed(env, move |study, _| study.add_choice(&parameter, choice.clone()))
    }

    /// One choice less, as JSON.
    #[napi(catch_unwind)]
    pub fn retire_choice<'env>(
        &self,
        env: &'env Env,
        parameter: String,
        choice: String,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        let choice: Value = read("choice", &choice)?;
        self.changed(env, move |study, _| study.retire_choice(&parameter, choice.clone()))
    }

    /// The best trial as JSON, `null` if there is none.
    #[napi(catch_unwind)]
    pub fn best(&self) -> napi::Result<String> {
        let study = self.now()?;
        Ok(written(&study.best().map(|trial| study.document(trial)))?)
    }

    /// How much each parameter matters, as JSON; the sum is 1.
    #[napi(catch_unwind)]
    pub fn importance(&self) -> napi::Result<String> {
        let importance = self.now()?.importance();
        let named: serde_json::Map<_, _> =
            importance.into_iter().map(|(name, share)| (name.to_string(), json!(share))).collect();
        Ok(serde_json::Value::Object(named).to_string())
    }

    /// The report, as one page.
    #[napi(catch_unwind)]
    pub fn html<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, String>> {
        let (parameters, shared) = (Arc::clone(&self.parameters), Arc::clone(&self.shared));
        env.spawn_future(async move {
            let drawn =
                parameters.run(move |analytics| Ok(report::html(&*shared.refreshed()?, analytics.now())));
            Ok(drawn.await.map_err(Crossing::from)?)
        })
    }

    /// The complete trials that are as good as the best one, as JSON.
    #[napi(catch_unwind)]
    pub fn pareto_front(&self) -> napi::Result<String> {
        let study = self.now()?;
        let front: Vec<_> = study.pareto_front().into_iter().map(|trial| study.document(trial)).collect();
        Ok(written(&front)?)
    }

    /// All trials as JSON.
    #[napi(catch_unwind)]
    pub fn trials(&self) -> napi::Result<String> {
        let study = self.now()?;
        Ok(written(&study.trials().map(|trial| study.document(trial)).collect::<Vec<_>>())?)
    }
}

/// Reads a word of the wrapper's.
pub(super) fn named<T: DeserializeOwned>(field: &str, word: String) -> Result<T, Crossing> {
    serde_json::from_value(word.into())
        .map_err(|error| Crossing::internal(&format!("the wrapper let a wrong {field} through: {error}")))
}

/// Reads what the wrapper wrote; what does not fit is the user's.
pub(super) fn read<T: DeserializeOwned>(field: &str, text: &str) -> Result<T, Crossing> {
    serde_json::from_str(text).map_err(|error| {
        let said = error.to_string();
        // serde adds where in the text it was, which the user has not seen.
        let said = said.split(" at line ").next().unwrap_or(&said).to_owned();
        let (field, expected) = (field.to_owned(), "a document as `api.d.ts` describes it".to_owned());
        let input = AnalyticsError::Input { field, expected, got: said };
        RuntimeError::from(input).into()
    })
}

fn written(value: &impl serde::Serialize) -> Result<String, Crossing> {
    serde_json::to_string(&json!(value)).map_err(|error| Crossing::internal(&error.to_string()))
}
