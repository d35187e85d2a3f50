//! Sockets: TCP with or without TLS, and the engine's private socket behind [`EngineDialer`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Uri;
use http_body_util::Full;
use https_connector::NoTls;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpStream, UnixStream};

use crate::error::CoordinatorError;

/// How the coordinator reaches the local engine. It is the consumer's trait: whoever owns the engine process
/// implements it, starting the process if need be.
pub trait EngineDialer: Send + Sync + 'static {
    /// A fresh connection to the engine.
    fn dial(&self) -> BoxFuture<'_, Result<UnixStream, DialError>>;
}

/// Why there is no connection to the engine.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct DialError {
    /// The stable code, `UAT_...`.
    pub code: &'static str,
    /// What was expected, what was found, what to try.
    pub message: String,
    /// Whether another try may succeed.
    pub retryable: bool,
}

/// The client of one endpoint, with its own pool, so that a slow endpoint cannot take another's connections.
pub(crate) type HttpClient = Client<Connector, Full<Bytes>>;

/// Idle connections are closed before the usual server side does it (60 to 75 s): a request that is written to a
/// connection which the server is just closing would fail for nothing.
const POOL_IDLE: Duration = Duration::from_secs(45);

pub(crate) fn client(connector: Connector) -> HttpClient {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .build(connector)
}

/// Opens the connections of one endpoint.
#[derive(Clone)]
pub(crate) enum Connector {
    Network { https: HttpsConnector<HttpConnector>, timeout: Duration },
    Engine { dialer: Arc<dyn EngineDialer> },
}

impl Connector {
    pub(crate) fn network(timeout: Duration, tls: bool) -> Result<Self, CoordinatorError> {
        let https = https_connector::connector(tls).map_err(|error| CoordinatorError::Config {
            message: match error {
                NoTls::Roots(error) => format!("an https endpoint needs the system's root certificates (package ca-certificates), and they could not be read: {error}"),
                NoTls::Setup(error) => format!("TLS could not be set up: {error}"),
            },
        })?;
        Ok(Self::Network { https, timeout })
    }
}

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Stream, ConnectError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        match self {
            Self::Network { https, .. } => https.poll_ready(cx).map_err(|e| ConnectError::network(&*e)),
            Self::Engine { .. } => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        match self {
            Self::Network { https, timeout } => {
                let (connecting, timeout) = (https.call(uri), *timeout);
                Box::pin(async move {
                    match tokio::time::timeout(timeout, connecting).await {
                        Ok(Ok(stream)) => Ok(Stream::Network { stream: Box::new(stream) }),
                        Ok(Err(e)) => Err(ConnectError::network(&*e)),
                        Err(_) => Err(ConnectError::TimedOut(timeout)),
                    }
                })
            }
            Self::Engine { dialer } => {
                let dialer = Arc::clone(dialer);
                Box::pin(async move {
                    let stream = dialer.dial().await.map_err(ConnectError::Engine)?;
                    Ok(Stream::Engine { stream: TokioIo::new(stream) })
                })
            }
        }
    }
}

/// Why a connection does not stand; found again in the `source()` chain of the client's error.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("cannot connect: {0}")]
    Network(String),
    #[error(
        "this process has no file descriptors left; raise its limit (ulimit -n), or lower server.max_connections"
    )]
    NoDescriptors,
    #[error("no connection within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error(transparent)]
    Engine(DialError),
}

impl ConnectError {
    fn network(error: &(dyn std::error::Error + 'static)) -> Self {
        let innermost = https_connector::innermost(error);
        // EMFILE and ENFILE: <https://man7.org/linux/man-pages/man2/socket.2.html>.
        let errno = innermost.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if matches!(errno, Some(23 | 24)) {
            return Self::NoDescriptors;
        }
        Self::Network(innermost.to_string())
    }

    /// The reason inside what the pooled client reports.
    pub(crate) fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |e| e.source()).find_map(|e| e.downcast_ref())
    }
}

pin_project_lite::pin_project! {
    /// A connection of either kind.
    #[project = StreamProject]
    pub(crate) enum Stream {
        Network { #[pin] stream: Box<MaybeHttpsStream<TokioIo<TcpStream>>> },
        Engine { #[pin] stream: TokioIo<UnixStream> },
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Network { stream } => stream.connected(),
            Self::Engine { .. } => Connected::new(),
        }
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.project() {
            StreamProject::Network { stream } => stream.poll_read(cx, buf),
            StreamProject::Engine { stream } => stream.poll_read(cx, buf),
        }
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.project() {
            StreamProject::Network { stream } => stream.poll_write(cx, buf),
            StreamProject::Engine { stream } => stream.poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.project() {
            StreamProject::Network { stream } => stream.poll_flush(cx),
            StreamProject::Engine { stream } => stream.poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.project() {
            StreamProject::Network { stream } => stream.poll_shutdown(cx),
            StreamProject::Engine { stream } => stream.poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Network { stream } => stream.is_write_vectored(),
            Self::Engine { stream } => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.project() {
            StreamProject::Network { stream } => stream.poll_write_vectored(cx, bufs),
            StreamProject::Engine { stream } => stream.poll_write_vectored(cx, bufs),
        }
    }
}
