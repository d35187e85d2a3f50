//! `[[keys]]`, `[limits]`, what `[server]` says of them, and `price` of a model: who may ask, and for how much.

use std::collections::HashSet;
use std::path::PathBuf;

use access::{KeyConfig, OnOutage};
use fast_llm_coordinator::{EndpointConfig, ModelConfig, Protocol};
use route_plan::{LongPrompt, Price};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::UatConfig;
use super::finding::Finding;

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// What becomes of requests while Redis, which several processes share their limits through, is away and what this
    /// one had claimed is used up.
    pub on_outage: OnOutage,
}

impl UatConfig {
    /// Whether callers need a key: some are configured, or a file is named in which they stand.
    pub fn asks_for_keys(&self) -> bool {
        !self.keys.is_empty() || self.server.keys_file.is_some()
    }

    /// The first model, with its place in the list, that a key with a budget may use although nobody knows what it costs.
    pub fn unpriced(&self, key: &KeyConfig) -> Option<(usize, &str)> {
        key.budget_usd_per_day?;
        let mut models = self.models.iter().enumerate();
        let found = models
            .find(|(_, model)| key.may_use(&model.name) && price_of(model, &self.endpoints).is_none())?;
        Some((found.0, &found.1.name))
    }

    /// Where spend and usage are written: `server.state_dir`, else a folder of the user's for such things.
    pub fn state_dir(&self) -> Option<PathBuf> {
        self.server.state_dir.clone().or_else(|| Some(state_home()?.join("uat")))
    }

    /// Where a server keeps feedback: `routing.feedback_file`, else in the state directory.
    pub fn feedback_file(&self) -> Option<PathBuf> {
        let beside = || Some(self.state_dir()?.join("feedback.jsonl"));
        self.routing.feedback_file.clone().or_else(beside)
    }
}

/// The user's folder for what programs keep.
pub(crate) fn state_home() -> Option<PathBuf> {
    match std::env::var_os("XDG_STATE_HOME") {
        Some(folder) if !folder.is_empty() => Some(PathBuf::from(folder)),
        _ => {
            let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
            Some(PathBuf::from(home).join(".local/state"))
        }
    }
}

/// The price of a model, USD per million tokens: as configured; nothing where only this machine's servers answer; else
/// what the bundled list says of the name that its endpoint knows it by, the dearest of several; `None`: unknown.
pub(crate) fn price_of(model: &ModelConfig, endpoints: &[EndpointConfig]) -> Option<Price> {
    if let Some(price) = model.price {
        return Some(price);
    }
    let mut dearest: Option<Price> = None;
    for served in &model.endpoints {
        let endpoint = endpoints.iter().find(|endpoint| endpoint.name == served.endpoint)?;
        let price = match endpoint.protocol {
            Protocol::UatEngine | Protocol::Ollama => Price::new(0.0, 0.0),
            _ => route_plan::prices::bundled(served.model.as_deref().unwrap_or(&model.name))?.price,
        };
        dearest = Some(dearest.map_or(price, |known| dearer(known, price)));
    }
    dearest
}

/// A price that is at least as high as both.
fn dearer(one: Price, other: Price) -> Price {
    let cached = |price: Price| price.cached_input.unwrap_or(price.input);
    let long = |price: Price| {
        price.long_prompt.unwrap_or(LongPrompt {
            above: u64::MAX,
            input: price.input,
            output: price.output,
            cached_input: price.cached_input,
        })
    };
    let (a, b) = (long(one), long(other));
    let long_cached = |long: LongPrompt| long.cached_input.unwrap_or(long.input);
    let long_prompt = LongPrompt {
        above: a.above.min(b.above),
        input: a.input.max(b.input),
        output: a.output.max(b.output),
        cached_input: Some(long_cached(a).max(long_cached(b))),
    };
    let dearer = Price::new(one.input.max(other.input), one.output.max(other.output))
        .cached(cached(one).max(cached(other)));
    if long_prompt.above == u64::MAX { dearer } else { dearer.above(long_prompt) }
}

pub(super) fn findings(config: &UatConfig) -> Vec<Finding> {
    let mut found = Vec::new();
    server(config, &mut found);
    let (mut names, mut hashes) = (HashSet::new(), HashSet::new());
    for (index, key) in config.keys.iter().enumerate() {
        let path = format!("keys[{index}]");
        for (field, expected) in key.objections() {
            let message = format!("key `{}`: `{field}`: {expected}", key.name);
            found.push(Finding::new(format!("{path}.{field}"), message));
        }
        if !names.insert(&key.name) {
            let message = format!("two keys are named `{}`: names must be unique", key.name);
            found.push(Finding::new(format!("{path}.name"), message));
        }
        if !hashes.insert(&key.hash) {
            let message = format!("key `{}`: another key has the same hash", key.name);
            found.push(Finding::new(format!("{path}.hash"), message).hint("uat keys new makes one"));
        }
        unknown_prices(config, key, &path, &mut found);
    }
    for (index, model) in config.models.iter().enumerate() {
        if let Some((field, expected)) = model.price.and_then(|price| price.objection()) {
            let message = format!("model `{}`: `price.{field}`: {expected}", model.name);
            found.push(Finding::new(format!("models[{index}].price.{field}"), message));
        }
    }
    found
}

fn server(config: &UatConfig, found: &mut Vec<Finding>) {
    let server = &config.server;
    if !server.bind.ip().is_loopback() && !config.asks_for_keys() {
        let message = format!(
            "{} is not a loopback address: whoever reaches it could ask, because there are no [[keys]]",
            server.bind
        );
        let hint = "`uat keys new NAME` makes a key; name its file with server.keys_file, or bind 127.0.0.1";
        found.push(Finding::new("server.bind", message).hint(hint));
    }
    if server.admin_bind.is_some_and(|admin| admin == server.bind && admin.port() != 0) {
        let message = "`server.admin_bind` is the same address as `server.bind`: expected another port";
        found.push(Finding::new("server.admin_bind", message));
    }
}

/// What a model of unknown price costs cannot be kept below a budget.
fn unknown_prices(config: &UatConfig, key: &KeyConfig, path: &str, found: &mut Vec<Finding>) {
    let Some((index, model)) = config.unpriced(key) else { return };
    let message =
        format!("key `{}` has a budget and may use the model `{model}`, whose price is unknown", key.name);
    let hint = format!(
        "add price = {{ input = ..., output = ... }} (USD per million tokens) to models[{index}], or leave the model out \
         of the key's `models`"
    );
    found.push(Finding::new(format!("{path}.budget_usd_per_day"), message).hint(hint));
}
