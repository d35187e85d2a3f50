//! What a model is, and which are in the engine's memory: for those who look, not for requests.

use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use child_engine::{Engine, EngineError};
use gguf::Header;
use model_store::{ModelStore, StoreError};
use serde::Deserialize;

use crate::errors::RuntimeError;
use crate::exchange::{self, AnyError};
use crate::wiring::ModelInfo;

/// A model as it is configured, with what its file says.
#[derive(Debug, Clone)]
pub struct ModelDescription {
    /// As in the list of models.
    pub info: ModelInfo,
    /// Of its file, if only the local engine serves it.
    pub file: Option<FileDescription>,
}

/// What a model's file says.
#[derive(Debug, Clone)]
pub struct FileDescription {
    /// Its header.
    pub header: Header,
    /// When it changed, where the file system says so.
    pub modified: Option<SystemTime>,
    /// SPDX identifier of the licence of the weights, of a model of the catalogue.
    pub licence: Option<&'static str>,
}

/// A model in the engine's memory.
#[derive(Debug, Clone)]
pub struct LoadedModel {
    /// The public name; what the engine knows it by where another program has asked for it.
    pub name: String,
    /// Bytes of memory that it takes.
    pub memory_bytes: u64,
    /// Tokens that one conversation may have.
    pub context_tokens: u64,
    /// Milliseconds until it is unloaded if nobody asks it; absent: never.
    pub expires_ms: Option<u64>,
    /// SHA-256 of its file in hexadecimal, where it is known.
    pub sha256: Option<String>,
    /// Of its file, where that still can be read.
    pub header: Option<Header>,
}

/// A model of the engine's `GET /v1/stats`.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) memory_bytes: u64,
    pub(crate) context_tokens: u64,
    pub(crate) expires_ms: Option<u64>,
}

/// Reads the header of what the engine knows as `source`. Blocks for some milliseconds.
pub(crate) fn describe_file(source: &str) -> Result<FileDescription, RuntimeError> {
    let path = ModelStore::open()?.resolve(source)?;
    let header = read_header(&path)?;
    let modified = path.metadata().and_then(|meta| meta.modified()).ok();
    let entry = ModelStore::catalogue().iter().find(|entry| entry.name == source);
    Ok(FileDescription { header, modified, licence: entry.map(|entry| entry.licence) })
}

fn read_header(path: &Path) -> Result<Header, StoreError> {
    let file = File::open(path).map_err(|source| StoreError::Io {
        action: "open",
        path: path.to_owned(),
        source,
    })?;
    Header::read(file).map_err(|source| StoreError::NotAModel { what: path.display().to_string(), source })
}

/// What is in the engine's memory; nothing where none runs or is installed. Starts none.
pub(crate) async fn engine_models(engine: &Engine) -> Result<Vec<Entry>, RuntimeError> {
    #[derive(Deserialize)]
    struct Stats {
        models: Vec<Entry>,
    }
    let stream = match engine.connect_running().await {
        Ok(Some(stream)) => stream,
        Ok(None) | Err(EngineError::Unavailable { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let answer = async {
        let body = exchange::get(stream, "uat-engine", "/v1/stats").await?;
        Ok::<Stats, AnyError>(serde_json::from_slice(&body)?)
    };
    let refused = |reason: String| RuntimeError::EngineStats { reason };
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(stats)) => Ok(stats.models),
        Ok(Err(error)) => Err(refused(error.to_string())),
        Err(_) => Err(refused(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// It answers in well under a millisecond; a machine that swaps needs longer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
