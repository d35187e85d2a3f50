//! What a driver says of its devices, as plain data. All sizes are bytes.

/// One GPU at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceReading {
    /// Its place in the driver's order, from 0. `nvidia-smi` counts the same way; CUDA does with
    /// `CUDA_DEVICE_ORDER=PCI_BUS_ID`.
    pub index: u32,
    /// Its name for life, as `CUDA_VISIBLE_DEVICES` takes it. `None` for a device that was lost before it was ever read.
    pub uuid: Option<String>,
    /// The product's name; `None` as above.
    pub name: Option<String>,
    /// Where it is plugged in, such as `00000000:01:00.0`.
    pub pci_bus_id: Option<String>,
    /// Its memory, or why that is not known. Of a divided device these are the whole device's figures: see `mig`.
    pub memory: Result<Memory, Unreadable>,
    /// Percent of the driver's last sampling period (some 20 ms to 1 s) in which anything ran.
    pub utilization: Option<u32>,
    /// Degrees Celsius.
    pub temperature_c: Option<u32>,
    /// Watts.
    pub power_w: Option<f64>,
    /// Who has a context on it, by pid, each once; `None` where the driver lists nobody to this user.
    pub processes: Option<Vec<ProcessReading>>,
    /// The instances that the device is divided into (MIG), perhaps none yet; `None` for a device that is not divided.
    ///
    /// CUDA runs on an instance, not on a divided device, and a process sees one instance only. So the device's own memory cannot
    /// be allocated as one: [`allocatable`](Self::allocatable) is `None`, and each instance has its own figures here.
    pub mig: Option<Vec<MigReading>>,
}

impl DeviceReading {
    /// The memory that can be granted as one piece: none of a device that is lost, cannot tell, or is divided.
    pub fn allocatable(&self) -> Option<&Memory> {
        if self.mig.is_some() { None } else { self.memory.as_ref().ok() }
    }

    /// Whether the device has fallen off the bus or needs a reset.
    pub fn is_lost(&self) -> bool {
        matches!(self.memory, Err(Unreadable::Lost(_)))
    }
}

/// The memory of a device or an instance, in bytes. `used + reserved + free <= total`, and `total > 0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All that there is.
    pub total: u64,
    /// What is allocated, by whomever. Where `reserved` is `None`, that is contained.
    pub used: u64,
    /// What can be allocated now. A single allocation of so much can still fail: memory is handed out in pages of 2 MiB, and each new
    /// CUDA context takes some hundred MiB for itself.
    pub free: u64,
    /// What driver and firmware keep for themselves; `None` where the driver is too old (before R510) to tell it from what is used.
    pub reserved: Option<u64>,
}

impl Memory {
    /// Figures as a driver says them. Where they contradict each other (used changes while it answers), less counts as free.
    pub(crate) fn told(total: u64, used: u64, free: u64, reserved: Option<u64>) -> Self {
        let used = used.min(total);
        let reserved = reserved.map(|reserved| reserved.min(total.saturating_sub(used)));
        let taken = used.saturating_add(reserved.unwrap_or(0));
        Self { total, used, free: free.min(total.saturating_sub(taken)), reserved }
    }

    /// No device has no memory: one that says so, as those do that share the processor's, does not tell.
    pub(crate) fn if_any(self) -> Result<Self, Unreadable> {
        if self.total == 0 { Err(Unreadable::NotTold("it names 0 bytes".to_owned())) } else { Ok(self) }
    }
}

/// Why a device's memory is not known; what it was last is the reader's to remember.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It has fallen off the bus, hangs or needs a reset: what was on it is gone.
    #[error("the device is lost: {0}")]
    Lost(String),
    /// It works, and does not tell: it shares the processor's memory, or this user may not ask.
    #[error("the device does not tell its memory: {0}")]
    NotTold(String),
}

/// A process that has a context on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessReading {
    /// As the driver numbers processes: in a container it may be the host's number.
    pub pid: u32,
    /// Bytes that it has allocated there; `None` where the driver cannot tell. One that both computes and draws is told by the larger
    /// figure, since drivers say the same in both lists; one on several instances by the sum.
    pub used: Option<u64>,
}

/// A part of a divided device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigReading {
    /// Its place among the device's instances.
    pub index: u32,
    /// As `CUDA_VISIBLE_DEVICES` takes it.
    pub uuid: Option<String>,
    /// Such as `NVIDIA A100-SXM4-40GB MIG 3g.20gb`.
    pub name: Option<String>,
    /// Its own memory.
    pub memory: Result<Memory, Unreadable>,
}

/// What lies between two devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Their indices, the smaller one first.
    pub devices: [u32; 2],
    /// How near they are.
    pub kind: LinkKind,
}

/// How near two devices are, nearest first: a gang is best placed on those that are least apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    /// NVLink, directly or through switches of its own.
    NvLink,
    /// One board with two GPUs.
    Board,
    /// One PCIe switch.
    Switch,
    /// Several PCIe switches, but no host bridge.
    Switches,
    /// One host bridge of the processor.
    HostBridge,
    /// One NUMA node.
    Node,
    /// Different NUMA nodes.
    System,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_contradict_each_other_leave_less_free() {
        let check = |told: (u64, u64, u64, Option<u64>), free: u64| {
            let memory = Memory::told(told.0, told.1, told.2, told.3);
            assert_eq!(memory.free, free, "{told:?}");
            assert!(memory.used + memory.reserved.unwrap_or(0) + memory.free <= memory.total, "{told:?}");
        };
        check((100, 40, 60, None), 60);
        check((100, 40, 55, Some(5)), 55);
        check((100, 40, 60, Some(5)), 55);
        check((100, 120, 60, None), 0);
        check((100, 90, 60, Some(u64::MAX)), 0);
        check((0, 1, 1, Some(1)), 0);
    }

    #[test]
    fn nvlink_is_nearest() {
        assert!(LinkKind::NvLink < LinkKind::Board && LinkKind::Switch < LinkKind::System);
    }
}
