//! A server on this machine that has models in memory: which process it is, and how it is told to let one go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use child_engine::Engine;
use fast_llm_coordinator::Protocol;
use http::Uri;
use listeners::Protocol as Transport;
use memory_estimate::CUDA_CONTEXT_BYTES;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpStream;

use crate::RuntimeError;
use crate::exchange::{AnyError, post};

/// Longer than a server needs that is busy with an answer; what it does after that is seen by the driver.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer has ended for whoever reads it a moment before its place in the engine is free.
const AGAIN: Duration = Duration::from_millis(50);
/// Five seconds in all: whoever asks it then is another program.
const TRIES: u32 = 100;

#[derive(Clone)]
pub(super) enum Server {
    /// Ours.
    Engine(Arc<Engine>),
    /// Lets a model go when it is asked to keep it for no time.
    Ollama(Uri),
    /// Has what it has.
    Other(Option<Uri>),
}

/// What the engine would allocate, device by device.
///
/// # Errors
/// [`RuntimeError::Engine`] where it cannot be started, [`RuntimeError::EngineMemory`] where it does not say.
pub(super) async fn project(engine: &Engine, question: &impl Serialize) -> Result<Vec<Device>, RuntimeError> {
    let stream = engine.connect().await?;
    let place = ("uat-engine", "/v1/memory");
    let answer: Result<Projection, AnyError> = post(stream, place, question, PATIENCE).await;
    let refused = |error: AnyError| RuntimeError::EngineMemory { reason: error.to_string() };
    Ok(answer.map_err(refused)?.devices)
}

impl Server {
    pub(super) fn of(protocol: Protocol, base_url: Option<&str>, engine: Option<Arc<Engine>>) -> Self {
        let uri = base_url.and_then(|url| url.parse().ok());
        match (protocol, engine, uri) {
            (Protocol::UatEngine, Some(engine), _) => Self::Engine(engine),
            (Protocol::Ollama, _, Some(uri)) => Self::Ollama(uri),
            (_, _, uri) => Self::Other(uri),
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Engine(one), Self::Engine(other)) => Arc::ptr_eq(one, other),
            (Self::Ollama(one), Self::Ollama(other)) => one == other,
            (Self::Other(one), Self::Other(other)) => one == other,
            _ => false,
        }
    }

    /// Its process; `None` where it does not run, runs elsewhere, or is another user's.
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::Engine(engine) => engine.pid(),
            Self::Ollama(uri) | Self::Other(Some(uri)) => {
                let address = local(uri)?;
                listeners::get_process_by_port(address.port(), Transport::TCP).ok().map(|process| process.pid)
            }
            Self::Other(None) => None,
        }
    }

    /// Bytes of GPUs that a model takes in the engine, by its projection and with the context of CUDA; none for another server.
    pub(super) async fn projected(&self, model: &str) -> Result<u64, RuntimeError> {
        let Self::Engine(engine) = self else { return Ok(0) };
        let devices = project(engine, &Model { model }).await?;
        let on_gpus = devices.iter().filter(|device| !device.is_host);
        Ok(on_gpus.map(Device::bytes).sum())
    }

    /// Makes it let a model go, where it can be told to.
    pub(super) async fn unload(&self, model: &str) -> Result<(), AnyError> {
        match self {
            Self::Engine(engine) => {
                for _ in 0..TRIES {
                    let Some(stream) = engine.connect_running().await? else { return Ok(()) };
                    let place = ("uat-engine", "/v1/models/unload");
                    let done: Unloaded = post(stream, place, &Model { model }, PATIENCE).await?;
                    if done.unloaded {
                        return Ok(());
                    }
                    tokio::time::sleep(AGAIN).await;
                }
                Err("somebody else asks it".into())
            }
            Self::Ollama(uri) => {
                let Some(address) = local(uri) else { return Ok(()) };
                let body = json!({ "model": model, "keep_alive": 0, "stream": false });
                let (stream, host) = (TcpStream::connect(address).await?, address.to_string());
                let _answer: IgnoredAny = post(stream, (&host, "/api/generate"), &body, PATIENCE).await?;
                Ok(())
            }
            Self::Other(_) => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct Model<'a> {
    model: &'a str,
}

#[derive(Deserialize)]
struct Unloaded {
    unloaded: bool,
}

#[derive(Deserialize)]
struct Projection {
    devices: Vec<Device>,
}

#[derive(Deserialize)]
pub(super) struct Device {
    pub(super) device: String,
    pub(super) is_host: bool,
    pub(super) weights: u64,
    pub(super) cache: u64,
    pub(super) compute: u64,
}

impl Device {
    /// What a process takes of it that has nothing there yet.
    fn bytes(&self) -> u64 {
        let beside = if self.device.starts_with("CUDA") { CUDA_CONTEXT_BYTES } else { 0 };
        self.weights + self.cache + self.compute + beside
    }
}

/// Where it listens, if that is on this machine and without TLS.
fn local(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let host = if host.eq_ignore_ascii_case("localhost") { "127.0.0.1" } else { host };
    let address = SocketAddr::new(host.parse().ok()?, uri.port_u16().unwrap_or(80));
    (uri.scheme_str() == Some("http") && address.ip().is_loopback()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_here_where_its_address_is_a_loopback_one() {
        let at = |uri: &str| local(&uri.parse().unwrap()).map(|address| address.to_string());
        assert_eq!(at("http://localhost:11434").as_deref(), Some("127.0.0.1:11434"));
        assert_eq!(at("http://[::1]:8000/v1").as_deref(), Some("[::1]:8000"));
        assert_eq!(at("http://10.0.0.1:8000"), None);
        assert_eq!(at("https://127.0.0.1:8000"), None);
    }

    #[test]
    fn a_model_takes_the_context_of_cuda_beside_what_is_planned() {
        let on = |name: &str| {
            Device { device: name.to_owned(), is_host: false, weights: 1, cache: 2, compute: 3 }.bytes()
        };
        assert_eq!((on("CUDA0"), on("Vulkan0")), (6 + CUDA_CONTEXT_BYTES, 6));
    }

    #[test]
    fn the_process_that_listens_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::of(Protocol::OpenAi, Some(&uri), None);
        assert_eq!(server.pid(), Some(std::process::id()));
        assert_eq!(Server::of(Protocol::OpenAi, Some("http://example.com"), None).pid(), None);
    }
}
