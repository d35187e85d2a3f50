//! Ollama's `/api/chat`, `/api/generate`, `/api/embed` and `/api/tags`, translated to and from OpenAI's dialect in both directions.
//!
//! * A gateway asks an Ollama server: [`chat_request`] out, [`ToOpenAi`] back; [`embed_request`] out,
//!   [`embed_to_openai`] back; [`parse_tags`] for what it serves.
//! * An Ollama client asks the gateway: [`parse_chat`] or [`parse_generate`] in, [`FromOpenAi`] back; [`parse_embed`] in, [`embed_answer`]
//!   back; [`tags`] for what there is.
//!
//! What one dialect cannot say in the other is refused by the name of its field. The exceptions do not change an
//! answer, only where and how fast it is computed; they are listed as constants beside their use, and what a client
//! said of them is named in [`ChatRequest::dropped`](crate::openai::ChatRequest::dropped).
//!
//! The format: <https://github.com/ollama/ollama/blob/main/docs/api.md>.

mod answer_in;
mod answer_out;
mod embed;
mod generate;
mod inbound;
mod inspect;
mod outbound;
mod tags;

pub use answer_in::ToOpenAi;
pub use answer_out::{FromOpenAi, Path};
pub use embed::{
    embed_answer, embed_request, embed_to_openai, embedding_answer, parse_embed, parse_embeddings,
};
pub use generate::{Generate, loaded, parse_generate};
pub use inbound::parse_chat;
pub use inspect::{Details, RunningEntry, ShowEntry, parse_show, running, show};
pub use outbound::chat_request;
pub use tags::{TagEntry, error_body, parse_tags, tags};

/// Options of Ollama that OpenAI lacks and that change the answer. They stand at the top level of an OpenAI body under
/// the same names, as llama.cpp's server has them, so that a backend without them refuses them by name.
const SAMPLING_EXTENSIONS: [&str; 10] = [
    "top_k",
    "min_p",
    "typical_p",
    "tfs_z",
    "repeat_penalty",
    "repeat_last_n",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "penalize_newline",
];

#[cfg(test)]
mod tests;
