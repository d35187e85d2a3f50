//! Gemini's `generateContent` and embeddings. A client that asked in this dialect gets the endpoint's own documents.

use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use llm_wire::{Spoken, Translated, WireError, gemini, sse};

use super::address::{Base, escaped};
use super::translation::{self, Translation};
use super::{AnswerNames, Decoder, MAX_EVENT_BYTES, Piece, Speaks, Written, is_spoken, no_count, translated};
use crate::config::EndpointConfig;
use crate::error::CoordinatorError;
use crate::question::{Asked, Question};

pub(super) struct Gemini {
    /// Below which models lie.
    models: String,
}

impl Gemini {
    pub(super) fn new(config: &EndpointConfig, base: &Base) -> Result<Self, CoordinatorError> {
        Ok(Self { models: base.versioned(config, "/v1beta", "/models")?.to_string() })
    }
}

impl Speaks for Gemini {
    fn spoken(&self) -> Option<Spoken> {
        Some(Spoken::Gemini)
    }

    fn uri(&self, question: Question<'_>, model: &str) -> Result<Uri, WireError> {
        let what = match question {
            Question::Chat(request) if request.stream() => "streamGenerateContent?alt=sse",
            Question::Chat(_) => "generateContent",
            Question::Embeddings(_) => "batchEmbedContents",
            Question::Count(_) => return Err(no_count()),
        };
        let name = escaped(model.strip_prefix("models/").unwrap_or(model));
        format!("{}/{name}:{what}", self.models).parse().map_err(|_| WireError::Invalid {
            field: "model".to_owned(),
            expected: "the name of a model".to_owned(),
            got: model.to_owned(),
        })
    }

    fn body(&self, asked: Asked<'_>) -> Result<Translated, WireError> {
        match asked.question {
            Question::Chat(request) => gemini::generate_request(request, asked.model),
            Question::Embeddings(request) => {
                gemini::embed_request(request, asked.model).map(Translated::whole)
            }
            Question::Count(_) => Err(no_count()),
        }
    }

    fn pause(&self, body: &[u8]) -> Option<Duration> {
        gemini::retry_delay(body)
    }

    fn whole_answer(
        &self,
        question: Question<'_>,
        body: Bytes,
        names: AnswerNames<'_>,
    ) -> Result<Written, WireError> {
        match question {
            Question::Chat(_) if is_spoken(question, Spoken::Gemini) => {
                let facts = Some(gemini::response_facts(&body)?);
                Ok(Written { body, spoken: Some(Spoken::Gemini), facts })
            }
            Question::Chat(_) => {
                gemini::ToOpenAi::completion(&body, &names.chat_id(), names.model, names.created)
                    .map(translated)
            }
            Question::Embeddings(request) => {
                gemini::embed_to_openai(&body, names.model, request.encoding()).map(translated)
            }
            Question::Count(_) => Err(no_count()),
        }
    }

    fn decoder(&self, question: Question<'_>, names: AnswerNames<'_>) -> Box<dyn Decoder> {
        let events = sse::Decoder::new(MAX_EVENT_BYTES);
        if is_spoken(question, Spoken::Gemini) {
            return Box::new(Documents { events });
        }
        let to_openai = gemini::ToOpenAi::new(
            names.chat_id(),
            names.model.to_owned(),
            names.created,
            question.include_usage(),
        );
        Translation::of(ToChunks { events, to_openai, done: false })
    }
}

/// Documents that become OpenAI's chunks.
struct ToChunks {
    events: sse::Decoder,
    to_openai: gemini::ToOpenAi,
    done: bool,
}

impl translation::ToChunks for ToChunks {
    fn push(&mut self, bytes: Bytes) {
        self.events.push(bytes);
    }

    fn next_chunks(&mut self) -> Option<Result<Vec<Bytes>, WireError>> {
        let event = self.events.next_event()?;
        Some(event.and_then(|event| self.to_openai.chunk(&event.data)))
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn end(&mut self) -> Vec<Bytes> {
        self.done = self.to_openai.is_finished();
        self.to_openai.finish()
    }
}

/// Documents that pass as they are. A finish reason may stand in each of them: only the last one's counts, so that the
/// stream is over when it ends.
struct Documents {
    events: sse::Decoder,
}

impl Decoder for Documents {
    fn push(&mut self, bytes: Bytes) {
        self.events.push(bytes);
    }

    fn next_piece(&mut self) -> Option<Result<Piece, WireError>> {
        let event = match self.events.next_event()? {
            Ok(event) => event,
            Err(error) => return Some(Err(error)),
        };
        Some(
            gemini::chunk_facts(&event.data)
                .map(|facts| Piece::Chunk { data: sse::data_frame(&event.data), facts }),
        )
    }

    fn spoken(&self) -> Option<Spoken> {
        Some(Spoken::Gemini)
    }
}
