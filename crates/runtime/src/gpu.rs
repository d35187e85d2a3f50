//! Where the daemon of this user's GPUs is met.

use std::path::PathBuf;

use crate::RuntimeError;

/// The socket of this user's daemon, in a folder that nobody else can enter, which is created where it is not there.
///
/// # Errors
/// [`RuntimeError::Engine`] where the folder is not private.
pub fn gpu_socket() -> Result<PathBuf, RuntimeError> {
    Ok(child_engine::private_folder()?.join("gpu.sock"))
}
