//! Warm models.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use super::super::error::Refused;
use super::super::wire::{LoadedBody, ModelBody, OptimizeBody, Optimized, UseBody};
use super::{Caller, Host, caller, number, parsed, parsed_or_empty};

pub(super) async fn register(
    State(host): Host,
    ConnectInfo(peer): Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    let model: ModelBody = parsed(&body)?;
    if model.name.is_empty() {
        return Err(Refused::Invalid("name: expected a name that is not empty".to_owned()));
    }
    host.register(caller(&host, &peer, &headers)?, model)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn unregister(
    State(host): Host,
    ConnectInfo(peer): Caller,
    Path(model): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    host.unregister(caller(&host, &peer, &headers)?, &model)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn begin_use(
    State(host): Host,
    ConnectInfo(peer): Caller,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let body: UseBody = parsed(&body)?;
    let holder = caller(&host, &peer, &headers)?;
    let begun = host.use_model(holder, &model, body).await?;
    Ok((StatusCode::CREATED, Json(begun)).into_response())
}

pub(super) async fn end_use(
    State(host): Host,
    ConnectInfo(peer): Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    let name = number(&name)?;
    host.done(caller(&host, &peer, &headers)?, name)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn loaded(
    State(host): Host,
    ConnectInfo(peer): Caller,
    Path(lease): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    let LoadedBody { took_ms } = parsed(&body)?;
    let lease = number(&lease)?;
    host.loaded(caller(&host, &peer, &headers)?, lease, took_ms)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn load_failed(
    State(host): Host,
    ConnectInfo(peer): Caller,
    Path(lease): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    let lease = number(&lease)?;
    host.load_failed(caller(&host, &peer, &headers)?, lease)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn optimize(
    State(host): Host,
    ConnectInfo(peer): Caller,
    body: Bytes,
) -> Result<Json<Optimized>, Refused> {
    peer.process()?;
    let body: OptimizeBody = parsed_or_empty(&body)?;
    Ok(Json(host.optimize(body).await))
}
