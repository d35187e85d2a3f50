//! `GET /openapi.json`: what this server answers, as OpenAPI 3.1.
//!
//! Written by hand: generators describe types of Rust, and these documents have none. They pass from client to endpoint as
//! they are, and only what is said about them here is checked. Two tests keep it true: every route is described and
//! nothing else (below), and every described answer is one that the server gives (`tests/api/openapi.rs`).

mod operations;

use std::sync::OnceLock;

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use serde_json::{Map, Value, json};

use crate::headers::JSON;
use crate::surfaces::with_type;
use operations::{Described, Dialect, OPERATIONS, Says};

/// Schemas by their names, one file for each dialect.
const SCHEMAS: [&str; 6] = [
    include_str!("schemas/openai.json"),
    include_str!("schemas/anthropic.json"),
    include_str!("schemas/gemini.json"),
    include_str!("schemas/ollama.json"),
    include_str!("schemas/operations.json"),
    include_str!("schemas/parameters.json"),
];

pub(crate) async fn openapi() -> Response<Body> {
    static WRITTEN: OnceLock<Bytes> = OnceLock::new();
    let written = WRITTEN.get_or_init(|| document().to_string().into());
    with_type(written.clone(), JSON)
}

fn document() -> Value {
    let mut paths = Map::new();
    for described in OPERATIONS {
        let path = paths.entry(described.path).or_insert_with(|| json!({}));
        path[described.method] = operation(described);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Universal AI Tools",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT", "identifier": "MIT" },
            "description": "A gateway to language models, in the dialects of OpenAI, Anthropic, Gemini and Ollama. \
                Every dialect reaches every model. Fields that are not named here pass to endpoints of the same dialect. \
                Every GET answers HEAD too; another method is 405 and says in Allow what is possible; an unknown path is 404."
        },
        "servers": [{ "url": "/" }],
        "tags": [
            { "name": "openai" }, { "name": "anthropic" }, { "name": "gemini" }, { "name": "ollama" },
            { "name": "parameters", "description": "Studies and bandits: what to try next, and what is best so far." },
            { "name": "operations", "description": "For those who operate the server." }
        ],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "headers": headers(),
            "parameters": parameters(),
            "securitySchemes": security_schemes()
        },
        // Without keys in the configuration, clients on loopback need none.
        "security": [{}, { "bearer": [] }, { "x-api-key": [] }, { "api-key": [] }, { "x-goog-api-key": [] }]
    })
}

fn schemas() -> Value {
    let mut all = Map::new();
    for file in SCHEMAS {
        // A file that is no JSON fails the tests.
        if let Ok(Value::Object(schemas)) = serde_json::from_str(file) {
            all.extend(schemas);
        }
    }
    Value::Object(all)
}

fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn operation(described: &Described) -> Value {
    let mut operation = json!({
        "operationId": described.id,
        "tags": [described.tag()],
        "summary": described.summary,
        "parameters": parameters_of(described),
        "responses": responses(described),
    });
    if let Some(request) = described.request {
        let media = match described.path {
            "/v1/audio/transcriptions" => "multipart/form-data",
            "/whip" => "application/sdp",
            _ => "application/json",
        };
        let content = json!({ media: { "schema": schema(request) } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    if described.says == Says::Health {
        operation["security"] = json!([]);
    }
    operation
}

fn parameters_of(described: &Described) -> Vec<Value> {
    let named = described.path.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let mut parameters: Vec<Value> = named
        .map(|(name, _)| {
            let schema = json!({ "type": "string", "minLength": 1 });
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    let mut add = |names: &[&str]| {
        parameters
            .extend(names.iter().map(|name| json!({ "$ref": format!("#/components/parameters/{name}") })));
    };
    add(&["request-id"]);
    match described.says {
        Says::Model => add(&["timeout", "cache", "route", "traceparent"]),
        Says::Count => add(&["timeout", "route"]),
        _ => {}
    }
    if described.path == "/v1/routing/{request_id}" {
        add(&["record"]);
    }
    if described.says == Says::Upgrades {
        let intent = json!({ "type": "string", "const": "transcription" });
        parameters.push(json!({ "name": "intent", "in": "query", "required": true, "schema": intent }));
        parameters.push(json!({ "name": "model", "in": "query", "schema": { "type": "string" } }));
        return parameters;
    }
    if described.path.ends_with(":streamGenerateContent") {
        add(&["alt"]);
    }
    if described.says == Says::Hears {
        for (name, kind) in [
            ("model", "string"),
            ("language", "string"),
            ("threshold", "number"),
            ("silence_duration_ms", "integer"),
        ] {
            parameters.push(json!({ "name": name, "in": "query", "schema": { "type": kind } }));
        }
    }
    parameters
}

fn responses(described: &Described) -> Value {
    let mut responses = Map::new();
    if let Some(answer) = described.answer {
        let mut content = Map::new();
        for (media, schema_name) in answer {
            let body = match schema_name {
                Some(name) => schema(name),
                // Readers hold it against each event, not against all of them as one text.
                None if *media == "text/event-stream" => json!({}),
                None => json!({ "type": "string" }),
            };
            content.insert((*media).to_owned(), json!({ "schema": body }));
        }
        let headers = answer_headers(described.says);
        let answer = json!({ "description": "The answer.", "headers": headers, "content": content });
        if matches!(described.says, Says::Creates | Says::Hears) {
            responses.insert("201".to_owned(), answer.clone());
        }
        if described.says != Says::Hears {
            responses.insert("200".to_owned(), answer);
        }
    }
    if described.says == Says::Upgrades {
        responses.insert("101".to_owned(), json!({ "description": "A WebSocket, see docs/voice.md." }));
    }
    for (status, meaning) in described.errors() {
        let body = match (described.path, *status) {
            ("/health/ready", "503") => schema("Ready"),
            // Who may call is decided before the dialect is known.
            (_, "401" | "403" | "421") if described.dialect != Dialect::OpenAi => {
                json!({ "anyOf": [schema(described.dialect.error()), schema(Dialect::OpenAi.error())] })
            }
            _ => schema(described.dialect.error()),
        };
        let mut headers = json!({ "x-request-id": header("x-request-id") });
        if described.path != "/health/ready" || *status != "503" {
            headers["x-uat-code"] = header("x-uat-code");
        }
        if matches!(*status, "429" | "502" | "503" | "504") {
            headers["retry-after"] = header("retry-after");
        }
        let content = json!({ "application/json": { "schema": body } });
        responses.insert(
            (*status).to_owned(),
            json!({ "description": meaning, "headers": headers, "content": content }),
        );
    }
    Value::Object(responses)
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

fn answer_headers(says: Says) -> Value {
    let names: &[&str] = match says {
        Says::Model => &[
            "x-request-id",
            "x-uat-model",
            "x-uat-endpoint",
            "x-uat-attempts",
            "x-uat-cache",
            "x-uat-overhead-us",
            "x-uat-dropped",
        ],
        Says::Count => &["x-request-id", "x-uat-estimate"],
        Says::Hears => &["x-request-id", "location"],
        Says::Reads
        | Says::Upgrades
        | Says::Judges
        | Says::Creates
        | Says::Changes
        | Says::Lists
        | Says::Health
        | Says::Static => &["x-request-id"],
    };
    Value::Object(names.iter().map(|name| ((*name).to_owned(), header(name))).collect())
}

fn headers() -> Value {
    let text = |meaning: &str| json!({ "description": meaning, "schema": { "type": "string" } });
    let number =
        |meaning: &str| json!({ "description": meaning, "schema": { "type": "integer", "minimum": 0 } });
    json!({
        "x-request-id": text("The request's id; the client's own, where it sent one that may be repeated."),
        "x-uat-code": text("The stable code of an error, UAT_..."),
        "x-uat-model": text("The public name of the model that answered."),
        "x-uat-endpoint": text("The endpoint that answered. Absent, with the other x-uat- headers, on a stream whose head went out before its first content."),
        "x-uat-attempts": number("How many tries it took; 0 for an answer of the cache."),
        "x-uat-cache": { "description": "Whether the cache answered.", "schema": { "type": "string", "enum": ["hit", "miss", "bypass"] } },
        "x-uat-overhead-us": number("The gateway's own share of the time until the answer or its first content, in microseconds."),
        "x-uat-dropped": text("Fields of the request that the endpoint was not told."),
        "x-uat-estimate": { "description": "Nobody counted the tokens, and there are not more.", "schema": { "type": "string", "enum": ["upper"] } },
        "retry-after": number("When to come back, in seconds."),
        "location": text("The path of what was made: DELETE ends it."),
    })
}

fn parameters() -> Value {
    let header = |name: &str, meaning: &str, schema: Value| json!({ "name": name, "in": "header", "description": meaning, "schema": schema });
    json!({
        "request-id": header("x-request-id", "Kept as the request's id if it has at most 128 letters, digits, '-', '_', '.' or ':'.", json!({ "type": "string" })),
        "timeout": header("x-uat-timeout-ms", "The request's own limit in milliseconds, from its arrival to the end of its answer.", json!({ "type": "integer", "minimum": 1 })),
        "cache": header("x-uat-cache", "on: the response cache may answer whatever the temperature; off: it may not.", json!({ "type": "string", "enum": ["on", "off"] })),
        "route": header("x-uat-route", "What is wanted of whoever answers, where model is auto or tier:NAME: capability=WORD, max-latency-ms=NUMBER, max-cost-usd=NUMBER, task=WORD, cascade=CHECK, k=NUMBER, threshold=NUMBER, with commas between them.", json!({ "type": "string" })),
        "record": { "name": "record", "in": "query", "description": "Also what it takes to decide the same again.", "schema": { "type": "string" } },
        "traceparent": header("traceparent", "The caller's trace, which is continued: https://www.w3.org/TR/trace-context/.", json!({ "type": "string" })),
        "alt": { "name": "alt", "in": "query", "description": "sse: events; otherwise the elements of one array.", "schema": { "type": "string", "enum": ["sse", "json"] } },
    })
}

fn security_schemes() -> Value {
    let header = |name: &str| json!({ "type": "apiKey", "in": "header", "name": name });
    json!({
        "bearer": { "type": "http", "scheme": "bearer" },
        "x-api-key": header("x-api-key"),
        "api-key": header("api-key"),
        "x-goog-api-key": header("x-goog-api-key"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surfaces::ROUTES;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let described: Vec<(&str, &str)> =
            OPERATIONS.iter().map(|operation| (operation.path, operation.method)).collect();
        let mut routed = Vec::new();
        for route in ROUTES {
            routed.extend(
                route.methods.iter().map(|method| (route.path, method.as_str().to_ascii_lowercase())),
            );
        }
        for (path, method) in &routed {
            assert!(described.contains(&(*path, method.as_str())), "{method} {path} is not described");
        }
        assert_eq!(described.len(), routed.len(), "something is described that has no route");
    }

    #[test]
    fn names_are_told_once_and_lead_somewhere() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let in_files: usize =
            SCHEMAS.iter().map(|file| serde_json::from_str::<Map<String, Value>>(file).unwrap().len()).sum();
        assert_eq!(schemas.len(), in_files, "two files have a schema of the same name");
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"").skip(1) {
            let pointer = reference.split('"').next().unwrap().trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        }
        for name in schemas.keys() {
            assert!(text.contains(&format!("schemas/{name}\"")), "nothing names the schema {name}");
        }
        let mut ids: Vec<&str> = OPERATIONS.iter().map(|operation| operation.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), OPERATIONS.len());
    }
}
