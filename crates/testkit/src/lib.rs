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
//! `uat-fake-provider` is the provider as a program. It prints `listening on http://127.0.0.1:PORT` and then answers
//! `/v1/chat/completions`, `/v1/embeddings` and `/v1/models` (OpenAI), `/api/chat`, `/api/embed` and `/api/tags` (Ollama)
//! and these:
//!
//! - `POST /__control` changes the script. Every field may be left out:
//!   ```json
//!   {
//!     "default": {"behaviour": "answer", "chunks": 20, "between_chunks_ms": 5},
//!     "enqueue": [{"behaviour": "status", "code": 429, "headers": [["retry-after", "1"]]},
//!                 {"behaviour": "cut_after", "chunks": 10, "answer": {"text": "The sky is blue.", "chunks": 16}}],
//!     "listing": {"behaviour": "hang"},
//!     "reset": true
//!   }
//!   ```
//!   `default` answers requests for chats and embeddings when the queue is empty, `enqueue` adds to that queue,
//!   `listing` answers `/v1/models` and `/api/tags`, and `reset` first empties the queue and forgets what was seen. The
//!   behaviours and their fields are those of [`Behaviour`] and [`Vectors`], in snake_case; [`Answer`]'s fields are `text`, `chunks`,
//!   `first_token_delay_ms` and `between_chunks_ms`.
//! - `GET /__requests` is `{"count": N, "open_connections": N, "requests": [{"index", "connection", "method", "path",
//!   "headers", "body", "at_unix_ms"}]}`.
//! - `GET /__disconnects` is `{"count": N, "disconnects": [{"request", "path", "sent_bytes", "at_unix_ms"}]}`: the
//!   answers whose client went away before they ended.
//!
//! Both take `?count=N&timeout_ms=T`: the reply then waits until N have been seen, or T milliseconds have passed (504).
//! A client that waits so needs no polling, and its own clock bounds when the event happened.

mod behaviour;
mod control;
mod dialect;
mod fake_hub;
mod fault_proxy;
mod gguf_file;
pub mod history;
mod observe;
mod provider;
pub mod redis;
mod refused;
mod reply;
mod request;

pub use behaviour::{Answer, Behaviour, Vectors};
pub use fake_hub::{FakeHub, HubFault, HubRequest};
pub use fault_proxy::{Direction, FaultProxy, Mode, Upstream};
pub use gguf_file::{GgufFile, GgufTensor};
pub use observe::{Disconnect, Request, WaitTimedOut};
pub use provider::FakeProvider;
pub use refused::{RefusedAddr, refused_addr};
