//! Gemini's `generateContent`, `streamGenerateContent` and `batchEmbedContents` (API `v1beta`), translated to and from
//! OpenAI's dialect in both directions.
//!
//! * A gateway asks Gemini: [`generate_request`] out, [`ToOpenAi`] back; [`embed_request`] out, [`embed_to_openai`]
//!   back; [`chunk_facts`] and [`response_facts`] where an answer is passed on as it is, [`retry_delay`] where it is an
//!   error.
//! * A Gemini client asks the gateway: [`parse_generate`] in, [`FromOpenAi`] back; [`parse_embed`] or
//!   [`parse_batch_embed`] in, [`embed_answer`] or [`batch_embed_answer`] back; [`error_body`] where it went wrong.
//!
//! The model and whether an answer is streamed stand in the address, not in the body.
//!
//! # What a signature was on
//! A `thoughtSignature` has to come back on the part that it came with. OpenAI's messages have no parts to hold it, so
//! it travels in `reasoning_details`, whose `format` is `google-gemini-v1`; others' details never reach Gemini:
//! * of a thought: `{"type":"reasoning.text","text":...,"signature":...}`,
//! * of a call: `{"type":"reasoning.encrypted","id":<the call's>,"data":...}`,
//! * of a text or an image: the same with `id` `content` or `image`; of a text that is empty, without `id`.
//!
//! The format: <https://ai.google.dev/api/generate-content>, <https://ai.google.dev/api/caching#Content>.

mod answer;
mod answer_in;
mod answer_out;
mod contents_in;
mod contents_out;
mod document;
mod embed;
mod error;
mod facts;
mod fields;
mod inbound;
mod logprobs;
mod options_out;
mod outbound;
mod parts_out;
mod schema;
mod tools_in;

pub use answer_in::ToOpenAi;
pub use answer_out::{FromOpenAi, wants_thoughts};
pub use embed::{
    batch_embed_answer, embed_answer, embed_request, embed_to_openai, parse_batch_embed, parse_embed,
};
pub use error::{error_body, retry_delay, status_name};
pub use facts::{chunk_facts, response_facts};
pub use inbound::parse_generate;
pub use outbound::generate_request;

/// OpenRouter's name for what Gemini signs.
const SIGNATURE_FORMAT: &str = "google-gemini-v1";
/// The `id` of a signature that came on the text of an answer.
const SIGNED_CONTENT: &str = "content";
/// The `id` of a signature that came on an image of an answer.
const SIGNED_IMAGE: &str = "image";

#[cfg(test)]
mod tests;
