//! What answers when nothing is configured: the embedded engine, and the local servers that people already run.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use fast_llm_coordinator::{CoordinatorConfig, EndpointConfig, ModelConfig, Protocol};
use futures_util::future;
use serde::Deserialize;
use tokio::net::TcpStream;

use model_store::AddedModel;

use crate::config::EngineConfig;
use crate::exchange::{self, AnyError};

/// The name of the embedded engine among the endpoints.
pub(crate) const ENGINE: &str = "engine";

/// Where other local servers are looked for.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Ollama's address; absent: it is not looked for.
    pub ollama: Option<SocketAddr>,
    /// LM Studio's address; absent: it is not looked for.
    pub lm_studio: Option<SocketAddr>,
    /// How long each may take to list its models.
    pub patience: Duration,
}

impl Default for Neighbours {
    /// The ports that both listen on unless told otherwise.
    fn default() -> Self {
        Self {
            ollama: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 11434))),
            lm_studio: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 1234))),
            // A server on this machine lists its models in a few ms; the first request waits for this at most once.
            patience: Duration::from_millis(300),
        }
    }
}

impl Neighbours {
    /// Nobody is looked for.
    pub fn none() -> Self {
        Self { ollama: None, lm_studio: None, ..Self::default() }
    }
}

/// A local server that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// `ollama` or `lm-studio`.
    pub name: &'static str,
    /// Its address.
    pub address: SocketAddr,
    /// The chat models it serves.
    pub models: Vec<String>,
}

/// The configuration of an unconfigured installation before anybody was looked for. `added` are the models that the user
/// has added to the store.
pub(crate) fn engine_alone(engine: &EngineConfig, added: &[AddedModel]) -> CoordinatorConfig {
    let mut config = CoordinatorConfig::default();
    if engine.enabled {
        config.endpoints.push(EndpointConfig::new(ENGINE, Protocol::UatEngine, None));
        config.models.push(ModelConfig::at(engine.model.as_str(), [ENGINE]));
        let others = added.iter().map(|model| model.name.as_str()).filter(|name| *name != engine.model);
        config.models.extend(others.map(|name| ModelConfig::at(name, [ENGINE])));
    }
    config
}

/// Adds what `found` serves. A name that is already taken stays with whom it belongs to.
pub(crate) fn add_neighbours(config: &mut CoordinatorConfig, found: &[Neighbour]) {
    for neighbour in found {
        let (protocol, base_url) = match neighbour.name {
            "ollama" => (Protocol::Ollama, format!("http://{}", neighbour.address)),
            _ => (Protocol::OpenAi, format!("http://{}/v1", neighbour.address)),
        };
        config.endpoints.push(EndpointConfig::new(neighbour.name, protocol, Some(base_url)));
        for model in &neighbour.models {
            if config.models.iter().all(|known| *known.name != **model) {
                config.models.push(ModelConfig::at(model.as_str(), [neighbour.name]));
            }
        }
    }
}

/// Asks both at the same time; who does not answer in time, or not in its own dialect, is not there.
pub async fn look_for(neighbours: &Neighbours) -> Vec<Neighbour> {
    let ollama = find("ollama", neighbours.ollama, "/api/tags", neighbours.patience, ollama_models);
    let lm_studio = find("lm-studio", neighbours.lm_studio, "/v1/models", neighbours.patience, openai_models);
    let (ollama, lm_studio) = future::join(ollama, lm_studio).await;
    ollama.into_iter().chain(lm_studio).collect()
}

async fn find(
    name: &'static str,
    address: Option<SocketAddr>,
    path: &str,
    patience: Duration,
    read: fn(&[u8]) -> Option<Vec<String>>,
) -> Option<Neighbour> {
    let address = address?;
    let models = match tokio::time::timeout(patience, get(address, path)).await {
        Ok(Ok(body)) => read(&body)?,
        Ok(Err(error)) => {
            tracing::debug!(name, %address, %error, "nobody there");
            return None;
        }
        Err(_) => {
            tracing::debug!(name, %address, "no answer in time");
            return None;
        }
    };
    tracing::info!(name, %address, models = models.len(), "found a local server");
    Some(Neighbour { name, address, models })
}

async fn get(address: SocketAddr, path: &str) -> Result<Bytes, AnyError> {
    exchange::get(TcpStream::connect(address).await?, &address.to_string(), path).await
}

fn ollama_models(body: &[u8]) -> Option<Vec<String>> {
    let names = llm_wire::ollama::parse_tags(body).ok()?;
    Some(names.into_iter().filter(|name| chats(name)).collect())
}

fn openai_models(body: &[u8]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct List {
        data: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        id: String,
    }
    let list: List = serde_json::from_slice(body).ok()?;
    Some(list.data.into_iter().map(|model| model.id).filter(|name| chats(name)).collect())
}

/// Both servers list their embedding models among the others, and their names are all that tells them apart.
fn chats(name: &str) -> bool {
    !name.to_ascii_lowercase().contains("embed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbour(name: &'static str, models: &[&str]) -> Neighbour {
        Neighbour {
            name,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 11434)),
            models: models.iter().map(|&model| model.to_owned()).collect(),
        }
    }

    #[test]
    fn a_name_that_two_servers_know_stays_with_the_first() {
        let mut config = engine_alone(&EngineConfig::default(), &[]);
        add_neighbours(
            &mut config,
            &[
                neighbour("ollama", &["llama3.2:3b", "smollm2-135m"]),
                neighbour("lm-studio", &["llama3.2:3b"]),
            ],
        );
        let served: Vec<(&str, &str)> =
            config.models.iter().map(|model| (&*model.name, &*model.endpoints[0].endpoint)).collect();
        assert_eq!(served, [("smollm2-135m", "engine"), ("llama3.2:3b", "ollama")]);
    }

    #[test]
    fn models_that_the_user_has_added_are_offered_too() {
        let added = |name: &str| AddedModel {
            name: name.to_owned(),
            path: "/models/m.gguf".into(),
            owned: false,
            bytes: 1,
            sha256: String::new(),
            source: None,
        };
        let engine = EngineConfig { model: "mine".to_owned(), ..EngineConfig::default() };
        let config = engine_alone(&engine, &[added("mine"), added("other")]);
        let names: Vec<&str> = config.models.iter().map(|model| &*model.name).collect();
        assert_eq!(names, ["mine", "other"]);
    }

    #[test]
    fn embedding_models_are_not_offered_for_chat() {
        let body = br#"{"data":[{"id":"qwen3-4b"},{"id":"text-embedding-nomic-embed-text-v1.5"}]}"#;
        assert_eq!(openai_models(body), Some(vec!["qwen3-4b".to_owned()]));
        assert_eq!(openai_models(b"<html>"), None);
    }
}
