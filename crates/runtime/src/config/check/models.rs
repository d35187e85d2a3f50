use std::collections::HashSet;

use fast_llm_coordinator::{EndpointConfig, ModelConfig, ModelEndpoint};

use super::super::UatConfig;
use super::super::finding::Finding;
use crate::nearest::nearest;

pub(super) fn findings(config: &UatConfig) -> Vec<Finding> {
    let (models, endpoints) = (&config.models, &config.endpoints);
    if models.is_empty() && !endpoints.is_empty() {
        let message = "endpoints are configured, but no [[models]] uses them: nothing could be asked for";
        return vec![
            Finding::new("endpoints", message)
                .hint("add [[models]] with a name and endpoints = [{ endpoint = \"...\" }]")
                .resting_on(["models".to_owned()]),
        ];
    }
    let mut names = HashSet::new();
    let mut found = Vec::new();
    for (index, model) in models.iter().enumerate() {
        let path = format!("models[{index}]");
        found.extend(name(model, &path, &mut names));
        if model.endpoints.is_empty() {
            let message = format!("model `{}` names no endpoint: expected at least one", model.name);
            found.push(Finding::new(format!("{path}.endpoints"), message));
        }
        for (index, served) in model.endpoints.iter().enumerate() {
            let path = format!("{path}.endpoints[{index}]");
            found.extend(reference(model, served, endpoints, &path));
            found.extend(weight(model, served, &path));
        }
    }
    found
}

fn name<'a>(model: &'a ModelConfig, path: &str, names: &mut HashSet<&'a str>) -> Option<Finding> {
    let path = format!("{path}.name");
    if model.name.trim().is_empty() {
        return Some(Finding::new(path, "a model needs a name"));
    }
    (!names.insert(&model.name))
        .then(|| Finding::new(path, format!("two models are named `{}`: names must be unique", model.name)))
}

fn reference(
    model: &ModelConfig,
    served: &ModelEndpoint,
    endpoints: &[EndpointConfig],
    path: &str,
) -> Option<Finding> {
    if endpoints.iter().any(|endpoint| endpoint.name == served.endpoint) {
        return None;
    }
    let message =
        format!("model `{}` names the endpoint `{}`, which does not exist", model.name, served.endpoint);
    let hint = match nearest(&served.endpoint, endpoints.iter().map(|endpoint| &*endpoint.name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "every endpoint stands in a section [[endpoints]]".to_owned(),
    };
    // It may be the one whose name could not be read.
    let names = (0..endpoints.len().max(1)).map(|index| format!("endpoints[{index}].name"));
    Some(Finding::new(format!("{path}.endpoint"), message).hint(hint).resting_on(names))
}

fn weight(model: &ModelConfig, served: &ModelEndpoint, path: &str) -> Option<Finding> {
    (!(served.weight.is_finite() && served.weight > 0.0)).then(|| {
        let message = format!("model `{}`: `weight` must be above 0, got {}", model.name, served.weight);
        Finding::new(format!("{path}.weight"), message)
    })
}
