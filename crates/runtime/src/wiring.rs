//! The services as one configuration wires them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use access::Key;
use child_engine::Engine;
use fast_llm_coordinator::{
    Admission, Coordinator, CoordinatorConfig, CoordinatorError, EngineDialer, ModelConfig, Protocol,
    ResponseCache, ResponseStore, Surroundings,
};
use llm_wire::openai::Usage;
use model_store::{AddedModel, ModelState, ModelStore, StoreError};
use route_plan::Price;

use crate::config::{UatConfig, price_of};
use crate::context::{Memory, Providers};
use crate::discovery::{self, Neighbour};
use crate::engine::{Dialer, engine};
use crate::errors::RuntimeError;
use crate::gpu::Gate;
use crate::nearest::nearest_few;
use crate::responses::Responses;
use crate::routing::Routing;

/// A model that can be asked for.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// The public name.
    pub name: Arc<str>,
    /// Seconds since 1970 from which this process has offered it.
    pub created: u64,
    /// The endpoints that serve it; the first one is its owner in lists that want one.
    pub endpoints: Vec<Arc<str>>,
    /// What it can do, as configured.
    pub capabilities: Vec<String>,
    /// Prompt and answer together, in tokens, as configured.
    pub context_tokens: Option<u64>,
    /// The file that the local engine reads, if it serves the model and the file is a known one that is there.
    pub file: Option<ModelFile>,
}

/// A file of the model store.
#[derive(Debug, Clone)]
pub struct ModelFile {
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A model that only the engine serves: whether its file is there can be said before the engine is started.
struct EngineModel {
    /// What the engine knows it by: a name of the catalogue or a path.
    source: Arc<str>,
    /// Once the file was seen it is not looked for again.
    seen: AtomicBool,
}

/// See the module documentation.
pub(crate) struct Wiring {
    pub(crate) config: Arc<UatConfig>,
    pub(crate) engine: Option<Arc<Engine>>,
    endpoints: Vec<Arc<str>>,
    pub(crate) coordinator: Coordinator,
    responses: Arc<Responses>,
    models: Vec<ModelConfig>,
    engine_models: HashMap<Arc<str>, EngineModel>,
    costs: HashMap<Arc<str>, Cost>,
    pub(crate) routing: Routing,
    pub(crate) providers: Providers,
    pub(crate) memory: Arc<Memory>,
}

/// What decides on what a request for a model can cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// `None`: unknown.
    pub(crate) price: Option<Price>,
    /// The longest answer, in tokens, as configured.
    pub(crate) max_output_tokens: Option<u64>,
}

/// What somebody who asks for a model is told who cannot have it: the same whether it is there or not.
pub(crate) fn unknown_model<'a>(model: &str, known: impl Iterator<Item = &'a str>) -> RuntimeError {
    let nearest = nearest_few(model, known, 3).into_iter().map(Arc::from).collect();
    CoordinatorError::ModelNotFound { model: model.to_owned(), nearest }.into()
}

/// Whether the configuration says nothing about who answers.
pub(crate) fn is_unconfigured(config: &UatConfig) -> bool {
    config.endpoints.is_empty() && config.models.is_empty()
}

/// What the configuration says about who answers; the embedded engine if it says nothing.
pub(crate) fn configured(config: &UatConfig) -> CoordinatorConfig {
    if is_unconfigured(config) {
        return discovery::engine_alone(&config.engine, &added_models());
    }
    CoordinatorConfig { endpoints: config.endpoints.clone(), models: config.models.clone() }
}

impl Wiring {
    /// `found` are other local servers, for a configuration that leaves it to us who answers. What `former` has and the
    /// configuration leaves as it is goes on.
    pub(crate) fn new(
        config: impl Into<Arc<UatConfig>>,
        engine_search: &[PathBuf],
        found: &[Neighbour],
        gate: &Arc<Gate>,
        former: Option<&Self>,
    ) -> Result<Self, RuntimeError> {
        let whole = config.into();
        whole.validate()?;
        let engine = match former {
            Some(former) if former.config.engine == whole.engine => former.engine.clone(),
            _ => whole.engine.enabled.then(|| Arc::new(engine(&whole.engine, engine_search.to_vec()))),
        };
        let providers = Providers::new(&whole)?;
        let (responses, memory) = match former {
            Some(former) if former.config.redis == whole.redis => {
                (Arc::clone(&former.responses), Arc::clone(&former.memory))
            }
            _ => {
                let redis = whole.redis.as_ref();
                (Arc::new(Responses::new(redis)), Arc::new(Memory::new(redis)))
            }
        };
        let mut config = configured(&whole);
        discovery::add_neighbours(&mut config, found);
        let engines: Vec<Arc<str>> = config
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.protocol == Protocol::UatEngine)
            .map(|endpoint| endpoint.name.clone())
            .collect();
        let is_engine = |name: &Arc<str>| engines.contains(name);
        name_files_absolutely(&mut config.models, is_engine);
        let engine_models = config
            .models
            .iter()
            .filter(|model| model.endpoints.iter().all(|served| is_engine(&served.endpoint)))
            .filter_map(|model| {
                let served = model.endpoints.first()?;
                let source = served.model.clone().unwrap_or_else(|| model.name.clone());
                Some((model.name.clone(), EngineModel { source, seen: AtomicBool::new(false) }))
            })
            .collect();
        let models = config.models.clone();
        let cost = |model: &ModelConfig| Cost {
            // What was found on this machine is nobody's who sends bills.
            price: match is_unconfigured(&whole) {
                true => Some(Price::new(0.0, 0.0)),
                false => price_of(model, &config.endpoints),
            },
            max_output_tokens: model.max_output_tokens,
        };
        let costs: HashMap<_, _> = models.iter().map(|model| (model.name.clone(), cost(model))).collect();
        let price = |model: &ModelConfig| costs.get(&model.name).and_then(|cost| cost.price);
        let routing = Routing::new(&whole.routing, &models, price, former.map(|former| &former.routing));
        let same_engine = former.is_some_and(|former| former.config.engine == whole.engine);
        let dialer = engine.as_ref().map(|engine| Arc::new(Dialer(engine.clone())) as Arc<dyn EngineDialer>);
        let cache = ResponseCache {
            config: whole.cache.clone(),
            store: Arc::clone(&responses) as Arc<dyn ResponseStore>,
        };
        let endpoints = config.endpoints.iter().map(|endpoint| Arc::clone(&endpoint.name)).collect();
        let admission = Some(Arc::clone(gate) as Arc<dyn Admission>);
        let around = Surroundings { engine: dialer, cache: Some(cache), admission };
        let coordinator = match former {
            None => Coordinator::among(config, around)?,
            Some(former) => former.coordinator.successor(config, around, same_engine)?,
        };
        Ok(Self {
            config: whole,
            engine,
            endpoints,
            coordinator,
            responses,
            models,
            engine_models,
            costs,
            routing,
            providers,
            memory,
        })
    }

    /// This is what counts from now on.
    pub(crate) fn counts(&self, gate: &Gate) {
        gate.serves(self.engine.as_ref(), &self.endpoints);
    }

    /// Lets go what `next` does not go on with, once what is under way has been answered.
    pub(crate) async fn part_from(&self, next: &Self) {
        self.coordinator.close().await;
        if !Arc::ptr_eq(&self.responses, &next.responses) {
            self.responses.close().await;
        }
        if !Arc::ptr_eq(&self.memory, &next.memory) {
            self.memory.close().await;
        }
        if let Some(engine) = &self.engine
            && !next.engine.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, engine))
        {
            engine.close().await;
        }
    }

    pub(crate) async fn close(&self) {
        self.coordinator.close().await;
        self.responses.close().await;
        self.memory.close().await;
        if let Some(engine) = &self.engine {
            engine.close().await;
        }
    }

    /// Says how to get a model's file where it is missing, before an engine is started for nothing.
    pub(crate) fn require_file(&self, model: &str) -> Result<(), RuntimeError> {
        let Some(model) = self.engine_models.get(model) else { return Ok(()) };
        if !model.seen.load(Ordering::Relaxed) {
            ModelStore::open()?.resolve(&model.source)?;
            model.seen.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// USD per million tokens; `None`: unknown.
    pub(crate) fn price(&self, model: &str) -> Option<Price> {
        self.costs.get(model)?.price
    }

    /// What so many tokens of a model cost; `None`: its price is unknown.
    pub(crate) fn nano_usd(&self, model: &str, usage: &Usage) -> Option<u64> {
        let cached = usage.prompt_tokens_details.map_or(0, |details| details.cached_tokens);
        Some(self.price(model)?.nano_usd(usage.prompt_tokens, cached, usage.completion_tokens))
    }

    /// What a request of this key for a model can cost.
    ///
    /// # Errors
    /// `UAT_MODEL_NOT_FOUND`, also for a model that the key may not use: which there are beside its own is not its business.
    pub(crate) fn cost_of(&self, model: &str, key: &Key) -> Result<Cost, RuntimeError> {
        match self.costs.get(model).filter(|_| key.may_use(model)) {
            Some(cost) => Ok(*cost),
            None => {
                let own = self.models.iter().map(|model| &*model.name).filter(|name| key.may_use(name));
                Err(unknown_model(model, own))
            }
        }
    }

    /// What the engine knows a model by, if only the engine serves it.
    pub(crate) fn engine_source(&self, model: &str) -> Option<Arc<str>> {
        self.engine_models.get(model).map(|model| Arc::clone(&model.source))
    }

    /// The public name of what the engine knows as `source`; its own where it has none here.
    pub(crate) fn public_name(&self, source: &str) -> String {
        let named = self.models.iter().find(|model| {
            self.engine_models.get(&model.name).is_some_and(|engine| *engine.source == *source)
        });
        named.map_or(source, |model| &model.name).to_owned()
    }

    pub(crate) fn models(&self, created: u64) -> Vec<ModelInfo> {
        // Without a folder for models there are no files to tell of.
        let known = ModelStore::open().map(|store| store.list()).unwrap_or_default();
        let added = added_models();
        let known = known.iter().map(|status| (status.entry.name, status.state, status.entry.sha256));
        let added = added.iter().map(|model| (model.name.as_str(), model.state(), model.sha256.as_str()));
        let files: Vec<_> = known.chain(added).collect();
        let file_of = |name: &Arc<str>| {
            let source = &self.engine_models.get(name)?.source;
            match files.iter().find(|(name, ..)| *name == &**source)? {
                (_, ModelState::Present { bytes }, sha256) => {
                    Some(ModelFile { bytes: *bytes, sha256: (*sha256).to_owned() })
                }
                _ => None,
            }
        };
        self.models
            .iter()
            .map(|model| ModelInfo {
                name: model.name.clone(),
                created,
                endpoints: model.endpoints.iter().map(|served| served.endpoint.clone()).collect(),
                capabilities: model.capabilities.clone(),
                context_tokens: model.context_tokens,
                file: file_of(&model.name),
            })
            .collect()
    }
}

/// The models that the user has added. A list that cannot be used keeps nobody from the other models.
fn added_models() -> Vec<AddedModel> {
    ModelStore::open().and_then(|store| store.added()).unwrap_or_else(|error| {
        if !matches!(error, StoreError::NoFolder) {
            tracing::warn!(%error, "the added models are not offered");
        }
        Vec::new()
    })
}

/// The engine is shared by processes that were started in different folders, so a relative path would mean another file
/// to each of them: it is meant from where this process was started.
fn name_files_absolutely(models: &mut [ModelConfig], is_engine: impl Fn(&Arc<str>) -> bool) {
    for model in models {
        for served in model.endpoints.iter_mut().filter(|served| is_engine(&served.endpoint)) {
            let source = served.model.as_ref().unwrap_or(&model.name);
            let is_path = source.contains('/') || source.ends_with(".gguf");
            if let (true, Ok(path)) = (is_path, std::path::absolute(&**source)) {
                served.model = Some(path.to_string_lossy().into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_is_meant_from_here_and_a_name_stays_a_name() {
        let mut models = vec![
            ModelConfig::at("./m.gguf", ["engine"]),
            ModelConfig::at("smollm2-135m", ["engine"]),
            ModelConfig::at("org/model", ["elsewhere"]),
        ];
        name_files_absolutely(&mut models, |name| &**name == "engine");
        let here = std::env::current_dir().unwrap().join("m.gguf");
        assert_eq!(models[0].endpoints[0].model.as_deref(), here.to_str());
        assert_eq!(models[1].endpoints[0].model, None);
        assert_eq!(models[2].endpoints[0].model, None);
    }
}
