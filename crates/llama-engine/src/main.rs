//! `uat-engine`: parses its arguments, binds the socket, starts llama.cpp and serves.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use clap::Parser;
use llama_engine::models::Models;
use llama_engine::server::Server;
use llama_engine::socket::Socket;
use llama_engine::stats::Stats;
use llama_engine::worker::Options;
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
    /// Threads that compute [default: one per available core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Most tokens of one conversation; never more than the model was trained on
    #[arg(long, value_name = "TOKENS", default_value_t = 8192)]
    ctx: usize,
    /// Requests that run at a time, per model
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    slots: u16,
    /// Requests that may wait beside those that run, per model
    #[arg(long, value_name = "N", default_value_t = 64)]
    queue: u16,
    /// The folder of ggml's plug-ins [default: where this program lies]
    #[arg(long, value_name = "DIR")]
    backends: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("UAT_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), String> {
    // One thread is plenty for the sockets: the models compute on threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
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
    let backend = llama_engine::llama::start(&plugins).map_err(|error| {
        socket.remove();
        error.to_string()
    })?;
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(available).max(1);
    let options = Options {
        threads,
        context_tokens: arguments.ctx.max(1),
        lanes: usize::from(arguments.slots),
        queue: usize::from(arguments.queue),
    };
    let stats = Arc::new(Stats::default());
    let models = Models::new(backend, options, Arc::clone(&stats));
    let server = Arc::new(Server { models, stats, threads, connections: AtomicUsize::new(0) });
    server.run(socket, Duration::from_secs(arguments.idle_exit_s), stop).await;
    Ok(())
}

fn beside_this_program() -> Result<PathBuf, String> {
    let program = std::env::current_exe()
        .map_err(|error| format!("cannot find this program's folder: {error}; give --backends"))?;
    let program = program.canonicalize().unwrap_or(program);
    program
        .parent()
        .map(PathBuf::from)
        .ok_or_else(|| "this program lies in no folder; give --backends".to_owned())
}
