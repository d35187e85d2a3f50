//! What there is, and what happens.

use std::convert::Infallible;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderMap, header};

use super::super::error::Refused;
use super::super::server::Shared;
use super::super::wire::{Gpu, GpuProcess, Gpus, Held, HeldState, Leases, Notice};
use super::{Caller, Host, caller};
use crate::{LeaseView, Usage};

pub(super) async fn gpus(State(host): Host, ConnectInfo(peer): Caller) -> Result<Json<Gpus>, Refused> {
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

pub(super) async fn leases(State(host): Host, ConnectInfo(peer): Caller) -> Result<Json<Leases>, Refused> {
    peer.process()?;
    let now = host.manager.now();
    let (held, queued) = (host.manager.leases(), host.manager.waiting());
    let book = host.book();
    let held = held.into_iter().map(|lease| Held {
        lease: Some(lease.lease),
        request: None,
        state: match (lease.lost, lease.preempted_by.is_some()) {
            (true, _) => HeldState::Lost,
            (_, true) => HeldState::Grace,
            _ => HeldState::Active,
        },
        pid: host.pid(lease.holder),
        owner: lease.owner,
        model: lease.model,
        priority: lease.priority,
        bytes: lease.shares.first().map_or(0, |share| share.bytes),
        gpus: lease.shares.iter().map(|share| host.leased_gpu(*share)).collect(),
        expires_in_ms: lease.expires_at.map(|at| at.saturating_sub(now)),
        expected_wait_ms: None,
        restored: book.silent().contains(&lease.holder),
        uses: lease.uses,
        loading: lease.loading,
    });
    let queued = queued.into_iter().map(|waiting| Held {
        lease: None,
        request: Some(waiting.request),
        state: HeldState::Queued,
        pid: host.pid(waiting.holder),
        owner: waiting.owner,
        model: waiting.model,
        priority: waiting.priority,
        bytes: waiting.bytes,
        gpus: Vec::new(),
        expires_in_ms: Some(waiting.deadline.saturating_sub(now)),
        expected_wait_ms: waiting.expected_wait_ms,
        restored: false,
        uses: None,
        loading: false,
    });
    let leases = held.chain(queued).collect();
    let waiting_for = book.silent().iter().map(|holder| host.pid(*holder)).collect();
    Ok(Json(Leases { leases, waiting_for }))
}

pub(super) async fn events(
    State(host): Host,
    ConnectInfo(peer): Caller,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let holder = caller(&host, &peer, &headers)?;
    let told = host.book().listen(holder);
    // What it may have missed is said again: after the listener was entered, so that nothing falls between.
    let now = host.manager.now();
    let mut first = vec![Notice::Listening { daemon: std::process::id() }];
    let theirs = host.manager.leases().into_iter().filter(|lease| lease.holder == holder);
    first.extend(theirs.flat_map(|lease| said_of(&host, &lease, now)));
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

/// What a holder was told of a lease that still is so.
fn said_of(host: &Shared, lease: &LeaseView, now: u64) -> Vec<Notice> {
    let id = lease.lease;
    let mut said = Vec::new();
    if let (Some(until), Some(by_priority)) = (lease.expires_at, lease.preempted_by) {
        said.push(Notice::Preempt { lease: id, grace_ms: until.saturating_sub(now), by_priority });
    }
    if let (true, Some(model), Some(share)) = (lease.loading, &lease.model, lease.shares.first()) {
        said.push(Notice::Load { lease: id, model: model.clone(), gpu: host.leased_gpu(*share) });
    }
    if lease.unloading {
        said.push(Notice::Unload { lease: id });
    }
    if lease.lost {
        said.push(Notice::Lost { lease: id });
    }
    said
}
