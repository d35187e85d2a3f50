//! What every handler shares, and the way of a request before and after the router.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use llm_wire::WireError;
use runtime::{CachePreference, ChatOptions, Runtime};
use tower::Service;

use crate::error::{ApiError, Failed};
use crate::gate::Gate;
use crate::headers::{EXPOSED, REQUEST_ID, UAT_CACHE, UAT_TIMEOUT_MS, client_request_id, insert_request_id};
use crate::observer::{Observer, Recording};
use crate::surfaces;
use crate::traffic::Traffic;
use crate::trail::Trail;

/// Asked before a page may reach into the user's own machine: <https://wicg.github.io/private-network-access/>.
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The state behind every route.
pub(crate) struct Gateway {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) traffic: Traffic,
    pub(crate) observer: Arc<Observer>,
    /// The longest request body, in bytes.
    pub(crate) max_body: usize,
    /// How long a stream may wait for its first content before 200 goes out.
    pub(crate) hold: Duration,
    draining: AtomicBool,
    gate: Gate,
}

/// One request: when it came, and the name under which it is reported.
pub(crate) struct Call {
    pub(crate) received: Instant,
    pub(crate) request_id: Arc<str>,
    pub(crate) trail: Arc<Trail>,
    timeout_ms: Option<HeaderValue>,
    cache: Option<HeaderValue>,
}

impl Call {
    /// What the client's headers ask for.
    pub(crate) fn options(&self) -> Result<ChatOptions, WireError> {
        let timeout = self.timeout_ms.as_ref().map(timeout).transpose()?;
        let cache = self.cache.as_ref().map_or(Ok(CachePreference::Default), cache_preference)?;
        Ok(ChatOptions {
            request_id: Some(self.request_id.clone()),
            timeout,
            received: self.received,
            cache,
            tenant: None,
            trace: self.trail.trace(),
        })
    }
}

fn timeout(value: &HeaderValue) -> Result<Duration, WireError> {
    let ms = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok()).filter(|ms| *ms > 0);
    ms.map(Duration::from_millis)
        .ok_or_else(|| refused(&UAT_TIMEOUT_MS, "a number of milliseconds above 0", value))
}

fn cache_preference(value: &HeaderValue) -> Result<CachePreference, WireError> {
    match value.as_bytes() {
        b"on" => Ok(CachePreference::On),
        b"off" => Ok(CachePreference::Off),
        _ => Err(refused(&UAT_CACHE, "on or off", value)),
    }
}

fn refused(header: &HeaderName, expected: &str, value: &HeaderValue) -> WireError {
    WireError::Invalid {
        field: header.to_string(),
        expected: expected.to_owned(),
        got: String::from_utf8_lossy(value.as_bytes()).chars().take(80).collect(),
    }
}

impl Gateway {
    /// `port` is the one that clients connect to.
    pub(crate) fn new(runtime: Arc<Runtime>, observer: Arc<Observer>, port: u16) -> Self {
        let config = runtime.config();
        let server = &config.server;
        Self {
            traffic: Traffic::default(),
            observer,
            max_body: (server.max_body_mb as usize) << 20,
            hold: Duration::from_millis(server.hold_ms),
            draining: AtomicBool::new(false),
            gate: Gate::new(port, &server.allowed_origins),
            runtime,
        }
    }

    pub(crate) fn call<B>(&self, request: &Request<B>) -> Call {
        let headers = request.headers();
        let trail = match request.extensions().get::<Arc<Trail>>() {
            Some(trail) => Arc::clone(trail),
            // Every request has one; the surfaces alone, in a test, may be asked without.
            None => self.trail(headers),
        };
        let (timeout_ms, cache) = (headers.get(UAT_TIMEOUT_MS).cloned(), headers.get(UAT_CACHE).cloned());
        let (received, request_id) = (trail.received, Arc::clone(&trail.request_id));
        Call { received, request_id, trail, timeout_ms, cache }
    }

    /// What is known of a request that has just come.
    fn trail(&self, headers: &HeaderMap) -> Arc<Trail> {
        let received = Instant::now();
        let request_id = match client_request_id(headers) {
            Some(id) => id.into(),
            None => self.runtime.new_request_id(),
        };
        let (begun, passed) = self.observer.begin(headers);
        Arc::new(Trail::new(received, request_id, begun, passed))
    }

    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The whole way of a request.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        router: &mut Router,
        mut request: Request<hyper::body::Incoming>,
    ) -> (Response<Body>, Recording) {
        let trail = self.trail(request.headers());
        let recording = Recording::new(&self.observer, &trail, &request);
        request.extensions_mut().insert(trail);
        let headers = request.headers();
        let origin = headers.get(ORIGIN).cloned();
        let checked = self.check(&request, origin.as_ref());
        let mut response = match (checked, &origin) {
            (Err(error), _) => error.openai(),
            (Ok(()), Some(_)) if is_preflight(&request) => preflight(headers),
            // Nearly every request is this one; the router's boxes and path tables would be a tenth of its cost.
            (Ok(()), _) if surfaces::is_chat_completion(&request) => {
                surfaces::chat_completions(self, request.map(Body::new)).await
            }
            (Ok(()), _) => match router.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
        };
        let status = response.status();
        let headers = response.headers_mut();
        if !headers.contains_key(REQUEST_ID) {
            insert_request_id(headers, &recording.trail().request_id);
        }
        if let Some(origin) = origin {
            headers.append(VARY, HeaderValue::from_static("origin"));
            if !matches!(status, StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST) {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            }
        }
        if let Some(Failed { code, attempts }) = response.extensions_mut().remove() {
            recording.trail().failed(code, attempts);
        }
        recording.answers(status.as_u16());
        self.traffic.answered(status);
        (response, recording)
    }

    fn check<B>(&self, request: &Request<B>, origin: Option<&HeaderValue>) -> Result<(), ApiError> {
        let mut hosts = request.headers().get_all(HOST).iter();
        let host = hosts.next();
        if let Some(second) = hosts.next() {
            return Err(ApiError::ForeignHost {
                host: String::from_utf8_lossy(second.as_bytes()).into_owned(),
            });
        }
        let origin = origin.map(HeaderValue::as_bytes);
        self.gate.check(host.map(HeaderValue::as_bytes), origin)?;
        // `GET http://name/path HTTP/1.1` says the host a second time.
        match request.uri().authority() {
            Some(authority) => Ok(self.gate.check(Some(authority.as_str().as_bytes()), None)?),
            None => Ok(()),
        }
    }
}

pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    surfaces::router().with_state(gateway)
}

fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The browser asks on behalf of a page that the gate let through.
fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    if let Some(names) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    if asked.contains_key(REQUEST_PRIVATE_NETWORK) {
        headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    // Two hours: the longest that Chromium keeps.
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    response
}
