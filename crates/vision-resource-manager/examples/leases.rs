//! What a lease costs: `leases core | threads | daemon SOCKET | deaths SOCKET TIMES | contend SOCKET PROCESSES ALLOCATIONS [SCRIPT]`. Prints a line
//! of JSON. With the script of a fake NVML library, those that contend use there what they have leased, and over-commits are what the library sees.
#![allow(clippy::print_stdout, reason = "a program that says what it measured")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use gpu_driver::{Choice, FakeGpu, FakeMachine};
use serde_json::{Value, json};
use vision_resource_manager::host::{AllocateBody, HostClient};
use vision_resource_manager::{
    Allocate, Decision, DeviceState, Event, LeaseRequest, Manager, ManagerOptions, Priority, Process,
    ResourceManager, Settings,
};

const GIB: u64 = 1 << 30;
const GPUS: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let said = match args[..] {
        ["core"] => core(),
        ["threads"] => threads()?,
        ["daemon", socket] => daemon(socket)?,
        ["deaths", socket, times] => deaths(socket, times.parse()?)?,
        ["hold", socket] => hold(socket)?,
        ["contend", socket, processes, allocations, ref script @ ..] => {
            contend(socket, processes.parse()?, allocations, script.first().copied())?
        }
        ["contender", socket, seed, allocations, ref script @ ..] => {
            let script = script.first().map(|script| Script(PathBuf::from(script)));
            contender(socket, seed.parse()?, allocations.parse()?, script.as_ref())?
        }
        _ => {
            return Err(
                "expected core, threads, daemon SOCKET, deaths SOCKET TIMES or contend SOCKET PROCESSES ALLOCATIONS [SCRIPT]".into()
            );
        }
    };
    println!("{said}");
    Ok(())
}

/// Microseconds: the median and the 99th percentile.
fn percentiles(mut took: Vec<f64>) -> Value {
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    json!({ "count": took.len(), "p50_us": at(0.5), "p99_us": at(0.99) })
}

/// Allocate and release in the pure core, with other leases and somebody in line; each figure is the mean of a thousand.
fn core() -> Value {
    let mut manager = Manager::new(Settings::default());
    let mut out = Vec::new();
    let devices = vec![DeviceState { total: 24 * GIB, free: 24 * GIB, used: Vec::new(), lost: false }; GPUS];
    manager.apply(0, Event::Devices { devices, began_at: None }, &mut out);
    let request = |request: u64, bytes: u64, wait_ms: u64| LeaseRequest {
        request,
        holder: request % 16,
        owner: "bench".into(),
        model: None,
        bytes,
        gpus: 1,
        devices: Vec::new(),
        priority: Priority::Normal,
        duration_ms: 60_000,
        wait_ms,
        preemptible: false,
        grace_ms: 0,
    };
    for other in 1..=GPUS as u64 * 2 {
        manager.apply(0, Event::Request(request(other, 4 * GIB, 0)), &mut out);
    }
    // It never gets its turn, and is looked at each time.
    manager.apply(0, Event::Request(request(99, 23 * GIB, 10_000_000)), &mut out);
    let mut took = Vec::new();
    let mut id = 1_000;
    for _ in 0..200 {
        let began = Instant::now();
        for _ in 0..1_000 {
            id += 1;
            out.clear();
            manager.apply(1, Event::Request(request(id, GIB, 0)), &mut out);
            let Some(Decision::Granted { lease, .. }) = out.first() else { continue };
            let (lease, holder) = (*lease, id % 16);
            manager.apply(1, Event::Release { lease, holder }, &mut out);
        }
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    percentiles(took)
}

/// The same among threads, with the callback.
fn threads() -> Result<Value, Box<dyn Error>> {
    let machine = FakeMachine::new((0..GPUS).map(|_| FakeGpu { name: None, total: 24 * GIB }));
    let manager = ResourceManager::new(gpu_driver::open(Choice::Fake(machine))?, ManagerOptions::default())?;
    let holder = manager.join(Process { pid: std::process::id(), started: None }, |_| {})?;
    let (tell, told) = mpsc::sync_channel(1);
    let mut took = Vec::new();
    for _ in 0..20_000 {
        let began = Instant::now();
        let tell = tell.clone();
        manager.allocate(holder, Allocate::new(GIB), move |granted| drop(tell.send(granted)))?;
        manager.release(holder, told.recv()??.lease)?;
        took.push(began.elapsed().as_secs_f64() * 1e6);
    }
    Ok(percentiles(took))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Through the daemon, when nobody else asks: allocating and releasing, apart.
fn daemon(socket: &str) -> Result<Value, Box<dyn Error>> {
    let client = HostClient::new(socket, None);
    runtime()?.block_on(async {
        let (mut allocating, mut releasing) = (Vec::new(), Vec::new());
        for turn in 0..21_000 {
            let began = Instant::now();
            let lease = client.allocate(&AllocateBody::new(GIB)).await?.lease;
            let allocated = Instant::now();
            client.release(lease).await?;
            if turn >= 1_000 {
                allocating.push((allocated - began).as_secs_f64() * 1e6);
                releasing.push(allocated.elapsed().as_secs_f64() * 1e6);
            }
        }
        Ok(json!({ "allocate": percentiles(allocating), "release": percentiles(releasing) }))
    })
}

/// Many processes at once. What they believe to have is added up afterwards: from the answer to just before the release, on the clock that they
/// share.
fn contend(
    socket: &str,
    processes: u64,
    allocations: &str,
    script: Option<&str>,
) -> Result<Value, Box<dyn Error>> {
    let client = HostClient::new(socket, None);
    let totals = runtime()?.block_on(async {
        let gpus = client.gpus().await?.gpus;
        Ok::<Vec<u64>, Box<dyn Error>>(gpus.iter().map(|gpu| gpu.total_bytes).collect())
    })?;
    let program = std::env::current_exe()?;
    let children: Result<Vec<_>, _> = (0..processes)
        .map(|seed| {
            let seed = seed.to_string();
            Command::new(&program)
                .args(["contender", socket, &seed, allocations])
                .args(script)
                .stdout(Stdio::piped())
                .spawn()
        })
        .collect();
    let began = Instant::now();
    let (mut events, mut waits): (Vec<(u64, u64, i64)>, Vec<f64>) = (Vec::new(), Vec::new());
    let (mut refused, mut seen) = (0, 0);
    for child in children? {
        let output = child.wait_with_output()?;
        let said: Value = serde_json::from_slice(&output.stdout)?;
        for held in said["held"].as_array().into_iter().flatten() {
            let of = |index: usize| held[index].as_u64().unwrap_or(0);
            let bytes = i64::try_from(of(3))?;
            events.push((of(0), of(2), bytes));
            events.push((of(1), of(2), -bytes));
            waits.push(held[4].as_f64().unwrap_or(0.0));
        }
        refused += said["refused"].as_u64().unwrap_or(0);
        seen += said["over"].as_u64().unwrap_or(0);
    }
    // What was given back comes before what was given out at the same nanosecond.
    events.sort_unstable();
    let mut held = vec![0_i64; totals.len()];
    let mut over = 0_u64;
    for (_, gpu, bytes) in events {
        let gpu = usize::try_from(gpu)?;
        held[gpu] += bytes;
        over += u64::from(held[gpu] > i64::try_from(totals[gpu])?);
    }
    let longest = waits.iter().copied().fold(0.0, f64::max);
    Ok(json!({
        "processes": processes, "granted": waits.len(), "refused": refused, "over_commits": over, "over_commits_seen": seen,
        "longest_wait_ms": longest / 1e3, "took_s": began.elapsed().as_secs_f64(), "wait": percentiles(waits),
    }))
}

/// One of them: sizes by a generator of its own, each held for a moment.
fn contender(
    socket: &str,
    seed: u64,
    allocations: u64,
    script: Option<&Script>,
) -> Result<Value, Box<dyn Error>> {
    let client = HostClient::new(socket, None);
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    runtime()?.block_on(async {
        let (mut held, mut refused, mut over) = (Vec::new(), 0, 0_u64);
        for _ in 0..allocations {
            // Xorshift (Marsaglia 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let body = AllocateBody { wait_ms: 600_000, ..AllocateBody::new((1 + state % 12) * GIB) };
            let asked = Instant::now();
            let Ok(lease) = client.allocate(&body).await else {
                refused += 1;
                continue;
            };
            let from = monotonic()?;
            let waited = asked.elapsed().as_secs_f64() * 1e6;
            let gpu = &lease.gpus[0];
            if let Some(script) = script {
                over += u64::from(script.uses(gpu.index, Some(gpu.bytes))?);
                script.uses(gpu.index, None)?;
            }
            let until = monotonic()?;
            client.release(lease.lease).await?;
            held.push(json!([from, until, gpu.index, gpu.bytes, waited]));
        }
        Ok(json!({ "held": held, "refused": refused, "over": over }))
    })
}

/// Nanoseconds on the clock that all processes of this machine share.
fn monotonic() -> Result<u64, Box<dyn Error>> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_nanos())?)
}

/// What a fake NVML library tells.
struct Script(PathBuf);

impl Script {
    /// From now on this process uses so much of a GPU; whether all together use more than there is.
    fn uses(&self, gpu: usize, bytes: Option<u64>) -> Result<bool, Box<dyn Error>> {
        let turn = File::create(self.0.with_extension("lock"))?;
        turn.lock()?;
        let mut told: Value = serde_json::from_slice(&fs::read(&self.0)?)?;
        let device = &mut told["devices"][gpu];
        let me = std::process::id();
        let mut processes = device["processes"].as_array().cloned().unwrap_or_default();
        processes.retain(|process| process["pid"] != me);
        processes.extend(bytes.map(|bytes| json!({ "pid": me, "used": bytes })));
        let used: u64 = processes.iter().filter_map(|process| process["used"].as_u64()).sum();
        let over = device["total"].as_u64().is_some_and(|total| used > total);
        device["processes"] = Value::Array(processes);
        device["used"] = json!(used);
        let beside = self.0.with_extension("new");
        fs::write(&beside, told.to_string())?;
        fs::rename(beside, &self.0)?;
        Ok(over)
    }
}

/// Holds a whole GPU until it is killed.
fn hold(socket: &str) -> Result<Value, Box<dyn Error>> {
    let client = HostClient::new(socket, None);
    runtime()?.block_on(async {
        let all = client.gpus().await?.gpus.first().map_or(0, |gpu| gpu.free_bytes);
        client.allocate(&AllocateBody { duration_ms: 600_000, ..on_the_first(all) }).await?;
        println!("held");
        std::future::pending::<()>().await;
        Ok(Value::Null)
    })
}

fn on_the_first(bytes: u64) -> AllocateBody {
    AllocateBody { devices: vec![0], wait_ms: 60_000, ..AllocateBody::new(bytes) }
}

/// From the kill -9 of a holder until somebody who waits for its memory has it.
fn deaths(socket: &str, times: u64) -> Result<Value, Box<dyn Error>> {
    let client = HostClient::new(socket, None);
    let program = std::env::current_exe()?;
    runtime()?.block_on(async {
        let mut took = Vec::new();
        for _ in 0..times {
            let mut holder = Command::new(&program).args(["hold", socket]).stdout(Stdio::piped()).spawn()?;
            let mut line = String::new();
            BufReader::new(holder.stdout.take().ok_or("no output")?).read_line(&mut line)?;
            let wants = on_the_first(GIB);
            let wanted = client.allocate(&wants);
            tokio::pin!(wanted);
            // Sent, and in line.
            while client.leases().await?.leases.len() < 2 {
                tokio::select! {
                    biased;
                    _ = &mut wanted => return Err("granted while the holder has all".into()),
                    () = tokio::task::yield_now() => {}
                }
            }
            let killed = Instant::now();
            holder.kill()?;
            let lease = wanted.await?;
            took.push(killed.elapsed().as_secs_f64() * 1e6);
            holder.wait()?;
            client.release(lease.lease).await?;
        }
        let longest = took.iter().copied().fold(0.0, f64::max);
        Ok(json!({ "freed": percentiles(took), "longest_us": longest }))
    })
}
