//! Memory of GPUs: where the daemon of this user is met, and who of the gateway's endpoints may be asked.

mod gate;
mod kept;
mod loads;
mod server;

use std::path::PathBuf;

pub(crate) use gate::Gate;
pub use loads::{estimate_memory, learn_memory, project_memory};

use crate::RuntimeError;

/// The socket of this user's daemon, in a folder that nobody else can enter, which is created where it is not there.
///
/// # Errors
/// [`RuntimeError::Engine`] where the folder is not private.
pub fn gpu_socket() -> Result<PathBuf, RuntimeError> {
    Ok(child_engine::private_folder()?.join("gpu.sock"))
}
