//! One small document over a connection that is closed after it.

use std::future;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{CONTENT_TYPE, HOST};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// A list of thousands of models fits; what is longer is no list of models.
const LONGEST: usize = 4 << 20;

/// Asks for a document.
pub(crate) async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    path: &str,
) -> Result<Bytes, AnyError> {
    exchange(stream, Request::get(path).header(HOST, host).body(Full::default())?).await
}

/// Sends a document, and reads the one that answers it within `patience`.
pub(crate) async fn post<T: DeserializeOwned>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    (host, path): (&str, &str),
    body: &impl Serialize,
    patience: Duration,
) -> Result<T, AnyError> {
    let body = Full::from(serde_json::to_vec(body)?);
    let request =
        Request::post(path).header(HOST, host).header(CONTENT_TYPE, "application/json").body(body)?;
    let late = |_| format!("no answer within {} s", patience.as_secs());
    let answer = tokio::time::timeout(patience, exchange(stream, request)).await.map_err(late)??;
    Ok(serde_json::from_slice(&answer)?)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, AnyError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            return Err(format!("status {}", response.status()).into());
        }
        Ok(Limited::new(response.into_body(), LONGEST).collect().await?.to_bytes())
    };
    // The connection is driven here and not in a task of its own: giving up on the future closes it.
    let connection = async {
        match connection.await {
            Ok(()) => future::pending().await,
            Err(error) => Err(error.into()),
        }
    };
    tokio::select! {
        result = exchange => result,
        result = connection => result,
    }
}
