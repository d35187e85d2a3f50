//! One client: a connection that is kept, and now and then dropped in the middle of an answer.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::answered::{Outcome, judge};
use crate::asked::{Asked, Leaves};

/// Longer than any time limit that is configured, retries included: beyond it an answer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    addr: SocketAddr,
    connection: Option<Connection>,
}

/// Dropping it closes the socket.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Connection {
    async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // How the connection ends is seen in the body.
            let _ = connection.await;
        });
        Self { sender, _driver: driver }
    }

    /// This one if it can take another request, or a new one.
    async fn or_anew(mut self, addr: SocketAddr) -> Self {
        match self.sender.ready().await {
            Ok(()) => self,
            Err(_) => Self::open(addr).await,
        }
    }
}

impl Client {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, connection: None }
    }

    pub(crate) async fn ask(&mut self, asked: &Asked) -> Outcome {
        let mut connection = match self.connection.take() {
            Some(kept) => kept.or_anew(self.addr).await,
            None => Connection::open(self.addr).await,
        };
        let exchange = exchange(&mut connection, self.addr, asked);
        let outcome = match asked.leaves {
            Leaves::After(time) => tokio::time::timeout(time, exchange).await.unwrap_or(Outcome::Left),
            _ => tokio::time::timeout(PATIENCE, exchange)
                .await
                .unwrap_or_else(|_| Outcome::Wrong(format!("no end: {asked:?}"))),
        };
        if matches!(outcome, Outcome::Complete | Outcome::Failed(_)) {
            self.connection = Some(connection);
        }
        outcome
    }
}

async fn exchange(connection: &mut Connection, addr: SocketAddr, asked: &Asked) -> Outcome {
    let mut request = Request::post(asked.path()).header("host", addr.to_string());
    for (name, value) in &asked.headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(asked.body()))).unwrap();
    let mut response = match connection.sender.send_request(request).await {
        Ok(response) => response,
        Err(error) => return Outcome::Wrong(format!("no answer ({error}): {asked:?}")),
    };
    let mut body = Vec::new();
    for piece in 0.. {
        if matches!(asked.leaves, Leaves::AtPiece(at) if at == piece) {
            return Outcome::Left;
        }
        match response.frame().await {
            None => break,
            Some(Ok(frame)) => body.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Some(Err(error)) => return Outcome::Wrong(format!("a body cut ({error}): {asked:?}")),
        }
    }
    let code = response.headers().get("x-uat-code").and_then(|code| code.to_str().ok());
    match std::str::from_utf8(&body) {
        Ok(body) => judge(asked, response.status().as_u16(), code, body),
        Err(_) => Outcome::Wrong(format!("no UTF-8: {asked:?}, {body:?}")),
    }
}

/// What a path answers to `GET`.
pub(crate) async fn get(addr: SocketAddr, path: &str) -> String {
    let mut connection = Connection::open(addr).await;
    let request = Request::get(path).header("host", addr.to_string()).body(Full::default()).unwrap();
    let response: Response<Incoming> = connection.sender.send_request(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}
