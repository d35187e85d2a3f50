//! A machine without GPUs.

use crate::{DeviceReading, Driver, DriverError, Link};

/// Shows no GPU, because none is wanted or none was found.
#[derive(Debug)]
pub struct NoGpus {
    reason: Option<DriverError>,
}

impl NoGpus {
    /// None is wanted.
    pub fn chosen() -> Self {
        Self { reason: None }
    }

    /// None was found.
    pub fn because(reason: DriverError) -> Self {
        Self { reason: Some(reason) }
    }
}

impl Driver for NoGpus {
    fn name(&self) -> &'static str {
        "none"
    }

    fn read(&mut self) -> Result<Vec<DeviceReading>, DriverError> {
        Ok(Vec::new())
    }

    fn links(&mut self) -> Result<Vec<Link>, DriverError> {
        Ok(Vec::new())
    }

    fn why_none(&self) -> Option<&DriverError> {
        self.reason.as_ref()
    }
}
