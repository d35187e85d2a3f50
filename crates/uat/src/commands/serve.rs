//! `uat serve`

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_api::Beside;
use runtime::vision_resource_manager::host::HostError;
use runtime::{Runtime, RuntimeError, parse_bind};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::ConfigArgs;
use crate::failure::Failure;
use crate::reload::Reload;
use crate::signals::Signals;
use crate::watch::FileWatch;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where to listen instead of server.bind; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_bind)]
    bind: Option<SocketAddr>,
    /// Serves a page at /demo that writes down what you say.
    #[arg(long)]
    demo_page: bool,
}

/// A page to speak to.
const DEMO_PAGE: &str = include_str!("../../../../examples/voice-page/index.html");

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // One worker per core, and no more blocking threads than file look-ups need.
    let workers = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(8)
        .thread_name("uat")
        .build()?;
    let _inside = workers.enter();
    // Before it is read, so that no change is missed.
    let watch = FileWatch::new(args.config.file());
    let loaded = args.config.load()?;
    let has_file = loaded.file().is_some();
    let mut config = loaded.config;
    if let Some(bind) = args.bind {
        config.server.bind = bind;
        config.validate().map_err(|errors| {
            let first = errors.first();
            let failure = Failure::new(first.code(), format!("--bind: {}", first.message));
            first.hint.iter().fold(failure, Failure::hint)
        })?;
    }
    // Said before anything is started.
    config.telemetry.traces().map_err(|error| Failure::new(error.code(), format!("[telemetry] {error}")))?;
    let runtime = Runtime::new(config, Vec::new())?;
    let reload = Reload::new(runtime.clone(), watch, has_file, args.bind)?;
    workers.block_on(serve(runtime, reload, args.demo_page.then_some(DEMO_PAGE)))
}

async fn serve(
    runtime: Arc<Runtime>,
    mut reload: Reload,
    demo_page: Option<&'static str>,
) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let config = runtime.config();
    // Before anybody can ask: what keys have spent is known, or it is known why not.
    runtime.open_state().await?;
    let (listener, address) = listen(config.server.bind).await?;
    let admin = match config.server.admin_bind {
        Some(bind) => Some(listen(bind).await?),
        None => None,
    };
    let shutdown = CancellationToken::new();
    // Before anybody is told that it listens: then GPUs can be asked for, too.
    let gpus = gpus(&runtime, shutdown.clone())?;
    tokio::pin!(gpus);
    writeln!(io::stdout(), "listening on http://{address}")?;
    if let Some((_, address)) = &admin {
        writeln!(io::stdout(), "administration on http://{address}")?;
    }
    if demo_page.is_some() {
        writeln!(io::stdout(), "speak at http://{address}/demo")?;
    }

    let beside = Beside { admin: admin.map(|(listener, _)| listener), demo_page };
    let serving = http_api::serve_with(listener, beside, runtime.clone(), shutdown.clone());
    tokio::pin!(serving);
    // Other local servers are looked for at once, so that the first request does not wait for it.
    let prepare = async {
        if let Err(error) = runtime.ready().await {
            tracing::error!(code = error.code(), %error, "not ready");
        }
        tell_what_is_served(&runtime);
        reload.keep_current(tell_what_is_served).await;
    };
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        ended = &mut gpus => return Err(ended.err().map_or(Failure::Interrupted, Failure::from)),
        // Its terminal is closed.
        () = prepare => {}
        _ = signals.next() => {}
    }
    tracing::info!("finishing running answers; a second signal ends at once");
    shutdown.cancel();
    let result = tokio::select! {
        (ended, gpus) = async { tokio::join!(serving, gpus) } => ended.map_err(Failure::from).and(gpus.map_err(Failure::from)),
        _ = signals.next() => {
            tracing::warn!("ended with answers still running");
            Err(Failure::Interrupted)
        }
    };
    runtime.close().await;
    result
}

/// Gives memory of GPUs out until `shutdown`, where the configuration says so. Another daemon of this user does as well.
fn gpus(
    runtime: &Runtime,
    shutdown: CancellationToken,
) -> Result<impl Future<Output = Result<(), HostError>> + use<>, Failure> {
    let host = match runtime.open_gpus() {
        Ok(host) => host,
        Err(RuntimeError::Gpu(busy @ HostError::Busy { .. })) => {
            tracing::warn!("{busy}");
            None
        }
        Err(error) => return Err(error.into()),
    };
    Ok(async move {
        match host {
            Some(host) => host.serve(shutdown.cancelled_owned()).await,
            None => {
                shutdown.cancelled().await;
                Ok(())
            }
        }
    })
}

async fn listen(bind: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind(bind).await.map_err(|error| cannot_listen(bind, &error))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
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
    // Where keys are asked for, the page is not shown; the header of the refusal is ours.
    ask().is_ok_and(|answer| answer.contains("universal-ai-tools") || answer.contains("x-uat-code"))
}
