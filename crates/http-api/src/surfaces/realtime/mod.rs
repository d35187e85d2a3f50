//! `GET /v1/realtime?intent=transcription`: OpenAI's WebSocket, into which somebody speaks and out of which words come.
//!
//! [`settings`] is what a client asks for, [`told`] what it is told: both pure. [`socket`] is the conversation.

mod outbox;
mod settings;
mod socket;
mod told;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use llm_wire::WireError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{may_use, openai_answer, parameter};
use crate::afterwards::Afterwards;
use crate::error::ApiError;
use crate::gateway::{Call, Gateway};
use socket::Conversation;

pub(super) use outbox::Outbox;
pub(super) use settings::{Invalid, Settings};
pub(super) use told::Told;

/// The path.
pub(super) const REALTIME: &str = "/v1/realtime";

/// The protocol that OpenAI's clients offer from browsers.
const PROTOCOL: &str = "realtime";

pub(super) async fn realtime(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    let answered = Box::pin(upgraded(&gateway, &call, request)).await;
    openai_answer(&call, answered)
}

async fn upgraded(gateway: &Gateway, call: &Call, mut request: Request) -> Result<Response<Body>, ApiError> {
    let accept = accept_key(request.headers()).ok_or(ApiError::NoWebSocket)?;
    let model = asked(request.uri().query().unwrap_or_default())?;
    let voices = Arc::clone(gateway.runtime.voice().await?);
    let settings = Settings::new(voices.model(model.as_deref()));
    call.trail.asks(&settings.model);
    may_use(call.caller.as_ref(), &settings.model)?;
    // What is missing is told before anybody speaks.
    let live = voices.live(Some(&settings.model)).await?;
    let protocol = offers_protocol(request.headers());
    let afterwards = request.extensions().get::<Afterwards>().cloned().ok_or(ApiError::NoWebSocket)?;
    let socket = hyper::upgrade::on(&mut request);
    let conversation = Conversation {
        voices,
        live,
        settings,
        caller: call.caller.clone(),
        id: Arc::clone(&call.request_id),
        draining: afterwards.draining(),
    };
    afterwards.set(async move {
        match socket.await {
            Ok(socket) => conversation.hold(socket).await,
            Err(error) => tracing::debug!(%error, "a connection did not become a WebSocket"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    Ok(response)
}

/// What a WebSocket is answered with, if it is one (RFC 6455, section 4.2.1).
fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let says = |name: http::HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    let is_one = says(CONNECTION, "upgrade")
        && says(UPGRADE, "websocket")
        && says(http::header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| is_one)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()
}

fn offers_protocol(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|value| value.split(',')).any(|protocol| protocol.trim() == PROTOCOL)
}

/// The model of a query that wants a transcription.
fn asked(query: &str) -> Result<Option<String>, ApiError> {
    match parameter(query, "intent") {
        Some("transcription") => {
            Ok(parameter(query, "model").filter(|model| !model.is_empty()).map(str::to_owned))
        }
        other => Err(WireError::Invalid {
            field: "intent".to_owned(),
            expected: "intent=transcription in the query: speech is written down here, and not answered"
                .to_owned(),
            got: other.unwrap_or("nothing").chars().take(100).collect(),
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcription_must_be_what_is_asked_for() {
        assert_eq!(asked("intent=transcription").unwrap(), None);
        assert_eq!(
            asked("model=whisper-base&intent=transcription").unwrap().as_deref(),
            Some("whisper-base")
        );
        assert!(asked("model=gpt-realtime").is_err() && asked("").is_err());
    }

    #[test]
    fn the_key_of_the_rfc_has_the_answer_of_the_rfc() {
        let headers = |connection: &'static str| {
            let pairs = [
                ("connection", connection),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("sec-websocket-protocol", "realtime, openai-insecure-api-key.k"),
            ];
            pairs
                .into_iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect::<HeaderMap>()
        };
        let accept = accept_key(&headers("keep-alive, Upgrade"));
        assert_eq!(accept.unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(accept_key(&headers("close")), None);
        assert!(offers_protocol(&headers("upgrade")));
    }
}
