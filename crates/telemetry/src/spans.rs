//! An ended request as spans: its own, of a server, and one for each attempt, of a client.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use crate::ended::{EndedAttempt, Fate, Tokens};
use crate::exporter::Item;
use crate::semconv::{self, Operation};

/// Who sends.
#[derive(Debug, Clone)]
pub(crate) struct Resource(Vec<KeyValue>);

impl Resource {
    pub(crate) fn new(service_name: &str, instance: (&'static str, String)) -> Self {
        let mut attributes = Attributes::default();
        attributes.text(semconv::SERVICE_NAME, service_name);
        attributes.text(semconv::SERVICE_VERSION, env!("CARGO_PKG_VERSION"));
        attributes.text(instance.0, &instance.1);
        Self(attributes.0)
    }
}

/// The message that hands over these spans.
pub(crate) fn request(resource: &Resource, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: "uat".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let schema_url = semconv::CONVENTIONS.to_owned();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(OtlpResource { attributes: resource.0.clone(), ..OtlpResource::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, schema_url: schema_url.clone() }],
            schema_url,
        }],
    }
}

/// The spans of one request, its own first.
pub(crate) fn spans(item: &Item) -> Vec<Span> {
    let attempts = item.request.attempts.iter().enumerate();
    let attempts = attempts.map(|(number, attempt)| attempt_span(item, number, attempt));
    std::iter::once(request_span(item)).chain(attempts).collect()
}

fn request_span(Item { begun, request }: &Item) -> Span {
    let mut attributes = Attributes::default();
    attributes.text(semconv::HTTP_REQUEST_METHOD, &request.method);
    attributes.text(semconv::URL_SCHEME, "http");
    attributes.text(semconv::URL_PATH, &request.path);
    attributes.optional(semconv::HTTP_ROUTE, request.route);
    attributes.number(semconv::HTTP_RESPONSE_STATUS_CODE, request.status.into());
    attributes.text(semconv::UAT_REQUEST_ID, &request.request_id);
    attributes.optional(semconv::UAT_KEY_NAME, request.key.as_deref());
    attributes.optional(semconv::UAT_ENDPOINT, request.endpoint.as_deref());
    attributes.optional(semconv::UAT_CACHE, request.cache);
    if request.operation.is_some() {
        attributes.number(semconv::UAT_ATTEMPTS, request.attempts.len() as u64);
    }
    if let Some(overhead) = request.overhead {
        attributes.number(semconv::UAT_OVERHEAD_US, u64::try_from(overhead.as_micros()).unwrap_or(u64::MAX));
    }
    if let Some(cost) = request.cost_nano_usd {
        attributes.real(semconv::UAT_COST_USD, cost as f64 / 1e9);
    }
    attributes.optional(semconv::GEN_AI_OPERATION_NAME, request.operation.map(Operation::as_str));
    attributes.optional(semconv::GEN_AI_REQUEST_MODEL, request.model.as_deref());
    if request.endpoint.is_some() {
        attributes.optional(semconv::GEN_AI_RESPONSE_MODEL, request.model.as_deref());
    }
    attributes.seconds(semconv::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, request.first_content);
    attributes.tokens(request.tokens);
    // A server's span is an error where the server is at fault.
    let failed = request.fate == Fate::Failed && (request.status >= 500 || request.status < 400);
    let error = error_type(request.fate, request.code, request.status);
    attributes.optional(semconv::ERROR_TYPE, error.as_deref());
    let name = match request.route {
        Some(route) => format!("{} {route}", request.method),
        None => request.method.to_string(),
    };
    Span {
        trace_id: begun.context.trace_id().to_be_bytes().to_vec(),
        span_id: begun.context.span_id().to_be_bytes().to_vec(),
        parent_span_id: begun.parent.map(|span| span.to_be_bytes().to_vec()).unwrap_or_default(),
        trace_state: begun.context.tracestate().unwrap_or_default().to_owned(),
        flags: flags(begun.parent.is_some()),
        name,
        kind: SpanKind::Server.into(),
        start_time_unix_nano: unix_nanos(request.received),
        end_time_unix_nano: unix_nanos(request.received + request.total),
        attributes: attributes.0,
        status: failed.then(|| error_status(error)),
        ..Span::default()
    }
}

fn attempt_span(Item { begun, request }: &Item, number: usize, attempt: &EndedAttempt) -> Span {
    let operation = request.operation.unwrap_or(Operation::Chat).as_str();
    let mut attributes = Attributes::default();
    attributes.text(semconv::GEN_AI_OPERATION_NAME, operation);
    attributes.optional(semconv::GEN_AI_PROVIDER_NAME, attempt.provider);
    attributes.text(semconv::GEN_AI_REQUEST_MODEL, &attempt.model);
    attributes.text(semconv::UAT_ENDPOINT, &attempt.endpoint);
    attributes.number(semconv::UAT_ATTEMPT_NUMBER, number as u64);
    if let Some(status) = attempt.status {
        attributes.number(semconv::HTTP_RESPONSE_STATUS_CODE, status.into());
    }
    attributes.seconds(semconv::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, attempt.first_content);
    if attempt.answered {
        attributes.tokens(request.tokens);
    }
    let failed = attempt.fate == Fate::Failed;
    let error = error_type(attempt.fate, attempt.code, attempt.status.unwrap_or(0));
    attributes.optional(semconv::ERROR_TYPE, error.as_deref());
    let begins = request.received + attempt.started;
    Span {
        trace_id: begun.context.trace_id().to_be_bytes().to_vec(),
        span_id: begun.context.child_span(number).to_be_bytes().to_vec(),
        parent_span_id: begun.context.span_id().to_be_bytes().to_vec(),
        trace_state: begun.context.tracestate().unwrap_or_default().to_owned(),
        flags: flags(false),
        name: format!("{operation} {}", attempt.model),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: unix_nanos(begins),
        end_time_unix_nano: unix_nanos(begins + attempt.total),
        attributes: attributes.0,
        status: failed.then(|| error_status(error)),
        ..Span::default()
    }
}

/// Sampled, and whether the parent is somebody else's is known: bits 0, 8 and 9 of OTLP's flags.
fn flags(parent_is_remote: bool) -> u32 {
    1 | 1 << 8 | u32::from(parent_is_remote) << 9
}

fn error_type(fate: Fate, code: Option<&'static str>, status: u16) -> Option<String> {
    match (fate, code) {
        (Fate::Answered, _) => None,
        (Fate::Cancelled, _) => Some("UAT_CANCELLED".to_owned()),
        (Fate::Failed, Some(code)) => Some(code.to_owned()),
        (Fate::Failed, None) => Some(status.to_string()),
    }
}

fn error_status(error: Option<String>) -> Status {
    Status { code: StatusCode::Error.into(), message: error.unwrap_or_default() }
}

fn unix_nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn value(&mut self, key: &'static str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        self.0.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() });
    }

    fn text(&mut self, key: &'static str, text: &str) {
        self.value(key, Value::StringValue(text.to_owned()));
    }

    fn optional(&mut self, key: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    fn number(&mut self, key: &'static str, number: u64) {
        self.value(key, Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX)));
    }

    fn real(&mut self, key: &'static str, number: f64) {
        self.value(key, Value::DoubleValue(number));
    }

    fn seconds(&mut self, key: &'static str, time: Option<Duration>) {
        if let Some(time) = time {
            self.real(key, time.as_secs_f64());
        }
    }

    fn tokens(&mut self, tokens: Option<Tokens>) {
        let Some(Tokens { prompt, cached_prompt, completion }) = tokens else { return };
        self.number(semconv::GEN_AI_USAGE_INPUT_TOKENS, prompt);
        self.number(semconv::GEN_AI_USAGE_OUTPUT_TOKENS, completion);
        if cached_prompt > 0 {
            self.number(semconv::GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, cached_prompt);
        }
    }
}

#[cfg(test)]
mod tests;
