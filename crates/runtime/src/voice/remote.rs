//! Somebody else's model writes speech down: any server with OpenAI's `POST /v1/audio/transcriptions`
//! (<https://platform.openai.com/docs/api-reference/audio/createTranscription>).

mod language;
mod said;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use https_connector::NoTls;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::runtime::Handle;
use voice_processing::audio_input::{SAMPLE_RATE, WavSample, wav_header};
use voice_processing::{Ask, PcmFormat, Said, Transcriber, VoiceError};

use crate::errors::RuntimeError;

/// How long an utterance of at most 30 s may take: a model of a slow machine needs about as long as somebody spoke.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often is looked whether the caller wants no more of it.
const LOOKED_AGAIN: Duration = Duration::from_millis(20);
/// What is read of an answer, in bytes; the text of 30 s with all its words takes some 20 KB.
const LONGEST_ANSWER: usize = 1 << 20;

/// Asks a server for the text of each utterance.
pub struct RemoteTranscriber {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    api_key: Option<String>,
    model: String,
    runtime: Handle,
}

impl RemoteTranscriber {
    /// A server at `base_url`, such as `https://api.openai.com/v1`; without a path `/v1` is added. Opens no connection.
    ///
    /// # Errors
    /// `UAT_INVALID_INPUT` for what is no URL, or a key that no header can hold; `UAT_CONFIG` where there are no root certificates;
    /// `UAT_INTERNAL` outside of a tokio runtime, which asks it later.
    pub fn new(base_url: &str, api_key: Option<String>, model: String) -> Result<Self, RuntimeError> {
        let wrong =
            || refused("UAT_INVALID_INPUT", "baseUrl: expected a URL of http or https without a query");
        let uri = transcriptions_at(base_url).ok_or_else(wrong)?;
        if let Some(key) = &api_key {
            authorization(key)?;
        }
        let client = client(uri.scheme_str() == Some("https"))?;
        let runtime = Handle::try_current().map_err(|_| {
            refused("UAT_INTERNAL", "a remote transcriber was made outside of a tokio runtime")
        })?;
        Ok(Self { client, uri, api_key, model, runtime })
    }

    async fn answered(&self, samples: &[f32], ask: &Ask) -> Result<Said, VoiceError> {
        let boundary = format!("uat-{:032x}", fastrand::u128(..));
        let mut post = Request::new(Full::new(self.form(&boundary, samples, ask)));
        *post.method_mut() = Method::POST;
        *post.uri_mut() = self.uri.clone();
        let kind = HeaderValue::from_str(&format!("multipart/form-data; boundary={boundary}"));
        let headers = post.headers_mut();
        headers.extend(kind.map(|kind| (CONTENT_TYPE, kind)));
        if let Some(key) = &self.api_key {
            headers.insert(AUTHORIZATION, authorization(key)?);
        }
        let away = |error: &(dyn std::error::Error + 'static)| {
            failed("UAT_UPSTREAM", true, &https_connector::innermost(error).to_string())
        };
        let response = self.client.request(post).await.map_err(|error| self.at(away(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| self.at(away(&*error)))?.to_bytes();
        if !status.is_success() {
            return Err(self.at(self.refusal(status, &body)));
        }
        let length_ms = samples.len() as u64 / 16;
        said::read(&body, length_ms).map_err(|reason| {
            self.at(failed(
                "UAT_UPSTREAM",
                false,
                &format!("expected a transcription as verbose_json, got: {reason}"),
            ))
        })
    }

    /// `multipart/form-data`, RFC 7578.
    fn form(&self, boundary: &str, samples: &[f32], ask: &Ask) -> Bytes {
        let temperature = ask.temperature.map(|temperature| temperature.to_string());
        let mut fields = vec![
            ("model", self.model.as_str()),
            ("response_format", "verbose_json"),
            ("timestamp_granularities[]", "segment"),
        ];
        fields.extend(ask.words.then_some(("timestamp_granularities[]", "word")));
        fields.extend(ask.language.as_deref().map(|language| ("language", language)));
        fields.extend(ask.prompt.as_deref().map(|prompt| ("prompt", prompt)));
        fields.extend(temperature.as_deref().map(|temperature| ("temperature", temperature)));
        let mut body = Vec::with_capacity(samples.len() * 2 + 2_000);
        for (name, value) in fields {
            let part =
                format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend(part.as_bytes());
        }
        let file = "Content-Disposition: form-data; name=\"file\"; filename=\"utterance.wav\"\r\nContent-Type: audio/wav";
        body.extend(format!("--{boundary}\r\n{file}\r\n\r\n").as_bytes());
        let mono = PcmFormat { sample_rate: SAMPLE_RATE, channels: 1 };
        body.extend(wav_header(WavSample::I16, mono, samples.len() * 2));
        // Beyond full scale `as` gives the loudest number that there is.
        body.extend(samples.iter().flat_map(|sample| ((sample * 32_768.0).round() as i16).to_le_bytes()));
        body.extend(format!("\r\n--{boundary}--\r\n").as_bytes());
        body.into()
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> VoiceError {
        let mut words = said::refusal(body);
        if let Some(key) = &self.api_key {
            // Some servers repeat what they were sent.
            words = words.replace(key, "the key");
        }
        let (code, retryable) = match status.as_u16() {
            401 | 403 => ("UAT_UNAUTHORIZED", false),
            404 => ("UAT_MODEL_NOT_FOUND", false),
            429 => ("UAT_RATE_LIMITED", true),
            status => ("UAT_UPSTREAM", status >= 500),
        };
        failed(code, retryable, &format!("status {}: {words}", status.as_u16()))
    }

    /// Says who it was.
    fn at(&self, error: VoiceError) -> VoiceError {
        match error {
            VoiceError::Transcriber { code, message, retryable } => {
                let host = self.uri.authority().map_or("", |authority| authority.as_str());
                VoiceError::Transcriber { code, message: format!("transcriber {host}: {message}"), retryable }
            }
            other => other,
        }
    }
}

impl Transcriber for RemoteTranscriber {
    /// Blocks; called on a thread that may.
    fn transcribe(&self, samples: &[f32], ask: &Ask, cancel: &AtomicBool) -> Result<Said, VoiceError> {
        let cancelled = async {
            while !cancel.load(Ordering::Relaxed) {
                tokio::time::sleep(LOOKED_AGAIN).await;
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                () = cancelled => Err(VoiceError::Cancelled),
                answered = tokio::time::timeout(PATIENCE, self.answered(samples, ask)) => answered.unwrap_or_else(|_| {
                    let late = format!("no answer within {} s", PATIENCE.as_secs());
                    Err(self.at(failed("UAT_TIMEOUT", true, &late)))
                }),
            }
        })
    }
}

impl std::fmt::Debug for RemoteTranscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteTranscriber")
            .field("uri", &self.uri)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// Where a server with this base URL transcribes: without a path `/v1` is added. `None` for what is no such URL.
fn transcriptions_at(base_url: &str) -> Option<Uri> {
    let root = base_url.trim_end_matches('/');
    let known: Uri = root.parse().ok()?;
    if !matches!(known.scheme_str(), Some("http" | "https")) || known.query().is_some() {
        return None;
    }
    known.host()?;
    let version = if known.path().trim_end_matches('/').is_empty() { "/v1" } else { "" };
    format!("{root}{version}/audio/transcriptions").parse().ok()
}

fn client(tls: bool) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, RuntimeError> {
    let connector = https_connector::connector(tls).map_err(|error| match error {
        NoTls::Roots(error) => {
            let needs = "baseUrl: https needs the system's root certificates (package ca-certificates)";
            refused("UAT_CONFIG", &format!("{needs}: {error}"))
        }
        NoTls::Setup(error) => refused("UAT_CONFIG", &format!("TLS cannot be set up: {error}")),
    })?;
    Ok(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector))
}

fn authorization(key: &str) -> Result<HeaderValue, VoiceError> {
    let header = HeaderValue::from_str(&format!("Bearer {key}"));
    let mut header = header.map_err(|_| {
        failed("UAT_INVALID_INPUT", false, "apiKey: expected characters that a header can hold")
    })?;
    header.set_sensitive(true);
    Ok(header)
}

fn failed(code: &'static str, retryable: bool, message: &str) -> VoiceError {
    VoiceError::Transcriber { code, message: message.to_owned(), retryable }
}

pub(super) fn refused(code: &'static str, message: &str) -> RuntimeError {
    failed(code, false, message).into()
}
