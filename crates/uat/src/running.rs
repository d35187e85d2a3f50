//! A running server, asked by a command.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;

use crate::commands::block_on;
use crate::failure::Failure;

/// A server on this machine answers in milliseconds, one across an ocean in less than a second.
const PATIENCE: Duration = Duration::from_secs(5);
/// A thousand endpoints with all of their histories are about 2 MB.
const LONGEST: usize = 8 << 20;

/// Which server, and with which key.
#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// The server.
    #[arg(long, default_value = "http://127.0.0.1:8642")]
    url: String,
    /// The environment variable that holds the key, where the server asks for keys.
    #[arg(long, value_name = "VARIABLE", default_value = "UAT_KEY")]
    key_env: String,
}

/// What it answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Server {
    /// Asks for this path.
    ///
    /// # Errors
    /// Nobody answers there, or it is no address.
    pub(crate) fn get(&self, path: &str) -> Result<Answer, Failure> {
        let uri = address(&self.url, path)?;
        let key = std::env::var(&self.key_env).ok().filter(|key| !key.is_empty());
        let asking = async { tokio::time::timeout(PATIENCE, ask(&uri, key.as_deref())).await };
        match block_on(async { Ok(asking.await) })? {
            Ok(Ok((status, body))) => Ok(Answer { status, body }),
            Ok(Err(reason)) => Err(self.nobody(&reason)),
            Err(_) => Err(self.nobody(&format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    /// Why this status is no answer for the command, which needs `key` where keys are asked for.
    pub(crate) fn refusal(&self, status: StatusCode, key: &str) -> Failure {
        let number = status.as_u16();
        self.nobody(&match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                format!("status {number}: it wants {key} in the environment variable that --key-env names")
            }
            _ => format!("status {number}"),
        })
    }

    /// No server of ours is there.
    pub(crate) fn nobody(&self, reason: &str) -> Failure {
        Failure::new("UAT_UPSTREAM", format!("no `uat serve` answers at {}: {reason}", self.url))
            .hint("uat serve, or --url with the address it printed")
    }
}

/// Where an address leads.
pub(crate) fn host_and_port(uri: &Uri) -> Option<(String, u16)> {
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    Some((host, uri.port_u16().unwrap_or(usual)))
}

/// This path of a server given by its address.
fn address(url: &str, path: &str) -> Result<Uri, Failure> {
    let path = format!("{}{path}", url.trim_end_matches('/').trim_end_matches("/v1"));
    match path.parse::<Uri>() {
        Ok(uri) if uri.scheme_str() == Some("http") && uri.host().is_some() => Ok(uri),
        _ => Err(Failure::usage(format!(
            "--url: expected an address like http://127.0.0.1:8642, got `{url}`; `uat serve` speaks http"
        ))),
    }
}

async fn ask(uri: &Uri, key: Option<&str>) -> Result<(StatusCode, Bytes), String> {
    let (host, port) = host_and_port(uri).ok_or("the address names no host")?;
    let stream = tokio::net::TcpStream::connect((host.as_str(), port)).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(path).header("host", authority);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(|e| e.to_string())?;
        Ok((status, body.to_bytes()))
    };
    tokio::pin!(exchange);
    tokio::select! {
        result = &mut exchange => result,
        ended = connection => match ended {
            // The answer may have come with the end.
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_with_or_without_its_path() {
        for url in ["http://127.0.0.1:8642", "http://127.0.0.1:8642/", "http://127.0.0.1:8642/v1"] {
            assert_eq!(
                address(url, "/v1/endpoints").unwrap().to_string(),
                "http://127.0.0.1:8642/v1/endpoints"
            );
        }
        for url in ["", "127.0.0.1:8642", "https://gateway.example", "ftp://x"] {
            assert!(matches!(address(url, "/health/live"), Err(Failure::Usage(_))), "{url}");
        }
    }
}
