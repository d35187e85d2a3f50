//! OpenAI's own dialect, in which chunks pass as they are; also the local engine's.

use bytes::Bytes;
use http::Uri;
use llm_wire::openai::ChunkReader;
use llm_wire::{Translated, WireError, sse};

use super::address::Base;
use super::{AnswerNames, Decoder, MAX_EVENT_BYTES, Piece, Speaks, Written, no_count, translated};
use crate::config::{EndpointConfig, Protocol};
use crate::error::CoordinatorError;
use crate::question::{Asked, Question};

pub(super) struct OpenAi {
    chat: Uri,
    embeddings: Uri,
    /// The local engine goes on with a message without being told, and it counts.
    is_engine: bool,
}

impl OpenAi {
    /// Below `version`, unless the base URL has a path of its own.
    pub(super) fn below(
        config: &EndpointConfig,
        base: &Base,
        version: &str,
    ) -> Result<Self, CoordinatorError> {
        Ok(Self {
            chat: base.versioned(config, version, "/chat/completions")?,
            embeddings: base.versioned(config, version, "/embeddings")?,
            is_engine: config.protocol == Protocol::UatEngine,
        })
    }
}

impl Speaks for OpenAi {
    fn uri(&self, question: Question<'_>, _model: &str) -> Result<Uri, WireError> {
        Ok(match question {
            Question::Chat(_) => self.chat.clone(),
            Question::Embeddings(_) => self.embeddings.clone(),
            Question::Count(_) if self.is_engine => {
                format!("{}/input_tokens", self.chat).parse().map_err(|_| no_count())?
            }
            Question::Count(_) => return Err(no_count()),
        })
    }

    fn body(&self, asked: Asked<'_>) -> Result<Translated, WireError> {
        Ok(Translated::whole(match asked.question {
            Question::Chat(request) if !self.is_engine => {
                request.to_continuation_body(asked.model, request.stream())
            }
            question => body(question, asked.model),
        }))
    }

    fn whole_answer(
        &self,
        _question: Question<'_>,
        body: Bytes,
        _names: AnswerNames<'_>,
    ) -> Result<Written, WireError> {
        Ok(translated(body))
    }

    fn decoder(&self, _question: Question<'_>, _names: AnswerNames<'_>) -> Box<dyn Decoder> {
        Box::new(Chunks::new())
    }
}

/// The question in OpenAI's dialect.
pub(super) fn body(question: Question<'_>, model: &str) -> Bytes {
    match question {
        Question::Chat(request) | Question::Count(request) => request.to_body(model, request.stream()),
        Question::Embeddings(request) => request.to_body(model),
    }
}

/// Server-sent events that hold OpenAI's chunks.
pub(super) struct Chunks {
    events: sse::Decoder,
    reader: ChunkReader,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self { events: sse::Decoder::new(MAX_EVENT_BYTES), reader: ChunkReader::default() }
    }
}

impl Decoder for Chunks {
    fn push(&mut self, bytes: Bytes) {
        self.events.push(bytes);
    }

    fn next_piece(&mut self) -> Option<Result<Piece, WireError>> {
        let data = match self.events.next_event()? {
            Ok(event) => event.data,
            Err(error) => return Some(Err(error)),
        };
        Some(match data.as_ref() == sse::DONE {
            true => Ok(Piece::Done),
            false => self.reader.facts(&data).map(|facts| Piece::Chunk { data, facts }),
        })
    }
}
