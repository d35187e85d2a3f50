//! Anthropic's messages, `anthropic-version: 2023-06-01` ([`VERSION`]), translated to and from OpenAI's dialect in both
//! directions.
//!
//! * A gateway asks Anthropic: [`messages_request`] out, [`ToOpenAi`] back.
//! * An Anthropic client asks the gateway: [`parse_messages`] in, [`FromOpenAi`] back; [`parse_count_tokens`] in,
//!   [`token_count`] back; [`error_body`] where there is no answer.
//! * An Anthropic client asks, and an Anthropic endpoint answers: [`messages_request`] passes the client's own bytes on,
//!   with another model in them, and [`event_facts`] and [`message_facts`] say what passes back.
//!
//! # What one dialect cannot say in the other
//!
//! Going out, a field that would change the answer is refused by its name; hints, identifiers and refinements of
//! sampling are left out and named in [`Translated::dropped`](crate::Translated::dropped).
//!
//! Coming in, [`parse_messages`] fails only where Anthropic's own API would. A request may be meant for an Anthropic
//! endpoint, which gets the [`original`](crate::openai::ChatRequest::original) and knows every feature of it. So what
//! OpenAI's dialect cannot say is an error of the *translation*: the request carries it as
//! [`untranslatable`](crate::openai::ChatRequest::untranslatable), which is to be checked before an endpoint of another
//! dialect is asked, and which everything that decodes the request answers with. Likewise
//! [`dropped`](crate::openai::ChatRequest::dropped) holds for other endpoints only.
//!
//! # Where things go
//!
//! * Thinking is `reasoning_content`. Its signature, and thinking that is redacted, stand in `reasoning_details` in the
//!   format `anthropic-claude-v1`, as OpenRouter has them; only details in that format, or in none, go to Anthropic.
//! * `cache_control` on a part, message or tool of an OpenAI client's, where OpenRouter and LiteLLM have it, goes to
//!   Anthropic's block. Coming in it is left out and named, because OpenAI's own API refuses fields that it does not know;
//!   an Anthropic endpoint gets it in the original.
//! * Images and documents in a tool's result follow the results in a message of the user, because OpenAI's tools answer
//!   in text; a line says of which call they are.
//! * `reasoning_effort` is adaptive thinking with `output_config.effort`, which models since Claude Opus 4.6 take; a
//!   client that means an older one sends `thinking` itself, which passes. Coming in, a budget below 4,096 tokens is
//!   `low`, below 16,384 `medium`, else `high`.
//! * Instructions that come later than the first message are moved to `system`, because only newer models take them in
//!   their place, and named as `messages[].role`. Of instructions alone the last are said by the user, as
//!   `messages[N].role`.
//!
//! The format: <https://platform.claude.com/docs/en/api/messages>, and the types of Anthropic's SDKs.

mod answer_in;
mod answer_out;
mod block_order;
mod chunk_in;
mod completion_in;
mod completion_out;
mod count;
mod error;
mod event_in;
mod facts;
mod frames;
mod inbound;
mod outbound;
mod stop;
mod usage;

pub use answer_in::ToOpenAi;
pub use answer_out::FromOpenAi;
pub use count::{count_request, counted_tokens};
pub use error::{error_body, error_kind};
pub use facts::{ends_stream, event_facts, message_facts};
pub use inbound::{parse_count_tokens, parse_messages, token_count};
pub use outbound::messages_request;

/// The value of the header `anthropic-version` that this translation follows.
pub const VERSION: &str = "2023-06-01";

/// OpenRouter's name for the format of Anthropic's entries in `reasoning_details`.
const REASONING_FORMAT: &str = "anthropic-claude-v1";

#[cfg(test)]
mod tests;
