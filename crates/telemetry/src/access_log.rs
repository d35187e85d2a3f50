//! One line of JSON for each request.
//!
//! A thread writes, because a file may wait for its disk. Where the file's path names another one, since a log rotation
//! has moved it away, the thread goes on there; that is looked at once a second, so that nobody has to send a signal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::counts::Counts;
use crate::ended::EndedRequest;
use crate::error::TelemetryError;
use crate::options::AccessLogTo;

/// Lines that wait for the disk: a second of 4,000 a second, some 2 MB.
const QUEUE: usize = 4_096;
/// Lines are gathered up to so many bytes before they are written.
const GATHER: usize = 64 << 10;
/// How often it is looked whether the path names another file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Takes lines; dropping it writes what is there and ends the thread.
#[derive(Debug)]
pub struct AccessLog {
    lines: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
    counts: Arc<Counts>,
}

/// A line. Absent facts are left out, so that a line is as long as there is something to say.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    method: &'a str,
    path: &'a str,
    status: u16,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_prompt_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_content_ms: Option<f64>,
    total_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    overhead_us: Option<u64>,
}

impl AccessLog {
    /// Opens the file, and starts the thread that writes.
    ///
    /// # Errors
    /// [`TelemetryError::AccessLog`] where the file cannot be opened or the thread not be started.
    pub fn open(to: &AccessLogTo, counts: Arc<Counts>) -> Result<Self, TelemetryError> {
        let path = match to {
            AccessLogTo::Stdout => Path::new("stdout"),
            AccessLogTo::File(path) => path,
        };
        let failed = |error| TelemetryError::AccessLog { path: path.to_owned(), error };
        let target = Target::open(to).map_err(failed)?;
        let (lines, queue) = sync_channel(QUEUE);
        let written = Arc::clone(&counts);
        let thread = std::thread::Builder::new()
            .name("uat-access-log".to_owned())
            .spawn(move || write(&queue, target, &written))
            .map_err(failed)?;
        Ok(Self { lines: Some(lines), thread: Some(thread), counts })
    }

    /// Writes a line; never waits.
    pub fn write(&self, request: &EndedRequest) {
        let sent = self.lines.as_ref().is_some_and(|lines| lines.try_send(line(request)).is_ok());
        if !sent {
            self.counts.line_dropped(1);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            // It panics never; were it to, its lines would be lost and nothing else.
            let _ = thread.join();
        }
    }
}

fn line(request: &EndedRequest) -> Vec<u8> {
    let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    let line = Line {
        time: humantime::format_rfc3339_micros(request.received).to_string(),
        request_id: &request.request_id,
        key: request.key.as_deref(),
        method: &request.method,
        path: &request.path,
        status: request.status,
        outcome: request.fate.as_str(),
        code: request.code,
        model: request.model.as_deref(),
        endpoint: request.endpoint.as_deref(),
        attempts: request.operation.map(|_| request.attempts.len()),
        cache: request.cache,
        prompt_tokens: request.tokens.map(|tokens| tokens.prompt),
        cached_prompt_tokens: request.tokens.map(|tokens| tokens.cached_prompt),
        completion_tokens: request.tokens.map(|tokens| tokens.completion),
        cost_usd: request.cost_nano_usd.map(|nano| nano as f64 / 1e9),
        first_content_ms: request.first_content.map(ms),
        total_ms: ms(request.total),
        overhead_us: request.overhead.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
    };
    // Text and numbers: nothing that JSON cannot carry.
    let mut out = serde_json::to_vec(&line).unwrap_or_default();
    out.push(b'\n');
    out
}

/// What is written to.
enum Target {
    Stdout,
    File { path: PathBuf, file: File, looked: Instant },
}

impl Target {
    fn open(to: &AccessLogTo) -> io::Result<Self> {
        Ok(match to {
            AccessLogTo::Stdout => Self::Stdout,
            AccessLogTo::File(path) => {
                Self::File { path: path.clone(), file: open_file(path)?, looked: Instant::now() }
            }
        })
    }

    /// Opens the file anew where its path names another one, or none.
    fn look(&mut self, now: Instant) {
        let Self::File { path, file, looked } = self else { return };
        if now.saturating_duration_since(*looked) < LOOK_EVERY {
            return;
        }
        *looked = now;
        let same = match (file.metadata(), std::fs::metadata(&*path)) {
            (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
            (_, Err(_)) => false,
            (Err(_), Ok(_)) => true,
        };
        if !same {
            match open_file(path) {
                Ok(opened) => *file = opened,
                Err(error) => {
                    tracing::warn!(%error, "the access log goes on in the file that was moved away")
                }
            }
        }
    }

    fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
            Self::File { file, .. } => file.write_all(lines),
        }
    }
}

/// Whoever may read it learns who asked for what: nobody but its owner, as long as the operator does not say otherwise.
fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn write(queue: &Receiver<Vec<u8>>, mut target: Target, counts: &Counts) {
    let mut failing = false;
    let mut gathered = Vec::with_capacity(GATHER);
    loop {
        match queue.recv_timeout(LOOK_EVERY) {
            Ok(line) => gathered.extend_from_slice(&line),
            Err(RecvTimeoutError::Timeout) => {
                target.look(Instant::now());
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let mut lines = 1;
        while gathered.len() < GATHER
            && let Ok(line) = queue.try_recv()
        {
            gathered.extend_from_slice(&line);
            lines += 1;
        }
        target.look(Instant::now());
        match target.write_all(&gathered) {
            Ok(()) => {
                counts.written(lines);
                failing = false;
            }
            Err(error) => {
                counts.line_dropped(lines);
                // Once, not for each line of a disk that is full.
                if !failing {
                    tracing::warn!(%error, "the access log cannot be written");
                }
                failing = true;
            }
        }
        gathered.clear();
    }
}

#[cfg(test)]
mod tests;
