//! What the provider has seen, and waiting for it without polling.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use tokio::sync::watch;

/// Requests and disconnects kept, the oldest forgotten first: a provider under load must not grow without end.
const KEPT: usize = 10_000;

/// How long a wait without a stated limit lasts: longer than anything a test does, short enough that a broken one ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request as it arrived.
#[derive(Debug, Clone, Serialize)]
pub struct Request {
    /// Number of the request, from 0.
    pub index: u64,
    /// Number of the connection that it came on, from 0.
    pub connection: u64,
    /// The method, such as `POST`.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, decoded if it was chunked.
    #[serde(serialize_with = "lossy")]
    pub body: Bytes,
    /// When its last byte had been read.
    #[serde(skip)]
    pub at: Instant,
    /// The same instant on the wall clock.
    #[serde(rename = "at_unix_ms", serialize_with = "unix_ms")]
    pub at_wall: SystemTime,
}

impl Request {
    /// The first header of this name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A client that went away before its answer had ended.
#[derive(Debug, Clone, Serialize)]
pub struct Disconnect {
    /// Number of the request whose answer was under way.
    pub request: u64,
    /// The path of that request.
    pub path: String,
    /// Bytes of the response written until then.
    pub sent_bytes: u64,
    /// When the provider saw the client's close.
    #[serde(skip)]
    pub at: Instant,
    /// The same instant on the wall clock.
    #[serde(rename = "at_unix_ms", serialize_with = "unix_ms")]
    pub at_wall: SystemTime,
}

/// What was waited for did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("waited {waited:?} for {expected}, saw {seen}")]
pub struct WaitTimedOut {
    /// What was waited for.
    pub expected: String,
    /// What had happened instead.
    pub seen: String,
    /// How long the wait lasted.
    pub waited: Duration,
}

/// Totals since the start or the last reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) disconnects: u64,
    pub(crate) open_connections: usize,
}

/// The provider's memory.
#[derive(Debug)]
pub(crate) struct Log {
    kept: Mutex<Kept>,
    totals: watch::Sender<Totals>,
}

#[derive(Debug, Default)]
struct Kept {
    requests: std::collections::VecDeque<Request>,
    disconnects: std::collections::VecDeque<Disconnect>,
    /// Disconnects that `next_disconnect` has handed out.
    handed_out: u64,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { kept: Mutex::default(), totals: watch::Sender::new(Totals::default()) }
    }

    pub(crate) fn totals(&self) -> Totals {
        *self.totals.borrow()
    }

    /// Records a request; `make` receives its number.
    pub(crate) fn request(&self, make: impl FnOnce(u64) -> Request) -> u64 {
        let mut kept = self.kept.lock();
        let index = self.totals.borrow().requests;
        push_bounded(&mut kept.requests, make(index));
        // Counted under the lock, so that the number is unique and whoever is woken finds the entry.
        self.totals.send_modify(|totals| totals.requests += 1);
        index
    }

    pub(crate) fn disconnect(&self, request: u64, path: String, sent_bytes: u64) {
        let mut kept = self.kept.lock();
        let (at, at_wall) = (Instant::now(), SystemTime::now());
        push_bounded(&mut kept.disconnects, Disconnect { request, path, sent_bytes, at, at_wall });
        self.totals.send_modify(|totals| totals.disconnects += 1);
    }

    pub(crate) fn connection_opened(&self) {
        self.totals.send_modify(|totals| totals.open_connections += 1);
    }

    pub(crate) fn connection_closed(&self) {
        self.totals.send_modify(|totals| totals.open_connections = totals.open_connections.saturating_sub(1));
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.kept.lock().requests.iter().cloned().collect()
    }

    pub(crate) fn disconnects(&self) -> Vec<Disconnect> {
        self.kept.lock().disconnects.iter().cloned().collect()
    }

    /// Forgets requests and disconnects; open connections stay counted.
    pub(crate) fn reset(&self) {
        let mut kept = self.kept.lock();
        *kept = Kept::default();
        self.totals.send_modify(|totals| (totals.requests, totals.disconnects) = (0, 0));
    }

    /// The earliest disconnect that was not handed out yet.
    pub(crate) async fn next_disconnect(&self, timeout: Duration) -> Result<Disconnect, WaitTimedOut> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let handed_out = self.kept.lock().handed_out;
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            self.wait("a disconnect", Some(left), |totals| totals.disconnects > handed_out).await?;
            let mut kept = self.kept.lock();
            // Another waiter may have taken it between the wake-up and the lock.
            if kept.handed_out == handed_out {
                kept.handed_out += 1;
                let forgotten = self.totals.borrow().disconnects - kept.disconnects.len() as u64;
                let at = usize::try_from(handed_out.saturating_sub(forgotten)).unwrap_or(usize::MAX);
                if let Some(disconnect) = kept.disconnects.get(at) {
                    return Ok(disconnect.clone());
                }
            }
        }
    }

    /// Waits until the totals satisfy `reached`.
    pub(crate) async fn wait(
        &self,
        expected: &str,
        timeout: Option<Duration>,
        mut reached: impl FnMut(&Totals) -> bool,
    ) -> Result<(), WaitTimedOut> {
        let waited = timeout.unwrap_or(PATIENCE);
        let mut totals = self.totals.subscribe();
        let arrived = tokio::time::timeout(waited, totals.wait_for(|totals| reached(totals))).await;
        if matches!(arrived, Ok(Ok(_))) {
            return Ok(());
        }
        let Totals { requests, disconnects, open_connections } = self.totals();
        let seen =
            format!("{requests} requests, {disconnects} disconnects, {open_connections} open connections");
        Err(WaitTimedOut { expected: expected.to_owned(), seen, waited })
    }
}

fn push_bounded<T>(queue: &mut std::collections::VecDeque<T>, item: T) {
    if queue.len() == KEPT {
        queue.pop_front();
    }
    queue.push_back(item);
}

fn lossy<S: Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(body))
}

fn unix_ms<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    serializer.serialize_f64(since.as_secs_f64() * 1000.0)
}
