//! The paths under `/__`: changing the script and reading what was seen, from another process.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::behaviour::Behaviour;
use crate::observe::WaitTimedOut;
use crate::provider::Shared;
use crate::reply::Reply;
use crate::request::{Head, query};

/// The body of `POST /__control`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Control {
    default: Option<Behaviour>,
    #[serde(default)]
    enqueue: Vec<Behaviour>,
    listing: Option<Behaviour>,
    /// Absent: as it is. An empty one: none is required.
    key: Option<String>,
    #[serde(default)]
    reset: bool,
}

/// Answers a control request.
pub(crate) async fn answer(shared: &Shared, head: &Head, body: &[u8]) -> Reply {
    let path = head.path.split('?').next().unwrap_or_default();
    match (head.method.as_str(), path) {
        ("POST", "/__control") => match serde_json::from_slice(body) {
            Ok(control) => {
                apply(shared, control);
                Reply::json(200, &json!({"ok": true}))
            }
            Err(error) => Reply::json(400, &json!({"error": error.to_string()})),
        },
        ("GET", "/__requests") => match wait(shared, &head.path, false).await {
            Ok(()) => {
                let (totals, requests) = (shared.log.totals(), shared.log.requests());
                let open = totals.open_connections;
                let seen = json!({"count": totals.requests, "open_connections": open, "requests": requests});
                Reply::json(200, &seen)
            }
            Err(error) => Reply::json(504, &json!({"error": error.to_string()})),
        },
        ("GET", "/__disconnects") => match wait(shared, &head.path, true).await {
            Ok(()) => {
                let (count, disconnects) = (shared.log.totals().disconnects, shared.log.disconnects());
                Reply::json(200, &json!({"count": count, "disconnects": disconnects}))
            }
            Err(error) => Reply::json(504, &json!({"error": error.to_string()})),
        },
        (method, path) => {
            let known = "POST /__control, GET /__requests and GET /__disconnects";
            Reply::json(404, &json!({"error": format!("there is no {method} {path}, only {known}")}))
        }
    }
}

fn apply(shared: &Shared, control: Control) {
    if control.reset {
        shared.script.lock().queue.clear();
        shared.log.reset();
    }
    let mut script = shared.script.lock();
    script.queue.extend(control.enqueue);
    if let Some(default) = control.default {
        (script.default, script.decide) = (default, None);
    }
    if let Some(listing) = control.listing {
        script.listing = listing;
    }
    if let Some(key) = control.key {
        script.key = Some(key).filter(|key| !key.is_empty());
    }
}

/// Waits as `?count=N&timeout_ms=T` says; without a count not at all.
async fn wait(shared: &Shared, path: &str, for_disconnects: bool) -> Result<(), WaitTimedOut> {
    let Some(count) = query(path, "count").and_then(|count| count.parse::<u64>().ok()) else { return Ok(()) };
    let timeout = query(path, "timeout_ms").and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
    let (what, expected) = if for_disconnects { ("disconnects", count) } else { ("requests", count) };
    let reached = |totals: &crate::observe::Totals| {
        let seen = if for_disconnects { totals.disconnects } else { totals.requests };
        seen >= expected
    };
    shared.log.wait(&format!("{expected} {what}"), timeout, reached).await
}
