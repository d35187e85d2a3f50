//! OpenAI's `POST /v1/embeddings`: the request as its client wrote it, what an answer says, and answers of our own.

mod answer;
mod request;

pub use answer::{Embedded, EmbeddingsFacts, embeddings_answer, embeddings_facts, embeddings_vectors};
pub use request::{EmbeddingInput, EmbeddingsRequest, MAX_INPUTS};

/// How the numbers of a vector are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// An array of numbers.
    #[default]
    Float,
    /// Base64 of the numbers as little-endian `f32`: a third of the size, and nothing is rounded.
    Base64,
}
