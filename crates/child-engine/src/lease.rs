//! Connections to the engine's socket: checked, and one that keeps the engine alive.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::geteuid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use crate::EngineError;

/// How long a running engine may take to answer its first question. It answers in under a millisecond when idle;
/// a machine that swaps or a debugger need longer, and a hung engine has to be reported some time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause while the engine's queue of unaccepted connections is full.
const QUEUE_PAUSE: Duration = Duration::from_millis(2);
/// A queue that stays full for so long is that of an engine that no longer accepts.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection to the engine if one listens on `socket`; `None` if nobody does.
pub(crate) async fn dial(socket: &Path) -> Result<Option<UnixStream>, EngineError> {
    let deadline = Instant::now() + QUEUE_TIMEOUT;
    let stream = loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => break stream,
            Err(error) => match error.kind() {
                // Nothing there; or a socket whose engine died.
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => return Ok(None),
                // Unlike TCP, a Unix socket whose queue is full refuses at once instead of waiting.
                io::ErrorKind::WouldBlock if Instant::now() < deadline => sleep(QUEUE_PAUSE).await,
                io::ErrorKind::WouldBlock => {
                    return Err(timed_out(
                        socket,
                        "its queue of connections stays full",
                        QUEUE_TIMEOUT,
                        None,
                    ));
                }
                _ => return Err(EngineError::io("connect to the local engine at", socket)(error)),
            },
        }
    };
    let peer = stream.peer_cred().map_err(EngineError::io("read the peer of", socket))?;
    let expected = geteuid().as_raw();
    if peer.uid() != expected {
        return Err(EngineError::ForeignPeer { socket: socket.to_owned(), uid: peer.uid(), expected });
    }
    Ok(Some(stream))
}

/// A connection that was answered once and then stays idle: while it is open the engine has a client and does not
/// exit, and its end tells that the engine has ended.
#[derive(Debug)]
pub(crate) struct Lease {
    stream: UnixStream,
    /// The engine's process.
    pub(crate) pid: Option<u32>,
}

impl Lease {
    /// A lease and a first connection; `None` if no engine listens, or if the one that did is just exiting. A bare
    /// `connect` would not tell: the system accepts connections into a queue that the exiting engine may never
    /// read, so it takes an answer. And an engine that answers may already have removed its socket, which the
    /// connection shows.
    pub(crate) async fn open(socket: &Path) -> Result<Option<(Self, UnixStream)>, EngineError> {
        let Some(mut stream) = dial(socket).await? else { return Ok(None) };
        let peer = stream.peer_cred().map_err(EngineError::io("read the peer of", socket))?;
        let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok());
        match timeout(ANSWER_TIMEOUT, ask(&mut stream)).await {
            Ok(Ok(true)) => Ok(dial(socket).await?.map(|first| (Self { stream, pid }, first))),
            Ok(Ok(false) | Err(_)) => Ok(None),
            Err(_) => Err(timed_out(socket, "it listens but does not answer", ANSWER_TIMEOUT, pid)),
        }
    }

    /// Returns when the engine has ended. What it still sends (the rest of the first answer) is dropped.
    pub(crate) async fn ended(mut self) {
        let mut rest = [0; 1024];
        while matches!(self.stream.read(&mut rest).await, Ok(count) if count > 0) {}
    }
}

/// Whether the engine answered. One fixed request whose answer is not looked at needs no HTTP client.
async fn ask(stream: &mut UnixStream) -> io::Result<bool> {
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: uat-engine\r\n\r\n").await?;
    let mut first = [0; 1];
    Ok(stream.read(&mut first).await? > 0)
}

fn timed_out(socket: &Path, waiting_for: &'static str, waited: Duration, pid: Option<u32>) -> EngineError {
    EngineError::Timeout { socket: socket.to_owned(), waiting_for, waited, pid }
}
