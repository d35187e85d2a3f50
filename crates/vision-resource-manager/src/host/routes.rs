//! The paths.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use futures_util::stream;
use http::{HeaderMap, StatusCode, Uri, header};
use serde::de::DeserializeOwned;
use tokio::net::UnixListener;

use super::error::Refused;
use super::process::Process;
use super::server::{Shared, this_user};
use super::wire::{
    AllocateBody, AttachBody, Attached, Gpu, GpuProcess, Gpus, Held, HeldState, LeasedGpu, Leases, Notice,
    RenewBody, Renewed,
};
use crate::{HolderId, LeaseId, Share, Usage};

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
        .route("/v1/gpus", get(gpus))
        .route("/v1/leases", get(leases).post(allocate))
        .route("/v1/leases/{lease}", axum::routing::delete(release))
        .route("/v1/leases/{lease}/renew", post(renew))
        .route("/v1/requests/{request}", axum::routing::delete(take_back))
        .route("/v1/attach", post(attach))
        .route("/v1/events", get(events))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_path)
        .with_state(host)
}

type Host = State<Arc<Shared>>;
type Caller = ConnectInfo<Peer>;

async fn no_such_path(method: http::Method, uri: Uri) -> Refused {
    Refused::NoSuchPath(format!(
        "{method} {} is nothing here; there are GET /health, /v1/gpus, /v1/leases and /v1/events, POST /v1/leases, /v1/leases/LEASE/renew and /v1/attach, and DELETE /v1/leases/LEASE and /v1/requests/REQUEST",
        uri.path()
    ))
}

async fn health() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "ok", "pid": std::process::id() }))
}

async fn gpus(State(host): Host, ConnectInfo(peer): Caller) -> Result<Json<Gpus>, Refused> {
    peer.process()?;
    let gpus = host.manager.usage().into_iter().map(gpu).collect();
    Ok(Json(Gpus { gpus, why_none: host.manager.why_no_gpu() }))
}

fn gpu(of: Usage) -> Gpu {
    let Usage { index, reading, ledger, closed } = of;
    let process =
        |process: gpu_driver::ProcessReading| GpuProcess { pid: process.pid, used_bytes: process.used };
    Gpu {
        index,
        uuid: reading.uuid,
        name: reading.name,
        total_bytes: ledger.total,
        used_bytes: ledger.used,
        leased_bytes: ledger.leased,
        external_bytes: ledger.external,
        free_bytes: ledger.free,
        utilization: reading.utilization,
        temperature_c: reading.temperature_c,
        power_w: reading.power_w,
        processes: reading.processes.into_iter().flatten().map(process).collect(),
        closed,
    }
}

async fn leases(State(host): Host, ConnectInfo(peer): Caller) -> Result<Json<Leases>, Refused> {
    peer.process()?;
    let now = host.manager.now();
    let (held, queued) = (host.manager.leases(), host.manager.waiting());
    let book = host.book();
    let pid = |holder: HolderId| host.manager.process(holder).map_or(0, |process| process.pid);
    let gpu = |share: &Share| LeasedGpu {
        index: share.device,
        uuid: host.manager.uuid(share.device).map(Into::into),
        bytes: share.bytes,
    };
    let held = held.into_iter().map(|lease| Held {
        lease: Some(lease.lease),
        request: None,
        state: match (lease.lost, lease.preempted_by.is_some()) {
            (true, _) => HeldState::Lost,
            (_, true) => HeldState::Grace,
            _ => HeldState::Active,
        },
        pid: pid(lease.holder),
        owner: lease.owner,
        model: lease.model,
        priority: lease.priority,
        bytes: lease.shares.first().map_or(0, |share| share.bytes),
        gpus: lease.shares.iter().map(gpu).collect(),
        expires_in_ms: lease.expires_at.map(|at| at.saturating_sub(now)),
        restored: book.silent().contains(&lease.holder),
    });
    let queued = queued.into_iter().map(|waiting| Held {
        lease: None,
        request: Some(waiting.request),
        state: HeldState::Queued,
        pid: pid(waiting.holder),
        owner: waiting.owner,
        model: waiting.model,
        priority: waiting.priority,
        bytes: waiting.bytes,
        gpus: Vec::new(),
        expires_in_ms: Some(waiting.deadline.saturating_sub(now)),
        restored: false,
    });
    let leases = held.chain(queued).collect();
    let waiting_for = book.silent().iter().map(|holder| pid(*holder)).collect();
    Ok(Json(Leases { leases, waiting_for }))
}

async fn allocate(
    State(host): Host,
    ConnectInfo(peer): Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let body: AllocateBody = parsed(&body)?;
    let (caller, client) = (peer.process()?, client(&headers)?);
    let process = match body.pid {
        Some(pid) if pid != caller.pid => named(pid, caller)?,
        _ => caller,
    };
    let holder = host.caller(process, client)?;
    let name = body.request;
    let lease = host.allocate(holder, process, client, body.into(), name).await?;
    Ok((StatusCode::CREATED, Json(lease)).into_response())
}

/// A request that waits is not wanted any longer; it is answered so, unless it was served before.
async fn take_back(
    State(host): Host,
    ConnectInfo(peer): Caller,
    Path(request): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    let request = number(&request)?;
    host.take_back(caller(&host, &peer, &headers)?, request)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A process that the caller may hold something for.
fn named(pid: u32, caller: Process) -> Result<Process, Refused> {
    let of = Process::now(pid).filter(|_| caller.descends_from(pid));
    of.ok_or_else(|| {
        let problem =
            format!("pid {pid} is not the caller's process ({}), nor one that it descends from", caller.pid);
        Refused::Forbidden(problem)
    })
}

async fn renew(
    State(host): Host,
    ConnectInfo(peer): Caller,
    Path(lease): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Renewed>, Refused> {
    let body: RenewBody = parsed(if body.is_empty() { b"{}" } else { &body })?;
    let lease = number(&lease)?;
    let holder = speaker(&host, &peer, &headers, lease)?;
    Ok(Json(Renewed { expires_in_ms: host.renew(holder, lease, body.duration_ms)? }))
}

async fn release(
    State(host): Host,
    ConnectInfo(peer): Caller,
    Path(lease): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    let lease = number(&lease)?;
    let holder = speaker(&host, &peer, &headers, lease)?;
    host.release(holder, lease)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who calls.
fn caller(host: &Arc<Shared>, peer: &Peer, headers: &HeaderMap) -> Result<HolderId, Refused> {
    host.caller(peer.process()?, client(headers)?)
}

/// Who acts on a lease: the caller, or, where a process that it descends from holds the lease, that one.
fn speaker(
    host: &Arc<Shared>,
    peer: &Peer,
    headers: &HeaderMap,
    lease: LeaseId,
) -> Result<HolderId, Refused> {
    let (caller, client) = (peer.process()?, client(headers)?);
    let holder = host.caller(caller, client)?;
    let Some(other) = host.manager.holder(lease).filter(|other| *other != holder) else { return Ok(holder) };
    let theirs = host.book().key(other).cloned();
    let for_it = theirs.is_some_and(|key| *key.client == *client && caller.descends_from(key.process.pid));
    Ok(if for_it { other } else { holder })
}

async fn attach(
    State(host): Host,
    ConnectInfo(peer): Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Attached>, Refused> {
    let body: AttachBody = parsed(&body)?;
    let holder = caller(&host, &peer, &headers)?;
    let held: Vec<LeaseId> = host
        .manager
        .leases()
        .into_iter()
        .filter(|lease| lease.holder == holder)
        .map(|lease| lease.lease)
        .collect();
    for lease in held.iter().filter(|lease| !body.leases.contains(lease) && host.is_recorded(**lease)) {
        host.release(holder, *lease)?;
    }
    let (leases, ended) = body.leases.into_iter().partition(|lease| held.contains(lease));
    Ok(Json(Attached { leases, ended }))
}

async fn events(
    State(host): Host,
    ConnectInfo(peer): Caller,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let holder = caller(&host, &peer, &headers)?;
    let told = host.book().listen(holder);
    // What it may have missed is said again: after the listener was entered, so that nothing falls between.
    let now = host.manager.now();
    let mut first = vec![Notice::Listening { daemon: std::process::id() }];
    for lease in host.manager.leases().into_iter().filter(|lease| lease.holder == holder) {
        if let (Some(until), Some(by_priority)) = (lease.expires_at, lease.preempted_by) {
            first.push(Notice::Preempt {
                lease: lease.lease,
                grace_ms: until.saturating_sub(now),
                by_priority,
            });
        }
        if lease.lost {
            first.push(Notice::Lost { lease: lease.lease });
        }
    }
    let lines = stream::unfold((first.into_iter(), told), |(mut first, mut told)| async {
        let notice = match first.next() {
            Some(notice) => notice,
            None => told.recv().await?,
        };
        let mut line = serde_json::to_vec(&notice).ok()?;
        line.push(b'\n');
        Some((Ok::<Bytes, Infallible>(Bytes::from(line)), (first, told)))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response())
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

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body)
        .map_err(|error| Refused::Invalid(format!("the body is not what is expected: {error}")))
}
