//! The Node addon: one for all services, because each addon would start a tokio runtime of its own. One file per
//! service converts what JavaScript passes, calls the core, and converts back.
//!
//! Nothing here is for users to see. `src/services` of the npm package checks arguments, since napi's own messages
//! name neither the field nor what was expected, and turns errors into `UniversalAiError`; see [`error`] for how
//! they cross. A panic becomes an exception (`catch_unwind`), never an abort of the Node process.

mod cancel;
mod chat_stream;
mod eager;
mod error;
mod fast_llm_coordinator;
mod llm_router;
mod opened;
mod parameter_analytics;
mod redis_service;
mod vision_resource_manager;
mod voice_processing;

use napi_derive::napi;

/// The version of the addon, which the loader compares with that of the package.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
