//! What has ended is told: counted, kept for questions, logged, and traced where that is configured.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Request};
use parking_lot::Mutex;
use runtime::parameter_analytics_service::CallOutcome;
use runtime::telemetry::{
    AccessLog, Begun, Counts, EndedAttempt, EndedRequest, Exporter, Fate, Tokens, Traces,
};
use runtime::{
    Attempt, CacheOutcome, Outcome, Protocol, RoutingReport, Runtime, TelemetryConfig, TraceContext,
};
use trace_context::{TRACEPARENT, TRACESTATE};

use crate::headers::cache_word;
use crate::metrics::Series;
use crate::recent::Recent;
use crate::surfaces::{Route, route_of};
use crate::trail::{Known, Trail};

/// Where it is told.
pub(crate) struct Observer {
    runtime: Arc<Runtime>,
    pub(crate) recent: Recent,
    pub(crate) series: Series,
    pub(crate) counts: Arc<Counts>,
    access_log: Option<AccessLog>,
    traces: Option<Traces>,
    /// As many reloads were seen, and these endpoints after the last of them.
    seen: Seen,
}

struct Seen {
    reloads: AtomicU64,
    endpoints: Mutex<HashSet<Arc<str>>>,
}

fn endpoints(runtime: &Runtime) -> HashSet<Arc<str>> {
    runtime.health().into_iter().map(|health| health.endpoint).collect()
}

impl Observer {
    /// What observes, and what is to be run beside it, if anything is.
    ///
    /// # Errors
    /// What is configured cannot be opened.
    pub(crate) fn open(
        runtime: Arc<Runtime>,
        config: &TelemetryConfig,
    ) -> io::Result<(Self, Option<Exporter>)> {
        let counts = Arc::new(Counts::default());
        let access_log = match config.access_log() {
            Some(to) => Some(AccessLog::open(&to, Arc::clone(&counts)).map_err(io::Error::other)?),
            None => None,
        };
        let (traces, exporter) = match config.traces().map_err(io::Error::other)? {
            Some(options) => {
                let (traces, exporter) =
                    Traces::start(&options, Arc::clone(&counts)).map_err(io::Error::other)?;
                (Some(traces), Some(exporter))
            }
            None => (None, None),
        };
        let (recent, series) = (Recent::default(), Series::new());
        let seen = Seen {
            reloads: AtomicU64::new(runtime.reloads().total),
            endpoints: Mutex::new(endpoints(&runtime)),
        };
        Ok((Self { runtime, recent, series, counts, access_log, traces, seen }, exporter))
    }

    /// The request's own span and the trace that came: one or the other, or none.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> (Option<Begun>, Option<TraceContext>) {
        let came = headers.get(TRACEPARENT).and_then(|value| {
            let state = headers.get(TRACESTATE).map(http::HeaderValue::as_bytes);
            TraceContext::parse(value.as_bytes(), state)
        });
        match self.traces.as_ref().and_then(|traces| traces.begin(came.as_ref())) {
            Some(begun) => (Some(begun), None),
            None => (None, came),
        }
    }

    fn ended(&self, trail: &Arc<Trail>, route: Option<&'static Route>, asked: Option<Asked>) {
        let fate = trail.over();
        let asks = route.is_some_and(|route| route.operation.is_some());
        let total = trail.received.elapsed();
        if asks {
            trail.known(|known| {
                // A name that nobody serves would be a label for everybody's typing errors.
                let model = known.report.as_ref().map(|report| &report.model);
                let model =
                    model.or_else(|| known.model.as_ref().filter(|name| self.runtime.has_model(name)));
                self.series.ended(model, known, fate, total);
                self.teach(known, fate, total);
            });
            self.recent.keep(trail);
            self.forget_gone();
        }
        let Some(asked) = asked else { return };
        let request = self.describe(trail, fate, (asked, route), total);
        if let Some(log) = &self.access_log {
            log.write(&request);
        }
        if let Some((begun, traces)) = trail.begun.clone().zip(self.traces.as_ref()) {
            traces.ended(begun, request);
        }
    }

    /// What a call took teaches with which parameters to ask.
    fn teach(&self, known: &Known, fate: Fate, total: Duration) {
        let Some(tuned) = known.tuned() else { return };
        let outcome = match (fate, &known.report) {
            (Fate::Answered, Some(report)) if report.cache != CacheOutcome::Hit => CallOutcome {
                latency_ms: Some(total.as_secs_f64() * 1e3),
                cost_usd: self.cost(known).map(|nano| nano as f64 / 1e9),
                tokens: report.usage.as_ref().map(|usage| usage.completion_tokens),
                ..CallOutcome::default()
            },
            (Fate::Failed, _) => {
                let error = Some(known.code.unwrap_or("UAT_UPSTREAM").to_owned());
                CallOutcome { error, ..CallOutcome::default() }
            }
            // A client that goes away says nothing of the model.
            _ => return,
        };
        self.runtime.observe(tuned, outcome);
    }

    /// After a reload, what was counted of endpoints that were gone before it already: until then it can still be read.
    fn forget_gone(&self) {
        let reloads = self.runtime.reloads().total;
        if self.seen.reloads.swap(reloads, Ordering::Relaxed) == reloads {
            return;
        }
        let now = endpoints(&self.runtime);
        let mut before = self.seen.endpoints.lock();
        self.series.keep_endpoints(|endpoint| now.contains(endpoint) || before.contains(endpoint));
        *before = now;
    }

    fn describe(
        &self,
        trail: &Trail,
        fate: Fate,
        (asked, route): (Asked, Option<&'static Route>),
        total: Duration,
    ) -> EndedRequest {
        trail.known(|known| {
            let report = known.report.as_ref();
            let attempts = known.attempts();
            let answers = report.map(|_| attempts.len().saturating_sub(1));
            let attempt = |(number, attempt)| self.attempt(attempt, answers == Some(number), fate);
            EndedRequest {
                received: SystemTime::now().checked_sub(total).unwrap_or(SystemTime::UNIX_EPOCH),
                request_id: Arc::clone(&trail.request_id),
                key: known.key.clone(),
                method: asked.method,
                path: asked.path,
                route: route.map(|route| route.path),
                operation: route.and_then(|route| route.operation),
                status: known.status.unwrap_or_default(),
                fate,
                code: known.code,
                model: report.map(|report| Arc::clone(&report.model)).or_else(|| known.model.clone()),
                endpoint: report.map(|report| Arc::clone(&report.endpoint)),
                cache: report.map(|report| cache_word(report.cache)),
                attempts: attempts.iter().enumerate().map(attempt).collect(),
                tokens: report.and_then(tokens),
                cost_nano_usd: self.cost(known),
                first_content: known.first_content,
                total,
                overhead: report.map(|report| Duration::from_micros(report.overhead_us)),
            }
        })
    }

    /// What was asked for an answer, nano-USD, with that of a first stage which did not do; one of the cache costs nothing.
    pub(crate) fn cost(&self, known: &Known) -> Option<u64> {
        let report = known.report.as_ref()?;
        let answer = match report.cache {
            CacheOutcome::Hit => 0,
            _ => self.runtime.cost_nano_usd(&report.model, report.usage.as_ref()?)?,
        };
        let before = known.routed().map_or(Some(0), |routed| routed.cost_before_nano_usd())?;
        Some(answer.saturating_add(before))
    }

    /// `answers`: it is the last one of a request that was answered, and its end is the request's.
    fn attempt(&self, attempt: &Attempt, answers: bool, fate: Fate) -> EndedAttempt {
        let ms = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default();
        let own = match attempt.outcome {
            Outcome::Ok | Outcome::Resumed => Fate::Answered,
            Outcome::Error | Outcome::Timeout => Fate::Failed,
            Outcome::Cancelled => Fate::Cancelled,
        };
        EndedAttempt {
            endpoint: Arc::clone(&attempt.endpoint),
            provider: self.runtime.protocol(&attempt.endpoint).map(provider),
            model: Arc::clone(&attempt.model),
            started: ms(attempt.started_ms),
            total: ms(attempt.total_ms),
            first_content: attempt.first_token_ms.map(ms),
            fate: if answers && own == Fate::Answered { fate } else { own },
            status: attempt.status,
            code: attempt.code,
            answered: answers && own == Fate::Answered,
        }
    }
}

/// As `gen_ai.provider.name` has it; what speaks OpenAI's dialect counts as OpenAI's.
fn provider(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::OpenAi => "openai",
        Protocol::Anthropic => "anthropic",
        Protocol::Gemini => "gcp.gemini",
        Protocol::Ollama => "ollama",
        Protocol::Azure => "azure.ai.openai",
        Protocol::UatEngine => "uat",
    }
}

pub(crate) fn tokens(report: &RoutingReport) -> Option<Tokens> {
    report.usage.map(|usage| Tokens {
        prompt: usage.prompt_tokens,
        cached_prompt: usage.prompt_tokens_details.map_or(0, |details| details.cached_tokens),
        completion: usage.completion_tokens,
    })
}

/// A path that nobody has may be as long as a head.
fn shortened(path: &str) -> &str {
    const LONGEST: usize = 256;
    match path.char_indices().nth(LONGEST) {
        Some((end, _)) => &path[..end],
        None => path,
    }
}

/// A request under way; dropped when its answer has been handed over, or its client has gone.
pub(crate) struct Recording {
    observer: Arc<Observer>,
    trail: Arc<Trail>,
    route: Option<&'static Route>,
    asked: Option<Asked>,
}

/// What logs and traces say of its first line; only kept where there are any, and copied, because a [`http::Uri`]
/// keeps the connection's read buffer.
struct Asked {
    method: Arc<str>,
    path: Arc<str>,
}

impl Recording {
    pub(crate) fn new<B>(observer: &Arc<Observer>, trail: &Arc<Trail>, request: &Request<B>) -> Self {
        let path = request.uri().path();
        let is_told = observer.access_log.is_some() || trail.begun.is_some();
        let asked = || Asked { method: request.method().as_str().into(), path: shortened(path).into() };
        Self {
            observer: Arc::clone(observer),
            trail: Arc::clone(trail),
            route: route_of(path),
            asked: is_told.then(asked),
        }
    }

    pub(crate) fn trail(&self) -> &Arc<Trail> {
        &self.trail
    }

    /// The head of the answer is there. What is known of a stream can be asked for from now on.
    pub(crate) fn answers(&self, status: u16) {
        if self.trail.status(status) {
            self.observer.recent.keep(&self.trail);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.observer.ended(&self.trail, self.route, self.asked.take());
    }
}
