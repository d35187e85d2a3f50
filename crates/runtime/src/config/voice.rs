use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::UatConfig;
use super::check::out_of_range;
use super::finding::Finding;
use crate::voice::transcriptions_at;

/// `[voice]`: who writes down what was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VoiceConfig {
    /// The model that transcribes where none is named: one of `uat models list`, or one that the server at `base_url` knows.
    pub model: String,
    /// Threads that compute; absent: as many as the machine has cores.
    #[schemars(range(min = 1, max = 256))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// A server with OpenAI's `/audio/transcriptions` that transcribes, such as `https://api.openai.com/v1`; absent: this machine does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The environment variable that holds that server's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
}

impl Default for VoiceConfig {
    fn default() -> Self {
        Self { model: "whisper-tiny.en".to_owned(), threads: None, base_url: None, api_key_env: None }
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
    let url = config.voice.base_url.as_deref();
    if let Some(url) = url.filter(|url| transcriptions_at(url).is_none()) {
        let message =
            format!("`voice.base_url`: expected a URL of http or https without a query, got `{url}`");
        found.push(Finding::new("voice.base_url", message).hint("for example `https://api.openai.com/v1`"));
    }
    if config.voice.api_key_env.is_some() && url.is_none() {
        let message = "`voice.api_key_env`: expected `voice.base_url` beside it: this machine needs no key";
        found.push(Finding::new("voice.api_key_env", message));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_transcribe_is_refused() {
        let count = |voice: VoiceConfig| findings(&UatConfig { voice, ..UatConfig::default() }).len();
        let with =
            |model: &str, threads| VoiceConfig { model: model.to_owned(), threads, ..VoiceConfig::default() };
        assert_eq!(count(VoiceConfig::default()), 0);
        assert_eq!(count(with("whisper-base", Some(256))), 0);
        assert_eq!(count(with("", Some(0))), 2);
    }

    #[test]
    fn a_server_that_transcribes_is_named_by_its_url() {
        let count = |base_url: Option<&str>, key: Option<&str>| {
            let voice = VoiceConfig {
                base_url: base_url.map(str::to_owned),
                api_key_env: key.map(str::to_owned),
                ..VoiceConfig::default()
            };
            findings(&UatConfig { voice, ..UatConfig::default() }).len()
        };
        assert_eq!(count(Some("https://api.openai.com/v1"), Some("OPENAI_API_KEY")), 0);
        assert_eq!(count(Some("api.openai.com"), None), 1);
        assert_eq!(count(None, Some("OPENAI_API_KEY")), 1);
    }
}
