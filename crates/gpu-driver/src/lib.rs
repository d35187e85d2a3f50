//! What a machine's GPUs say of their memory: how much there is, how much is used and by which processes, in bytes.
//!
//! A [`Driver`] is read again and again. [`NvmlDriver`] asks NVIDIA's management library, which is looked for when the program runs;
//! [`FakeDriver`] shows GPUs that a [`FakeMachine`] scripts, for trying things out where there are none; [`NoGpus`] shows none. This
//! crate knows nothing of leases, of who should get memory, of environment variables or of clocks: whoever reads decides when.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use gpu_driver::{Choice, FakeGpu, FakeMachine, open};
//!
//! let machine = FakeMachine::new([FakeGpu { name: Some("Test".to_owned()), total: 24 << 30 }]);
//! let mut driver = open(Choice::Fake(machine.clone()))?;
//! machine.hold(0, 4711, 8 << 30)?;
//! let gpus = driver.read()?;
//! let memory = gpus[0].allocatable().ok_or("lost")?;
//! assert_eq!((memory.used, memory.free), (8 << 30, 16 << 30));
//! # Ok(())
//! # }
//! ```
//!
//! # What a manager can rely on
//! - A reading is one listing of all devices. A device that cannot be read is listed with the reason ([`Unreadable`]) and does not
//!   hide the others.
//! - `used + reserved + free <= total` for every [`Memory`]. What a driver cannot tell is `None`, never 0.
//! - [`Driver::read`] fails as a whole only where the driver itself does. After [`DriverError::Vanished`] each further read
//!   opens it anew, so that whoever keeps reading sees the GPUs again once they are back.
//! - Indices are the driver's order and may change when a GPU goes or comes; UUIDs stay.
//!
//! Calls block: usually for microseconds to some milliseconds a device, up to seconds where the driver has to wake a GPU, for
//! longer where a GPU hangs. They belong on a thread that may wait.

mod error;
mod fake;
mod none;
mod nvml;
mod reading;

use std::path::PathBuf;

pub use error::{Attempt, DriverError};
pub use fake::{FakeDriver, FakeError, FakeGpu, FakeMachine};
pub use none::NoGpus;
pub use nvml::NvmlDriver;
pub use reading::{DeviceReading, Link, LinkKind, Memory, MigReading, ProcessReading, Unreadable};

/// Somebody who knows the GPUs of this machine.
pub trait Driver: Send {
    /// `nvml`, `fake` or `none`.
    fn name(&self) -> &'static str;

    /// All devices as they are now, in the driver's order.
    ///
    /// # Errors
    /// [`DriverError::Vanished`] where the driver, which was there, answers no longer.
    fn read(&mut self) -> Result<Vec<DeviceReading>, DriverError>;

    /// What lies between each two devices, by their indices, as far as the driver tells it. It changes only with the devices: to be
    /// asked once, not with each reading (some calls for every pair).
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    fn links(&mut self) -> Result<Vec<Link>, DriverError>;

    /// Why there are no GPUs, where a driver was looked for and not found.
    fn why_none(&self) -> Option<&DriverError> {
        None
    }
}

/// Which driver is wanted.
#[derive(Debug, Clone)]
pub enum Choice {
    /// NVML where it is found, else none; [`Driver::why_none`] then says why.
    Auto {
        /// The library, where it is not at a usual place.
        path: Option<PathBuf>,
    },
    /// NVML or nothing.
    Nvml {
        /// The library, where it is not at a usual place.
        path: Option<PathBuf>,
    },
    /// GPUs that stand in memory.
    Fake(FakeMachine),
    /// No GPUs.
    None,
}

/// Opens the driver that is wanted.
///
/// # Errors
/// For [`Choice::Nvml`] alone: [`DriverError`] with what was tried.
pub fn open(choice: Choice) -> Result<Box<dyn Driver>, DriverError> {
    Ok(match choice {
        Choice::Auto { path } => match NvmlDriver::open(path) {
            Ok(driver) => Box::new(driver),
            Err(reason) => Box::new(NoGpus::because(reason)),
        },
        Choice::Nvml { path } => Box::new(NvmlDriver::open(path)?),
        Choice::Fake(machine) => Box::new(FakeDriver::new(machine)),
        Choice::None => Box::new(NoGpus::chosen()),
    })
}
