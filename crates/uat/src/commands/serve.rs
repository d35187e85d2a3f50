//! `uat serve`

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runtime::{Runtime, parse_bind};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::ConfigArgs;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where to listen instead of server.bind; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_bind)]
    bind: Option<SocketAddr>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut config = args.config.load()?.config;
    if let Some(bind) = args.bind {
        config.server.bind = bind;
        config.validate().map_err(|error| {
            let failure = Failure::new(error.code(), format!("--bind: {}", error.message));
            error.hint.into_iter().fold(failure, Failure::hint)
        })?;
    }
    // Said before anything is started.
    config.telemetry.traces().map_err(|error| Failure::new(error.code(), format!("[telemetry] {error}")))?;
    let runtime = Runtime::new(config, Vec::new())?;
    // One worker per core, and no more blocking threads than file look-ups need.
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(8)
        .thread_name("uat")
        .build()?
        .block_on(serve(runtime))
}

async fn serve(runtime: Arc<Runtime>) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let bind = runtime.config().server.bind;
    let listener = TcpListener::bind(bind).await.map_err(|error| cannot_listen(bind, &error))?;
    let address = listener.local_addr()?;
    writeln!(io::stdout(), "listening on http://{address}")?;

    let shutdown = CancellationToken::new();
    let serving = http_api::serve(listener, runtime.clone(), shutdown.clone());
    tokio::pin!(serving);
    // Other local servers are looked for at once, so that the first request does not wait for it.
    let prepare = async {
        if let Err(error) = runtime.ready().await {
            tracing::error!(code = error.code(), %error, "not ready");
        }
        tell_what_is_served(&runtime);
        std::future::pending::<()>().await;
    };
    tokio::pin!(prepare);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        () = &mut prepare => {}
        () = signals.next() => {
            tracing::info!("finishing running answers; a second signal ends at once");
            shutdown.cancel();
        }
    }
    let result = tokio::select! {
        ended = serving => ended.map_err(Failure::from),
        () = signals.next() => {
            tracing::warn!("ended with answers still running");
            Err(Failure::Interrupted)
        }
    };
    runtime.close().await;
    result
}

fn tell_what_is_served(runtime: &Runtime) {
    for model in runtime.models() {
        let endpoints = model.endpoints.join(", ");
        match runtime.missing_file(&model.name) {
            None => tracing::info!(model = %model.name, endpoints, "ready to answer"),
            Some(missing) => tracing::warn!("{missing}"),
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn cannot_listen(bind: SocketAddr, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let who = if is_uat(bind) { "another `uat serve`" } else { "another program" };
            Failure::new("UAT_CONFLICT", format!("cannot listen on {bind}: {who} already does"))
                .hint(format!("stop it (`ss -ltnp 'sport = :{}'` names it), or choose another port: uat serve --bind {}:{}", bind.port(), bind.ip(), bind.port().wrapping_add(1)))
        }
        io::ErrorKind::PermissionDenied => {
            Failure::new("UAT_CONFIG", format!("cannot listen on {bind}: {error}"))
                .hint("ports below 1024 belong to the administrator: choose a higher one with --bind")
        }
        _ => Failure::new("UAT_CONFIG", format!("cannot listen on {bind}: {error}")),
    }
}

/// Whether what listens there says that it is one of us.
fn is_uat(address: SocketAddr) -> bool {
    // On this machine an answer takes a few ms; the message is worth no longer wait.
    const PATIENCE: Duration = Duration::from_millis(300);
    let ask = || -> io::Result<String> {
        let mut stream = std::net::TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    ask().is_ok_and(|answer| answer.contains("universal-ai-tools"))
}
