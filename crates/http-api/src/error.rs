use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use llm_wire::WireError;
use llm_wire::openai::ErrorBody;
use runtime::webrtc_audio::OfferError;
use runtime::{Attempt, HttpError, PortError, RuntimeError, error_body, row_of};

use crate::gate::Refusal;
use crate::headers::{JSON, UAT_CODE};

/// When to come back where too many are heard: who never connected has been forgotten by then.
const FULL_PAUSE: Duration = Duration::from_secs(15);

/// Why a request gets no answer: the core's reasons, and those that only a server has.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("the request body is larger than {limit} bytes; raise server.max_body_mb, or send less")]
    BodyTooLarge { limit: usize },
    #[error("the request body came too slowly: expected it within {} s, at 8 KiB/s or more", limit.as_secs())]
    BodyTooSlow { limit: Duration },
    #[error("the request body ended before it was complete")]
    BodyCut,
    #[error("expected a WebSocket (Upgrade: websocket, version 13), got a plain request")]
    NoWebSocket,
    #[error(transparent)]
    Offer(#[from] OfferError),
    #[error("expected an SDP offer with the content-type application/sdp, got {got}")]
    NoOffer { got: String },
    #[error(
        "expected an offer with a data channel (createDataChannel before createOffer): words are told there, got one without"
    )]
    NoChannel,
    #[error("there is no demo page here: start the server as `uat serve --demo-page`")]
    NoDemoPage,
    #[error("there is no session `{id}`: it has ended, or is somebody else's")]
    NoSuchSession { id: String },
    #[error("there is no {path} here{}", nearest.map(|near| format!("; did you mean {near}?")).unwrap_or_default())]
    NoSuchPath { path: String, nearest: Option<&'static str> },
    #[error(
        "there is no response `{id}` here, because none is stored (each is answered with store: false); keep what POST /v1/responses answers"
    )]
    NotStored { id: String },
    #[error(
        "there is no report of the request `{id}`: it is unknown, somebody else's, or one of an earlier while; ask with the x-request-id of an answer, soon after it"
    )]
    NoSuchReport { id: String },
    #[error("the request `{id}` has no answer that could be judged")]
    NotAnswered { id: String },
    #[error("the answer to `{id}` was judged already: it counts once")]
    JudgedAlready { id: String },
    #[error("{method} is not possible at {path}: the header Allow names what is")]
    MethodNotAllowed { method: String, path: String },
    #[error(
        "the request means the host `{host}`, which this server is not; call it as 127.0.0.1, localhost or [::1], with its port"
    )]
    ForeignHost { host: String },
    #[error("{path} is for administrators: use a key with `admin = true`, or ask at server.admin_bind")]
    NotAdmin { path: String },
    #[error(
        "web pages of {origin} may not call this server; add the origin to server.allowed_origins to allow it"
    )]
    ForeignOrigin { origin: String },
}

impl From<WireError> for ApiError {
    fn from(error: WireError) -> Self {
        Self::Runtime(error.into())
    }
}

impl From<PortError> for ApiError {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Offer(error) => Self::Offer(error),
            PortError::Closed => Self::Runtime(RuntimeError::Closed),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Host(host) => Self::ForeignHost { host },
            Refusal::Origin(origin) => Self::ForeignOrigin { origin },
        }
    }
}

/// What an answer that is an error tells the observer.
#[derive(Clone)]
pub(crate) struct Failed {
    pub(crate) code: &'static str,
    pub(crate) attempts: Vec<Attempt>,
}

impl ApiError {
    /// What was tried, in order.
    pub(crate) fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Runtime(RuntimeError::Coordinator(error)) => error.attempts(),
            _ => &[],
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Runtime(error) => error.code(),
            Self::Offer(error) => error.code(),
            Self::BodyTooLarge { .. }
            | Self::BodyCut
            | Self::NoWebSocket
            | Self::NoOffer { .. }
            | Self::NoChannel
            | Self::MethodNotAllowed { .. } => "UAT_INVALID_INPUT",
            Self::BodyTooSlow { .. } => "UAT_TIMEOUT",
            Self::NoSuchPath { .. }
            | Self::NotStored { .. }
            | Self::NoSuchReport { .. }
            | Self::NoDemoPage
            | Self::NoSuchSession { .. } => "UAT_NOT_FOUND",
            Self::NotAnswered { .. } | Self::JudgedAlready { .. } => "UAT_CONFLICT",
            Self::NotAdmin { .. } | Self::ForeignHost { .. } | Self::ForeignOrigin { .. } => {
                "UAT_UNAUTHORIZED"
            }
        }
    }

    /// The table's row, with the status that HTTP itself has for the server's own reasons.
    fn http(&self) -> HttpError {
        let (status, code) = match self {
            Self::Runtime(error) => return error.http(),
            Self::BodyTooLarge { .. } => (413, "request_too_large"),
            Self::BodyTooSlow { .. } => (408, "request_timeout"),
            Self::BodyCut => (400, "incomplete_body"),
            Self::NoWebSocket => (426, "upgrade_required"),
            Self::Offer(error @ OfferError::Full { .. }) => {
                let row = row_of(error.code());
                let (kind, code) = (row.kind.into(), row.openai_code.into());
                return HttpError { status: row.status, kind, code, retry_after: Some(FULL_PAUSE) };
            }
            Self::Offer(OfferError::TooLong { .. }) => (413, "request_too_large"),
            Self::Offer(_) | Self::NoChannel => (400, "invalid_offer"),
            Self::NoOffer { .. } => (415, "unsupported_media_type"),
            Self::NoDemoPage | Self::NoSuchSession { .. } => (404, "not_found"),
            Self::NoSuchPath { .. } => (404, "unknown_url"),
            Self::NotStored { .. } => (404, "not_stored"),
            Self::NoSuchReport { .. } => (404, "not_found"),
            Self::NotAnswered { .. } => (409, "not_answered"),
            Self::JudgedAlready { .. } => (409, "judged_already"),
            Self::MethodNotAllowed { .. } => (405, "method_not_allowed"),
            Self::NotAdmin { .. } => (403, "admin_key_required"),
            Self::ForeignHost { .. } => (421, "foreign_host"),
            Self::ForeignOrigin { .. } => (403, "foreign_origin"),
        };
        HttpError { status, kind: "invalid_request_error".into(), code: code.into(), retry_after: None }
    }

    /// The error object of the OpenAI dialect.
    pub(crate) fn body(&self) -> ErrorBody {
        if let Self::Runtime(error) = self {
            return error_body(error);
        }
        let http = self.http();
        ErrorBody {
            message: self.to_string(),
            kind: http.kind,
            param: None,
            code: Some(http.code),
            uat_code: self.code().to_owned(),
            retryable: row_of(self.code()).retryable,
        }
    }

    /// The answer in the OpenAI dialect.
    pub(crate) fn openai(&self) -> Response<axum::body::Body> {
        self.response(self.body().to_json())
    }

    /// The answer in Ollama's dialect.
    pub(crate) fn ollama(&self) -> Response<axum::body::Body> {
        self.response(llm_wire::ollama::error_body(&self.to_string()))
    }

    /// The answer in Anthropic's dialect.
    pub(crate) fn anthropic(&self) -> Response<axum::body::Body> {
        let kind = llm_wire::anthropic::error_kind(self.status());
        self.response(llm_wire::anthropic::error_body(kind, &self.to_string()))
    }

    /// The answer in Gemini's dialect.
    pub(crate) fn gemini(&self) -> Response<axum::body::Body> {
        let (status, name) = (self.status(), llm_wire::gemini::status_name(self.status()));
        self.response(llm_wire::gemini::error_body(status, name, &self.to_string()))
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.http().status
    }

    fn response(&self, body: Bytes) -> Response<axum::body::Body> {
        let http = self.http();
        let mut response = Response::new(axum::body::Body::from(body));
        // The table holds statuses that exist; a provider's own is between 400 and 499.
        *response.status_mut() =
            StatusCode::from_u16(http.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(Failed { code: self.code(), attempts: self.attempts().to_vec() });
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(UAT_CODE, HeaderValue::from_static(self.code()));
        if http.status == 401 {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(pause) = http.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(pause)));
        }
        response
    }
}

/// `Retry-After` knows whole seconds only: rounded up, so that nobody comes back too early.
fn whole_seconds(pause: Duration) -> u64 {
    pause.as_secs() + u64::from(pause.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_rounded_up_to_whole_seconds() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
        assert_eq!(whole_seconds(Duration::from_millis(2_001)), 3);
    }
}
