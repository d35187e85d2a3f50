//! The fake provider: an HTTP/1.1 server on 127.0.0.1 that answers as scripted and remembers what it saw.
//!
//! The responses are written by hand because an HTTP library refuses to do what this server exists for: closing inside
//! a chunk, sending half a body under a whole length, or answering with bytes that are not HTTP. Requests are parsed
//! with `httparse`.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::behaviour::Behaviour;
use crate::control;
use crate::dialect::{Asked, Dialect, error_body, listing};
use crate::observe::{Disconnect, Log, Request, WaitTimedOut};
use crate::reply::{self, Ending, Reply, Step};
use crate::request::{Framing, Head, take_body, take_head};

/// Bytes that a client may send ahead while its answer is under way; more are left in the kernel.
const MAX_AHEAD: usize = 1024 * 1024;
/// Pause after a failed accept, such as when file descriptors have run out: long enough not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A model provider that behaves as told. See the crate's documentation for an example.
///
/// Each request for a chat or for embeddings takes the next behaviour of the queue, or the default one. Listings (`/v1/models`, `/api/tags`)
/// have a behaviour of their own, so that a client's discovery does not use the script up.
#[derive(Debug)]
pub struct FakeProvider {
    addr: SocketAddr,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

/// What connections and the owner share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) log: Log,
    pub(crate) script: Mutex<Script>,
    connections: AtomicU64,
}

/// What the next requests get.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) queue: VecDeque<Behaviour>,
    pub(crate) default: Behaviour,
    pub(crate) listing: Behaviour,
}

impl FakeProvider {
    /// Starts a provider on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(0).await
    }

    /// Starts a provider on this port of 127.0.0.1; 0 takes a free one.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub async fn start_on(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let addr = listener.local_addr()?;
        let (script, connections) = (Mutex::default(), AtomicU64::new(0));
        let shared = Arc::new(Shared { log: Log::new(), script, connections });
        let provider = Self { addr, shared, tasks: TaskTracker::new(), cancel: CancellationToken::new() };
        provider.spawn_accepting(listener);
        Ok(provider)
    }

    /// Also listens on a Unix socket at this path, as the local engine does.
    ///
    /// # Errors
    /// The path cannot be bound.
    pub fn also_on_unix(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.spawn_accepting(UnixListener::bind(path)?);
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT`, without a path.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Adds a behaviour for one request; the queue is served in order.
    pub fn enqueue(&self, behaviour: Behaviour) {
        self.shared.script.lock().queue.push_back(behaviour);
    }

    /// What requests get while the queue is empty.
    pub fn set_default(&self, behaviour: Behaviour) {
        self.shared.script.lock().default = behaviour;
    }

    /// What `/v1/models` and `/api/tags` get. Behaviours that only make sense inside a chat answer send the list.
    pub fn set_listing(&self, behaviour: Behaviour) {
        self.shared.script.lock().listing = behaviour;
    }

    /// The requests seen, oldest first: the latest 10,000 since the start or the last [`reset`](Self::reset).
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log.requests()
    }

    /// The clients that went away before their answer had ended, oldest first, with the instant it was seen.
    ///
    /// A client that closes only its sending side counts as gone: none that this is meant for does so.
    #[must_use]
    pub fn disconnects(&self) -> Vec<Disconnect> {
        self.shared.log.disconnects()
    }

    /// Connections open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.log.totals().open_connections
    }

    /// Forgets what was seen and empties the queue; the default behaviours stay.
    pub fn reset(&self) {
        self.shared.script.lock().queue.clear();
        self.shared.log.reset();
    }

    /// Waits until `count` requests have been seen in all, and returns them.
    ///
    /// # Errors
    /// They did not come within ten seconds.
    pub async fn wait_for_requests(&self, count: u64) -> Result<Vec<Request>, WaitTimedOut> {
        self.shared.log.wait(&format!("{count} requests"), None, |totals| totals.requests >= count).await?;
        Ok(self.requests())
    }

    /// Waits for the earliest disconnect that this method has not returned yet.
    ///
    /// # Errors
    /// None came within `timeout`.
    pub async fn wait_for_disconnect(&self, timeout: Duration) -> Result<Disconnect, WaitTimedOut> {
        self.shared.log.next_disconnect(timeout).await
    }

    /// Waits until exactly `count` connections are open.
    ///
    /// # Errors
    /// It did not come to that within ten seconds.
    pub async fn wait_for_open_connections(&self, count: usize) -> Result<(), WaitTimedOut> {
        let expected = format!("{count} open connections");
        self.shared.log.wait(&expected, None, |totals| totals.open_connections == count).await
    }

    /// Closes every connection and the listener, and returns when the last task has ended.
    pub async fn shutdown(&self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn spawn_accepting<L: Listener>(&self, listener: L) {
        let (shared, tasks, cancel) = (Arc::clone(&self.shared), self.tasks.clone(), self.cancel.clone());
        self.tasks.spawn(async move {
            while let Some(accepted) = cancel.run_until_cancelled(listener.accept_one()).await {
                let Ok(socket) = accepted else {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                let connection = Connection::new(socket, Arc::clone(&shared));
                let cancel = cancel.clone();
                tasks.spawn(async move {
                    cancel.run_until_cancelled(connection.serve()).await;
                });
            }
        });
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Both kinds of listeners.
trait Listener: Send + 'static {
    type Socket: Socket;
    fn accept_one(&self) -> impl Future<Output = io::Result<Self::Socket>> + Send;
}

impl Listener for TcpListener {
    type Socket = TcpStream;

    async fn accept_one(&self) -> io::Result<TcpStream> {
        let (socket, _) = self.accept().await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }
}

impl Listener for UnixListener {
    type Socket = UnixStream;

    async fn accept_one(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }
}

/// Both kinds of sockets.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes the coming close a reset, where there is such a thing.
    fn reset_on_close(&self) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn reset_on_close(&self) -> io::Result<()> {
        self.set_zero_linger()
    }
}

impl Socket for UnixStream {
    fn reset_on_close(&self) -> io::Result<()> {
        Ok(())
    }
}

struct Connection<S> {
    socket: S,
    buffer: BytesMut,
    number: u64,
    shared: Arc<Shared>,
    /// Whether it counts among the open connections; those that only control the provider do not.
    counted: bool,
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.uncount();
    }
}

impl<S> Connection<S> {
    fn uncount(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.shared.log.connection_closed();
        }
    }
}

impl<S: Socket> Connection<S> {
    fn new(socket: S, shared: Arc<Shared>) -> Self {
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        shared.log.connection_opened();
        Self { socket, buffer: BytesMut::with_capacity(8 * 1024), number, shared, counted: true }
    }

    /// Serves requests until the client goes or a behaviour closes. A network error ends the connection and nothing
    /// else: that is what clients of a provider do to it.
    async fn serve(mut self) {
        loop {
            let (head, body) = match self.read_request().await {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(sentence) => {
                    let error = error_body(Dialect::OpenAi, &sentence, "invalid_request_error");
                    self.send(&Reply::json(400, &error), None).await;
                    return;
                }
            };
            let last = head.close;
            let keep_alive = if head.path.starts_with("/__") {
                self.uncount();
                let reply = control::answer(&self.shared, &head, &body).await;
                self.send(&reply, None).await
            } else {
                let path = head.path.clone();
                let (index, reply) = self.route(head, body);
                self.send(&reply, Some((index, path))).await
            };
            if !keep_alive || last {
                return;
            }
        }
    }

    /// The next request; none: the client has gone. The error is a sentence for the client.
    async fn read_request(&mut self) -> Result<Option<(Head, Bytes)>, String> {
        let head = loop {
            if let Some(head) = take_head(&mut self.buffer)? {
                break head;
            }
            if !self.read_more().await {
                return Ok(None);
            }
        };
        if head.expects_continue && self.socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err() {
            return Ok(None);
        }
        let mut body = match head.framing {
            Framing::Length(length) => BytesMut::with_capacity(length),
            Framing::Chunked => BytesMut::new(),
        };
        while !take_body(head.framing, &mut self.buffer, &mut body)? {
            if !self.read_more().await {
                return Ok(None);
            }
        }
        Ok(Some((head, body.freeze())))
    }

    async fn read_more(&mut self) -> bool {
        matches!(self.socket.read_buf(&mut self.buffer).await, Ok(bytes) if bytes > 0)
    }

    /// Records the request and decides on its answer.
    fn route(&self, head: Head, body: Bytes) -> (u64, Reply) {
        let route = (head.method.clone(), head.path.split('?').next().unwrap_or_default().to_owned());
        let index = self.shared.log.request(|index| Request {
            index,
            connection: self.number,
            method: head.method,
            path: head.path,
            headers: head.headers,
            body: body.clone(),
            at: Instant::now(),
            at_wall: SystemTime::now(),
        });
        let reply = match (route.0.as_str(), route.1.as_str()) {
            ("POST", "/v1/chat/completions") => self.chat(Dialect::OpenAi, &body, index),
            ("POST", "/api/chat") => self.chat(Dialect::Ollama, &body, index),
            ("POST", "/v1/embeddings") => self.embeddings(Dialect::OpenAi, &body),
            ("POST", "/api/embed") => self.embeddings(Dialect::Ollama, &body),
            ("GET", "/v1/models") => self.list(Dialect::OpenAi),
            ("GET", "/api/tags") => self.list(Dialect::Ollama),
            ("GET", "/health") => Reply::json(200, &serde_json::json!({"status": "ok"})),
            (method, path) => {
                let message = format!("the fake provider knows no {method} {path}");
                Reply::json(404, &error_body(Dialect::OpenAi, &message, "not_found_error"))
            }
        };
        (index, reply)
    }

    fn chat(&self, dialect: Dialect, body: &[u8], index: u64) -> Reply {
        let behaviour = self.next_behaviour();
        match Asked::read(dialect, body, index) {
            Ok(asked) => reply::to_chat(&behaviour, &asked),
            Err(sentence) => Reply::json(400, &error_body(dialect, &sentence, "invalid_request_error")),
        }
    }

    fn embeddings(&self, dialect: Dialect, body: &[u8]) -> Reply {
        let reply = reply::to_embeddings(&self.next_behaviour(), dialect, body);
        reply.unwrap_or_else(|sentence| {
            Reply::json(400, &error_body(dialect, &sentence, "invalid_request_error"))
        })
    }

    fn next_behaviour(&self) -> Behaviour {
        let mut script = self.shared.script.lock();
        script.queue.pop_front().unwrap_or_else(|| script.default.clone())
    }

    fn list(&self, dialect: Dialect) -> Reply {
        reply::to_any(&self.shared.script.lock().listing, dialect, &listing(dialect))
    }

    /// Carries a reply out while watching whether the client goes. True: the connection can take a further request.
    async fn send(&mut self, reply: &Reply, request: Option<(u64, String)>) -> bool {
        let sent = AtomicU64::new(0);
        let (mut read, mut write) = tokio::io::split(&mut self.socket);
        let completed = tokio::select! {
            // The client's close is looked at first, so that a stalled or failing write does not hide it.
            biased;
            () = gone(&mut read, &mut self.buffer) => false,
            written = carry_out(&mut write, reply, &sent) => written.is_ok(),
        };
        if !completed {
            if let Some((index, path)) = request {
                self.shared.log.disconnect(index, path, sent.into_inner());
            }
            return false;
        }
        if reply.ending == Ending::Reset {
            // A socket that the client has closed already needs no reset.
            let _ = self.socket.reset_on_close();
        }
        reply.ending == Ending::KeepAlive
    }
}

/// Writes the steps in order, and then does as the ending says.
async fn carry_out<W: AsyncWrite + Unpin>(write: &mut W, reply: &Reply, sent: &AtomicU64) -> io::Result<()> {
    for step in &reply.steps {
        match step {
            Step::Wait(wait) => tokio::time::sleep(*wait).await,
            Step::Send(bytes) => {
                write.write_all(bytes).await?;
                write.flush().await?;
                sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
        }
    }
    if reply.ending == Ending::Stall {
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Returns when the client has closed. What it sends meanwhile is kept for the next request.
async fn gone<R: AsyncRead + Unpin>(read: &mut R, buffer: &mut BytesMut) {
    while buffer.len() < MAX_AHEAD {
        if !matches!(read.read_buf(buffer).await, Ok(bytes) if bytes > 0) {
            return;
        }
    }
    std::future::pending::<()>().await;
}
