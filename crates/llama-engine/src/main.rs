//! `uat-engine`: parses its arguments, binds the socket, starts llama.cpp and serves.

use std::env;
use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use clap::Parser;
use llama_engine::devices;
use llama_engine::llama;
use llama_engine::models::Models;
use llama_engine::options::{KvType, Options};
use llama_engine::server::Server;
use llama_engine::socket::Socket;
use llama_engine::stats::Stats;
use llama_engine::threads::{self, Monitor};
use llama_engine::worker::Shared;
use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The local engine of Universal AI Tools: llama.cpp behind an OpenAI-style interface on a private Unix socket.
///
/// It is started by whoever needs it and ends by itself; there is no need to run it by hand.
#[derive(Debug, Parser)]
#[command(name = "uat-engine", version)]
struct Arguments {
    /// Where to listen
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Seconds without any connection after which the engine ends
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    idle_exit_s: u64,
    /// Threads that compute [default: as many as cores are really free]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,
    /// Most tokens of one conversation; never more than the model was trained on
    #[arg(long, value_name = "TOKENS", default_value_t = 8192)]
    ctx: usize,
    /// Requests that run at a time, per model
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    slots: u16,
    /// Requests that may wait beside those that run, per model
    #[arg(long, value_name = "N", default_value_t = 64)]
    queue: u16,
    /// How keys and values of the context are kept
    #[arg(long, value_name = "TYPE", value_enum, default_value_t)]
    kv_type: KvType,
    /// Layers that a GPU computes, where a plug-in for one is there; 0: none [default: all]
    #[arg(long, value_name = "N")]
    gpu_layers: Option<u32>,
    /// Seconds without a request after which a model leaves memory; 0: never
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    unload_after_s: u32,
    /// MiB that all models together may take [default: what the machine has available]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    memory_mb: Option<u32>,
    /// The folder of ggml's plug-ins [default: where this program lies]
    #[arg(long, value_name = "DIR")]
    backends: Option<PathBuf>,
}

/// How often a compute thread looks whether the others have arrived before it sleeps: some half a millisecond.
///
/// llama.cpp's threads meet a thousand times per token, and wait for each other while a token is chosen. Spinning without
/// end, as ggml's own threads and libgomp's default (300,000) do, is no faster on an idle machine, but where another
/// process takes a core away it wastes the other: on two cores with one busy, 2 tokens/s instead of 23. Sleeping soon
/// costs: 1,000 gave 83 tokens/s where 10,000 gave 89 and 100,000 gave 88. How long it wastes a core is bounded by
/// [`threads`], which gives way to a busy program within a second.
const SPIN_COUNT: &str = "10000";

fn main() -> ExitCode {
    let limited = limit_spinning();
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("UAT_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    if let Err(error) = limited {
        tracing::warn!(%error, "cannot limit spinning: the engine is slow while other programs are busy");
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Tells libgomp, which reads its environment before `main`: so the program replaces itself, once, by itself with that
/// environment. The process stays the same. What the user has set stays too.
fn limit_spinning() -> io::Result<()> {
    if env::var_os("GOMP_SPINCOUNT").is_some() || env::var_os("OMP_WAIT_POLICY").is_some() {
        return Ok(());
    }
    let mut arguments = env::args_os();
    let mut this = Command::new(env::current_exe()?);
    if let Some(name) = arguments.next() {
        this.arg0(name);
    }
    Err(this.args(arguments).env("GOMP_SPINCOUNT", SPIN_COUNT).exec())
}

fn run(arguments: Arguments) -> Result<(), String> {
    // One thread is plenty for the sockets, and two to prepare prompts: all cores are wanted by the models' threads.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let served = runtime.block_on(serve(arguments));
    // Whatever still blocks (a batch being computed) does not hold up the end.
    runtime.shutdown_background();
    served
}

async fn serve(arguments: Arguments) -> Result<(), String> {
    // Bound before anything slow: connections that come meanwhile wait in the backlog.
    let mut socket = Socket::bind(&arguments.socket)
        .map_err(|error| format!("cannot listen on {}: {error}", arguments.socket.display()))?;
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| format!("cannot await SIGTERM: {error}"))?;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| format!("cannot await SIGINT: {error}"))?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };

    let plugins = match arguments.backends {
        Some(folder) => folder,
        None => beside_this_program()?,
    };
    let backend = llama::start(&plugins).map_err(|error| {
        socket.remove();
        error.to_string()
    })?;
    let options = Options {
        threads: arguments.threads.and_then(|threads| usize::try_from(threads).ok()),
        context_tokens: arguments.ctx.max(1),
        lanes: usize::from(arguments.slots),
        queue: usize::from(arguments.queue),
        kv_type: arguments.kv_type,
        gpu_layers: arguments.gpu_layers,
        unload_after: (arguments.unload_after_s > 0)
            .then(|| Duration::from_secs(u64::from(arguments.unload_after_s))),
        memory_budget: arguments.memory_mb.map(|mib| u64::from(mib) << 20),
    };
    let stats = Arc::new(Stats::default());
    let threads = Mutex::new(Monitor::new(options.threads, threads::cores()));
    let shared = Arc::new(Shared { backend, options, stats, threads });
    // The first measurement needs a beginning.
    shared.threads_now();
    let backend = devices::backend(&llama::devices(), options.gpu_layers).to_owned();
    let models = Models::new(Arc::clone(&shared));
    let server = Arc::new(Server { models, shared, backend, connections: AtomicUsize::new(0) });
    server.run(socket, Duration::from_secs(arguments.idle_exit_s), stop).await;
    Ok(())
}

fn beside_this_program() -> Result<PathBuf, String> {
    let program = env::current_exe()
        .map_err(|error| format!("cannot find this program's folder: {error}; give --backends"))?;
    let program = program.canonicalize().unwrap_or(program);
    program
        .parent()
        .map(PathBuf::from)
        .ok_or_else(|| "this program lies in no folder; give --backends".to_owned())
}
