//! What an error of NVML's means for a reading.

use nvml_wrapper::error::NvmlError;

use crate::Unreadable;

/// How far an error reaches.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The driver itself has gone.
    Gone(String),
    /// One device has.
    Lost(String),
    /// One question has no answer.
    NotTold(String),
}

impl Trouble {
    pub(super) fn reason(self) -> String {
        match self {
            Self::Gone(reason) | Self::Lost(reason) | Self::NotTold(reason) => reason,
        }
    }
}

impl From<NvmlError> for Trouble {
    fn from(error: NvmlError) -> Self {
        let reason = error.to_string();
        match error {
            NvmlError::Uninitialized
            | NvmlError::DriverNotLoaded
            | NvmlError::LibRmVersionMismatch
            | NvmlError::LibraryNotFound => Self::Gone(reason),
            // `Unknown` is what drivers say of a device that stopped answering after a critical error (nvidia-smi: "Unknown Error").
            NvmlError::GpuLost | NvmlError::ResetRequired | NvmlError::IrqIssue | NvmlError::Unknown => {
                Self::Lost(reason)
            }
            _ => Self::NotTold(reason),
        }
    }
}

/// An answer that may be missing; only a driver that has gone ends the reading.
pub(super) fn told<T>(answer: Result<T, NvmlError>) -> Result<Option<T>, Trouble> {
    Ok(readable(answer)?.ok())
}

/// An answer whose absence has a reason that is told.
pub(super) fn readable<T>(answer: Result<T, NvmlError>) -> Result<Result<T, Unreadable>, Trouble> {
    match answer.map_err(Trouble::from) {
        Ok(answer) => Ok(Ok(answer)),
        Err(Trouble::Gone(reason)) => Err(Trouble::Gone(reason)),
        Err(Trouble::Lost(reason)) => Ok(Err(Unreadable::Lost(reason))),
        Err(Trouble::NotTold(reason)) => Ok(Err(Unreadable::NotTold(reason))),
    }
}

/// Whether the library is too old to know the function.
pub(super) fn is_missing(error: &NvmlError) -> bool {
    matches!(error, NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound)
}
