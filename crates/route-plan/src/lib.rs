//! What a router decides and a coordinator executes, as plain data.
//!
//! The router answers WHICH model, the coordinator WHERE and HOW. They never import each other: the one writes a
//! [`RoutePlan`], the other carries it out and publishes [`EndpointHealth`], which the router reads for its next
//! decision. This crate knows nothing of sockets, configuration files or scores.
//!
//! ```
//! let plan = route_plan::RoutePlan::single("req_1", "smollm2-135m");
//! assert_eq!(&*plan.stages[0].candidates[0].model, "smollm2-135m");
//! ```

mod health;
mod price;
pub mod prices;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use health::{EndpointHealth, EndpointState, ModelHealth, StateChange};
pub use price::{LongPrompt, Price};

/// One decision: the stages are tried in order, the candidates of a stage in order of preference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutePlan {
    /// The id under which the request is reported, as in the header `x-request-id`.
    pub request_id: Arc<str>,
    /// Never empty in a plan that a router made.
    pub stages: Vec<Stage>,
}

/// One step of a plan: the first candidate that answers ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// In order of preference; a later one is asked only when every endpoint of the earlier ones failed.
    pub candidates: Vec<Candidate>,
}

/// A public model name that may answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The name from `[[models]]`, not the name that an endpoint uses for it.
    pub model: Arc<str>,
}

impl RoutePlan {
    /// The plan of a request that names its model: one stage, one candidate.
    pub fn single(request_id: impl Into<Arc<str>>, model: impl Into<Arc<str>>) -> Self {
        Self {
            request_id: request_id.into(),
            stages: vec![Stage { candidates: vec![Candidate { model: model.into() }] }],
        }
    }
}
