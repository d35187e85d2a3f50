//! GPUs that stand in memory, for trying things out where there are none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    DeviceReading, Driver, DriverError, Link, LinkKind, Memory, MigReading, ProcessReading, Unreadable,
};

/// A GPU to begin with: empty, idle, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeGpu {
    /// By default `Fake GPU`.
    pub name: Option<String>,
    /// Bytes.
    pub total: u64,
}

/// The GPUs and what happens to them. Clones are the same machine: one goes to [`FakeDriver`], another stays with whoever scripts.
#[derive(Debug, Clone)]
pub struct FakeMachine {
    state: Arc<Mutex<State>>,
}

/// Why something cannot happen to a fake GPU.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FakeError {
    /// There is none of this index.
    #[error("expected the index of one of {count} fake GPUs, got {index}")]
    NoSuchGpu {
        /// Asked for.
        index: u32,
        /// There are.
        count: usize,
    },
    /// So much does not fit, as on a real one.
    #[error("fake GPU {index} is out of memory: {asked} bytes asked for, {free} free")]
    OutOfMemory {
        /// Which one.
        index: u32,
        /// Bytes.
        asked: u64,
        /// Bytes.
        free: u64,
    },
}

#[derive(Debug)]
struct State {
    gpus: Vec<Gpu>,
    links: Vec<Link>,
    vanished: Option<String>,
}

#[derive(Debug)]
struct Gpu {
    name: String,
    total: u64,
    /// Used by nobody who is listed.
    unlisted: u64,
    held: BTreeMap<u32, u64>,
    tells_processes: bool,
    utilization: u32,
    lost: Option<String>,
    mig: Option<Vec<MigReading>>,
}

impl FakeMachine {
    /// A machine with these GPUs, in the order of their indices. Their UUIDs follow from the indices.
    pub fn new(gpus: impl IntoIterator<Item = FakeGpu>) -> Self {
        let gpus = gpus.into_iter().map(Gpu::new).collect();
        Self { state: Arc::new(Mutex::new(State { gpus, links: Vec::new(), vanished: None })) }
    }

    /// A process holds `bytes` from now on, in place of what it held.
    ///
    /// # Errors
    /// [`FakeError::OutOfMemory`] where it does not fit: nothing changes then.
    pub fn hold(&self, index: u32, pid: u32, bytes: u64) -> Result<(), FakeError> {
        self.change(index, |gpu| {
            gpu.fits(index, gpu.held.get(&pid).copied().unwrap_or(0), bytes)?;
            gpu.held.insert(pid, bytes);
            Ok(())
        })
    }

    /// A process is gone from a GPU; nothing happens where it was not there.
    ///
    /// # Errors
    /// [`FakeError::NoSuchGpu`].
    pub fn release(&self, index: u32, pid: u32) -> Result<(), FakeError> {
        self.change(index, |gpu| {
            gpu.held.remove(&pid);
            Ok(())
        })
    }

    /// So much is used by nobody who is listed: a process in another container, say.
    ///
    /// # Errors
    /// [`FakeError::OutOfMemory`] where it does not fit: nothing changes then.
    pub fn use_unlisted(&self, index: u32, bytes: u64) -> Result<(), FakeError> {
        self.change(index, |gpu| {
            gpu.fits(index, gpu.unlisted, bytes)?;
            gpu.unlisted = bytes;
            Ok(())
        })
    }

    /// Whether the GPU tells how much each process uses; some drivers do not.
    ///
    /// # Errors
    /// [`FakeError::NoSuchGpu`].
    pub fn tell_processes(&self, index: u32, tells: bool) -> Result<(), FakeError> {
        self.change(index, |gpu| {
            gpu.tells_processes = tells;
            Ok(())
        })
    }

    /// How busy it is, in percent; more than 100 counts as 100.
    ///
    /// # Errors
    /// [`FakeError::NoSuchGpu`].
    pub fn set_utilization(&self, index: u32, percent: u32) -> Result<(), FakeError> {
        self.change(index, |gpu| {
            gpu.utilization = percent.min(100);
            Ok(())
        })
    }

    /// One GPU falls off the bus, with this reason; what was on it is gone.
    ///
    /// # Errors
    /// [`FakeError::NoSuchGpu`].
    pub fn lose(&self, index: u32, reason: impl Into<String>) -> Result<(), FakeError> {
        self.change(index, |gpu| {
            gpu.lost = Some(reason.into());
            gpu.held.clear();
            gpu.unlisted = 0;
            Ok(())
        })
    }

    /// A lost GPU is back, empty.
    ///
    /// # Errors
    /// [`FakeError::NoSuchGpu`].
    pub fn find(&self, index: u32) -> Result<(), FakeError> {
        self.change(index, |gpu| {
            gpu.lost = None;
            Ok(())
        })
    }

    /// A GPU is divided into `instances`, or with `None` whole again.
    ///
    /// # Errors
    /// [`FakeError::NoSuchGpu`].
    pub fn divide(&self, index: u32, instances: Option<Vec<MigReading>>) -> Result<(), FakeError> {
        self.change(index, |gpu| {
            gpu.mig = instances;
            Ok(())
        })
    }

    /// What lies between two GPUs; where nothing is said, nothing is told.
    ///
    /// # Errors
    /// [`FakeError::NoSuchGpu`].
    pub fn link(&self, one: u32, other: u32, kind: LinkKind) -> Result<(), FakeError> {
        for index in [one, other] {
            self.change(index, |_| Ok(()))?;
        }
        let devices = [one.min(other), one.max(other)];
        let links = &mut self.state.lock().links;
        links.retain(|link| link.devices != devices);
        links.push(Link { devices, kind });
        Ok(())
    }

    /// The driver goes, with this reason: every reading fails until it is [back](Self::restore).
    pub fn vanish(&self, reason: impl Into<String>) {
        self.state.lock().vanished = Some(reason.into());
    }

    /// The driver is back, with all that was there.
    pub fn restore(&self) {
        self.state.lock().vanished = None;
    }

    fn change(
        &self,
        index: u32,
        change: impl FnOnce(&mut Gpu) -> Result<(), FakeError>,
    ) -> Result<(), FakeError> {
        let gpus = &mut self.state.lock().gpus;
        let count = gpus.len();
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        change(gpus.get_mut(at).ok_or(FakeError::NoSuchGpu { index, count })?)
    }
}

impl Gpu {
    fn new(FakeGpu { name, total }: FakeGpu) -> Self {
        Self {
            name: name.unwrap_or_else(|| "Fake GPU".to_owned()),
            total,
            unlisted: 0,
            held: BTreeMap::new(),
            tells_processes: true,
            utilization: 0,
            lost: None,
            mig: None,
        }
    }

    fn used(&self) -> u64 {
        self.held.values().fold(self.unlisted, |sum, held| sum.saturating_add(*held))
    }

    fn free(&self) -> u64 {
        self.total.saturating_sub(self.used())
    }

    /// Whether `asked` bytes fit in place of the `had` that are among the used ones.
    fn fits(&self, index: u32, had: u64, asked: u64) -> Result<(), FakeError> {
        let free = self.free().saturating_add(had);
        if asked > free { Err(FakeError::OutOfMemory { index, asked, free }) } else { Ok(()) }
    }

    fn read(&self, index: u32) -> DeviceReading {
        let is_lost = self.lost.is_some();
        let processes = self
            .held
            .iter()
            .map(|(pid, held)| ProcessReading { pid: *pid, used: self.tells_processes.then_some(*held) });
        DeviceReading {
            index,
            uuid: Some(format!("GPU-00000000-0000-0000-0000-{index:012x}")),
            name: Some(self.name.clone()),
            pci_bus_id: None,
            memory: match &self.lost {
                Some(reason) => Err(Unreadable::Lost(reason.clone())),
                None => Memory::told(self.total, self.used(), self.free(), Some(0)).if_any(),
            },
            utilization: (!is_lost).then_some(self.utilization),
            temperature_c: None,
            power_w: None,
            processes: (!is_lost).then(|| processes.collect()),
            mig: self.mig.clone().filter(|_| !is_lost),
        }
    }
}

/// Shows the GPUs of a [`FakeMachine`].
#[derive(Debug)]
pub struct FakeDriver {
    machine: FakeMachine,
}

impl FakeDriver {
    /// Shows this machine.
    pub fn new(machine: FakeMachine) -> Self {
        Self { machine }
    }
}

impl Driver for FakeDriver {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn read(&mut self) -> Result<Vec<DeviceReading>, DriverError> {
        let state = self.machine.state.lock();
        there(&state)?;
        Ok((0..).zip(&state.gpus).map(|(index, gpu)| gpu.read(index)).collect())
    }

    fn links(&mut self) -> Result<Vec<Link>, DriverError> {
        let state = self.machine.state.lock();
        there(&state)?;
        Ok(state.links.clone())
    }
}

fn there(state: &State) -> Result<(), DriverError> {
    match &state.vanished {
        None => Ok(()),
        Some(reason) => {
            Err(DriverError::Vanished { library: PathBuf::from("the fake machine"), reason: reason.clone() })
        }
    }
}
