//! Where the daemon of this user's GPUs is met, and where it writes.

use std::path::PathBuf;

use crate::RuntimeError;
use crate::config::state_home;

/// The socket of this user's daemon, in a folder that nobody else can enter, which is created where it is not there.
///
/// # Errors
/// [`RuntimeError::Engine`] where the folder is not private.
pub fn gpu_socket() -> Result<PathBuf, RuntimeError> {
    Ok(child_engine::private_folder()?.join("gpu.sock"))
}

/// Where the daemon writes leases down; `None` where neither `XDG_STATE_HOME` nor `HOME` says.
pub fn gpu_state() -> Option<PathBuf> {
    Some(state_home()?.join("uat/gpu"))
}
