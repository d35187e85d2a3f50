//! The other side of the socket, for programs in Rust.

mod events;
mod models;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
pub use events::Events;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::process::geteuid;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::wire::{AllocateBody, Gpus, Lease, Leases, Problem, ProblemDetails, RenewBody, Renewed};
use crate::LeaseId;

/// Why a call did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no daemon.
    #[error("no GPU daemon answers at {}: {source}; start `uat gpu daemon`, or `uat serve` with a [gpu] section", socket.display())]
    NoDaemon {
        /// Where it was looked for.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The socket is another user's.
    #[error("the socket {} belongs to user {theirs}, expected {ours}: nothing is said to it", socket.display())]
    NotOurs {
        /// Which.
        socket: PathBuf,
        /// Who answers.
        theirs: u32,
        /// Who asks.
        ours: u32,
    },
    /// The connection broke: whether the call was carried out is not known.
    #[error("the GPU daemon went away during the call: {0}")]
    Broken(String),
    /// What it answers is not the protocol.
    #[error("the GPU daemon answers what is not understood: {0}")]
    Protocol(String),
    /// It refuses.
    #[error("{}", .0.message)]
    Refused(Box<ProblemDetails>),
}

impl ClientError {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::NoDaemon { .. } | Self::Broken(_) => "UAT_UPSTREAM",
            Self::NotOurs { .. } => "UAT_FORBIDDEN",
            Self::Protocol(_) => "UAT_INTERNAL",
            Self::Refused(problem) => &problem.code,
        }
    }

    /// Whether the daemon may answer later: it is not there, or has gone.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::NoDaemon { .. } | Self::Broken(_))
    }
}

/// Connections that wait for the next call.
const IDLE: usize = 4;

/// A client of the daemon; calls may be made at once. Within a tokio runtime.
#[derive(Debug)]
pub struct HostClient {
    socket: PathBuf,
    name: Option<Box<str>>,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    connections: Mutex<JoinSet<()>>,
}

impl HostClient {
    /// Of the daemon at this socket; connects with the first call. `name` tells several clients of a process apart: each holds leases
    /// of its own.
    pub fn new(socket: impl Into<PathBuf>, name: Option<&str>) -> Self {
        let name = name.map(Into::into);
        Self { socket: socket.into(), name, idle: Mutex::default(), connections: Mutex::default() }
    }

    /// Where the daemon is.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What tells it apart from others of this process.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Asks for memory, and waits as long as the request says. Whoever drops the future does not want it any longer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn allocate(&self, body: &AllocateBody) -> Result<Lease, ClientError> {
        self.call(Method::POST, "/v1/leases", Some(body)).await
    }

    /// Takes back a request that waits, by [`AllocateBody::request`]: its answer is `UAT_CANCELLED` then, unless it was served before.
    ///
    /// # Errors
    /// [`ClientError`]; `UAT_NOT_FOUND` where no such request waits.
    pub async fn take_back(&self, request: u64) -> Result<(), ClientError> {
        self.tell(Method::DELETE, &format!("/v1/requests/{request}"), None::<&()>).await
    }

    /// Lets a lease live on; says how long.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn renew(&self, lease: LeaseId, duration_ms: u64) -> Result<u64, ClientError> {
        let path = format!("/v1/leases/{lease}/renew");
        let renewed: Renewed = self.call(Method::POST, &path, Some(&RenewBody { duration_ms })).await?;
        Ok(renewed.expires_in_ms)
    }

    /// Gives a lease back; a warm model's, when it is unloaded.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn release(&self, lease: LeaseId) -> Result<(), ClientError> {
        self.tell(Method::DELETE, &format!("/v1/leases/{lease}"), None::<&()>).await
    }

    /// The GPUs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn gpus(&self) -> Result<Gpus, ClientError> {
        self.call(Method::GET, "/v1/gpus", None::<&()>).await
    }

    /// The leases of all processes, and who waits.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn leases(&self) -> Result<Leases, ClientError> {
        self.call(Method::GET, "/v1/leases", None::<&()>).await
    }

    /// What happens to this client's leases.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn events(&self) -> Result<Events, ClientError> {
        let answer = self.send(Method::GET, "/v1/events", Bytes::new()).await?;
        if answer.status() != StatusCode::OK {
            return Err(checked(answer).await.err().unwrap_or(ClientError::Protocol("no events".to_owned())));
        }
        Ok(Events { body: answer.into_body(), read: Vec::new() })
    }

    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let answer = checked(self.send(method, path, written(body)?).await?).await?;
        serde_json::from_slice(&answer).map_err(|error| ClientError::Protocol(error.to_string()))
    }

    /// A call that is answered with nothing.
    pub(super) async fn tell(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(), ClientError> {
        let answer = self.send(method, path, written(body)?).await?;
        checked(answer).await.map(drop)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, ClientError> {
        let mut connection = match self.idle() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "uat");
        if let Some(name) = &self.name {
            request = request.header(super::routes::CLIENT, &**name);
        }
        let request =
            request.body(Full::new(body)).map_err(|error| ClientError::Protocol(error.to_string()))?;
        let answer =
            connection.send_request(request).await.map_err(|error| ClientError::Broken(error.to_string()))?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            // It takes the next request as soon as this answer was read to its end.
            idle.push(connection);
        }
        Ok(answer)
    }

    /// A connection on which no call is under way.
    fn idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.is_closed());
        let ready = idle.iter().position(SendRequest::is_ready)?;
        Some(idle.swap_remove(ready))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let no_daemon = |source| ClientError::NoDaemon { socket: self.socket.clone(), source };
        let stream = UnixStream::connect(&self.socket).await.map_err(no_daemon)?;
        let (theirs, ours) = (stream.peer_cred().map_err(no_daemon)?.uid(), geteuid().as_raw());
        if theirs != ours {
            return Err(ClientError::NotOurs { socket: self.socket.clone(), theirs, ours });
        }
        let broken = |error: hyper::Error| ClientError::Broken(error.to_string());
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        while connections.try_join_next().is_some() {}
        connections.spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}

fn written(body: Option<&impl Serialize>) -> Result<Bytes, ClientError> {
    let body = body.map(serde_json::to_vec).transpose();
    Ok(body.map_err(|error| ClientError::Protocol(error.to_string()))?.unwrap_or_default().into())
}

/// The body of an answer that is a good one.
async fn checked(answer: http::Response<Incoming>) -> Result<Bytes, ClientError> {
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|error| ClientError::Broken(error.to_string()))?;
    let body = body.to_bytes();
    if status.is_success() {
        return Ok(body);
    }
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => Err(ClientError::Refused(Box::new(problem.error))),
        Err(_) => Err(ClientError::Protocol(format!("status {status}"))),
    }
}
