//! Ollama's dialect: lines of JSON, each of which becomes any number of chunks.

use bytes::Bytes;
use http::{HeaderValue, Uri};
use llm_wire::{Translated, WireError, ndjson, ollama};

use super::address::Base;
use super::translation::{self, Translation};
use super::{AnswerNames, Decoder, MAX_EVENT_BYTES, Speaks, Written, no_count, translated};
use crate::config::EndpointConfig;
use crate::error::CoordinatorError;
use crate::question::{Asked, Question};

pub(super) struct Ollama {
    chat: Uri,
    embeddings: Uri,
}

impl Ollama {
    pub(super) fn new(config: &EndpointConfig, base: &Base) -> Result<Self, CoordinatorError> {
        Ok(Self { chat: base.at(config, "/api/chat")?, embeddings: base.at(config, "/api/embed")? })
    }
}

impl Speaks for Ollama {
    fn uri(&self, question: Question<'_>, _model: &str) -> Result<Uri, WireError> {
        Ok(match question {
            Question::Chat(_) => self.chat.clone(),
            Question::Embeddings(_) => self.embeddings.clone(),
            Question::Count(_) => return Err(no_count()),
        })
    }

    fn body(&self, asked: Asked<'_>) -> Result<Translated, WireError> {
        match asked.question {
            Question::Chat(request) => ollama::chat_request(request, asked.model, request.stream()),
            Question::Embeddings(request) => {
                ollama::embed_request(request, asked.model).map(Translated::whole)
            }
            Question::Count(_) => Err(no_count()),
        }
    }

    fn stream_type(&self) -> HeaderValue {
        HeaderValue::from_static("application/x-ndjson")
    }

    fn whole_answer(
        &self,
        question: Question<'_>,
        body: Bytes,
        names: AnswerNames<'_>,
    ) -> Result<Written, WireError> {
        match question {
            Question::Chat(_) => {
                ollama::ToOpenAi::completion(&body, &names.chat_id(), names.model, names.created)
            }
            Question::Embeddings(request) => ollama::embed_to_openai(&body, names.model, request.encoding()),
            Question::Count(_) => Err(no_count()),
        }
        .map(translated)
    }

    fn decoder(&self, question: Question<'_>, names: AnswerNames<'_>) -> Box<dyn Decoder> {
        Translation::of(ToChunks {
            lines: ndjson::Decoder::new(MAX_EVENT_BYTES),
            to_openai: ollama::ToOpenAi::new(
                names.chat_id(),
                names.model.to_owned(),
                names.created,
                question.include_usage(),
            ),
        })
    }
}

/// Lines that become OpenAI's chunks.
struct ToChunks {
    lines: ndjson::Decoder,
    to_openai: ollama::ToOpenAi,
}

impl translation::ToChunks for ToChunks {
    fn push(&mut self, bytes: Bytes) {
        self.lines.push(bytes);
    }

    fn next_chunks(&mut self) -> Option<Result<Vec<Bytes>, WireError>> {
        let line = self.lines.next_line()?;
        Some(line.and_then(|line| self.to_openai.line(&line)))
    }
}
