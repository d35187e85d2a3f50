//! `stream=true`: what was said so far, as events.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use runtime::voice_processing::{Segment, VoiceResult};
use runtime::{Key, RuntimeError};
use serde_json::{Value, json};
use tempfile::SpooledTempFile;
use tokio::sync::mpsc::{Receiver, channel};

use super::Hearing;
use super::answer::usage;
use crate::error::ApiError;

/// Sentences that wait for a client that reads slowly; then the transcription waits with them.
const AHEAD: usize = 16;

type Heard = Result<VoiceResult, RuntimeError>;

/// A recording under way.
struct Running {
    said: Receiver<String>,
    hearing: Pin<Box<dyn Future<Output = Heard> + Send>>,
    ended: Option<Heard>,
    /// Sentences told.
    told: usize,
}

/// The events of a recording; an error is the last one.
pub(super) fn events(
    hearing: Hearing,
    file: SpooledTempFile,
) -> impl Stream<Item = Result<Bytes, ApiError>> + Send {
    let (tell, said) = channel(AHEAD);
    let hearing = async move {
        let options = hearing.options;
        let heard = hearing.voices.run(Some(&hearing.model), move |voice, stop| {
            let said = &mut |segment: &Segment| {
                // Who left is told by `stop`.
                let _ = tell.blocking_send(segment.text.clone());
            };
            voice.process_each(file, &options, &mut |_| (), said, stop)
        });
        heard.await
    };
    let running = Running { said, hearing: Box::pin(hearing), ended: None, told: 0 };
    stream::unfold(Some(running), |running| async {
        let mut running = running?;
        match running.next().await {
            Ok(Some(text)) => {
                let space = if running.told > 0 { " " } else { "" };
                running.told += 1;
                let delta = json!({ "type": "transcript.text.delta", "delta": format!("{space}{text}") });
                Some((Ok(event(&delta)), Some(running)))
            }
            Ok(None) => None,
            Err(ended) => Some((
                ended.map_err(ApiError::from).map(|said| {
                    event(
                        &json!({ "type": "transcript.text.done", "text": said.text, "usage": usage(&said) }),
                    )
                }),
                None,
            )),
        }
    })
}

impl Running {
    /// The next sentence, or how it ended once all were told.
    async fn next(&mut self) -> Result<Option<String>, Heard> {
        if self.ended.is_none() {
            tokio::select! {
                biased;
                Some(text) = self.said.recv() => return Ok(Some(text)),
                ended = &mut self.hearing => self.ended = Some(ended),
            }
        }
        match (self.said.try_recv(), self.ended.take()) {
            (Ok(text), ended) => {
                self.ended = ended;
                Ok(Some(text))
            }
            (Err(_), Some(ended)) => Err(ended),
            (Err(_), None) => Ok(None),
        }
    }
}

fn event(document: &Value) -> Bytes {
    format!("data: {document}\n\n").into()
}

/// What goes out: an error after the beginning is an event, and so is it that the key was revoked.
pub(super) fn until_revoked(
    events: impl Stream<Item = Result<Bytes, ApiError>> + Send + 'static,
    caller: Option<Arc<Key>>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    stream::unfold(Some((Box::pin(events), caller)), |running| async {
        let (mut events, caller) = running?;
        let next = match &caller {
            None => events.next().await,
            Some(key) => tokio::select! {
                biased;
                next = events.next() => next,
                () = key.revoked() => Some(Err(RuntimeError::KeyRevoked.into())),
            },
        };
        match next? {
            Ok(event) => Some((Ok(event), Some((events, caller)))),
            Err(error) => {
                let body = error.body().to_json();
                let event = [b"event: error\ndata: ".as_slice(), &body, b"\n\n"].concat();
                Some((Ok(event.into()), None))
            }
        }
    })
}
