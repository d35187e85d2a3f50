//! Things that go wrong on a network, on demand: a fake model provider that misbehaves as scripted, a proxy that
//! damages any connection at the byte level, an address that refuses, and [real Redis servers](redis) that are killed and
//! frozen. Beside them a [checker](history) of what clients saw of a store, a hub of models and small model files.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use testkit::{Answer, Behaviour, FakeProvider};
//!
//! let provider = FakeProvider::start().await?;
//! // The first chat request sees ten chunks and then a closed socket, every later one a full answer.
//! provider.enqueue(Behaviour::CutAfter { chunks: 10, answer: Answer::tokens(20) });
//! provider.set_default(Behaviour::Answer(Answer::text("Four.")));
//! assert!(provider.base_url().starts_with("http://127.0.0.1:"));
//! assert_eq!(provider.requests().len(), 0);
//! provider.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Everything is owned: the tasks behind a [`FakeProvider`] or a [`FaultProxy`] end when it is shut down or dropped.
//! Waits use tokio's clock and are woken by events, so that a test with a paused clock does not sleep.
//!
//! # The same from another language
//!
//! `uat-fake-provider` is the provider as a program. It prints `listening on http://127.0.0.1:PORT` and then speaks five
//! dialects, each with its own requests, answers, streams and errors:
//!
//! | dialect | chats | embeddings | other |
//! |---|---|---|---|
//! | OpenAI | `/v1/chat/completions` | `/v1/embeddings` | `/v1/models` |
//! | Azure | `/openai/v1/chat/completions`, `/openai/deployments/{m}/chat/completions?api-version=` | `.../embeddings` | `/openai/v1/models` |
//! | Anthropic | `/v1/messages` | | `/v1/messages/count_tokens`, `/v1/models` (with `anthropic-version`) |
//! | Gemini | `/v1beta/models/{m}:generateContent`, `:streamGenerateContent` | `:batchEmbedContents`, `:embedContent` | `:countTokens`, `/v1beta/models` |
//! | Ollama | `/api/chat` | `/api/embed` | `/api/tags` |
//!
//! With `--tls trusted|expired|wrong-name|self-signed` it prints a second line, `listening on https://127.0.0.1:PORT under
//! PATH`, where PATH is the certificate of the authority. It also answers:
//!
//! - `POST /__control` changes the script. Every field may be left out:
//!   ```json
//!   {
//!     "default": {"behaviour": "answer", "chunks": 20, "between_chunks_ms": 5},
//!     "enqueue": [{"behaviour": "status", "code": 429, "headers": [["retry-after", "1"]]},
//!                 {"behaviour": "cut_after", "chunks": 10, "answer": {"text": "The sky is blue.", "chunks": 16}},
//!                 {"behaviour": "answer", "chunks": 0, "reasoning": "Two cities.", "interleaved": true,
//!                  "tool_calls": [{"name": "weather", "arguments": "{\"city\":\"Rome\"}", "pieces": 4},
//!                                 {"name": "weather", "arguments": "{\"city\":\"Oslo\"}", "pieces": 4}],
//!                  "usage": {"given": {"prompt": 30, "completion": 12, "cached": 8}}},
//!                 {"behaviour": "delayed", "by_ms": 50, "then": {"behaviour": "duplicate_chunk", "chunk": 3}}],
//!     "listing": {"behaviour": "hang"},
//!     "key": "secret",
//!     "reset": true
//!   }
//!   ```
//!   `default` answers requests for chats, embeddings and counts when the queue is empty, `enqueue` adds to that queue,
//!   `listing` answers the lists of models, `key` is what every request must carry (empty: nothing), and `reset` first
//!   empties the queue and forgets what was seen. The behaviours and their fields are those of [`Behaviour`], [`Answer`]
//!   and [`Vectors`], in snake_case; durations are whole milliseconds, in fields that end in `_ms`.
//! - `GET /__requests` is `{"count": N, "open_connections": N, "requests": [{"index", "connection", "method", "path",
//!   "headers", "body", "at_unix_ms"}]}`.
//! - `GET /__disconnects` is `{"count": N, "disconnects": [{"request", "path", "sent_bytes", "at_unix_ms"}]}`: the
//!   answers whose client went away before they ended.
//!
//! Both take `?count=N&timeout_ms=T`: the reply then waits until N have been seen, or T milliseconds have passed (504).
//! A client that waits so needs no polling, and its own clock bounds when the event happened.

mod behaviour;
mod certificates;
mod control;
mod dialect;
mod fake_collector;
mod fake_hub;
mod fault_proxy;
mod gguf_file;
pub mod history;
pub mod model_file;
mod observe;
mod provider;
pub mod redis;
mod refused;
mod reply;
mod request;
pub mod speech;

pub use behaviour::{Answer, Behaviour, Continuation, Preamble, Tokens, ToolCall, Vectors};
pub use certificates::Certificate;
pub use fake_collector::{CollectorFault, FakeCollector, Posted};
pub use fake_hub::{FakeHub, HubFault, HubRequest};
pub use fault_proxy::{Direction, FaultProxy, Mode, Upstream};
pub use gguf_file::{GgufFile, GgufTensor};
pub use observe::{Disconnect, Request, WaitTimedOut};
pub use provider::{FakeProvider, TlsEndpoint};
pub use refused::{RefusedAddr, refused_addr};
