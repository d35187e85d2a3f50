//! How much memory models may take.

use std::fs;

use serde::Serialize;

/// Kept free for everything else: this process, other programs, the kernel. In bytes.
const HEADROOM: u64 = 256 << 20;

/// Memory of one device, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceMemory {
    /// ggml's name of the device, like `CPU` or `Vulkan0`.
    pub device: String,
    /// Whether it is the machine's own memory.
    pub is_host: bool,
    /// Weights.
    pub weights: u64,
    /// Keys and values of the cache.
    pub cache: u64,
    /// Buffers of a batch.
    pub compute: u64,
}

/// What limits the memory of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Bytes that all models together may take.
    pub bytes: u64,
    /// What sets the limit, to go after "only N MiB are".
    pub set_by: &'static str,
}

/// What the machine and the process's control group have left, in bytes; `None` where the system does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Available {
    /// `MemAvailable` of /proc/meminfo. Counts mapped weights as available, since the kernel may drop them.
    pub machine: Option<u64>,
    /// `memory.max` less `memory.current` of the control group, and the files that are merely cached in it.
    pub group: Option<u64>,
}

/// The limit for models of which those in memory have `weights` bytes of mapped weights and take `taken` bytes in all.
pub fn limit(budget: Option<u64>, available: Available, weights: u64, taken: u64) -> Limit {
    let configured = budget.map(|bytes| Limit { bytes, set_by: "allowed by engine.memory_mb" });
    // Available is what is left beside the models that are there; their weights are no loss to the kernel but to us.
    let beside = |left: u64| (left.saturating_sub(HEADROOM) + taken).saturating_sub(weights);
    let machine =
        available.machine.map(|left| Limit { bytes: beside(left), set_by: "available on this machine" });
    let group =
        available.group.map(|left| Limit { bytes: beside(left), set_by: "available to this control group" });
    let tightest = [configured, machine, group].into_iter().flatten().min_by_key(|limit| limit.bytes);
    tightest.unwrap_or(Limit { bytes: u64::MAX, set_by: "available" })
}

/// Asks the system.
pub fn available() -> Available {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_available(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| {
        let folder = format!("/sys/fs/cgroup{}", group_path(&text)?);
        let number =
            |file: &str| fs::read_to_string(format!("{folder}/{file}")).ok()?.trim().parse::<u64>().ok();
        // "max", which is no number: unlimited.
        let left = number("memory.max")?.saturating_sub(number("memory.current")?);
        Some(
            left + fs::read_to_string(format!("{folder}/memory.stat"))
                .ok()
                .map_or(0, |text| cached_files(&text)),
        )
    });
    Available { machine, group }
}

fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// `inactive_file` and `active_file` of memory.stat, in bytes: the kernel drops them when memory is wanted.
fn cached_files(stat: &str) -> u64 {
    let value = |line: &str| {
        let value = line.strip_prefix("inactive_file ").or_else(|| line.strip_prefix("active_file "))?;
        value.parse::<u64>().ok()
    };
    stat.lines().filter_map(value).sum()
}

/// The path of the control group, version 2.
fn group_path(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_tightest_limit_counts_and_says_what_it_is() {
        let available = Available { machine: Some(8 * GIB + HEADROOM), group: Some(4 * GIB + HEADROOM) };
        assert_eq!(limit(None, available, 0, 0).bytes, 4 * GIB);
        assert_eq!(limit(None, available, 0, 0).set_by, "available to this control group");
        assert_eq!(limit(Some(GIB), available, 0, 0).set_by, "allowed by engine.memory_mb");
        assert_eq!(limit(None, Available::default(), 0, 0).bytes, u64::MAX);
    }

    #[test]
    fn what_models_take_already_is_part_of_the_limit() {
        // 8 GiB are left beside a model of 1 GiB mapped weights and 2 GiB of buffers.
        let available = Available { machine: Some(8 * GIB + HEADROOM), group: None };
        assert_eq!(limit(None, available, GIB, 3 * GIB).bytes, 10 * GIB);
    }

    #[test]
    fn the_kernels_tables_are_read() {
        assert_eq!(mem_available("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        assert_eq!(mem_available("MemTotal: 9 kB\n"), None);
        assert_eq!(cached_files("anon 5\ninactive_file 100\nactive_file 20\n"), 120);
        assert_eq!(group_path("4:cpu:/x\n0::/user.slice/a\n"), Some("/user.slice/a"));
    }
}
