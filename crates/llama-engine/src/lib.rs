//! The local engine: llama.cpp behind an OpenAI-style HTTP interface on a private Unix socket.
//!
//! It is a process of its own because llama.cpp may abort, and an abort must not take the gateway or a user's Node process
//! with it. A request travels like this:
//!
//! ```text
//! server  ->  models (one load for all who wait)  ->  prepare (chat template, tokens, context check, grammar)
//!                                                       |
//!   client  <-  answer (OpenAI shapes)  <-  channel  <-  batcher, on one thread per model  ->  llama (llama.cpp)
//! ```
//!
//! Each step, the batcher asks [`cells`] what has been read already, [`pace`] how much may be read at a time and
//! [`schedule`] for a batch; [`sampler`] chooses a token out of the model's scores, among those that [`constraint`] allows.
//!
//! [`batcher`], [`devices`], [`schedule`], [`text`], [`template`] and [`request`] know nothing of llama.cpp: they are tested
//! without a model. Only [`llama`] touches it. Nothing here knows which model is better, what an endpoint is, or how to
//! retry: that is the gateway's.

pub mod answer;
pub mod architectures;
pub mod batcher;
pub mod cells;
pub mod constraint;
mod context;
pub mod devices;
pub mod error;
pub mod llama;
pub mod memory;
pub mod model_file;
pub mod models;
pub mod options;
pub mod pace;
pub mod prepare;
pub mod request;
pub mod sampler;
pub mod schedule;
pub mod server;
pub mod socket;
pub mod stats;
pub mod template;
pub mod text;
pub mod threads;
pub mod token;
pub mod tools;
pub mod worker;

pub use error::EngineError;
