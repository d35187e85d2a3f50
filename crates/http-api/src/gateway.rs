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
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use llm_wire::WireError;
use runtime::llm_router::Target;
use runtime::{CachePreference, ChatOptions, Key, Port, Runtime};
use tower::Service;

use crate::door::{Door, Needs, needs, presented};
use crate::error::{ApiError, Failed};
use crate::gate::Gate;
use crate::headers::{
    EXPOSED, REQUEST_ID, UAT_CACHE, UAT_ROUTE, UAT_TIMEOUT_MS, client_request_id, insert_request_id,
    insert_standings,
};
use crate::observer::{Observer, Recording};
use crate::route_header::route_ask;
use crate::surfaces;
use crate::surfaces::whip::Browser;
use crate::traffic::Traffic;
use crate::trail::Trail;

/// Asked before a page may reach into the user's own machine: <https://wicg.github.io/private-network-access/>.
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// What there is for those who speak; nothing at the door for administration.
#[derive(Default)]
pub(crate) struct ForVoice {
    /// Where browsers are heard.
    pub(crate) port: Option<Port<Browser>>,
    /// A page to speak to.
    pub(crate) demo_page: Option<&'static str>,
}

/// The state behind every route.
pub(crate) struct Gateway {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) voice: ForVoice,
    door: Door,
    draining: AtomicBool,
    gate: Gate,
}

/// Who asks, among a request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Arc<Key>);

/// The caller of a request, if keys are asked for.
pub(crate) fn caller(extensions: &Extensions) -> Option<Arc<Key>> {
    extensions.get::<Caller>().map(|Caller(key)| Arc::clone(key))
}

/// One request: when it came, and the name under which it is reported.
pub(crate) struct Call {
    pub(crate) received: Instant,
    pub(crate) request_id: Arc<str>,
    /// Who asks; `None`: no keys are asked for.
    pub(crate) caller: Option<Arc<Key>>,
    pub(crate) trail: Arc<Trail>,
    timeout_ms: Option<HeaderValue>,
    cache: Option<HeaderValue>,
    route: Option<HeaderValue>,
}

impl Call {
    fn new(headers: &HeaderMap, trail: Arc<Trail>, caller: Option<Arc<Key>>) -> Self {
        let (timeout_ms, cache) = (headers.get(UAT_TIMEOUT_MS).cloned(), headers.get(UAT_CACHE).cloned());
        let route = headers.get(UAT_ROUTE).cloned();
        let (received, request_id) = (trail.received, Arc::clone(&trail.request_id));
        Self { received, request_id, caller, trail, timeout_ms, cache, route }
    }

    /// What the client's headers ask for, of this model. Where that is left to the router, its decision is kept.
    pub(crate) fn asks(&self, model: &str) -> Result<ChatOptions, WireError> {
        let options = self.options()?;
        self.trail.asks(model);
        let decision = Target::is_target(model).then(|| self.trail.routes());
        let tuning = Some(self.trail.tunes());
        Ok(ChatOptions { decision, tuning, ..options })
    }

    fn options(&self) -> Result<ChatOptions, WireError> {
        let timeout = self.timeout_ms.as_ref().map(timeout).transpose()?;
        let cache = self.cache.as_ref().map_or(Ok(CachePreference::Default), cache_preference)?;
        Ok(ChatOptions {
            request_id: Some(self.request_id.clone()),
            timeout,
            received: self.received,
            cache,
            tenant: self.caller.as_ref().map(|key| Arc::clone(&key.config().name)),
            caller: self.caller.clone(),
            trace: self.trail.trace(),
            route: self.route.as_ref().map(route_ask).transpose()?.flatten(),
            context: None,
            decision: None,
            tuning: None,
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
    pub(crate) fn new(
        runtime: Arc<Runtime>,
        port: u16,
        door: Door,
        traffic: Arc<Traffic>,
        observer: Arc<Observer>,
        voice: ForVoice,
    ) -> Self {
        let (draining, gate) = (AtomicBool::new(false), Gate::new(port));
        Self { traffic, observer, voice, door, draining, gate, runtime }
    }

    /// The longest request body, in bytes; as everything that is asked of the configuration for each request, it follows
    /// a reload.
    pub(crate) fn max_body(&self) -> usize {
        (self.runtime.config().server.max_body_mb as usize) << 20
    }

    /// How long a stream may wait for its first content before 200 goes out.
    pub(crate) fn hold(&self) -> Duration {
        Duration::from_millis(self.runtime.config().server.hold_ms)
    }

    pub(crate) fn call<B>(&self, request: &Request<B>) -> Call {
        let headers = request.headers();
        let trail = match request.extensions().get::<Arc<Trail>>() {
            Some(trail) => Arc::clone(trail),
            // Every request has one; the surfaces alone, in a test, may be asked without.
            None => self.trail(headers),
        };
        Call::new(headers, trail, caller(request.extensions()))
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
        request: Request<hyper::body::Incoming>,
    ) -> (Response<Body>, Recording) {
        let trail = self.trail(request.headers());
        let recording = Recording::new(&self.observer, &trail, &request);
        let headers = request.headers();
        let origin = headers.get(ORIGIN).cloned();
        let checked = self.check(&request, origin.as_ref());
        let mut caller = None;
        let mut response = match (checked, &origin) {
            (Err(error), _) => error.openai(),
            // A browser asks without the key that the page is going to send.
            (Ok(()), Some(_)) if is_preflight(&request) => preflight(headers),
            (Ok(()), _) => match self.admitted(&request) {
                Err(error) => surfaces::dialect(request.uri().path(), headers)(&error),
                Ok(key) => {
                    if let Some(key) = &key {
                        recording.trail().is_of(Arc::clone(key.name()));
                    }
                    caller = key;
                    self.routed(router, request, recording.trail(), caller.as_ref()).await
                }
            },
        };
        let status = response.status();
        let headers = response.headers_mut();
        if let Some(key) = caller {
            insert_standings(headers, &self.runtime.standings(&key));
        }
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

    async fn routed(
        self: &Arc<Self>,
        router: &mut Router,
        mut request: Request<hyper::body::Incoming>,
        trail: &Arc<Trail>,
        caller: Option<&Arc<Key>>,
    ) -> Response<Body> {
        // Nearly every request is this one; the router's boxes and path tables would be a tenth of its cost.
        if !matches!(self.door, Door::Admin { .. }) && surfaces::is_chat_completion(&request) {
            let call = Call::new(request.headers(), Arc::clone(trail), caller.cloned());
            return surfaces::chat_completions(self, call, Body::new(request.into_body())).await;
        }
        let extensions = request.extensions_mut();
        extensions.insert(Arc::clone(trail));
        if let Some(key) = caller {
            extensions.insert(Caller(Arc::clone(key)));
        }
        match router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Whether this listener asks for keys.
    pub(crate) fn asks_for_keys(&self) -> bool {
        match self.door {
            Door::Admin { .. } => false,
            Door::Public { is_exposed } => is_exposed || self.runtime.asks_for_keys(),
        }
    }

    /// Who asks; `None` where it does not matter.
    fn admitted<B>(&self, request: &Request<B>) -> Result<Option<Arc<Key>>, ApiError> {
        let path = request.uri().path();
        let needs = needs(path);
        if needs == Needs::Nothing || !self.asks_for_keys() {
            return Ok(None);
        }
        let key = self.runtime.authenticate(presented(request.headers(), request.uri()))?;
        match needs == Needs::AdminKey && !key.is_admin() {
            true => Err(ApiError::NotAdmin { path: path.to_owned() }),
            false => Ok(Some(key)),
        }
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
        // What the host check keeps out, a page behind a name that was rebound, has no key: and with keys, people call us
        // by the names of proxies and clusters, as they call an administration that is not on loopback.
        let is_called_otherwise = self.asks_for_keys() || self.door == Door::Admin { is_exposed: true };
        let host = if is_called_otherwise { None } else { host };
        self.gate.check(host.map(HeaderValue::as_bytes), origin, |page| {
            self.runtime
                .config()
                .server
                .allowed_origins
                .iter()
                .any(|origin| origin.eq_ignore_ascii_case(page))
        })?;
        // `GET http://name/path HTTP/1.1` says the host a second time.
        match request.uri().authority() {
            Some(authority) if host.is_some() => {
                Ok(self.gate.check(Some(authority.as_str().as_bytes()), None, |_| false)?)
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    let routes = match gateway.door {
        Door::Public { .. } => surfaces::router(),
        Door::Admin { .. } => surfaces::admin_router(),
    };
    routes.with_state(gateway)
}

fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The browser asks on behalf of a page that the gate let through.
fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE, OPTIONS"));
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
