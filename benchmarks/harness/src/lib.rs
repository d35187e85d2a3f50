//! What the benchmark programs share: the text that is asked for, and a plain accept loop.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The error type that hyper accepts from bodies.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The answer of the mock upstream in its pieces, one per streamed chunk: `t0`, ` t1`, ` t2`... A missing, doubled or
/// reordered piece changes the joined text, so that a comparison with it proves the whole stream.
#[must_use]
pub fn pieces(chunks: usize) -> Vec<String> {
    (0..chunks).map(|index| if index == 0 { "t0".to_owned() } else { format!(" t{index}") }).collect()
}

/// Listens on this port of 127.0.0.1 (0: a free one), prints `listening on http://...`, and serves HTTP/1.1 with
/// TCP_NODELAY until the process ends.
///
/// # Errors
/// The port cannot be bound, or standard output is closed.
pub async fn serve<F, R, B>(port: u16, answer: F) -> io::Result<()>
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Error: Into<BoxError>> + Send + 'static,
    B::Data: Send,
{
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            // Ended connections are collected, otherwise the set would grow for as long as the process runs.
            Some(_) = connections.join_next() => continue,
        };
        socket.set_nodelay(true)?;
        let answer = answer.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            // A client that goes in the middle of an answer is an ordinary end here.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
    }
}
