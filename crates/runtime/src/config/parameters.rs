use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::UatConfig;
use super::finding::Finding;
use crate::parameters::ParametersPlace;

/// `[parameters]`: where studies, bandits and what is known of models' parameters are kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParametersConfig {
    /// The path of a folder, `redis` for the Redis of the section `[redis]`, or `:memory:`; absent: `parameters` in `server.state_dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
}

/// What `storage` says for the section `[redis]`.
const SECTION: &str = "redis";

impl UatConfig {
    /// Where studies and bandits are kept.
    pub fn parameters_place(&self) -> ParametersPlace {
        let storage = self.parameters.storage.as_deref();
        match (storage, &self.redis) {
            (Some(SECTION), Some(redis)) => ParametersPlace::Redis(Box::new(redis.clone())),
            (Some(text), _) => ParametersPlace::parse(text),
            // Without a home there is still a working directory.
            (None, _) => ParametersPlace::Folder(self.state_dir().unwrap_or_default().join("parameters")),
        }
    }
}

/// What is wrong with the section.
pub(super) fn findings(config: &UatConfig) -> Vec<Finding> {
    let path = "parameters.storage";
    let wrong = |message: &str| vec![Finding::new(path, format!("`{path}`: {message}"))];
    match config.parameters.storage.as_deref() {
        Some("") => wrong("expected a folder, `redis` or `:memory:`, got nothing"),
        Some(SECTION) if config.redis.is_none() => {
            wrong("there is no section `[redis]` that it could mean; write one with its `url`")
        }
        // A URL may hold a password, and sections that do are treated accordingly.
        Some(text) if text.contains("://") => wrong(
            "expected a folder, `redis` or `:memory:`, got a URL; write it as `url` of the section `[redis]`, and `redis` here",
        ),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(storage: &str) -> UatConfig {
        UatConfig {
            parameters: ParametersConfig { storage: Some(storage.to_owned()) },
            ..UatConfig::default()
        }
    }

    #[test]
    fn each_way_of_saying_where_is_understood() {
        assert_eq!(with(":memory:").parameters_place(), ParametersPlace::Memory);
        assert_eq!(with("/some/where").parameters_place(), ParametersPlace::Folder("/some/where".into()));
        let mut beside = UatConfig::default();
        beside.server.state_dir = Some("/state".into());
        assert_eq!(beside.parameters_place(), ParametersPlace::Folder("/state/parameters".into()));
        let redis = redis_service::Options { url: Some("redis://h".to_owned()), ..Default::default() };
        let shared = UatConfig { redis: Some(redis.clone()), ..with("redis") };
        assert_eq!(shared.parameters_place(), ParametersPlace::Redis(Box::new(redis)));
        assert!(findings(&shared).is_empty());
    }

    #[test]
    fn what_means_no_place_is_refused() {
        for (storage, said) in
            [("", "got nothing"), ("redis", "no section `[redis]`"), ("redis://:pw@h", "got a URL")]
        {
            let found = findings(&with(storage));
            let message = format!("{found:?}");
            assert!(found.len() == 1 && message.contains(said) && !message.contains("pw"), "{message}");
        }
    }
}
