//! Where the daemon of this user is.

use std::path::PathBuf;

use runtime::vision_resource_manager::host::HostClient;

use crate::failure::Failure;

/// Which daemon.
#[derive(Debug, clap::Args)]
pub(crate) struct Socket {
    /// The daemon's socket; without it the one of this user.
    #[arg(long, value_name = "PATH", env = "UAT_GPU_SOCKET")]
    socket: Option<PathBuf>,
}

impl Socket {
    pub(crate) fn given(&self) -> Option<PathBuf> {
        self.socket.clone()
    }

    pub(crate) fn path(&self) -> Result<PathBuf, Failure> {
        match &self.socket {
            Some(path) => Ok(path.clone()),
            None => Ok(runtime::gpu_socket()?),
        }
    }

    pub(crate) fn client(&self) -> Result<HostClient, Failure> {
        Ok(HostClient::new(self.path()?, None))
    }
}
