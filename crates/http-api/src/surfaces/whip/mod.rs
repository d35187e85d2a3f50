//! `POST /whip`: a browser's offer in, an answer out; then it speaks over WebRTC, and reads the words on its data channel (RFC 9725).
//!
//! What it is told are the events of `/v1/realtime`. [`browser`] is one of those that speak; [`runtime::Port`] is the socket of all.

mod browser;

use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use futures_util::StreamExt;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use llm_wire::WireError;
use runtime::RuntimeError;
use runtime::webrtc_audio::{LONGEST_OFFER, OfferError, check_offer};
use serde_json::{Value, json};

use super::realtime::{Invalid, Settings};
use super::{may_use, openai_answer, parameter, with_type};
use crate::error::ApiError;
use crate::gateway::{Call, Gateway};
use crate::headers::{HTML, JSON, SDP};
use crate::request_body::pieces;

pub(crate) use browser::Browser;

/// The path.
pub(super) const WHIP: &str = "/whip";

pub(super) async fn offer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    let answered = Box::pin(taken(&gateway, &call, request)).await;
    openai_answer(&call, answered)
}

async fn taken(gateway: &Gateway, call: &Call, request: Request) -> Result<Response<Body>, ApiError> {
    let (parts, body) = request.into_parts();
    is_offer(&parts.headers)?;
    let port = gateway.voice.port.as_ref().ok_or(RuntimeError::Closed)?;
    let offer = collected(body).await?;
    // Before a model is loaded for it.
    if !check_offer(&offer)? {
        return Err(ApiError::NoChannel);
    }
    let voices = Arc::clone(gateway.runtime.voice().await?);
    let query = parts.uri.query().unwrap_or_default();
    let settings = Settings::new(voices.model(asked(query, "model"))).updated(&session(query));
    let settings = settings.map_err(invalid)?;
    call.trail.asks(&settings.model);
    may_use(call.caller.as_ref(), &settings.model)?;
    let live = voices.live(Some(&settings.model)).await?;
    // Not the request's, which a client may choose: who knows it can end the session.
    let id = gateway.runtime.new_request_id();
    let (caller, traffic) = (call.caller.clone(), Arc::clone(&gateway.traffic));
    let browser = Browser::new(id.clone(), caller, settings, &live, port.news(), traffic);
    let answer = port.offer(offer, browser.map_err(RuntimeError::from)?).await?;
    let mut response = with_type(answer, SDP);
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::from_str(&format!("{WHIP}/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn end(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    request: Request,
) -> Response<Body> {
    let call = gateway.call(&request);
    let caller = call.caller.as_ref().map(|key| Arc::clone(key.name()));
    let ended = match &gateway.voice.port {
        Some(port) => port.close(&id, move |browser| browser.is_of(caller.as_ref())).await,
        None => false,
    };
    let answered = match ended {
        true => Ok(with_type("{}", JSON)),
        false => Err(ApiError::NoSuchSession { id: id.chars().take(100).collect() }),
    };
    openai_answer(&call, answered)
}

/// What the page may do: its own style and script, and calls to us.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// A page to speak to, where the server was started with one.
pub(super) async fn page(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    let answered = gateway.voice.demo_page.ok_or(ApiError::NoDemoPage).map(|page| {
        let mut response = with_type(page, HTML);
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, PAGE_POLICY);
        response
    });
    openai_answer(&call, answered)
}

fn is_offer(headers: &HeaderMap) -> Result<(), ApiError> {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = said.unwrap_or("nothing").split(';').next().unwrap_or_default().trim();
    match media.eq_ignore_ascii_case("application/sdp") {
        true => Ok(()),
        false => Err(ApiError::NoOffer { got: media.chars().take(100).collect() }),
    }
}

async fn collected(body: Body) -> Result<String, ApiError> {
    let mut pieces = pin!(pieces(body, LONGEST_OFFER));
    let mut offer = Vec::new();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => offer.extend_from_slice(&piece),
            Err(ApiError::BodyTooLarge { limit }) => {
                return Err(OfferError::TooLong { length: limit + 1, longest: limit }.into());
            }
            Err(error) => return Err(error),
        }
    }
    // What is no text is refused for what it begins with.
    Ok(String::from_utf8(offer)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// What is said of a parameter, if something is.
fn asked<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    parameter(query, name).filter(|value| !value.is_empty())
}

/// What a query asks for, as a client of `/v1/realtime` says it.
fn session(query: &str) -> Value {
    // What is no number is refused as what it is.
    let number = |name| -> Option<Value> {
        asked(query, name).map(|text| serde_json::from_str(text).unwrap_or_else(|_| text.into()))
    };
    json!({ "type": "transcription", "audio": { "input": {
        "transcription": { "language": asked(query, "language") },
        "turn_detection": {
            "type": "server_vad", "threshold": number("threshold"),
            "silence_duration_ms": number("silence_duration_ms"),
        },
    } } })
}

fn invalid(Invalid { param, expected, got }: Invalid) -> ApiError {
    // Named as the query has it.
    let field = param.rsplit('.').next().unwrap_or_default().to_owned();
    WireError::Invalid { field, expected, got }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_how_speech_is_heard() {
        let of = |query: &str| Settings::new("m").updated(&session(query));
        assert_eq!(of(""), Ok(Settings::new("m")));
        let options = of("language=de&silence_duration_ms=300&threshold=0.6&model=x").unwrap().options();
        assert_eq!(
            (options.language.as_deref(), options.endpoint_silence_ms, options.threshold),
            (Some("de"), 300, 0.6)
        );
        for query in ["threshold=2", "threshold=loud", "silence_duration_ms=-1"] {
            let error = invalid(of(query).unwrap_err());
            let name = query.split('=').next().unwrap();
            assert!(matches!(&error, ApiError::Runtime(error) if error.param() == Some(name)), "{error:?}");
        }
    }
}
