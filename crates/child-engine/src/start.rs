//! Starting the engine's process, once per user: under a lock, detached from the terminal, watched until it answers.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::lease::Lease;
use crate::place::Place;
use crate::{EngineError, EngineSpec};

/// How long a start may take, another process's included. A warm start takes a tenth of a second; reading the
/// libraries from a slow disk on a loaded machine takes seconds.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a starting engine is looked for: the pause is added to the first answer.
const POLL: Duration = Duration::from_millis(3);
/// How much of the engine's log an error quotes, in bytes.
const LOG_TAIL: u64 = 2000;

/// A running engine, a first connection to it, and its process where it was started here.
pub(crate) struct Started {
    pub(crate) lease: Lease,
    pub(crate) stream: UnixStream,
    pub(crate) child: Option<Child>,
}

/// Starts the engine, or finds the one that another process has started meanwhile.
///
/// The lock lasts until the engine answers. Whoever held it and died has lost it, since the system releases it. The
/// socket that a killed engine left is replaced by the new one: only the engine can do that without a moment in
/// which somebody else's socket is removed.
pub(crate) async fn start(spec: &EngineSpec, place: &Place) -> Result<Started, EngineError> {
    let deadline = Instant::now() + START_TIMEOUT;
    let lock = open_private(&place.lock, false)?;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(POLL).await,
            Err(TryLockError::WouldBlock) => {
                return Err(timeout(place, "another process holds the lock and should be starting it", None));
            }
            Err(TryLockError::Error(error)) => return Err(EngineError::io("lock", &place.lock)(error)),
        }
    }
    if let Some((lease, stream)) = Lease::open(&place.socket).await? {
        return Ok(Started { lease, stream, child: None });
    }
    let mut child = spawn(spec, place)?;
    let (lease, stream) = loop {
        // Looked at before the socket: an engine that found the socket taken ends because another one serves.
        let status = child.try_wait().map_err(EngineError::io("wait for", &place.program))?;
        match Lease::open(&place.socket).await {
            Ok(Some(running)) => break running,
            // Listening but not answering yet is a slow start.
            Ok(None) | Err(EngineError::Timeout { .. }) => {}
            Err(error) => return Err(error),
        }
        if let Some(status) = status {
            return Err(failed(place, status.to_string()));
        }
        if Instant::now() >= deadline {
            let pid = child.id();
            // An engine that never came forward serves nobody.
            if let Err(error) = child.kill().await {
                tracing::warn!(%error, "the engine that did not start could not be ended");
            }
            return Err(timeout(place, "it was started and did not come forward", pid));
        }
        sleep(POLL).await;
    };
    Ok(Started { lease, stream, child: Some(child) })
}

/// The engine outlives this process when others use it: no parent-death signal (it would fire when the spawning
/// *thread* ends), and a process group of its own, so that Ctrl-C in the terminal does not reach it.
fn spawn(spec: &EngineSpec, place: &Place) -> Result<Child, EngineError> {
    let log = open_private(&place.log, true)?;
    // The flag takes whole seconds; rounding up never ends an engine early.
    let idle_exit_s = spec.idle_exit.as_secs() + u64::from(spec.idle_exit.subsec_nanos() > 0);
    let child = Command::new(&place.program)
        .arg("--socket")
        .arg(&place.socket)
        .arg("--idle-exit-s")
        .arg(idle_exit_s.to_string())
        .args(&spec.args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .kill_on_drop(false)
        .spawn()
        .map_err(|error| failed(place, error.to_string()))?;
    tracing::debug!(pid = child.id(), program = %place.program.display(), "started the local engine");
    Ok(child)
}

/// Opens a file for writing that only this user can read.
fn open_private(path: &Path, truncate: bool) -> Result<File, EngineError> {
    File::options()
        .create(true)
        .write(true)
        .truncate(truncate)
        .mode(0o600)
        .open(path)
        .map_err(EngineError::io("create", path))
}

fn timeout(place: &Place, waiting_for: &'static str, pid: Option<u32>) -> EngineError {
    EngineError::Timeout { socket: place.socket.clone(), waiting_for, waited: START_TIMEOUT, pid }
}

/// The engine ended: why, and its last words.
fn failed(place: &Place, reason: String) -> EngineError {
    let stderr = tail(&place.log).unwrap_or_else(|error| format!("(the log cannot be read: {error})"));
    EngineError::Start { program: place.program.clone(), reason, stderr }
}

/// The end of a text file, without a line cut in half.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(LOG_TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = if start == 0 { &text } else { text.split_once('\n').map_or(&*text, |(_, rest)| rest) };
    Ok(whole.trim().to_owned())
}
