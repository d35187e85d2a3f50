//! A proxy that passes bytes between a client and any upstream, and damages the connection on demand.
//!
//! It works below HTTP and knows nothing of what it carries, so that the same faults can be tried on every protocol:
//! a model provider, Redis, the engine's socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pieces that a delayed direction holds back; a full line stops reading, as a full network does.
const IN_FLIGHT: usize = 256;
/// Bytes read at once: what a socket buffer usually hands over.
const READ_SIZE: usize = 16 * 1024;
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
    frozen: watch::Sender<bool>,
    /// Cancelled and replaced to end the connections that exist.
    connections: Mutex<CancellationToken>,
    upward: Lane,
    downward: Lane,
    open: AtomicUsize,
    accepted: AtomicU64,
}

/// The state of one direction.
#[derive(Debug, Default)]
struct Lane {
    delay: Mutex<Duration>,
    bytes: AtomicU64,
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
            frozen: watch::Sender::new(false),
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
        self.shared.frozen.send_replace(true);
    }

    /// Ends [`freeze`](Self::freeze): what was held back goes on its way.
    pub fn unfreeze(&self) {
        self.shared.frozen.send_replace(false);
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

/// Carries one connection to its end.
async fn carry(shared: &Shared, client: TcpStream) -> io::Result<()> {
    let limit = match *shared.mode.lock() {
        Mode::BlackHole => None,
        Mode::CutAfter { downstream_bytes } => Some(downstream_bytes),
        Mode::Pass | Mode::Refuse => Some(u64::MAX),
    };
    let Some(limit) = limit else {
        // The socket stays open and unread until the proxy ends it.
        std::future::pending::<()>().await;
        drop(client);
        return Ok(());
    };
    client.set_nodelay(true)?;
    match &shared.upstream {
        Upstream::Tcp(addr) => {
            let upstream = TcpStream::connect(addr).await?;
            upstream.set_nodelay(true)?;
            both_ways(shared, client, upstream, limit).await
        }
        Upstream::Unix(path) => both_ways(shared, client, UnixStream::connect(path).await?, limit).await,
    }
}

async fn both_ways<S>(shared: &Shared, client: TcpStream, upstream: S, limit: u64) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = client.into_split();
    let (from_upstream, to_upstream) = tokio::io::split(upstream);
    let downward = async {
        let cut = one_way(shared, Direction::Downstream, from_upstream, to_client, limit).await?;
        // Reaching the limit ends the whole connection; the end of the upstream's bytes only this direction.
        if cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    };
    let upward = one_way(shared, Direction::Upstream, from_client, to_upstream, u64::MAX);
    tokio::try_join!(downward, upward).map(|_| ())
}

/// Passes bytes until the source ends or `limit` is reached (true), through a line that delays and freezes.
async fn one_way<R, W>(
    shared: &Shared,
    direction: Direction,
    mut from: R,
    mut to: W,
    limit: u64,
) -> io::Result<bool>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let lane = shared.lane(direction);
    let (enter, mut leave) = mpsc::channel::<(Instant, Bytes)>(IN_FLIGHT);
    let reading = async move {
        loop {
            let mut buffer = BytesMut::with_capacity(READ_SIZE);
            let read = from.read_buf(&mut buffer).await?;
            let due = Instant::now() + *lane.delay.lock();
            // An empty piece says that the source has ended: it is delayed like the rest.
            if enter.send((due, buffer.freeze())).await.is_err() || read == 0 {
                return Ok(());
            }
        }
    };
    let writing = async {
        let mut left = limit;
        let mut frozen = shared.frozen.subscribe();
        while left > 0 {
            let Some((due, mut bytes)) = leave.recv().await else { break };
            tokio::time::sleep_until(due).await;
            // The sender lives in `shared`, so that this cannot fail.
            let _ = frozen.wait_for(|frozen| !frozen).await;
            if bytes.is_empty() {
                to.shutdown().await?;
                return Ok(false);
            }
            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            to.write_all(&bytes).await?;
            to.flush().await?;
            left -= bytes.len() as u64;
            lane.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok::<_, io::Error>(true)
    };
    tokio::pin!(reading, writing);
    tokio::select! {
        done = &mut writing => done,
        // What was read before the source failed or ended is still delivered.
        ended = &mut reading => {
            let delivered = writing.await?;
            ended.map(|()| delivered)
        }
    }
}
