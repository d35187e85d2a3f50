//! A proxy that passes bytes between a client and any upstream, and damages the connection on demand.
//!
//! It works below HTTP and knows nothing of what it carries, so that the same faults can be tried on every protocol:
//! a model provider, Redis, the engine's socket.

mod line;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use line::{Cut, Lane, carry};

/// Connections that may wait to be accepted: the usual value of `listen`.
const BACKLOG: u32 = 128;

/// Where the proxy connects to.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl From<SocketAddr> for Upstream {
    fn from(addr: SocketAddr) -> Self {
        Self::Tcp(addr)
    }
}

impl From<PathBuf> for Upstream {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

/// What becomes of connections that are accepted from now on. Those that exist keep the mode that they began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Passed on unharmed.
    Pass,
    /// Refused: the listener is closed. The port stays bound, so that nobody who asks for a free one is given it.
    Refuse,
    /// Accepted, and never read from or written to.
    BlackHole,
    /// Closed after exactly so many bytes towards the client.
    CutAfter {
        /// Bytes that still arrive.
        downstream_bytes: u64,
    },
}

/// A direction through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the upstream.
    Upstream,
    /// From the upstream to the client.
    Downstream,
}

/// A proxy on a port of 127.0.0.1 whose connections can be damaged.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use testkit::{FakeProvider, FaultProxy, Mode};
///
/// let provider = FakeProvider::start().await?;
/// let proxy = FaultProxy::start(provider.addr()).await?;
/// proxy.set_mode(Mode::Refuse).await?;
/// assert!(tokio::net::TcpStream::connect(proxy.addr()).await.is_err());
/// proxy.set_mode(Mode::Pass).await?;
/// assert!(tokio::net::TcpStream::connect(proxy.addr()).await.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    door: tokio::sync::Mutex<Door>,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

/// Either connections are accepted, or the port is only held.
#[derive(Debug)]
enum Door {
    Open {
        accepting: JoinHandle<()>,
        close: CancellationToken,
    },
    Held(TcpSocket),
    /// Between the two, or after a failure to bind.
    Gone,
}

#[derive(Debug)]
struct Shared {
    upstream: Upstream,
    mode: Mutex<Mode>,
    /// Cancelled and replaced to end the connections that exist.
    connections: Mutex<CancellationToken>,
    upward: Lane,
    downward: Lane,
    open: AtomicUsize,
    accepted: AtomicU64,
}

impl FaultProxy {
    /// Starts a proxy in front of `upstream`, passing.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start(upstream: impl Into<Upstream>) -> io::Result<Self> {
        let socket = hold((Ipv4Addr::LOCALHOST, 0).into())?;
        let addr = socket.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: upstream.into(),
            mode: Mutex::new(Mode::Pass),
            connections: Mutex::default(),
            upward: Lane::default(),
            downward: Lane::default(),
            open: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
        });
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let door = tokio::sync::Mutex::new(Door::Held(socket));
        let proxy = Self { addr, door, shared, tasks, cancel };
        proxy.set_mode(Mode::Pass).await?;
        Ok(proxy)
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT`, without a path.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Changes what becomes of new connections. When this returns, it is in force.
    ///
    /// # Errors
    /// The port could not be held or listened on again.
    pub async fn set_mode(&self, mode: Mode) -> io::Result<()> {
        *self.shared.mode.lock() = mode;
        let mut door = self.door.lock().await;
        let next = match (std::mem::replace(&mut *door, Door::Gone), mode) {
            (Door::Open { accepting, close }, Mode::Refuse) => {
                close.cancel();
                // The listener is closed when its task has ended; that it panicked would be a bug, and is none here.
                let _ = accepting.await;
                Door::Held(hold(self.addr)?)
            }
            (Door::Held(socket), mode) if mode != Mode::Refuse => self.open(socket)?,
            (Door::Gone, Mode::Refuse) => Door::Held(hold(self.addr)?),
            (Door::Gone, _) => self.open(hold(self.addr)?)?,
            (unchanged, _) => unchanged,
        };
        *door = next;
        Ok(())
    }

    /// Holds everything that goes in this direction back for so long, without reducing the throughput.
    pub fn set_delay(&self, direction: Direction, delay: Duration) {
        *self.shared.lane(direction).delay.lock() = delay;
    }

    /// Nothing passes any more in either direction, closings included; connections stay open.
    pub fn freeze(&self) {
        self.stall(Direction::Upstream);
        self.stall(Direction::Downstream);
    }

    /// Ends [`freeze`](Self::freeze): what was held back goes on its way.
    pub fn unfreeze(&self) {
        self.resume(Direction::Upstream);
        self.resume(Direction::Downstream);
    }

    /// Nothing passes any more in this direction, closings included; the other one goes on.
    pub fn stall(&self, direction: Direction) {
        self.shared.lane(direction).stalled.send_replace(true);
    }

    /// Ends [`stall`](Self::stall): what was held back goes on its way.
    pub fn resume(&self, direction: Direction) {
        self.shared.lane(direction).stalled.send_replace(false);
    }

    /// Each connection that exists delivers so many more bytes in this direction and is then reset: its client finds
    /// `ECONNRESET` behind them, where [`Mode::CutAfter`] ends orderly. With 0 the next byte is the reset. New connections
    /// are not affected.
    pub fn reset_after(&self, direction: Direction, bytes: u64) {
        let mut cut = self.shared.lane(direction).cut.lock();
        *cut = Cut { number: cut.number + 1, after_bytes: bytes };
    }

    /// Closes the connections that exist; new ones are accepted as the mode says.
    pub fn disconnect_all(&self) {
        std::mem::take(&mut *self.shared.connections.lock()).cancel();
    }

    /// Connections open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Connections accepted since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Bytes delivered in this direction since the start.
    #[must_use]
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.shared.lane(direction).bytes.load(Ordering::Relaxed)
    }

    /// Closes everything, and returns when the last task has ended.
    pub async fn shutdown(&self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn open(&self, socket: TcpSocket) -> io::Result<Door> {
        let listener = socket.listen(BACKLOG)?;
        let close = self.cancel.child_token();
        let (shared, tasks) = (Arc::clone(&self.shared), self.tasks.clone());
        let (closed, cancel) = (close.clone(), self.cancel.clone());
        let accepting = self.tasks.spawn(async move {
            while let Some(accepted) = closed.run_until_cancelled(listener.accept()).await {
                // A connection that went away while it waited is the client's affair.
                let Ok((client, _)) = accepted else { continue };
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                let (shared, cancel) = (Arc::clone(&shared), cancel.clone());
                tasks.spawn(async move {
                    let open = Open::new(&shared);
                    let ended = shared.connections.lock().clone();
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = ended.cancelled() => {}
                        // An error on either side ends both: that is what the other side must notice.
                        _ = carry(&shared, client) => {}
                    }
                    drop(open);
                });
            }
        });
        Ok(Door::Open { accepting, close })
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Shared {
    fn lane(&self, direction: Direction) -> &Lane {
        match direction {
            Direction::Upstream => &self.upward,
            Direction::Downstream => &self.downward,
        }
    }
}

/// Counts a connection as open while it lives.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.open.fetch_add(1, Ordering::Relaxed);
        Self(&shared.open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Binds without listening: the kernel then refuses connections, and gives the port to nobody who asks for a free one.
fn hold(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections that were just closed must not keep the port from being bound again.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}
