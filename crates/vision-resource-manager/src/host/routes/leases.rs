//! Leases.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use super::super::error::Refused;
use super::super::process::Process;
use super::super::server::Shared;
use super::super::wire::{AllocateBody, AttachBody, Attached, RenewBody, Renewed};
use super::{Caller, Host, Peer, caller, client, number, parsed, parsed_or_empty};
use crate::{HolderId, LeaseId};

pub(super) async fn allocate(
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
pub(super) async fn take_back(
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

pub(super) async fn renew(
    State(host): Host,
    ConnectInfo(peer): Caller,
    Path(lease): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Renewed>, Refused> {
    let body: RenewBody = parsed_or_empty(&body)?;
    let lease = number(&lease)?;
    let holder = speaker(&host, &peer, &headers, lease)?;
    Ok(Json(Renewed { expires_in_ms: host.renew(holder, lease, body.duration_ms)? }))
}

pub(super) async fn release(
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

pub(super) async fn attach(
    State(host): Host,
    ConnectInfo(peer): Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Attached>, Refused> {
    let body: AttachBody = parsed(&body)?;
    let holder = caller(&host, &peer, &headers)?;
    Ok(Json(host.attach(holder, body)?))
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
