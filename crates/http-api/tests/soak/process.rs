//! What the process, that is server, providers and clients together, takes from the machine.

/// Zero where the system does not say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Process {
    resident_kib: u64,
    descriptors: usize,
}

impl Process {
    /// Reads Linux' `/proc/self`.
    pub(crate) fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self { resident_kib: number.unwrap_or_default(), descriptors }
    }

    /// The share by which the memory grew; none where it is not known.
    pub(crate) fn growth_since(self, before: Self) -> Option<f64> {
        let known = before.resident_kib > 0;
        known.then(|| self.resident_kib as f64 / before.resident_kib as f64 - 1.0)
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} MiB, {} descriptors", self.resident_kib as f64 / 1024.0, self.descriptors)
    }
}
