//! The model that a command loads: what it is taken to need, and what it turned out to take.

use std::path::{Path, PathBuf};

use runtime::memory_estimate::{CUDA_CONTEXT_BYTES, Confidence, EstimateError, Measured, Options, Part};
use runtime::{estimate_memory, learn_memory};

use super::how::{How, failure, place};
use crate::failure::Failure;

pub(super) struct Load {
    file: PathBuf,
    options: Options,
    /// Of each GPU.
    pub(super) bytes: u64,
}

impl Load {
    pub(super) fn of(model: &Path, how: &How, gpus: u32) -> Result<Self, Failure> {
        let file = place(model)?;
        let gpus = u16::try_from(gpus)
            .map_err(|_| Failure::usage("expected no more GPUs than a model can be split over"))?;
        let options = how.on(usize::from(gpus));
        let (_, told) = estimate_memory(&file, &options).map_err(|error| failure(&error))?;
        let planned = told.devices.iter().map(Part::total).max().unwrap_or(0);
        // What was measured has the context of CUDA in it.
        let is_measured = told.confidence == Confidence::Calibrated;
        let bytes = if is_measured { planned } else { planned + CUDA_CONTEXT_BYTES };
        Ok(Self { file, options, bytes })
    }

    /// The most that was used of each GPU. Nothing is learnt where the driver did not tell what the command used.
    pub(super) fn learn(self, peak: Vec<u64>) -> Result<(), EstimateError> {
        if peak.contains(&0) {
            return Ok(());
        }
        learn_memory(&self.file, &self.options, Measured { host: None, devices: peak })
    }
}
