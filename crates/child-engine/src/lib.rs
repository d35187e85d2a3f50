//! Gives every process of a user a connection to the one local engine, starting it where it does not run.
//!
//! The engine is a process of its own, so that an abort in its C++ takes nobody down. Processes that want it meet
//! on a Unix socket in a folder that only their user can enter; whoever comes first starts it under a lock, and it
//! exits some time after its last client has gone. This crate knows nothing of models or of what is said over the
//! connections, except that the engine answers `GET /health`.
//!
//! ```no_run
//! # async fn example() -> Result<(), child_engine::EngineError> {
//! use child_engine::{Engine, EngineSpec};
//!
//! let engine = Engine::new(EngineSpec::default());
//! let stream = engine.connect().await?; // speak HTTP/1.1 here
//! # drop(stream);
//! engine.close().await;
//! # Ok(())
//! # }
//! ```

mod crashes;
mod error;
mod lease;
mod place;
mod start;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use error::EngineError;

use crashes::Crashes;
use lease::{Lease, dial};
pub use place::private_folder;
use place::{Environment, Place};
use start::{Started, start};

/// Which engine is wanted, and how it is started if it does not run yet. An engine that already runs for this user
/// and program is used as it is.
#[derive(Debug, Clone)]
pub struct EngineSpec {
    /// Where the program may be beside `UAT_ENGINE_PATH` and the folder of this executable: files, or folders that
    /// hold `uat-engine`.
    pub search: Vec<PathBuf>,
    /// The private folder of the socket; by default `$XDG_RUNTIME_DIR/uat`, else `uat-<uid>` in the temporary
    /// folder.
    pub runtime_dir: Option<PathBuf>,
    /// The engine exits this long after its last client has gone; whole seconds, rounded up.
    pub idle_exit: Duration,
    /// Further arguments for the engine.
    pub args: Vec<OsString>,
}

impl Default for EngineSpec {
    /// Found through the environment alone, and kept for half a minute: a second command in a terminal then finds
    /// the model still loaded.
    fn default() -> Self {
        Self { search: Vec::new(), runtime_dir: None, idle_exit: Duration::from_secs(30), args: Vec::new() }
    }
}

/// This process's hold on the local engine. The first connection also opens a lease that keeps the engine alive
/// until [`close`](Self::close) is called or this is dropped.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    spec: EngineSpec,
    environment: Environment,
    state: Mutex<State>,
    /// One attempt to attach at a time: the others then find its result.
    attaching: tokio::sync::Mutex<()>,
    tasks: TaskTracker,
    closed: CancellationToken,
}

#[derive(Debug)]
struct State {
    attached: Option<Attached>,
    /// Leases opened so far.
    leases: u64,
    crashes: Crashes,
    rng: fastrand::Rng,
}

#[derive(Debug)]
struct Attached {
    place: Place,
    pid: Option<u32>,
    since: Instant,
    /// Tells this lease from later ones.
    lease: u64,
}

impl Engine {
    /// Reads the environment (`UAT_ENGINE_PATH`, `XDG_RUNTIME_DIR`, `TMPDIR`); touches no file and starts nothing.
    pub fn new(spec: EngineSpec) -> Self {
        Self::with_env(spec, &|name| std::env::var_os(name))
    }

    /// [`new`](Self::new) with the environment passed in. The engine itself inherits the process's own.
    pub fn with_env(spec: EngineSpec, env: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let state =
            State { attached: None, leases: 0, crashes: Crashes::default(), rng: fastrand::Rng::new() };
        Self {
            shared: Arc::new(Shared {
                spec,
                environment: Environment::read(env),
                state: Mutex::new(state),
                attaching: tokio::sync::Mutex::new(()),
                tasks: TaskTracker::new(),
                closed: CancellationToken::new(),
            }),
        }
    }

    /// A new connection to the engine of this user, which is started if there is none. The peer is checked to run
    /// as this user. With the engine running this costs one `connect`; a start takes as long as the engine needs
    /// to answer, at most 30 s. Dropping the future does not undo a start that is under way.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] if there is no program, [`EngineError::Start`] with the end of the engine's
    /// log if it ended at once, [`EngineError::Crashing`] without a new attempt after three short lives in a row;
    /// the rest tells of a folder or socket that cannot be trusted, or of a hung engine.
    pub async fn connect(&self) -> Result<UnixStream, EngineError> {
        let shared = &self.shared;
        if shared.closed.is_cancelled() {
            return Err(EngineError::Closed);
        }
        if let Some(stream) = shared.dial_attached().await? {
            return Ok(stream);
        }
        // A task of its own, because a start that is abandoned half-way (the request that caused it was cancelled)
        // would release the lock before its engine listens, and somebody else would start a second one.
        let attach = Arc::clone(shared).attach();
        let closed = shared.closed.clone();
        let task = shared.tasks.spawn(async move { closed.run_until_cancelled(attach).await });
        match task.await {
            Ok(Some(connected)) => connected,
            Err(panicked) if panicked.is_panic() => std::panic::resume_unwind(panicked.into_panic()),
            // Otherwise the task ends without a result only when the engine is closed or the runtime shuts down.
            Ok(None) | Err(_) => Err(EngineError::Closed),
        }
    }

    /// A new connection to the engine if one runs; starts none and holds none.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] if there is no program; the rest tells of a socket that cannot be trusted.
    pub async fn connect_running(&self) -> Result<Option<UnixStream>, EngineError> {
        if self.shared.closed.is_cancelled() {
            return Err(EngineError::Closed);
        }
        dial(&self.socket_path()?).await
    }

    /// The socket on which the engine of this user and program is met.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] if there is no program, since the name follows from it.
    pub fn socket_path(&self) -> Result<PathBuf, EngineError> {
        Place::find(&self.shared.spec, &self.shared.environment).map(|place| place.socket)
    }

    /// The process id of the engine that this process is attached to.
    pub fn pid(&self) -> Option<u32> {
        self.shared.state.lock().attached.as_ref().and_then(|attached| attached.pid)
    }

    /// The engine's program.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] with each place that was tried.
    pub fn locate(&self) -> Result<PathBuf, EngineError> {
        self.shared.environment.locate(&self.shared.spec.search)
    }

    /// Lets go of the engine, which exits in its own time once nobody else holds it. Connections already given out
    /// stay open. Later calls of [`connect`](Self::connect) answer [`EngineError::Closed`].
    pub async fn close(&self) {
        self.shared.closed.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        self.shared.state.lock().attached = None;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}

impl Shared {
    /// A connection to the engine whose lease is held, if there is one. If it has gone, that is noted.
    async fn dial_attached(&self) -> Result<Option<UnixStream>, EngineError> {
        let attached = self
            .state
            .lock()
            .attached
            .as_ref()
            .map(|attached| (attached.place.socket.clone(), attached.lease));
        let Some((socket, lease)) = attached else { return Ok(None) };
        let stream = dial(&socket).await?;
        if stream.is_none() {
            self.lost(lease, Instant::now());
        }
        Ok(stream)
    }

    async fn attach(self: Arc<Self>) -> Result<UnixStream, EngineError> {
        let _one_at_a_time = self.attaching.lock().await;
        if let Some(stream) = self.dial_attached().await? {
            return Ok(stream);
        }
        let place = Place::find(&self.spec, &self.environment)?;
        place.ensure_private()?;
        let started = match Lease::open(&place.socket).await? {
            Some((lease, stream)) => Started { lease, stream, child: None },
            None => self.start(&place).await?,
        };
        Ok(self.hold(place, started))
    }

    async fn start(&self, place: &Place) -> Result<Started, EngineError> {
        let since = Instant::now();
        if let Err((crashes, retry_in)) = self.state.lock().crashes.may_start(since) {
            return Err(EngineError::Crashing { crashes, retry_in, log: place.log.clone() });
        }
        let started = start(&self.spec, place).await;
        if let Err(EngineError::Start { .. }) = &started {
            let state = &mut *self.state.lock();
            state.crashes.ended(since, Instant::now(), &mut state.rng);
        }
        started
    }

    /// Keeps the lease and the started process in one owned task: it notes the engine's end, and reaps it.
    fn hold(self: &Arc<Self>, place: Place, started: Started) -> UnixStream {
        let Started { lease, stream, child } = started;
        let number = {
            let mut state = self.state.lock();
            state.leases += 1;
            let (pid, since, lease) = (lease.pid, Instant::now(), state.leases);
            state.attached = Some(Attached { place, pid, since, lease });
            lease
        };
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            let watch = async {
                lease.ended().await;
                shared.lost(number, Instant::now());
                if let Some(child) = child {
                    reap(child).await;
                }
            };
            // Dropping the child does not kill it: the runtime reaps it when it exits, or init after this process.
            let _closed = shared.closed.run_until_cancelled(watch).await;
        });
        stream
    }

    /// Notes the end of a lease, once.
    fn lost(&self, lease: u64, now: Instant) {
        let state = &mut *self.state.lock();
        if let Some(attached) = state.attached.take_if(|attached| attached.lease == lease) {
            tracing::debug!(pid = attached.pid, "the local engine has ended");
            state.crashes.ended(attached.since, now, &mut state.rng);
        }
    }
}

async fn reap(mut child: Child) {
    match child.wait().await {
        Ok(status) if status.success() => {}
        Ok(status) => tracing::warn!(%status, "the local engine ended unexpectedly"),
        Err(error) => tracing::warn!(%error, "the local engine's end could not be read"),
    }
}
