//! The fake provider: an HTTP/1.1 server on 127.0.0.1 that answers as scripted and remembers what it saw.
//!
//! The responses are written by hand because an HTTP library refuses to do what this server exists for: closing inside
//! a chunk, sending half a body under a whole length, or answering with bytes that are not HTTP. Requests are parsed
//! with `httparse`.

mod connection;
mod listening;
mod routes;

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::Connection;
use self::listening::{Listener, TlsListener};
use crate::behaviour::Behaviour;
use crate::certificates::{Certificate, Certificates};
use crate::observe::{Disconnect, Log, Request, WaitTimedOut};

/// Pause after a failed accept, such as when file descriptors have run out: long enough not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A model provider that behaves as told. See the crate's documentation for an example.
///
/// Each request for a chat, for embeddings or for a count of tokens takes the next behaviour of the queue, or the default
/// one. Listings (`/v1/models`, `/api/tags`, ...) have a behaviour of their own, so that a client's discovery does not use
/// the script up.
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
    /// In the place of `default`, if there is one.
    pub(crate) decide: Option<Decide>,
    pub(crate) listing: Behaviour,
    pub(crate) key: Option<String>,
}

/// What decides on the answer to a request, from its path and its body.
#[derive(Clone)]
pub(crate) struct Decide(pub(crate) Arc<Deciding>);

type Deciding = dyn Fn(&str, &[u8]) -> Behaviour + Send + Sync;

impl std::fmt::Debug for Decide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decide")
    }
}

/// Where a provider also listens with TLS.
#[derive(Debug, Clone)]
pub struct TlsEndpoint {
    /// The address.
    pub addr: SocketAddr,
    /// The certificate of the authority that signed the endpoint's, in PEM; of one that signed itself, that.
    pub ca_pem: String,
}

impl TlsEndpoint {
    /// `https://127.0.0.1:PORT`, without a path.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("https://{}", self.addr)
    }
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

    /// Also listens on a free port of 127.0.0.1 with TLS, under a certificate made now.
    ///
    /// # Errors
    /// The port cannot be bound, or the certificate cannot be made.
    pub async fn also_on_tls(&self, certificate: Certificate) -> io::Result<TlsEndpoint> {
        let made = Certificates::make(certificate).map_err(io::Error::other)?;
        let acceptor = made.acceptor()?;
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = tcp.local_addr()?;
        self.spawn_accepting(TlsListener { tcp, acceptor });
        Ok(TlsEndpoint { addr, ca_pem: made.ca })
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
        let mut script = self.shared.script.lock();
        (script.default, script.decide) = (behaviour, None);
    }

    /// The same, decided for each request by its path and body: for answers that say what they answer, and faults at random.
    pub fn decide_by(&self, decide: impl Fn(&str, &[u8]) -> Behaviour + Send + Sync + 'static) {
        self.shared.script.lock().decide = Some(Decide(Arc::new(decide)));
    }

    /// What listings of models get. Behaviours that only make sense inside a chat answer send the list.
    pub fn set_listing(&self, behaviour: Behaviour) {
        self.shared.script.lock().listing = behaviour;
    }

    /// The key that a request must carry, where its dialect has it: `Authorization: Bearer` for OpenAI and Ollama,
    /// `api-key` (Azure), `x-api-key` (Anthropic), `x-goog-api-key` or `?key=` (Gemini). None: any, or no key at all.
    pub fn require_key(&self, key: Option<&str>) {
        self.shared.script.lock().key = key.map(str::to_owned);
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
                let (cancel, shared, greet) = (cancel.clone(), Arc::clone(&shared), listener.greet());
                tasks.spawn(async move {
                    let served = async {
                        // A client that does not like the certificate leaves: that is what it is for.
                        if let Ok(socket) = greet(socket).await {
                            Connection::new(socket, shared).serve().await;
                        }
                    };
                    cancel.run_until_cancelled(served).await;
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
