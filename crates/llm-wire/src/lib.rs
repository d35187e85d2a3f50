//! What language-model servers and their clients say to one another: the types of each dialect, the translation
//! between dialects, and the framing of streams (SSE and NDJSON).
//!
//! A server hands the bytes of a request to [`openai::ChatRequest::parse`] (or [`ollama::parse_chat`]), which checks
//! them and keeps them as they are; a client asks the result for the bytes to send upstream, in OpenAI's dialect with
//! [`openai::ChatRequest::to_body`] or in Ollama's with [`ollama::chat_request`]. Going back, the client pushes what
//! arrives into [`sse::Decoder`] or [`ndjson::Decoder`] and asks [`openai::chunk_facts`] what each chunk says.
//!
//! Everything here is a pure function over bytes. This crate knows nothing of sockets, HTTP, time, retries or which
//! models exist, and it never panics on what it is given.
//!
//! ```
//! use bytes::Bytes;
//! use llm_wire::{openai, sse};
//!
//! // A request keeps its own bytes: only the model and the stream flag change on the way upstream.
//! let body = br#"{"model":"fast", "messages":[{"role":"user","content":"Hi"}], "top_k":40}"#;
//! let request = openai::ChatRequest::parse(Bytes::from_static(body))?;
//! assert_eq!(
//!     request.to_body("llama3.2:3b", true),
//!     br#"{"model":"llama3.2:3b","stream":true, "messages":[{"role":"user","content":"Hi"}], "top_k":40}"#.as_slice(),
//! );
//!
//! // An answer arrives in pieces that know nothing of event boundaries.
//! let mut decoder = sse::Decoder::new(1 << 20);
//! decoder.push(Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"Hel"));
//! assert!(decoder.next_event().is_none());
//! decoder.push(Bytes::from_static(b"lo\"}}]}\n\n"));
//! let event = decoder.next_event().expect("a whole event")?;
//! assert!(openai::chunk_facts(&event.data)?.has_content);
//! # Ok::<(), llm_wire::WireError>(())
//! ```

pub mod anthropic;
pub mod bounds;
mod dropped;
mod error;
mod framing;
pub mod gemini;
mod json;
pub mod ollama;
pub mod openai;
mod translation;

pub use error::WireError;
pub use framing::{ndjson, sse};
pub use translation::{Original, Spoken, Translated};
