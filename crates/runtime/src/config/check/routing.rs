use std::collections::HashSet;
use std::sync::Arc;

use llm_router::Target;

use super::super::UatConfig;
use super::super::finding::Finding;
use super::out_of_range;
use crate::nearest::nearest;

pub(super) fn findings(config: &UatConfig) -> Vec<Finding> {
    let mut found = models(config);
    for (tier, names) in &config.routing.tiers {
        found.extend(list(config, tier, names));
    }
    found.extend(weights(config));
    let most = config.routing.max_candidates.into();
    found.extend(out_of_range("routing.max_candidates", most, 1..=16));
    found
}

fn models(config: &UatConfig) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, model) in config.models.iter().enumerate() {
        let path = format!("models[{index}]");
        if Target::is_target(&model.name) {
            let message = format!("model `{}`: `auto` and `tier:...` are the router's words", model.name);
            found.push(Finding::new(format!("{path}.name"), message).hint("give the model another name"));
        }
        if model.tier.as_ref().is_some_and(|tier| tier.trim().is_empty()) {
            let message = format!("model `{}`: `tier`: expected a name, got nothing", model.name);
            found.push(Finding::new(format!("{path}.tier"), message));
        }
        if let Some(quality) = model.quality.filter(|quality| !(0.0..=1.0).contains(quality)) {
            let message = format!("model `{}`: `quality`: expected 0 to 1, got {quality}", model.name);
            found.push(Finding::new(format!("{path}.quality"), message));
        }
    }
    found
}

/// A tier that lists its models.
fn list(config: &UatConfig, tier: &str, names: &[Arc<str>]) -> Vec<Finding> {
    let path = format!("routing.tiers.{tier}");
    if tier.trim().is_empty() {
        return vec![Finding::new("routing.tiers", "a tier needs a name")];
    }
    if names.is_empty() {
        let message = format!("the tier `{tier}` names no model: expected at least one");
        let hint = "leave it out: a tier without a list has the models whose `tier` it is";
        return vec![Finding::new(path, message).hint(hint)];
    }
    // What answers where no models are configured is known only when it is found.
    if config.models.is_empty() {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let wrong = names.iter().enumerate().filter_map(|(index, name)| {
        let path = format!("{path}[{index}]");
        if !seen.insert(name) {
            return Some(Finding::new(path, format!("the tier `{tier}` names `{name}` twice")));
        }
        if config.models.iter().any(|model| model.name == *name) {
            return None;
        }
        let message = format!("the tier `{tier}` names the model `{name}`, which does not exist");
        let hint = match nearest(name, config.models.iter().map(|model| &*model.name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "every model stands in a section [[models]]".to_owned(),
        };
        // It may be the one whose name could not be read.
        let rests_on = (0..config.models.len()).map(|index| format!("models[{index}].name"));
        Some(Finding::new(path, message).hint(hint).resting_on(rests_on))
    });
    wrong.collect()
}

fn weights(config: &UatConfig) -> Vec<Finding> {
    let weights = config.routing.weights.named();
    let is_weight = |weight: f64| weight.is_finite() && weight >= 0.0;
    let wrong = weights.into_iter().filter(|(_, weight)| !is_weight(*weight)).map(|(name, weight)| {
        let path = format!("routing.weights.{name}");
        Finding::new(&path, format!("`{path}`: expected a number of at least 0, got {weight}"))
    });
    let mut found: Vec<Finding> = wrong.collect();
    if weights.iter().all(|(_, weight)| *weight == 0.0) {
        let message = "`routing.weights`: all are 0, so that nothing decides: expected one above 0";
        found.push(Finding::new("routing.weights", message));
    }
    found
}
