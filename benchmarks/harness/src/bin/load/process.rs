//! What a process has used, from Linux' `/proc`.

use std::fs;
use std::io;
use std::time::Duration;

use serde::Serialize;

/// The kernel's `USER_HZ`: 100 on every architecture that this runs on.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of these processes so far, user and system, together.
pub(crate) fn cpu_time(pids: &[u32]) -> io::Result<Duration> {
    pids.iter().map(|pid| cpu_time_of(*pid)).sum()
}

/// CPU time of one process.
///
/// Summed over its threads from `schedstat`, which counts nanoseconds. Where the kernel lacks it, from `stat`, which
/// counts ticks of 10 ms: enough for runs of seconds. A thread that ends takes its `schedstat` along, so that the
/// process must not end threads meanwhile; of the servers measured here none does under load.
fn cpu_time_of(pid: u32) -> io::Result<Duration> {
    match threads_cpu_time(pid) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => ticks_cpu_time(pid),
    }
}

fn threads_cpu_time(pid: u32) -> io::Result<Duration> {
    let mut total = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
        total += Duration::from_nanos(nanos.ok_or_else(|| unexpected("schedstat", &text))?);
    }
    Ok(total)
}

fn ticks_cpu_time(pid: u32) -> io::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses and may contain anything, so count from its end: `utime`
    // and `stime` are fields 14 and 15 of proc_pid_stat(5), the field after the name is number 3.
    let (_, fields) = text.rsplit_once(") ").ok_or_else(|| unexpected("stat", &text))?;
    let ticks: Vec<u32> = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    match ticks[..] {
        [user, system] => Ok(TICK * user + TICK * system),
        _ => Err(unexpected("stat", &text)),
    }
}

/// Memory of processes, in KiB.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) rss_kib: u64,
    /// The most that was ever resident.
    pub(crate) peak_rss_kib: u64,
}

/// The resident memory of these processes, together.
pub(crate) fn memory(pids: &[u32]) -> io::Result<Memory> {
    pids.iter().try_fold(Memory::default(), |sum, pid| {
        let one = memory_of(*pid)?;
        let (rss_kib, peak_rss_kib) = (sum.rss_kib + one.rss_kib, sum.peak_rss_kib + one.peak_rss_kib);
        Ok(Memory { rss_kib, peak_rss_kib })
    })
}

/// The resident memory of a process, from `status`.
fn memory_of(pid: u32) -> io::Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse().ok());
        kib.ok_or_else(|| unexpected(name, &text))
    };
    Ok(Memory { rss_kib: field("VmRSS:")?, peak_rss_kib: field("VmHWM:")? })
}

fn unexpected(what: &str, text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no {what} in {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sources_agree_about_this_process() {
        let pid = std::process::id();
        let start = std::time::Instant::now();
        // Work for long enough that a tick of 10 ms is a small part.
        while start.elapsed() < Duration::from_millis(200) {
            std::hint::black_box(start);
        }
        let threads = threads_cpu_time(pid).unwrap();
        let ticks = ticks_cpu_time(pid).unwrap();
        assert!(threads.abs_diff(ticks) < Duration::from_millis(60), "{threads:?} against {ticks:?}");
    }

    #[test]
    fn the_peak_is_not_below_what_is_resident() {
        let memory = memory_of(std::process::id()).unwrap();
        assert!(memory.rss_kib > 0 && memory.peak_rss_kib >= memory.rss_kib);
    }
}
