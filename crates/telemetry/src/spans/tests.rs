use super::*;
use crate::ended::EndedRequest;
use crate::traces::Begun;
use trace_context::TraceContext;

fn attempt(endpoint: &str, fate: Fate) -> EndedAttempt {
    EndedAttempt {
        endpoint: endpoint.into(),
        provider: Some("anthropic"),
        model: "claude".into(),
        started: Duration::from_millis(2),
        total: Duration::from_millis(30),
        first_content: None,
        fate,
        status: Some(if fate == Fate::Answered { 200 } else { 503 }),
        code: (fate == Fate::Failed).then_some("UAT_UPSTREAM"),
        answered: fate == Fate::Answered,
    }
}

fn item(status: u16, fate: Fate, attempts: Vec<EndedAttempt>) -> Item {
    let request = EndedRequest {
        received: UNIX_EPOCH + Duration::from_secs(1_000),
        request_id: "req_1".into(),
        key: Some("team-a".into()),
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        route: Some("/v1/chat/completions"),
        operation: Some(Operation::Chat),
        status,
        fate,
        code: (fate == Fate::Failed).then_some("UAT_ALL_ENDPOINTS_FAILED"),
        model: Some("m".into()),
        endpoint: (fate == Fate::Answered).then(|| "b".into()),
        cache: Some("miss"),
        attempts,
        tokens: Some(Tokens { prompt: 11, cached_prompt: 4, completion: 7 }),
        cost_nano_usd: Some(1_500),
        first_content: Some(Duration::from_millis(50)),
        total: Duration::from_millis(90),
        overhead: Some(Duration::from_micros(80)),
    };
    let context =
        TraceContext::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some(b"v=1"));
    Item { begun: Begun { context: context.unwrap(), parent: Some(9) }, request }
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

fn text(text: &str) -> Option<Value> {
    Some(Value::StringValue(text.to_owned()))
}

#[test]
fn a_request_is_a_servers_span_and_its_attempts_are_a_clients() {
    let item = item(200, Fate::Answered, vec![attempt("a", Fate::Failed), attempt("b", Fate::Answered)]);
    let spans = spans(&item);
    let [request, first, second] = spans.as_slice() else { panic!("{}", spans.len()) };
    assert_eq!((request.kind(), first.kind()), (SpanKind::Server, SpanKind::Client));
    assert_eq!((request.name.as_str(), first.name.as_str()), ("POST /v1/chat/completions", "chat claude"));
    assert_eq!(request.parent_span_id, 9u64.to_be_bytes());
    assert_eq!((&first.parent_span_id, &second.parent_span_id), (&request.span_id, &request.span_id));
    assert_eq!(second.span_id, item.begun.context.child(1).span_id().to_be_bytes());
    assert!(spans.iter().all(|span| span.trace_id == request.trace_id && span.trace_state == "v=1"));
    assert_eq!(request.end_time_unix_nano - request.start_time_unix_nano, 90_000_000);
    assert_eq!(first.start_time_unix_nano - request.start_time_unix_nano, 2_000_000);
}

#[test]
fn the_names_are_those_of_the_conventions() {
    let spans = spans(&item(200, Fate::Answered, vec![attempt("b", Fate::Answered)]));
    let [request, attempt] = spans.as_slice() else { panic!() };
    for span in [request, attempt] {
        assert_eq!(attribute(span, "gen_ai.operation.name").cloned(), text("chat"));
        assert_eq!(attribute(span, "gen_ai.usage.input_tokens"), Some(&Value::IntValue(11)));
        assert_eq!(attribute(span, "gen_ai.usage.output_tokens"), Some(&Value::IntValue(7)));
        assert_eq!(attribute(span, "gen_ai.usage.cache_read.input_tokens"), Some(&Value::IntValue(4)));
        assert_eq!(attribute(span, "http.response.status_code"), Some(&Value::IntValue(200)));
    }
    assert_eq!(attribute(request, "gen_ai.request.model").cloned(), text("m"));
    assert_eq!(attribute(request, "gen_ai.response.model").cloned(), text("m"));
    assert_eq!(attribute(attempt, "gen_ai.provider.name").cloned(), text("anthropic"));
    assert_eq!(attribute(attempt, "gen_ai.request.model").cloned(), text("claude"));
}

#[test]
fn only_what_the_server_is_to_blame_for_is_an_error_of_its_span() {
    let is_error = |status, fate| {
        let spans = spans(&item(status, fate, vec![attempt("a", Fate::Failed)]));
        (spans[0].status.is_some(), spans[1].status.is_some())
    };
    assert_eq!(is_error(502, Fate::Failed), (true, true));
    assert_eq!(is_error(200, Fate::Failed), (true, true), "a stream that failed after its beginning");
    assert_eq!(is_error(400, Fate::Failed), (false, true));
    assert_eq!(is_error(200, Fate::Answered), (false, true));
    assert_eq!(is_error(499, Fate::Cancelled), (false, true));
}

#[test]
fn what_failed_says_by_its_code() {
    let spans = spans(&item(502, Fate::Failed, vec![attempt("a", Fate::Failed)]));
    assert_eq!(attribute(&spans[0], "error.type").cloned(), text("UAT_ALL_ENDPOINTS_FAILED"));
    assert_eq!(attribute(&spans[1], "error.type").cloned(), text("UAT_UPSTREAM"));
}
