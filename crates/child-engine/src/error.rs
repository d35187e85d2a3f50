//! Why there is no connection to the engine, one variant per thing a caller can do differently.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why [`Engine::connect`](crate::Engine::connect) has no connection to give.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The program of the engine is nowhere to be found.
    #[error(
        "the local engine (uat-engine) was not found; tried {}; set UAT_ENGINE_PATH to the program",
        places(tried)
    )]
    Unavailable {
        /// Each place that was tried, and why it did not serve.
        tried: Vec<(PathBuf, String)>,
    },
    /// The engine was started and ended before it served.
    #[error("the local engine {} ended while starting ({reason}); its last words: {}", program.display(), words(stderr))]
    Start {
        /// The program.
        program: PathBuf,
        /// Its exit status, or why the system would not start it.
        reason: String,
        /// The end of what it wrote to its log.
        stderr: String,
    },
    /// The engine keeps ending soon after its start, so it is left alone for a while.
    #[error("the local engine has ended {crashes} times soon after its start: the next start is in {:.1} s; see {}", retry_in.as_secs_f64(), log.display())]
    Crashing {
        /// How often in a row.
        crashes: u32,
        /// When the next `connect` will start it again.
        retry_in: Duration,
        /// The log of the last start.
        log: PathBuf,
    },
    /// The engine, or another process that is starting it, did not come forward in time.
    #[error("the local engine did not answer on {} within {} s ({waiting_for}); if it hangs, end it (pid {}) and try again", socket.display(), waited.as_secs(), pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()))]
    Timeout {
        /// The socket.
        socket: PathBuf,
        /// What was waited for.
        waiting_for: &'static str,
        /// How long.
        waited: Duration,
        /// The engine's process, where it is known.
        pid: Option<u32>,
    },
    /// The folder of the socket is not private to this user.
    #[error("{} cannot hold a socket: {problem}; {remedy}", dir.display())]
    NotPrivate {
        /// The folder.
        dir: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// The path of the socket is longer than the system allows.
    #[error("the engine's socket path {} has {} bytes, too many: Linux allows 107, of which the engine needs 8 while it binds; set XDG_RUNTIME_DIR to a shorter private folder", socket.display(), socket.as_os_str().len())]
    PathTooLong {
        /// The path.
        socket: PathBuf,
    },
    /// Something that runs as another user answers on the socket.
    #[error("{} is served by user {uid}, expected {expected}: it is not trusted; remove the socket and find out who made it", socket.display())]
    ForeignPeer {
        /// The socket.
        socket: PathBuf,
        /// User id of the peer.
        uid: u32,
        /// Our user id.
        expected: u32,
    },
    /// [`Engine::close`](crate::Engine::close) was called.
    #[error("the connection to the local engine was closed")]
    Closed,
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl EngineError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Closed => "UAT_CLOSED",
            _ => "UAT_ENGINE_UNAVAILABLE",
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Start { .. } | Self::Crashing { .. } | Self::Timeout { .. })
    }

    /// For `map_err`: says what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

fn places(tried: &[(PathBuf, String)]) -> String {
    let place = |(path, reason): &(PathBuf, String)| format!("{} ({reason})", path.display());
    tried.iter().map(place).collect::<Vec<_>>().join(", ")
}

fn words(stderr: &str) -> &str {
    if stderr.is_empty() { "(none)" } else { stderr }
}
