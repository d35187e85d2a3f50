//! Writes what the batcher yields in OpenAI's shapes.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, SelectAll, Stream, StreamExt};
use llm_wire::openai::{self, Delta, PromptDetails, TokenLogprob, Usage};
use llm_wire::sse;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

use crate::EngineError;
use crate::batcher::{Event, FinishReason, Piece, SpelledToken, TokenProbabilities};
use crate::models::{Answer, Choice};
use crate::tools::{ToolCallReader, ToolDelta};

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
    /// Whether the probabilities of tokens are told.
    pub logprobs: bool,
}

/// A model's thread that ends without a word has panicked.
fn ended_early() -> EngineError {
    EngineError::Internal { message: "the model's thread ended during the answer".to_owned() }
}

/// Tokens of all choices. The prompt counts once.
#[derive(Debug, Default, Clone, Copy)]
struct Tokens {
    prompt: usize,
    completion: usize,
    cached: Option<usize>,
}

impl Tokens {
    fn add(&mut self, completion: usize, cached: usize) {
        self.completion += completion;
        // Of several choices the first reads the prompt for all: what it found is what was spared.
        self.cached = Some(self.cached.map_or(cached, |other| other.min(cached)));
    }

    fn usage(self) -> Usage {
        let (prompt_tokens, completion_tokens) = (self.prompt as u64, self.completion as u64);
        Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            prompt_tokens_details: Some(PromptDetails { cached_tokens: self.cached.unwrap_or(0) as u64 }),
        }
    }
}

/// A choice as far as it has come.
#[derive(Default)]
struct Text {
    content: String,
    logprobs: Vec<TokenLogprob>,
    /// Calls of tools: id, name and arguments.
    calls: Vec<(String, String, String)>,
    finish: &'static str,
}

impl Text {
    fn add(&mut self, delta: ToolDelta) {
        match delta {
            ToolDelta::Content(text) => self.content.push_str(&text),
            ToolDelta::Begin { id, name, .. } => self.calls.push((id, name, String::new())),
            ToolDelta::Arguments { index, fragment } => {
                if let Some((.., arguments)) = self.calls.get_mut(index) {
                    arguments.push_str(&fragment);
                }
            }
        }
    }
}

/// Why an answer ended, in OpenAI's words.
fn finish(reason: FinishReason, calls: Option<&ToolCallReader>) -> &'static str {
    match reason {
        FinishReason::Stop if calls.is_some_and(|calls| calls.calls() > 0) => "tool_calls",
        reason => reason.as_str(),
    }
}

/// What text means: just that, or calls of tools.
fn deltas(calls: Option<&mut ToolCallReader>, text: String) -> Vec<ToolDelta> {
    match calls {
        Some(calls) => calls.push(&text),
        None if text.is_empty() => Vec::new(),
        None => vec![ToolDelta::Content(text)],
    }
}

/// Waits for all choices.
///
/// # Errors
/// What ended the first of them early.
pub async fn complete(heading: &Heading, answer: Answer) -> Result<Bytes, EngineError> {
    let mut tokens = Tokens { prompt: answer.prompt_tokens, ..Tokens::default() };
    let mut texts = Vec::new();
    for mut choice in answer.choices {
        let mut text = Text::default();
        let mut add = |piece: Piece, calls: Option<&mut ToolCallReader>| {
            deltas(calls, piece.text).into_iter().for_each(|delta| text.add(delta));
            text.logprobs.extend(piece.probabilities.into_iter().map(written));
        };
        let reason = loop {
            match choice.events.recv().await.ok_or_else(ended_early)? {
                Event::Piece(piece) => add(piece, choice.calls.as_mut()),
                Event::Done { rest, reason, completion_tokens, cached_tokens } => {
                    add(rest, choice.calls.as_mut());
                    tokens.add(completion_tokens, cached_tokens);
                    break reason;
                }
                Event::Failed(error) => return Err(error),
            }
        };
        if let Some(calls) = &mut choice.calls {
            calls.finish().into_iter().for_each(|delta| text.add(delta));
        }
        text.finish = finish(reason, choice.calls.as_ref());
        texts.push(text);
    }
    let calls = |text: &Text| {
        let call = |(id, name, arguments): &(String, String, String)| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        text.calls.iter().map(call).collect::<Vec<Value>>()
    };
    let calls: Vec<Vec<Value>> = texts.iter().map(calls).collect();
    let answers: Vec<openai::Answer<'_>> = texts
        .iter()
        .zip(&calls)
        .map(|(text, calls)| openai::Answer {
            // An answer that only calls says nothing.
            content: (calls.is_empty() || !text.content.is_empty()).then_some(text.content.as_str()),
            tool_calls: calls,
            logprobs: heading.logprobs.then_some(text.logprobs.as_slice()),
            finish: text.finish,
            ..openai::Answer::default()
        })
        .collect();
    let Heading { id, model, created, .. } = heading;
    Ok(openai::answer(id, model, *created, &answers, tokens.usage()))
}

type Events = SelectAll<Pin<Box<dyn Stream<Item = (usize, Event)> + Send>>>;

/// The events of all choices as they come, each with the number of its choice.
fn events(choices: Vec<Choice>) -> Events {
    let numbered = |(index, choice): (usize, Choice)| {
        let next = move |state: Option<Receiver<Event>>| async move {
            let mut events = state?;
            let event = events.recv().await.unwrap_or_else(|| Event::Failed(ended_early()));
            let is_last = matches!(event, Event::Done { .. } | Event::Failed(_));
            Some(((index, event), (!is_last).then_some(events)))
        };
        stream::unfold(Some(choice.events), next).boxed()
    };
    choices.into_iter().enumerate().map(numbered).collect()
}

/// A choice of a stream.
#[derive(Debug, Default)]
struct Spoken {
    /// Whether it has said something.
    begun: bool,
    calls: Option<ToolCallReader>,
}

/// Waits for the first text, then returns the stream of SSE frames: whatever fails before there is anything to show is
/// still an HTTP error.
///
/// # Errors
/// What failed before the first text.
pub async fn stream(heading: Heading, answer: Answer) -> Result<impl Stream<Item = Bytes>, EngineError> {
    let tokens = Tokens { prompt: answer.prompt_tokens, ..Tokens::default() };
    let running = answer.choices.len();
    let mut choices = answer.choices;
    let spoken =
        choices.iter_mut().map(|choice| Spoken { begun: false, calls: choice.calls.take() }).collect();
    let mut events = events(choices);
    let first = match events.next().await.ok_or_else(ended_early)? {
        (_, Event::Failed(error)) => return Err(error),
        first => first,
    };
    let writer = Writer { heading, tokens, spoken, running };
    Ok(stream::unfold((writer, Some(first), events), |(mut writer, first, mut events)| async move {
        if writer.running == 0 {
            return None;
        }
        let (index, event) = match first {
            Some(first) => first,
            None => events.next().await.unwrap_or_else(|| (0, Event::Failed(ended_early()))),
        };
        let mut frames = BytesMut::new();
        writer.write(index, event, &mut frames);
        // What is ready as well goes out in the same write.
        while writer.running > 0
            && let Some(Some((index, event))) = futures_util::FutureExt::now_or_never(events.next())
        {
            writer.write(index, event, &mut frames);
        }
        Some((frames.freeze(), (writer, None, events)))
    }))
}

struct Writer {
    heading: Heading,
    tokens: Tokens,
    spoken: Vec<Spoken>,
    /// Choices that have not ended.
    running: usize,
}

impl Writer {
    fn write(&mut self, choice: usize, event: Event, frames: &mut BytesMut) {
        match event {
            Event::Piece(piece) => self.piece(choice, piece, frames),
            Event::Done { rest, reason, completion_tokens, cached_tokens } => {
                self.tokens.add(completion_tokens, cached_tokens);
                self.piece(choice, rest, frames);
                self.finish(choice, reason, frames);
            }
            Event::Failed(error) => {
                // Without [DONE]: nobody takes this for a complete answer.
                sse::append_data_frame(frames, &error.body().to_json());
                self.running = 0;
            }
        }
    }

    fn piece(&mut self, choice: usize, piece: Piece, frames: &mut BytesMut) {
        let calls = self.spoken.get_mut(choice).and_then(|spoken| spoken.calls.as_mut());
        let deltas = deltas(calls, piece.text);
        if !self.heading.logprobs {
            return self.deltas(choice, deltas, frames);
        }
        // There are no calls beside probabilities: the text of the piece belongs to its tokens.
        let text: String = deltas
            .into_iter()
            .map(|delta| if let ToolDelta::Content(text) = delta { text } else { String::new() })
            .collect();
        let logprobs: Vec<TokenLogprob> = piece.probabilities.into_iter().map(written).collect();
        if !text.is_empty() || !logprobs.is_empty() {
            self.begin(choice, frames);
            self.chunk(choice, Delta::Content(&text), Some(&logprobs), None, frames);
        }
    }

    fn deltas(&mut self, choice: usize, deltas: Vec<ToolDelta>, frames: &mut BytesMut) {
        for delta in deltas {
            self.begin(choice, frames);
            let call = match delta {
                ToolDelta::Content(text) => {
                    self.chunk(choice, Delta::Content(&text), None, None, frames);
                    continue;
                }
                ToolDelta::Begin { index, id, name } => {
                    json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}})
                }
                ToolDelta::Arguments { index, fragment } => {
                    json!({"index": index, "function": {"arguments": fragment}})
                }
            };
            self.chunk(choice, Delta::ToolCalls(&[call]), None, None, frames);
        }
    }

    /// Says once that the assistant speaks.
    fn begin(&mut self, choice: usize, frames: &mut BytesMut) {
        if let Some(spoken) = self.spoken.get_mut(choice).filter(|spoken| !spoken.begun) {
            spoken.begun = true;
            self.chunk(choice, Delta::Role, None, None, frames);
        }
    }

    fn finish(&mut self, choice: usize, reason: FinishReason, frames: &mut BytesMut) {
        let calls = self.spoken.get_mut(choice).and_then(|spoken| spoken.calls.as_mut());
        let rest = calls.map_or_else(Vec::new, ToolCallReader::finish);
        self.deltas(choice, rest, frames);
        self.begin(choice, frames);
        let calls = self.spoken.get(choice).and_then(|spoken| spoken.calls.as_ref());
        self.chunk(choice, Delta::Empty, None, Some(finish(reason, calls)), frames);
        self.running = self.running.saturating_sub(1);
        if self.running > 0 {
            return;
        }
        if self.heading.include_usage {
            let Heading { id, model, created, .. } = &self.heading;
            sse::append_data_frame(frames, &openai::usage_chunk(id, model, *created, self.tokens.usage()));
        }
        sse::append_data_frame(frames, sse::DONE);
    }

    fn chunk(
        &self,
        choice: usize,
        delta: Delta<'_>,
        logprobs: Option<&[TokenLogprob]>,
        finish: Option<&str>,
        frames: &mut BytesMut,
    ) {
        let Heading { id, model, created, .. } = &self.heading;
        let index = u32::try_from(choice).unwrap_or(u32::MAX);
        let chunk = openai::choice_chunk(id, model, *created, index, delta, logprobs, finish);
        sse::append_data_frame(frames, &chunk);
    }
}

/// A token's probabilities as OpenAI writes them.
fn written(probabilities: TokenProbabilities) -> TokenLogprob {
    let token = |spelled: SpelledToken, top_logprobs| TokenLogprob {
        token: String::from_utf8_lossy(&spelled.bytes).into_owned(),
        logprob: spelled.logprob,
        bytes: spelled.bytes,
        top_logprobs,
    };
    let top = probabilities.top.into_iter().map(|spelled| token(spelled, None)).collect();
    token(probabilities.chosen, Some(top))
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::sync::mpsc::channel;

    use super::*;
    use crate::batcher::FinishReason;

    fn heading(include_usage: bool) -> Heading {
        Heading {
            id: "chatcmpl-1".to_owned(),
            model: "m".to_owned(),
            created: 7,
            include_usage,
            logprobs: false,
        }
    }

    async fn answer(events: Vec<Event>) -> Answer {
        let (sender, receiver) = channel(events.len().max(1));
        for event in events {
            sender.send(event).await.expect("there is room");
        }
        Answer { choices: vec![Choice { events: receiver, calls: None }], prompt_tokens: 3 }
    }

    fn piece(text: &str) -> Piece {
        Piece { text: text.to_owned(), probabilities: Vec::new() }
    }

    fn done(text: &str) -> Event {
        Event::Done {
            rest: piece(text),
            reason: FinishReason::Length,
            completion_tokens: 2,
            cached_tokens: 1,
        }
    }

    async fn streamed(events: Vec<Event>, include_usage: bool) -> String {
        let stream = stream(heading(include_usage), answer(events).await).await.expect("begins");
        let frames: Vec<Bytes> = Box::pin(stream).collect().await;
        String::from_utf8(frames.concat()).expect("is text")
    }

    #[tokio::test]
    async fn a_stream_says_the_role_with_the_first_text_and_ends_with_done() {
        let text = streamed(vec![Event::Piece(piece("Par")), done("is")], false).await;
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
            frames[frames.len() - 3].contains(r#""prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}"#)
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
            streamed(vec![Event::Piece(piece("a")), Event::Failed(EngineError::ShuttingDown)], false).await;
        assert!(text.contains(r#""uat_code":"UAT_ENGINE_UNAVAILABLE""#));
        assert!(!text.contains("[DONE]"));
    }

    #[tokio::test]
    async fn choices_are_streamed_beside_each_other_and_end_together() {
        let mut both = answer(vec![Event::Piece(piece("a")), done("b")]).await;
        both.choices.extend(answer(vec![done("c")]).await.choices);
        let frames: Vec<Bytes> = Box::pin(stream(heading(true), both).await.expect("begins")).collect().await;
        let text = String::from_utf8(frames.concat()).expect("is text");
        let chunks: Vec<serde_json::Value> = text
            .split("\n\n")
            .filter_map(|frame| serde_json::from_str(frame.strip_prefix("data: ")?).ok())
            .collect();
        let said = |index: u64| {
            let of = chunks.iter().filter(|chunk| chunk["choices"][0]["index"] == index);
            of.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect::<String>()
        };
        assert_eq!((said(0).as_str(), said(1).as_str()), ("ab", "c"));
        assert_eq!(chunks.last().expect("some")["usage"]["completion_tokens"], 4);
        assert_eq!(chunks.last().expect("some")["usage"]["prompt_tokens"], 3);
        assert_eq!(text.matches("[DONE]").count(), 1);
    }

    #[tokio::test]
    async fn probabilities_come_with_their_text() {
        let spelled = |text: &str, logprob| SpelledToken { bytes: text.into(), logprob };
        let probabilities =
            vec![TokenProbabilities { chosen: spelled("a", -0.5), top: vec![spelled("b", -0.25)] }];
        let asked = Heading { logprobs: true, ..heading(false) };
        let events = vec![Event::Piece(Piece { text: "a".to_owned(), probabilities }), done("")];
        let body = complete(&asked, answer(events).await).await.expect("is complete");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("is JSON");
        assert_eq!(
            body["choices"][0]["logprobs"]["content"],
            serde_json::json!([{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -0.25, "bytes": [98]}]}])
        );
    }

    #[tokio::test]
    async fn a_thread_that_dies_is_an_error_and_not_a_short_answer() {
        let error = complete(&heading(false), answer(vec![Event::Piece(piece("a"))]).await).await;
        assert_eq!(error.expect_err("is incomplete").code(), "UAT_INTERNAL");
    }

    #[tokio::test]
    async fn a_complete_answer_is_one_document() {
        let body =
            complete(&heading(false), answer(vec![Event::Piece(piece("Par")), done("is")]).await).await;
        let body: serde_json::Value = serde_json::from_slice(&body.expect("is complete")).expect("is JSON");
        assert_eq!(body["choices"][0]["message"]["content"], "Paris");
        assert_eq!(body["choices"][0]["finish_reason"], "length");
        assert_eq!(body["usage"]["total_tokens"], 5);
    }
}
