//! `POST /v1/audio/transcriptions`: OpenAI's form, in which a recording comes in and words go out.

mod answer;
mod form;
mod stream;

use std::io::Seek;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use futures_util::{StreamExt, stream as streams};
use http::Response;
use http::header::CONTENT_TYPE;
use runtime::voice_processing::{ProcessOptions, VoiceResult};
use runtime::{RuntimeError, Voices};
use tempfile::SpooledTempFile;

use super::{may_use, openai_answer, stream_response, unless_revoked};
use crate::error::ApiError;
use crate::gateway::{Call, Gateway};
use crate::headers::EVENT_STREAM;
use form::Form;

/// The path.
pub(super) const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";

pub(super) async fn transcriptions(State(gateway): State<Arc<Gateway>>, request: Request) -> Response<Body> {
    let call = gateway.call(&request);
    let answered = Box::pin(transcribed(&gateway, &call, request)).await;
    openai_answer(&call, answered)
}

async fn transcribed(gateway: &Gateway, call: &Call, request: Request) -> Result<Response<Body>, ApiError> {
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let form = Form::read(content_type, request.into_body(), gateway.max_body()).await?;
    let voices = Arc::clone(gateway.runtime.voice().await?);
    let hearing = Hearing::of(&form, voices, call)?;
    let caller = call.caller.as_ref();
    let Form { mut file, stream, .. } = form;
    file.rewind().map_err(|error| RuntimeError::Internal { message: format!("a spooled file: {error}") })?;
    if !stream {
        let said = unless_revoked(caller, hearing.whole(file)).await?;
        return Ok(answer::response(&form.answer, &said));
    }
    let mut events = Box::pin(stream::events(hearing, file));
    // What fails before anything was said has a status of its own, unless it takes so long that proxies would give up.
    let first = unless_revoked(caller, within(gateway.hold(), events.next())).await?;
    let first = first.flatten().transpose()?;
    let rest = streams::iter(first).map(Ok).chain(events);
    let body = Body::from_stream(stream::until_revoked(rest, caller.cloned()));
    Ok(stream_response(call, body, None, EVENT_STREAM))
}

async fn within<T>(time: Duration, waiting: impl Future<Output = T>) -> Result<Option<T>, RuntimeError> {
    Ok(tokio::time::timeout(time, waiting).await.ok())
}

/// A recording that is to be heard.
struct Hearing {
    voices: Arc<Voices>,
    model: String,
    options: ProcessOptions,
}

impl Hearing {
    fn of(form: &Form, voices: Arc<Voices>, call: &Call) -> Result<Self, ApiError> {
        let model = voices.model(form.model.as_deref()).to_owned();
        call.trail.asks(&model);
        may_use(call.caller.as_ref(), &model)?;
        Ok(Self { voices, model, options: form.options.clone() })
    }

    /// All that was said.
    async fn whole(self, file: SpooledTempFile) -> Result<VoiceResult, RuntimeError> {
        let options = self.options;
        self.voices
            .run(Some(&self.model), move |voice, stop| voice.process(file, &options, &mut |_| (), stop))
            .await
    }
}
