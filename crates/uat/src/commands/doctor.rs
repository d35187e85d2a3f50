//! `uat doctor`

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use model_store::{ModelState, ModelStore, Purpose};
use runtime::redis_service::Options;
use runtime::{Engine, Neighbours, Runtime, UatConfig, ask_redis, look_for, open_redis};
use serde::Serialize;
use serde_json::{Value, json};

use super::{ConfigArgs, block_on, human_bytes};
use crate::failure::Failure;
use crate::running::host_and_port;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// Something that can be done without.
    Note,
    /// Without it nothing answers.
    Failed,
}

#[derive(Debug, Serialize)]
struct Check {
    what: String,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Check {
    fn new(verdict: Verdict, what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { what: what.into(), verdict, found: found.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let checks = block_on(examine(args))?;
    let failed = checks.iter().any(|check| check.verdict == Verdict::Failed);
    let mut out = io::stdout().lock();
    if args.json {
        let document = json!({ "ok": !failed, "version": env!("CARGO_PKG_VERSION"), "checks": checks });
        writeln!(out, "{document}")?;
    } else {
        let width = checks.iter().map(|check| check.what.chars().count()).max().unwrap_or(0);
        for check in &checks {
            let mark = match check.verdict {
                Verdict::Ok => "\u{2713}",
                Verdict::Note => "-",
                Verdict::Failed => "\u{2717}",
            };
            writeln!(out, "{mark} {:width$}  {}", check.what, check.found)?;
            if let Some(hint) = &check.hint {
                writeln!(out, "  {:width$}  try: {hint}", "")?;
            }
        }
    }
    if failed { Err(Failure::Shown) } else { Ok(()) }
}

async fn examine(args: &Args) -> Result<Vec<Check>, Failure> {
    let mut checks = Vec::new();
    let config = match args.config.load() {
        Ok(loaded) => {
            let source =
                loaded.file().map_or("built-in, no uat.toml here".to_owned(), |f| f.display().to_string());
            checks.push(Check::new(Verdict::Ok, "configuration", source));
            loaded.config
        }
        Err(errors) => {
            for error in errors.iter() {
                let mut check = Check::new(Verdict::Failed, "configuration", error.sentence());
                check.hint.clone_from(&error.hint);
                checks.push(check);
            }
            UatConfig::default()
        }
    };
    let unconfigured = config.endpoints.is_empty() && config.models.is_empty();
    let neighbours = if unconfigured { look_for(&Neighbours::default()).await } else { Vec::new() };
    // With somebody else to answer, the engine of our own may be missing.
    let needed = if unconfigured && neighbours.is_empty() { Verdict::Failed } else { Verdict::Note };

    let runtime = Runtime::with_neighbours(config.clone(), Vec::new(), Neighbours::none())?;
    match runtime.engine() {
        None => checks.push(Check::new(Verdict::Note, "engine", "switched off by engine.enabled = false")),
        Some(engine) => checks.extend(examine_engine(&engine, needed).await),
    }
    checks.extend(models(&config, needed));
    if unconfigured {
        for (name, label) in [("ollama", "Ollama"), ("lm-studio", "LM Studio")] {
            checks.push(match neighbours.iter().find(|neighbour| neighbour.name == name) {
                Some(found) => {
                    let found = format!("{} model(s) at {}", found.models.len(), found.address);
                    Check::new(Verdict::Ok, label, found)
                }
                None => Check::new(Verdict::Note, label, "does not answer on its default port"),
            });
        }
    }
    for endpoint in &config.endpoints {
        if let Some(base_url) = &endpoint.base_url {
            checks.push(reachable(&endpoint.name, base_url).await);
        }
    }
    if let Some(options) = &config.redis {
        checks.push(examine_redis(options.clone()).await);
    }
    runtime.close().await;
    Ok(checks)
}

/// A cache that is away can be done without; one that cannot be reached as it is configured is a mistake.
async fn examine_redis(options: Options) -> Check {
    const WHAT: &str = "redis";
    if !options.names_redis() {
        return Check::new(Verdict::Note, WHAT, "no `url` under [redis]: the cache stays in each process");
    }
    // The journal belongs to the program that serves sessions.
    let options = match (Options { replay_writes: false, ..options }).with_url() {
        Ok(options) => options,
        Err(error) => return Check::new(Verdict::Failed, WHAT, error.to_string()),
    };
    let places = options.address().ok().flatten().map(|address| address.places()).unwrap_or_default();
    let service = match open_redis(options).await {
        Ok(service) => service,
        Err(error) => return Check::new(Verdict::Failed, WHAT, error.to_string()),
    };
    let check = match ask_redis(&service).await {
        Ok(answer) => {
            let server = answer.server.unwrap_or_else(|| "a server".to_owned());
            let ms = answer.round_trip.as_secs_f64() * 1000.0;
            Check::new(Verdict::Ok, WHAT, format!("{server} at {places} answers in {ms:.2} ms"))
        }
        Err(error) => {
            let reason = service.status().last_error.unwrap_or_else(|| error.to_string());
            Check::new(Verdict::Note, WHAT, format!("does not answer: {reason}"))
                .hint("start it, or correct `url` under [redis]")
        }
    };
    service.close().await;
    check
}

async fn examine_engine(engine: &Arc<Engine>, needed: Verdict) -> Vec<Check> {
    let program = match engine.locate() {
        Ok(program) => program,
        Err(error) => {
            return vec![
                Check::new(needed, "engine", error.to_string())
                    .hint("build it with `npm run build:rust`, or point UAT_ENGINE_PATH at it"),
            ];
        }
    };
    let mut checks = vec![Check::new(Verdict::Ok, "engine program", program.display().to_string())];
    match tokio::time::timeout(ENGINE_PATIENCE, ask_engine(engine)).await {
        Ok(Ok(health)) => {
            checks.push(Check::new(Verdict::Ok, "engine", describe_engine(&health)));
            checks.extend(devices(&health));
        }
        Ok(Err(error)) => checks.push(Check::new(needed, "engine", format!("does not answer: {error}"))),
        Err(_) => checks.push(Check::new(
            needed,
            "engine",
            format!("did not answer within {} s", ENGINE_PATIENCE.as_secs()),
        )),
    }
    if let Ok(socket) = engine.socket_path()
        && let Some(folder) = socket.parent()
    {
        checks.push(writable("engine folder", folder, needed));
    }
    checks
}

/// A start without a model takes less than a second; a machine under load is given more.
const ENGINE_PATIENCE: Duration = Duration::from_secs(15);

/// The engine's health. Starts it where it does not run.
pub(super) async fn ask_engine(engine: &Engine) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
    /// The engine's health is a few hundred bytes.
    const LONGEST: usize = 64 << 10;
    let stream = engine.connect().await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = hyper::Request::get("/health").header("host", "uat-engine").body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let body = Limited::new(response.into_body(), LONGEST).collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    };
    tokio::select! {
        result = exchange => result,
        ended = connection => Err(format!("the engine closed the connection: {ended:?}").into()),
    }
}

fn describe_engine(health: &Value) -> String {
    let text =
        |key: &str| health.get(key).map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
    let mut parts = vec!["answers".to_owned()];
    parts.extend(text("version").map(|version| format!("version {version}")));
    parts.extend(text("pid").map(|pid| format!("pid {pid}")));
    parts.extend(text("threads").map(|threads| format!("{threads} threads")));
    parts.extend(text("backend").map(|backend| format!("computes with {backend}")));
    parts.join(", ")
}

/// Where the engine can compute, as its `/health` says.
fn devices(health: &Value) -> Vec<Check> {
    let devices = health.get("devices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let check = |device: &Value| {
        let text = |key: &str| device.get(key).and_then(Value::as_str).unwrap_or("?");
        let bytes = |key: &str| device.get(key).and_then(Value::as_u64).map(human_bytes);
        let mut found = text("description").to_owned();
        found.extend(bytes("memory_bytes").map(|all| format!(", {all}")));
        found.extend(bytes("memory_free_bytes").map(|free| format!(", {free} free")));
        Check::new(Verdict::Ok, format!("device {}", text("name")), found)
    };
    devices.iter().map(check).collect()
}

fn models(config: &UatConfig, needed: Verdict) -> Vec<Check> {
    let store = match ModelStore::open() {
        Ok(store) => store,
        Err(error) => return vec![Check::new(needed, "models", error.to_string())],
    };
    let mut checks = vec![writable("models folder", store.dir(), Verdict::Note)];
    let wanted = &config.engine.model;
    // A part is here or not with what it belongs to.
    for model in store.list().into_iter().filter(|model| model.entry.purpose != Purpose::Part) {
        let what = format!("model {}", model.entry.name);
        let pull = format!("uat models pull {}", model.entry.name);
        let verdict =
            if *wanted == model.entry.name && config.engine.enabled { needed } else { Verdict::Note };
        checks.push(match model.state {
            ModelState::Present { bytes } => Check::new(Verdict::Ok, what, human_bytes(bytes)),
            ModelState::Incomplete => Check::new(verdict, what, "its download was interrupted").hint(pull),
            ModelState::Absent => Check::new(verdict, what, "not on this machine").hint(pull),
        });
    }
    if store.list().iter().all(|model| model.entry.name != wanted)
        && let Err(error) = store.resolve(wanted)
    {
        checks.push(Check::new(needed, format!("model {wanted}"), error.to_string()));
    }
    checks
}

/// Whether files can be made in `folder`, or in the nearest folder above it that exists.
fn writable(what: &str, folder: &Path, otherwise: Verdict) -> Check {
    let existing = folder.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(folder);
    let probe = existing.join(format!(".uat-doctor-{}", std::process::id()));
    match std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => Check::new(Verdict::Ok, what, folder.display().to_string()),
        Err(error) => {
            Check::new(otherwise, what, format!("{} cannot be written: {error}", existing.display()))
                .hint("check the owner of the folder, and that the disk is not full")
        }
    }
}

/// Only whether something listens: asking more would need the key.
async fn reachable(name: &str, base_url: &str) -> Check {
    const PATIENCE: Duration = Duration::from_secs(2);
    let what = format!("endpoint {name}");
    // Its form was checked with the configuration.
    let Some(address) = base_url.parse().ok().and_then(|uri| host_and_port(&uri)) else {
        return Check::new(Verdict::Note, what, "its base_url is not understood");
    };
    let resolved = address.clone();
    let addresses = tokio::task::spawn_blocking(move || -> io::Result<Vec<SocketAddr>> {
        Ok((resolved.0.as_str(), resolved.1).to_socket_addrs()?.collect())
    });
    let connecting = async {
        let addresses = addresses.await.map_err(io::Error::other)??;
        tokio::net::TcpStream::connect(addresses.as_slice()).await
    };
    let shown = format!("{}:{}", address.0, address.1);
    match tokio::time::timeout(PATIENCE, connecting).await {
        Ok(Ok(_)) => Check::new(Verdict::Ok, what, format!("listens at {shown}")),
        Ok(Err(error)) => Check::new(Verdict::Note, what, format!("{shown}: {error}")),
        Err(_) => {
            Check::new(Verdict::Note, what, format!("{shown} did not answer within {} s", PATIENCE.as_secs()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_can_compute_with_is_named() {
        let health = json!({ "pid": 7, "backend": "Vulkan", "devices": [
            { "name": "Vulkan0", "description": "GPU", "memory_bytes": 8_000_000_000u64, "memory_free_bytes": 6_000_000_000u64 },
            { "name": "CPU", "description": "EPYC", "memory_bytes": 9_000_000_000u64 },
        ] });
        assert_eq!(describe_engine(&health), "answers, pid 7, computes with Vulkan");
        let devices = devices(&health).into_iter().map(|check| (check.what, check.found));
        let expected = [("device Vulkan0", "GPU, 8.0 GB, 6.0 GB free"), ("device CPU", "EPYC, 9.0 GB")];
        let owned = expected.map(|(what, found)| (what.to_owned(), found.to_owned()));
        assert_eq!(devices.collect::<Vec<_>>(), owned);
    }
}
