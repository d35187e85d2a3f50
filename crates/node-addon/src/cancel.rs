use napi_derive::napi;
use tokio_util::sync::CancellationToken;

/// Cancels one call. napi takes an `AbortSignal` only for work on its thread pool, not for futures; the wrapper drives
/// this from the signal's event.
#[napi]
#[derive(Default)]
pub struct CancelHandle {
    pub(crate) token: CancellationToken,
}

#[napi]
impl CancelHandle {
    /// For one call.
    #[napi(constructor, catch_unwind)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the call with `UAT_CANCELLED` and closes its upstream connection. Idempotent.
    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        self.token.cancel();
    }
}
