//! Why there is no reading.

use std::fmt::Write;
use std::path::PathBuf;

/// Why no GPU can be asked. All have the code `UAT_NO_GPU`; they differ in what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The management library was not found: this machine has no NVIDIA driver, or keeps it at an unusual place.
    #[error("expected NVIDIA's management library, tried {}; install the driver, or name the library's path", list(.tried))]
    NoLibrary {
        /// Each place, in order.
        tried: Vec<Attempt>,
    },
    /// The library is there, and no driver answers it: its kernel module is not loaded, or this user may not open it.
    #[error("{} was loaded, but no driver answers it: {reason}; check that nvidia-smi works for this user", .library.display())]
    NoDriver {
        /// The library.
        library: PathBuf,
        /// What it said.
        reason: String,
    },
    /// Library and driver are there, and show no GPU: there is none, or a container was given none.
    #[error("{} answers, but shows no GPU; a container has to be given its GPUs when it is started", .library.display())]
    NoDevices {
        /// The library.
        library: PathBuf,
    },
    /// The driver was there and has gone: unloaded, replaced by another version or crashed. Reading again tries to open it again.
    #[error("the driver behind {} has gone: {reason}; it is tried again at each reading", .library.display())]
    Vanished {
        /// The library through which it was asked.
        library: PathBuf,
        /// What it said last.
        reason: String,
    },
}

/// One place where a library was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// A path, or a name that the dynamic linker looks up.
    pub library: PathBuf,
    /// Why it was not that.
    pub error: String,
}

impl DriverError {
    /// The stable code of every error of this crate.
    pub fn code(&self) -> &'static str {
        "UAT_NO_GPU"
    }

    /// Whether the driver was there before, so that what was granted upon it should be kept.
    pub fn is_vanished(&self) -> bool {
        matches!(self, Self::Vanished { .. })
    }
}

fn list(tried: &[Attempt]) -> String {
    let mut text = String::new();
    for (at, Attempt { library, error }) in tried.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        // Writing into a string cannot fail.
        let _written = write!(text, "{comma}{} ({error})", library.display());
    }
    text
}
