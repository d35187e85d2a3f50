use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::UatConfig;
use super::check::out_of_range;
use super::finding::Finding;

/// `[voice]`: who writes down what was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VoiceConfig {
    /// The model that transcribes where none is named: one of `uat models list`.
    pub model: String,
    /// Threads that compute; absent: as many as the machine has cores.
    #[schemars(range(min = 1, max = 256))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
}

impl Default for VoiceConfig {
    fn default() -> Self {
        Self { model: "whisper-tiny.en".to_owned(), threads: None }
    }
}

impl VoiceConfig {
    /// How many threads compute.
    pub fn thread_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, |threads| threads as usize)
    }
}

/// What is wrong with the section.
pub(super) fn findings(config: &UatConfig) -> Vec<Finding> {
    let mut found = Vec::new();
    if config.voice.model.is_empty() {
        let message = "`voice.model`: expected a model's name, got nothing";
        found.push(Finding::new("voice.model", message).hint("`uat models list` shows the names"));
    }
    let threads = config.voice.threads.map(u64::from);
    found.extend(threads.and_then(|threads| out_of_range("voice.threads", threads, 1..=256)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_transcribe_is_refused() {
        let with = |model: &str, threads| UatConfig {
            voice: VoiceConfig { model: model.to_owned(), threads },
            ..UatConfig::default()
        };
        assert!(findings(&UatConfig::default()).is_empty());
        assert!(findings(&with("whisper-base", Some(256))).is_empty());
        assert_eq!(findings(&with("", Some(0))).len(), 2);
    }
}
