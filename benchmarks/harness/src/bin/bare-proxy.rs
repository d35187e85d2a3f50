//! The limit that the gateway is compared with: hyper passing requests on, and nothing else.
//!
//! It parses no body, knows no model and retries nothing; it has a connection pool and TCP_NODELAY on both sides,
//! without which a comparison would be unfair to it.

use std::process::ExitCode;

use clap::Parser;
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

#[derive(Debug, Parser)]
struct Arguments {
    /// Port of 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// `HOST:PORT` that every request goes to.
    #[arg(long)]
    upstream: Authority,
}

type Proxied = Either<Incoming, Full<Bytes>>;

async fn pass(
    mut request: Request<Incoming>,
    client: Client<HttpConnector, Incoming>,
    upstream: Authority,
) -> Response<Proxied> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream);
    let Ok(uri) = Uri::from_parts(parts) else { return failed(StatusCode::BAD_REQUEST) };
    *request.uri_mut() = uri;
    request.headers_mut().remove(HOST);
    match client.request(request).await {
        Ok(response) => response.map(Either::Left),
        Err(_) => failed(StatusCode::BAD_GATEWAY),
    }
}

fn failed(status: StatusCode) -> Response<Proxied> {
    let mut response = Response::new(Either::Right(Full::default()));
    *response.status_mut() = status;
    response
}

// The default runtime, as any server would be written: one worker thread per core.
#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { port, upstream } = Arguments::parse();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    let pass_on = move |request| pass(request, client.clone(), upstream.clone());
    if bench_harness::serve(port, pass_on).await.is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
