//! OpenAI's chat completions and embeddings, the dialect that the product speaks inside.
//!
//! Requests stay the bytes that the client sent ([`ChatRequest`], [`EmbeddingsRequest`]); answers are read only as far
//! as a gateway has to know ([`chunk_facts`], [`response_facts`], [`embeddings_facts`]).

mod beginning;
mod build;
mod call_delta;
mod chunk;
mod chunk_reader;
mod collector;
mod continuation;
mod embeddings;
mod error;
mod insert;
mod judged;
mod members;
mod message;
mod options;
mod plain_answer;
mod request;
mod response;
pub mod responses;
mod scan;
pub(crate) mod splice;

pub use build::{
    Answer, Delta, ModelEntry, TokenLogprob, answer, choice_chunk, chunk, model_list, usage_chunk,
};
pub(crate) use call_delta::{CallDelta, Held};
pub(crate) use chunk::decode_object;
pub use chunk::{ChunkFacts, PromptDetails, Usage, chunk_facts};
pub use chunk_reader::ChunkReader;
pub use collector::ChunkCollector;
pub use continuation::{Cut, Heard, PartialAnswer, Seam};
pub use embeddings::{
    Embedded, EmbeddingInput, EmbeddingsFacts, EmbeddingsRequest, Encoding, MAX_INPUTS, embeddings_answer,
    embeddings_facts, embeddings_vectors,
};
pub use error::{ErrorBody, UpstreamError, parse_error};
pub use judged::{ChosenToken, Said, Wanted, chunks_of, said, without_logprobs};
pub(crate) use members::Members;
pub use message::{Content, Message, Part, Role};
pub use options::SamplingOptions;
pub use plain_answer::PlainAnswer;
pub use request::ChatRequest;
pub(crate) use request::MAX_MODEL_NAME;
pub use response::{ResponseFacts, response_facts};

#[cfg(test)]
mod tests;
