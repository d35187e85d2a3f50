//! Carries out a [`route_plan::RoutePlan`]: chooses an endpoint, asks it, goes to another one while nothing has been
//! said yet, and reports what happened.
//!
//! ```no_run
//! use std::sync::Arc;
//! use fast_llm_coordinator::{Answer, CallOptions, Coordinator, CoordinatorConfig, EndpointConfig, ModelConfig, ModelEndpoint, Protocol};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let coordinator = Coordinator::new(
//!     CoordinatorConfig {
//!         endpoints: vec![EndpointConfig::new("local", Protocol::Ollama, Some("http://127.0.0.1:11434".into()))],
//!         models: vec![ModelConfig::at("llama3.2:3b", ["local"])],
//!     },
//!     None,
//! )?;
//! let request = llm_wire::openai::ChatRequest::parse(
//!     br#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"Hello"}]}"#.as_slice().into(),
//! )?;
//! let plan = route_plan::RoutePlan::single("req_1", "llama3.2:3b");
//! if let Answer::Complete { body, report, .. } = coordinator.execute(&plan, &request, CallOptions::default()).await? {
//!     println!("{} from {}", String::from_utf8_lossy(&body), report.endpoint);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # How it is laid out
//! Decisions are pure or plain state with the clock passed in: `select` (whom to ask), `endpoint` (what is known of one),
//! `board` (its health), `line` (who waits for a place there), `classify` (what a failure means), `question` (what is
//! asked), `call` (what a caller may add), `meter` (who is told what it took), `admission` (who has a say before GPUs are used), `dialect` (how it is said). `attempt`, `upstream` and `transport` are the parts that touch a socket; `search`
//! finds whom to ask next, `execution` is the loop around it, `coordinator` the face of it, `answer` what comes back. `resume` goes on with streams
//! that broke off, `cache` gives answers again, and shares those under way.
//!
//! # What it deliberately does not know
//! Which model is better (the router's), who asks and what they may spend (the gateway's), where the engine binary
//! lies (behind [`EngineDialer`]).

mod admission;
mod answer;
mod attempt;
mod board;
mod cache;
mod call;
mod chat_stream;
mod classify;
mod config;
mod coordinator;
mod dialect;
mod endpoint;
mod error;
mod execution;
mod heard;
mod journal;
mod line;
mod meter;
mod pace;
mod pause;
mod place;
mod question;
mod report;
mod resume;
mod search;
mod select;
mod stats;
mod transport;
mod upstream;

pub use admission::{Admission, Admitted, NotAdmitted};
pub use answer::Answer;
pub use cache::{ResponseCache, ResponseStore, Unavailable};
pub use call::{CachePreference, CallOptions, Trace};
pub use chat_stream::ChatStream;
pub use config::{
    Balance, CacheConfig, CoordinatorConfig, EndpointConfig, GpuNeed, GpuPriority, ModelConfig,
    ModelEndpoint, Protocol, Resume, Tuning,
};
pub use coordinator::{Coordinator, Surroundings};
pub use error::{CoordinatorError, Failure};
pub use heard::Listener;
pub use meter::{Meter, Most, Spent};
pub use report::{Attempt, CacheOutcome, Outcome, RoutingReport};
pub use stats::Stats;
/// What [`Trace`] holds.
pub use trace_context::TraceContext;
pub use transport::{DialError, EngineDialer};
