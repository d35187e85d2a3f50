//! The paths.

mod leases;
mod look;
mod models;

use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, State};
use axum::routing::{delete, get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use http::{HeaderMap, Uri};
use serde::de::DeserializeOwned;
use tokio::net::UnixListener;

use super::error::Refused;
use super::process::Process;
use super::server::{Shared, this_user};
use crate::HolderId;

/// The header by which one of several clients of a process is told from the others.
pub(super) const CLIENT: &str = "uat-client";

/// Who is at the other end, as the system says it.
#[derive(Debug, Clone)]
pub(super) struct Peer(Result<Process, String>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let of = || {
            let peer = stream
                .io()
                .peer_cred()
                .map_err(|error| format!("the system does not say who calls: {error}"))?;
            if peer.uid() != this_user() {
                return Err(format!("this daemon serves user {}, not user {}", this_user(), peer.uid()));
            }
            let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
            let process = pid.and_then(Process::now);
            process.ok_or_else(|| {
                "the caller's process is not seen from here: it has ended, or runs in another container"
                    .to_owned()
            })
        };
        Self(of())
    }
}

pub(super) fn router(host: Arc<Shared>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/v1/gpus", get(look::gpus))
        .route("/v1/events", get(look::events))
        .route("/v1/leases", get(look::leases).post(leases::allocate))
        .route("/v1/leases/{lease}", delete(leases::release))
        .route("/v1/leases/{lease}/renew", post(leases::renew))
        .route("/v1/leases/{lease}/loaded", post(models::loaded))
        .route("/v1/leases/{lease}/failed", post(models::load_failed))
        .route("/v1/requests/{request}", delete(leases::take_back))
        .route("/v1/attach", post(leases::attach))
        .route("/v1/models", post(models::register))
        .route("/v1/models/{model}", delete(models::unregister))
        .route("/v1/models/{model}/uses", post(models::begin_use))
        .route("/v1/uses/{use}", delete(models::end_use))
        .route("/v1/optimize", post(models::optimize))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_path)
        .with_state(host)
}

type Host = State<Arc<Shared>>;
type Caller = ConnectInfo<Peer>;

async fn no_such_path(method: http::Method, uri: Uri) -> Refused {
    Refused::NoSuchPath(format!(
        "{method} {} is nothing here; there are GET /health, /v1/gpus, /v1/leases and /v1/events, POST /v1/leases, /v1/leases/LEASE/renew, loaded and failed, /v1/attach, /v1/models, /v1/models/MODEL/uses and /v1/optimize, and DELETE /v1/leases/LEASE, /v1/requests/REQUEST, /v1/models/MODEL and /v1/uses/USE",
        uri.path()
    ))
}

async fn health() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "ok", "pid": std::process::id() }))
}

/// Who calls.
fn caller(host: &Arc<Shared>, peer: &Peer, headers: &HeaderMap) -> Result<HolderId, Refused> {
    host.caller(peer.process()?, client(headers)?)
}

impl Peer {
    fn process(&self) -> Result<Process, Refused> {
        self.0.clone().map_err(Refused::Forbidden)
    }
}

fn client(headers: &HeaderMap) -> Result<&str, Refused> {
    let Some(value) = headers.get(CLIENT) else { return Ok("") };
    let name = value.to_str().ok().filter(|name| (1..=64).contains(&name.len()));
    name.ok_or_else(|| Refused::Invalid(format!("{CLIENT}: expected 1 to 64 visible ASCII characters")))
}

fn number(text: &str) -> Result<u64, Refused> {
    text.parse().map_err(|_| {
        Refused::Invalid(format!("expected a lease's or a request's number in the path, got {text:?}"))
    })
}

/// Where all that could be said has a default, nothing needs to be.
fn parsed_or_empty<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    parsed(if body.is_empty() { b"{}" } else { body })
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body)
        .map_err(|error| Refused::Invalid(format!("the body is not what is expected: {error}")))
}
