//! Warm models, and what a client has when it comes back.

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{ClientError, HostClient};
use crate::LeaseId;
use crate::host::wire::{AttachBody, Attached, LoadedBody, ModelBody, OptimizeBody, Optimized, Use, UseBody};

impl HostClient {
    /// After a connection broke: the leases that this client knows of. Those that have ended are named; others that it had are given back.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn attach(&self, leases: Vec<LeaseId>) -> Result<Attached, ClientError> {
        self.reattach(&AttachBody { leases, instances: Vec::new() }).await
    }

    /// The same with warm models.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reattach(&self, body: &AttachBody) -> Result<Attached, ClientError> {
        self.call(Method::POST, "/v1/attach", Some(body)).await
    }

    /// This client has a model, or the same with other numbers of loads and uses: [`Self::events`] say when it is to be loaded and
    /// unloaded.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn register(&self, model: &ModelBody) -> Result<(), ClientError> {
        self.tell(Method::POST, "/v1/models", Some(model)).await
    }

    /// It has it no longer.
    ///
    /// # Errors
    /// [`ClientError`]; `UAT_INVALID_INPUT` where it is in use, being loaded, or not registered.
    pub async fn unregister(&self, model: &str) -> Result<(), ClientError> {
        self.tell(
            Method::DELETE,
            &format!("/v1/models/{}", utf8_percent_encode(model, NON_ALPHANUMERIC)),
            None::<&()>,
        )
        .await
    }

    /// Waits until a model may be used. Whoever drops the future does not want it any longer.
    ///
    /// # Errors
    /// [`ClientError`]; `UAT_ENGINE_UNAVAILABLE` where it could not be loaded.
    pub async fn use_model(&self, model: &str, body: UseBody) -> Result<Use, ClientError> {
        self.call(
            Method::POST,
            &format!("/v1/models/{}/uses", utf8_percent_encode(model, NON_ALPHANUMERIC)),
            Some(&body),
        )
        .await
    }

    /// A use has ended, by [`UseBody::request`].
    ///
    /// # Errors
    /// [`ClientError`]; `UAT_NOT_FOUND` where there is no such use.
    pub async fn done(&self, request: u64) -> Result<(), ClientError> {
        self.tell(Method::DELETE, &format!("/v1/uses/{request}"), None::<&()>).await
    }

    /// A model is loaded, which took so long.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn loaded(&self, lease: LeaseId, took_ms: u64) -> Result<(), ClientError> {
        self.tell(Method::POST, &format!("/v1/leases/{lease}/loaded"), Some(&LoadedBody { took_ms })).await
    }

    /// It could not be loaded.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn load_failed(&self, lease: LeaseId) -> Result<(), ClientError> {
        self.tell(Method::POST, &format!("/v1/leases/{lease}/failed"), None::<&()>).await
    }

    /// Has idle models of all processes unloaded.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn optimize(&self, body: OptimizeBody) -> Result<Optimized, ClientError> {
        self.call(Method::POST, "/v1/optimize", Some(&body)).await
    }
}
