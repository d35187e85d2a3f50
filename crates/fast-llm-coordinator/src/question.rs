//! What is asked of a model, as far as the loop and an attempt have to know.

use std::time::Duration;

use bytes::Bytes;
use llm_wire::WireError;
use llm_wire::openai::{self, ChatRequest, EmbeddingsRequest, Encoding, UpstreamError, Usage};
use trace_context::TraceContext;

use crate::meter::Bill;

/// Four bytes to a token is the usual rule of thumb for English; only the ratio between requests matters here.
const BYTES_PER_TOKEN: u64 = 4;
/// Assumed length of an answer that the request does not limit, in tokens.
const ASSUMED_ANSWER_TOKENS: u64 = 256;

/// A request of one of the kinds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Question<'a> {
    Chat(&'a ChatRequest),
    Embeddings(&'a EmbeddingsRequest),
    /// How many tokens the conversation has.
    Count(&'a ChatRequest),
}

/// What an endpoint is asked, under which names and until when.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) question: Question<'a>,
    /// The model's name there.
    pub(crate) model: &'a str,
    /// The longest answer of the model, in tokens, as configured.
    pub(crate) max_output_tokens: Option<u64>,
    pub(crate) request_id: &'a str,
    /// The trace and the attempt's span in it.
    pub(crate) trace: Option<&'a TraceContext>,
    /// Until the answer is whole or its first content is there.
    pub(crate) patience: Duration,
    /// For how long somebody waits, the rest of a stream included.
    pub(crate) time_left: Duration,
    /// What the execution takes.
    pub(crate) bill: &'a Bill,
}

/// A whole answer in OpenAI's shape, and what it says.
pub(crate) struct WholeAnswer {
    pub(crate) body: Bytes,
    pub(crate) usage: Option<Usage>,
    pub(crate) error: Option<UpstreamError>,
}

impl<'a> Question<'a> {
    /// The conversation, if it is about one.
    pub(crate) fn chat(&self) -> Option<&'a ChatRequest> {
        match self {
            Self::Chat(request) | Self::Count(request) => Some(request),
            Self::Embeddings(_) => None,
        }
    }

    /// The public name of the model that was asked for.
    pub(crate) fn model(&self) -> &str {
        match self {
            Self::Chat(request) | Self::Count(request) => request.model(),
            Self::Embeddings(request) => request.model(),
        }
    }

    pub(crate) fn stream(&self) -> bool {
        match self {
            Self::Chat(request) => request.stream(),
            Self::Embeddings(_) | Self::Count(_) => false,
        }
    }

    /// Whether a stream is to end with the usage.
    pub(crate) fn include_usage(&self) -> bool {
        match self {
            Self::Chat(request) => request.include_usage(),
            Self::Embeddings(_) | Self::Count(_) => false,
        }
    }

    /// Whether the client must not see the usage at the end of its stream.
    pub(crate) fn hides_usage(&self) -> bool {
        matches!(self, Self::Chat(request) if request.hides_usage())
    }

    /// Fields of the client's document that the question does not say.
    pub(crate) fn dropped(&self) -> &'a [String] {
        self.chat().map_or(&[], ChatRequest::dropped)
    }

    /// The beginning of the conversation, if it is one: those that begin alike are best asked at the same endpoint.
    pub(crate) fn beginning(&self) -> Option<&'a [u8]> {
        self.chat().map(ChatRequest::conversation_beginning)
    }

    /// How much work this is, in tokens.
    pub(crate) fn estimated_tokens(&self) -> u64 {
        let read = |body: &Bytes| body.len() as u64 / BYTES_PER_TOKEN;
        match self {
            Self::Chat(request) => {
                read(request.body()) + request.max_tokens().unwrap_or(ASSUMED_ANSWER_TOKENS)
            }
            Self::Embeddings(request) => read(request.body()),
            Self::Count(request) => read(request.body()),
        }
    }

    /// Reads a whole answer in OpenAI's shape. Embeddings that are written otherwise than was asked are written anew:
    /// many servers know no `encoding_format`, and OpenAI's own clients read nothing but what they asked for.
    pub(crate) fn read(&self, body: Bytes) -> Result<WholeAnswer, WireError> {
        match self {
            // Whoever asked reads the number.
            Self::Count(_) => Ok(WholeAnswer { body, usage: None, error: None }),
            Self::Chat(_) => {
                let facts = openai::response_facts(&body)?;
                Ok(WholeAnswer { body, usage: facts.usage, error: facts.error })
            }
            Self::Embeddings(request) => {
                let facts = openai::embeddings_facts(&body)?;
                if facts.error.is_none() && facts.vectors != request.inputs() {
                    return Err(WireError::Invalid {
                        field: "data".to_owned(),
                        expected: format!("{} vectors, one for each input", request.inputs()),
                        got: facts.vectors.to_string(),
                    });
                }
                let body = match facts.error {
                    Some(_) => body,
                    None => written_as_asked(request, body, facts.encoding)?,
                };
                Ok(WholeAnswer { body, usage: facts.usage, error: facts.error })
            }
        }
    }
}

/// Base64 is decoded even where it was asked for: it is one copy, and a vector that is none is found while another
/// endpoint can still answer.
fn written_as_asked(request: &EmbeddingsRequest, body: Bytes, written: Encoding) -> Result<Bytes, WireError> {
    let asked = request.encoding();
    if (asked, written) == (Encoding::Float, Encoding::Float) {
        return Ok(body);
    }
    let openai::Embedded { vectors, prompt_tokens } = openai::embeddings_vectors(&body)?;
    match asked == written {
        true => Ok(body),
        false => Ok(openai::embeddings_answer(request.model(), vectors, asked, prompt_tokens)),
    }
}
