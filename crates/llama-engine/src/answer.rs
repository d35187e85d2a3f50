//! Writes what the batcher yields in OpenAI's shapes.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use llm_wire::openai::{self, Delta, Usage};
use llm_wire::sse;
use tokio::sync::mpsc::Receiver;

use crate::EngineError;
use crate::batcher::Event;
use crate::models::Answer;

/// What every chunk of one answer repeats.
#[derive(Debug, Clone)]
pub struct Heading {
    /// `chatcmpl-...`
    pub id: String,
    /// As the client named it.
    pub model: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Whether the stream ends with a chunk of usage.
    pub include_usage: bool,
}

/// A model's thread that ends without a word has panicked.
fn ended_early() -> EngineError {
    EngineError::Internal { message: "the model's thread ended during the answer".to_owned() }
}

fn usage(prompt_tokens: usize, completion_tokens: usize) -> Usage {
    let (prompt_tokens, completion_tokens) = (prompt_tokens as u64, completion_tokens as u64);
    Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
}

/// Waits for the whole answer.
///
/// # Errors
/// What ended it early.
pub async fn complete(heading: &Heading, mut answer: Answer) -> Result<Bytes, EngineError> {
    let mut content = String::new();
    loop {
        match answer.events.recv().await.ok_or_else(ended_early)? {
            Event::Text(text) => content.push_str(&text),
            Event::Done { text, reason, completion_tokens } => {
                content.push_str(&text);
                let usage = usage(answer.prompt_tokens, completion_tokens);
                let Heading { id, model, created, .. } = heading;
                return Ok(openai::completion(id, model, *created, &content, reason.as_str(), usage));
            }
            Event::Failed(error) => return Err(error),
        }
    }
}

/// Waits for the first text, then returns the stream of SSE frames: whatever fails before there is anything to show is
/// still an HTTP error.
///
/// # Errors
/// What failed before the first text.
pub async fn stream(heading: Heading, mut answer: Answer) -> Result<impl Stream<Item = Bytes>, EngineError> {
    let first = match answer.events.recv().await.ok_or_else(ended_early)? {
        Event::Failed(error) => return Err(error),
        first => first,
    };
    let writer = Writer { heading, prompt_tokens: answer.prompt_tokens, begun: false, ended: false };
    let state = (writer, VecDeque::from([first]), answer.events);
    Ok(stream::unfold(state, |(mut writer, mut ready, mut events)| async move {
        if writer.ended {
            return None;
        }
        let event = match ready.pop_front() {
            Some(event) => event,
            None => next(&mut events).await,
        };
        let mut frames = BytesMut::new();
        writer.write(event, &mut frames);
        // What is ready as well goes out in the same write.
        while let (false, Ok(event)) = (writer.ended, events.try_recv()) {
            writer.write(event, &mut frames);
        }
        Some((frames.freeze(), (writer, ready, events)))
    }))
}

async fn next(events: &mut Receiver<Event>) -> Event {
    events.recv().await.unwrap_or_else(|| Event::Failed(ended_early()))
}

struct Writer {
    heading: Heading,
    prompt_tokens: usize,
    begun: bool,
    ended: bool,
}

impl Writer {
    fn write(&mut self, event: Event, frames: &mut BytesMut) {
        match event {
            Event::Text(text) => self.text(&text, frames),
            Event::Done { text, reason, completion_tokens } => {
                self.text(&text, frames);
                self.chunk(Delta::Empty, Some(reason.as_str()), frames);
                if self.heading.include_usage {
                    let usage = usage(self.prompt_tokens, completion_tokens);
                    let Heading { id, model, created, .. } = &self.heading;
                    sse::append_data_frame(frames, &openai::usage_chunk(id, model, *created, usage));
                }
                sse::append_data_frame(frames, sse::DONE);
                self.ended = true;
            }
            Event::Failed(error) => {
                // Without [DONE]: nobody takes this for a complete answer.
                sse::append_data_frame(frames, &error.body().to_json());
                self.ended = true;
            }
        }
    }

    fn text(&mut self, text: &str, frames: &mut BytesMut) {
        if !self.begun {
            self.begun = true;
            self.chunk(Delta::Role, None, frames);
        }
        if !text.is_empty() {
            self.chunk(Delta::Content(text), None, frames);
        }
    }

    fn chunk(&self, delta: Delta<'_>, finish: Option<&str>, frames: &mut BytesMut) {
        let Heading { id, model, created, .. } = &self.heading;
        sse::append_data_frame(frames, &openai::chunk(id, model, *created, delta, finish));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::sync::mpsc::channel;

    use super::*;
    use crate::batcher::FinishReason;

    fn heading(include_usage: bool) -> Heading {
        Heading { id: "chatcmpl-1".to_owned(), model: "m".to_owned(), created: 7, include_usage }
    }

    async fn answer(events: Vec<Event>) -> Answer {
        let (sender, receiver) = channel(events.len().max(1));
        for event in events {
            sender.send(event).await.expect("there is room");
        }
        Answer { events: receiver, prompt_tokens: 3 }
    }

    fn done(text: &str) -> Event {
        Event::Done { text: text.to_owned(), reason: FinishReason::Length, completion_tokens: 2 }
    }

    async fn streamed(events: Vec<Event>, include_usage: bool) -> String {
        let stream = stream(heading(include_usage), answer(events).await).await.expect("begins");
        let frames: Vec<Bytes> = Box::pin(stream).collect().await;
        String::from_utf8(frames.concat()).expect("is text")
    }

    #[tokio::test]
    async fn a_stream_says_the_role_with_the_first_text_and_ends_with_done() {
        let text = streamed(vec![Event::Text("Par".to_owned()), done("is")], false).await;
        let frames: Vec<&str> = text.split("\n\n").collect();
        assert!(frames[0].contains(r#""role":"assistant""#));
        assert!(frames[1].contains(r#""content":"Par""#));
        assert!(frames[2].contains(r#""content":"is""#));
        assert!(frames[3].contains(r#""finish_reason":"length""#));
        assert_eq!(frames[4..], ["data: [DONE]", ""]);
    }

    #[tokio::test]
    async fn usage_comes_last_where_it_is_wanted() {
        let text = streamed(vec![done("x")], true).await;
        let frames: Vec<&str> = text.split("\n\n").collect();
        assert!(
            frames[frames.len() - 3].contains(r#""prompt_tokens":3,"completion_tokens":2,"total_tokens":5"#)
        );
    }

    #[tokio::test]
    async fn an_error_before_the_first_text_is_no_stream() {
        let failed =
            stream(heading(false), answer(vec![Event::Failed(EngineError::ShuttingDown)]).await).await;
        assert_eq!(failed.err().map(|error| error.code()), Some("UAT_ENGINE_UNAVAILABLE"));
    }

    #[tokio::test]
    async fn an_error_after_the_first_text_is_an_event_and_nothing_follows() {
        let text =
            streamed(vec![Event::Text("a".to_owned()), Event::Failed(EngineError::ShuttingDown)], false)
                .await;
        assert!(text.contains(r#""uat_code":"UAT_ENGINE_UNAVAILABLE""#));
        assert!(!text.contains("[DONE]"));
    }

    #[tokio::test]
    async fn a_thread_that_dies_is_an_error_and_not_a_short_answer() {
        let error = complete(&heading(false), answer(vec![Event::Text("a".to_owned())]).await).await;
        assert_eq!(error.expect_err("is incomplete").code(), "UAT_INTERNAL");
    }

    #[tokio::test]
    async fn a_complete_answer_is_one_document() {
        let body =
            complete(&heading(false), answer(vec![Event::Text("Par".to_owned()), done("is")]).await).await;
        let body: serde_json::Value = serde_json::from_slice(&body.expect("is complete")).expect("is JSON");
        assert_eq!(body["choices"][0]["message"]["content"], "Paris");
        assert_eq!(body["choices"][0]["finish_reason"], "length");
        assert_eq!(body["usage"]["total_tokens"], 5);
    }
}
