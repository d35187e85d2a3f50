//! `uat gpu run`

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use runtime::vision_resource_manager::Priority;
use runtime::vision_resource_manager::host::{
    AllocateBody, ClientError, Events, HeldState, HostClient, Lease, Notice, descends_from,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, sleep_until};

use super::how::How;
use super::load::Load;
use super::place::Socket;
use crate::commands::block_on;
use crate::failure::Failure;
use crate::signals::Signals;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    socket: Socket,
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    how: How,
    /// On how many GPUs: all of them or none.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    gpus: u32,
    /// Only on this GPU, by its number; may be given several times.
    #[arg(long, value_name = "GPU")]
    device: Vec<usize>,
    /// low, normal, high or critical.
    #[arg(long, default_value = "normal", value_parser = priority)]
    priority: Priority,
    /// How long to wait for the memory; `0s`: not at all.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// More important requests may take the memory back: the command is then asked to end (SIGTERM).
    #[arg(long)]
    preemptible: bool,
    /// How long it has then; after that it is killed.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    grace: Duration,
    /// On whose account.
    #[arg(long, value_name = "NAME", default_value = "default")]
    owner: String,
    /// What for, as `uat gpu leases` shows it; without it the command's name.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The command and its arguments. It finds CUDA_VISIBLE_DEVICES, UAT_GPU_LEASE and UAT_GPU_VRAM_MB in its environment.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// How much memory.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Amount {
    /// MiB on each GPU.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    vram: Option<u64>,
    /// The model that the command loads: as much as it takes, by its file and by what earlier runs with it took. --context and the like say how it is run.
    #[arg(long, value_name = "FILE|MODEL")]
    model_file: Option<PathBuf>,
}

fn priority(text: &str) -> Result<Priority, String> {
    let found = Priority::ALL.into_iter().find(|priority| priority.as_str() == text);
    found.ok_or_else(|| {
        let [low, normal, high, critical] = Priority::ALL.map(Priority::as_str);
        format!("expected {low}, {normal}, {high} or {critical}, got `{text}`")
    })
}

/// A lease lives so long when nobody renews it: it is renewed at a third of that.
const DURATION: Duration = Duration::from_secs(60);
/// How often a daemon that went away is looked for.
const AGAIN: Duration = Duration::from_millis(200);
/// How often it is looked what the command uses: loads take seconds, and what was loaded stays.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let load =
        args.amount.model_file.as_deref().map(|model| Load::of(model, &args.how, args.gpus)).transpose()?;
    let asked = request(args, load.as_ref())?;
    let client = args.socket.client()?;
    block_on(async {
        let mut signals = Signals::listen()?;
        // Listening first: what happens to the lease from its first moment on is heard.
        let events = client.events().await?;
        let lease = tokio::select! {
            lease = allocate(&client, &asked) => lease?,
            interrupt = signals.next() => return Err(ended_by(interrupt)),
        };
        let child = match begin(args, asked.bytes >> 20, &lease) {
            Ok(child) => child,
            Err(failure) => {
                drop(client.release(lease.lease).await);
                return Err(failure);
            }
        };
        let peak = vec![0; lease.gpus.len()];
        let holding = Holding { client: &client, lease: &lease, events: Some(events), peak };
        let (status, peak) = holding.until_it_ends(child, &mut signals).await?;
        // The daemon may have gone meanwhile; the lease ends with this process in any case.
        drop(client.release(lease.lease).await);
        if let Some(load) = load
            && let Err(error) = load.learn(peak)
        {
            say(&format!("what the model took is not remembered: {error}"));
        }
        exit(status)
    })
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn request(args: &Args, load: Option<&Load>) -> Result<AllocateBody, Failure> {
    let file = args.amount.model_file.as_ref().map(|file| file.display().to_string());
    let name = args.model.clone().or(file).or_else(|| args.command.first().cloned());
    let bytes = match (args.amount.vram, load) {
        (Some(mb), _) => mb << 20,
        (None, Some(load)) => load.bytes,
        (None, None) => return Err(Failure::usage("expected --vram or --model-file")),
    };
    Ok(AllocateBody {
        gpus: args.gpus,
        devices: args.device.clone(),
        priority: args.priority,
        duration_ms: ms(DURATION),
        wait_ms: ms(args.wait),
        preemptible: args.preemptible,
        grace_ms: ms(args.grace),
        owner: args.owner.as_str().into(),
        model: name.map(Into::into),
        ..AllocateBody::new(bytes)
    })
}

/// Says that it waits where it does not get an answer at once.
async fn allocate(client: &HostClient, request: &AllocateBody) -> Result<Lease, ClientError> {
    let answer = client.allocate(request);
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => return answer,
        () = sleep(Duration::from_millis(500)) => {}
    }
    if request.wait_ms == 0 {
        return answer.await;
    }
    tokio::select! {
        answer = &mut answer => answer,
        place = place_in_line(client) => {
            say(&format!(
                "waiting for {} MiB of GPU memory{} (uat gpu leases shows who has it)",
                request.bytes >> 20,
                place.unwrap_or_default()
            ));
            answer.await
        }
    }
}

/// Who is before this process, and when what is in the way is expected to end; `None` where that cannot be told.
async fn place_in_line(client: &HostClient) -> Option<String> {
    let leases = client.leases().await.ok()?.leases;
    let line: Vec<_> = leases.iter().filter(|held| held.state == HeldState::Queued).collect();
    let place = line.iter().position(|held| held.pid == std::process::id())?;
    let before = match place {
        0 => String::new(),
        1 => ", behind one other".to_owned(),
        several => format!(", behind {several} others"),
    };
    let expected = line[place].expected_wait_ms.filter(|ms| *ms > 0);
    let expected = expected.map_or_else(String::new, |ms| {
        format!(
            "; what is in its way is expected to end within {} s, unless it is renewed",
            ms.div_ceil(1_000)
        )
    });
    Some(before + &expected)
}

fn begin(args: &Args, vram_mb: u64, lease: &Lease) -> Result<Child, Failure> {
    let [program, arguments @ ..] = &args.command[..] else {
        return Err(Failure::usage("expected a command"));
    };
    let uuids: Vec<&str> = lease.gpus.iter().filter_map(|gpu| gpu.uuid.as_deref()).collect();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("UAT_GPU_LEASE", lease.lease.to_string())
        .env("UAT_GPU_VRAM_MB", vram_mb.to_string());
    if uuids.len() == lease.gpus.len() {
        command.env("CUDA_VISIBLE_DEVICES", uuids.join(","));
    }
    command
        .spawn()
        .map_err(|error| Failure::new("UAT_INVALID_INPUT", format!("cannot run {program}: {error}")))
}

/// A lease that a command runs with.
struct Holding<'a> {
    client: &'a HostClient,
    lease: &'a Lease,
    /// `None` while the daemon is away.
    events: Option<Events>,
    /// The most that the command was seen to use, bytes of each GPU of the lease.
    peak: Vec<u64>,
}

impl Holding<'_> {
    /// Waits for the command; renews the lease, hands signals on, and ends the command where its lease ends.
    async fn until_it_ends(
        mut self,
        mut child: Child,
        signals: &mut Signals,
    ) -> Result<(ExitStatus, Vec<u64>), Failure> {
        let lease = self.lease.lease;
        let mut look_at = Instant::now() + LOOK;
        let mut renew_at = Instant::now() + DURATION / 3;
        let mut kill_at: Option<Instant> = None;
        loop {
            tokio::select! {
                status = child.wait() => return Ok((status?, self.peak)),
                // The terminal has sent Ctrl-C to the command already.
                interrupt = signals.next() => {
                    if !interrupt {
                        send(&child, Signal::TERM);
                    }
                }
                () = sleep_until(kill_at.unwrap_or(renew_at)), if kill_at.is_some() => {
                    say("the command did not end in its time, and is killed");
                    send(&child, Signal::KILL);
                    kill_at = None;
                }
                notice = next(&mut self.events) => match notice {
                    Some(Notice::Preempt { lease: of, grace_ms, .. }) if of == lease => {
                        say("its memory is wanted by somebody more important: the command is asked to end");
                        send(&child, Signal::TERM);
                        kill_at = Some(Instant::now() + Duration::from_millis(grace_ms));
                    }
                    Some(Notice::Ended { lease: of, .. }) if of == lease => {
                        say("its lease has ended: the command is asked to end");
                        send(&child, Signal::TERM);
                        kill_at.get_or_insert(Instant::now() + Duration::from_secs(5));
                    }
                    Some(Notice::Lost { lease: of }) if of == lease => say("its GPU has vanished"),
                    Some(Notice::Overuse { leased, used, .. }) => say(&format!(
                        "this uses {} MiB and has leased {} MiB: it gets no more",
                        used >> 20,
                        leased >> 20
                    )),
                    Some(_) => {}
                    None => {
                        if self.events.take().is_some() {
                            say("the GPU daemon has gone; the command runs on, and its lease is taken up again when the daemon is back");
                        }
                        sleep(AGAIN).await;
                        self.come_back(&child, &mut kill_at).await;
                    }
                },
                () = sleep_until(look_at) => {
                    look_at = Instant::now() + LOOK;
                    self.look(&child).await;
                }
                () = sleep_until(renew_at) => {
                    renew_at = Instant::now() + DURATION / 3;
                    // Where it has ended the daemon says so, too.
                    drop(self.client.renew(lease, ms(DURATION)).await);
                }
            }
        }
    }

    /// What the command uses now, it and what it has started.
    async fn look(&mut self, child: &Child) {
        let (Some(pid), Ok(gpus)) = (child.id(), self.client.gpus().await) else { return };
        for (peak, leased) in self.peak.iter_mut().zip(&self.lease.gpus) {
            let gpu = gpus.gpus.iter().find(|gpu| gpu.index == leased.index);
            let theirs = gpu.into_iter().flat_map(|gpu| &gpu.processes);
            let theirs = theirs.filter(|process| descends_from(process.pid, pid));
            let sum: u64 = theirs.filter_map(|process| process.used_bytes).sum();
            *peak = sum.max(*peak);
        }
    }

    /// Tries to reach the daemon again, and says which lease is held.
    async fn come_back(&mut self, child: &Child, kill_at: &mut Option<Instant>) {
        let Ok(attached) = self.client.attach(vec![self.lease.lease]).await else { return };
        if attached.leases.contains(&self.lease.lease) {
            say("the GPU daemon is back");
        } else {
            say("the GPU daemon is back and does not know the lease any longer: the command is asked to end");
            send(child, Signal::TERM);
            kill_at.get_or_insert(Instant::now() + Duration::from_secs(5));
        }
        self.events = self.client.events().await.ok();
    }
}

async fn next(events: &mut Option<Events>) -> Option<Notice> {
    match events {
        Some(events) => events.next().await.ok().flatten(),
        None => None,
    }
}

fn send(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    if let Some(pid) = pid {
        // It may have ended just now.
        let _ = kill_process(pid, signal);
    }
}

fn say(what: &str) {
    // With standard error gone there is nobody left to tell.
    drop(writeln!(io::stderr(), "uat gpu run: {what}"));
}

fn ended_by(interrupt: bool) -> Failure {
    if interrupt { Failure::Interrupted } else { Failure::Ended(143) }
}

/// As shells do: the command's own code, or 128 and the signal.
fn exit(status: ExitStatus) -> Result<(), Failure> {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    if code == 0 { Ok(()) } else { Err(Failure::Ended(u8::try_from(code).unwrap_or(1))) }
}
