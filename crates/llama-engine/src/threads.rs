//! How many threads compute: as many as cores are really free.
//!
//! llama.cpp's threads meet a thousand times per token, and each meeting waits for the slowest. A thread without a core of
//! its own makes the others wait for the scheduler: beside one busy process, two threads on two cores are slower than one.
//! So the load of other programs is measured, and the number of threads follows it.

use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;

/// How long one measurement lasts at least. Shorter ones are coarse: the kernel counts in hundredths of a second.
const WINDOW: Duration = Duration::from_millis(500);
/// How much of one more core must be free before one more thread starts, and how much of a thread's core may be used by
/// others before it ends. The gap keeps the number from swinging.
const START: f64 = 0.8;
const KEEP: f64 = 0.5;

/// What was chosen, and why.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Threads {
    /// Threads that compute.
    pub chosen: usize,
    /// Cores that this process may use.
    pub cores: usize,
    /// Cores' worth of time that other programs took in the last measurement.
    pub busy_elsewhere: f64,
    /// Whether the number follows the load; false where it was configured.
    pub automatic: bool,
}

/// Used time since the machine started, in seconds of one core.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Used {
    /// By all programs on the cores that this process may use.
    pub all: f64,
    /// By this process.
    pub own: f64,
}

/// Follows the load of the machine.
#[derive(Debug)]
pub struct Monitor {
    threads: Threads,
    last: Option<(Instant, Used)>,
}

impl Monitor {
    /// Uses `fixed` threads, or as many of `cores` as are free.
    pub fn new(fixed: Option<usize>, cores: usize) -> Self {
        let cores = cores.max(1);
        let chosen = fixed.unwrap_or(cores).max(1);
        Self {
            threads: Threads { chosen, cores, busy_elsewhere: 0.0, automatic: fixed.is_none() },
            last: None,
        }
    }

    /// What is chosen now.
    pub fn threads(&self) -> Threads {
        self.threads
    }

    /// Whether it is time for a measurement.
    pub fn is_due(&self, now: Instant) -> bool {
        self.threads.automatic && self.last.is_none_or(|(last, _)| now.duration_since(last) >= WINDOW)
    }

    /// Takes a measurement, and chooses. Without one (`None`: the system does not tell) the number stays.
    pub fn measure(&mut self, now: Instant, used: Option<Used>) -> Threads {
        let Some(used) = used else { return self.threads };
        if let Some((last, before)) = self.last.replace((now, used)) {
            let elapsed = now.duration_since(last).as_secs_f64();
            if elapsed > 0.0 {
                let elsewhere = ((used.all - before.all) - (used.own - before.own)) / elapsed;
                self.threads.busy_elsewhere = elsewhere.clamp(0.0, self.threads.cores as f64);
                self.threads.chosen = choose(self.threads);
            }
        }
        self.threads
    }
}

/// As many threads as cores are free, with some inertia; at least one.
fn choose(threads: Threads) -> usize {
    let free = threads.cores as f64 - threads.busy_elsewhere;
    let mut chosen = threads.chosen.clamp(1, threads.cores);
    while chosen < threads.cores && free >= chosen as f64 + START {
        chosen += 1;
    }
    while chosen > 1 && free < chosen as f64 - KEEP {
        chosen -= 1;
    }
    chosen
}

/// Cores that this process may use: what it is bound to, and no more than its control group is given.
pub fn cores() -> usize {
    // Asks for both: https://doc.rust-lang.org/std/thread/fn.available_parallelism.html.
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads the used time from the system; `None` where it does not tell (there is no /proc).
pub fn used() -> Option<Used> {
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let allowed = allowed_cores(&fs::read_to_string("/proc/self/status").ok()?)?;
    let all = used_ticks(&fs::read_to_string("/proc/stat").ok()?, &allowed)?;
    let own = own_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
    Some(Used { all: all / ticks, own: own / ticks })
}

/// The numbers of the cores in `Cpus_allowed_list` of /proc/self/status, like `0-3,8`.
fn allowed_cores(status: &str) -> Option<Vec<usize>> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cores = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cores.extend(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?);
    }
    Some(cores)
}

/// Ticks of user, nice, system, irq, softirq and steal of these cores in /proc/stat.
fn used_ticks(stat: &str, cores: &[usize]) -> Option<f64> {
    let mut sum = 0.0;
    for line in stat.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(core) = fields.next().and_then(|name| name.strip_prefix("cpu")?.parse::<usize>().ok())
        else {
            continue;
        };
        if !cores.contains(&core) {
            continue;
        }
        let ticks: Vec<f64> = fields.map_while(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal guest guest_nice: guests are counted in user already.
        sum += [0, 1, 2, 5, 6, 7].iter().filter_map(|index| ticks.get(*index)).sum::<f64>();
    }
    (sum > 0.0).then_some(sum)
}

/// `utime` and `stime` of /proc/self/stat. The name before them may hold anything, brackets too.
fn own_ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is chosen on `cores` after one second in which others used `elsewhere` and this process `own` seconds.
    fn after(monitor: &mut Monitor, start: Instant, second: u64, elsewhere: f64, own: f64) -> usize {
        let (_, before) = monitor.last.unwrap_or((start, Used { all: 0.0, own: 0.0 }));
        let used = Used { all: before.all + elsewhere + own, own: before.own + own };
        monitor.measure(start + Duration::from_secs(second), Some(used)).chosen
    }

    #[test]
    fn threads_give_way_to_others_and_come_back() {
        let start = Instant::now();
        let mut monitor = Monitor::new(None, 2);
        assert_eq!(after(&mut monitor, start, 0, 0.0, 0.0), 2);
        assert_eq!(after(&mut monitor, start, 1, 0.0, 2.0), 2);
        // One busy process takes two thirds of a core from two threads, and a whole one from one.
        assert_eq!(after(&mut monitor, start, 2, 0.67, 1.33), 1);
        assert_eq!(after(&mut monitor, start, 3, 1.0, 1.0), 1);
        assert_eq!(after(&mut monitor, start, 4, 0.1, 1.0), 2);
    }

    #[test]
    fn a_little_noise_changes_nothing() {
        let start = Instant::now();
        let mut monitor = Monitor::new(None, 4);
        after(&mut monitor, start, 0, 0.0, 0.0);
        for second in 1..20 {
            let noise = if second % 2 == 0 { 0.05 } else { 0.45 };
            assert_eq!(after(&mut monitor, start, second, noise, 3.0), 4);
        }
    }

    #[test]
    fn one_thread_always_computes() {
        let start = Instant::now();
        let mut monitor = Monitor::new(None, 2);
        after(&mut monitor, start, 0, 0.0, 0.0);
        assert_eq!(after(&mut monitor, start, 1, 2.0, 0.0), 1);
    }

    #[test]
    fn a_configured_number_stays() {
        let monitor = Monitor::new(Some(3), 2);
        assert!(!monitor.is_due(Instant::now()));
        assert_eq!(monitor.threads().chosen, 3);
    }

    #[test]
    fn a_measurement_is_due_at_once_and_then_twice_a_second() {
        let start = Instant::now();
        let mut monitor = Monitor::new(None, 2);
        assert!(monitor.is_due(start));
        monitor.measure(start, Some(Used { all: 1.0, own: 0.0 }));
        assert!(!monitor.is_due(start + Duration::from_millis(499)));
        assert!(monitor.is_due(start + WINDOW));
    }

    #[test]
    fn the_kernels_tables_are_read() {
        let status = "Name:\tx\nCpus_allowed_list:\t0,2-3\n";
        assert_eq!(allowed_cores(status), Some(vec![0, 2, 3]));
        let stat = "cpu  9 9 9 9\ncpu0 10 1 2 100 50 3 4 5 7 0\ncpu1 1000 0 0 0 0 0 0 0 0 0\ncpu2 1 0 0 0 0 0 0 0 0 0\nintr 5\n";
        assert_eq!(used_ticks(stat, &[0, 2, 3]), Some(26.0));
        assert_eq!(own_ticks("1 (a) b) R 1 1 1 0 -1 4194304 5 0 0 0 70 30 0 0 20"), Some(100.0));
        assert_eq!(own_ticks("nonsense"), None);
    }

    #[test]
    fn this_machine_tells() {
        assert!(used().is_some_and(|used| used.all > 0.0 && used.own >= 0.0));
        assert!(cores() >= 1);
    }
}
