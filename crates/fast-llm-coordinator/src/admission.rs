//! Who lets endpoints be asked that serve from this machine's GPUs: the coordinator's own view of it, which others implement.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::config::EndpointConfig;

/// What is held while an endpoint is asked: dropped when its answer has ended.
pub type Admitted = Box<dyn Send + Sync>;

/// Has a say before endpoints are asked that need memory of a GPU of this machine.
pub trait Admission: Send + Sync + 'static {
    /// Whether this endpoint is any of its business: the others are asked without it.
    fn concerns(&self, endpoint: &EndpointConfig) -> bool;

    /// Waits until the endpoint may be asked for this model (by its name there), at most as long as there is patience. Dropping
    /// the future leaves the line.
    ///
    /// # Errors
    /// Why it may not: another endpoint is asked then, where there is one.
    fn admit<'a>(
        &'a self,
        endpoint: &'a EndpointConfig,
        model: &'a Arc<str>,
        patience: Duration,
    ) -> BoxFuture<'a, Result<Admitted, NotAdmitted>>;
}

/// An endpoint is not asked, though nothing is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotAdmitted {
    /// The stable code, like `UAT_INSUFFICIENT_VRAM`.
    pub code: &'static str,
    /// What was needed, what there is, what to try.
    pub message: String,
    /// Whether it may be otherwise later.
    pub retryable: bool,
}
