//! Accepts connections until it is told to stop, then lets running answers finish.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use runtime::{Port, Runtime};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::afterwards::Afterwards;
use crate::connection::{Activity, Counted, LOOK_EVERY, Watch, Watched};
use crate::door::Door;
use crate::gateway::{ForVoice, Gateway, router};
use crate::observer::Observer;
use crate::signal::Signal;
use crate::traffic::Traffic;

/// The longest head of a request, in bytes: a browser's cookies fit, a flood does not.
const LONGEST_HEAD: usize = 32 << 10;
/// What a connection buffers of a request's body or an answer, in bytes, before it waits for the other side.
const BUFFER: usize = 64 << 10;
/// Accepting fails when the process has no file descriptors left; until some are closed there is nothing to do.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is cancelled, and then until running answers have finished or `server.drain_timeout_s` has
/// passed: what is still open then is cut. Dropping the future cuts everything at once.
///
/// # Errors
/// The listener's own address cannot be read, or what `[telemetry]` or `[voice.webrtc]` name cannot be opened. A connection's errors end that connection only.
pub async fn serve(
    listener: TcpListener,
    runtime: Arc<Runtime>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    serve_with(listener, Beside::default(), runtime, shutdown).await
}

/// What a server may have beside its listener.
#[derive(Debug, Default)]
pub struct Beside {
    /// A listener of `server.admin_bind`, at which administration alone is served, without keys.
    pub admin: Option<TcpListener>,
    /// A page that is served at `/demo`, to whoever asks.
    pub demo_page: Option<&'static str>,
}

/// The same with what is beside it. All of it counts as one server.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with(
    listener: TcpListener,
    beside: Beside,
    runtime: Arc<Runtime>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let Beside { admin, demo_page } = beside;
    let (observer, exporter) = Observer::open(Arc::clone(&runtime), &runtime.config().telemetry)?;
    let stop_telling = CancellationToken::new();
    let mut telling = JoinSet::new();
    if let Some(exporter) = exporter {
        telling.spawn(exporter.run(stop_telling.clone()));
    }
    let counts = (Arc::new(Traffic::default()), Arc::new(observer));
    // It ends as soon as the server is told to: who speaks has no answer that could be finished.
    let stop_hearing = shutdown.child_token();
    let webrtc = &runtime.config().voice.webrtc;
    let (port, hears) = Port::open(webrtc, stop_hearing.clone()).await?;
    let mut hearing = JoinSet::new();
    hearing.spawn(hears);
    let public = Door::Public { is_exposed: !listener.local_addr()?.ip().is_loopback() };
    let voice = ForVoice { port: Some(port), demo_page };
    let serving = serve_at(listener, public, Arc::clone(&runtime), counts.clone(), voice, shutdown.clone());
    let served = match admin {
        None => serving.await,
        Some(admin) => {
            let door = Door::Admin { is_exposed: !admin.local_addr()?.ip().is_loopback() };
            let administered = serve_at(admin, door, runtime, counts, ForVoice::default(), shutdown);
            tokio::try_join!(serving, administered).map(|_| ())
        }
    };
    stop_hearing.cancel();
    while hearing.join_next().await.is_some() {}
    // What the last answers tell is told before the end.
    stop_telling.cancel();
    while telling.join_next().await.is_some() {}
    served
}

async fn serve_at(
    listener: TcpListener,
    door: Door,
    runtime: Arc<Runtime>,
    (traffic, observer): (Arc<Traffic>, Arc<Observer>),
    voice: ForVoice,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let port = listener.local_addr()?.port();
    let places = Arc::new(Semaphore::new(runtime.config().server.max_connections as usize));
    let gateway = Arc::new(Gateway::new(runtime, port, door, traffic, observer, voice));
    let router = router(gateway.clone());
    let tasks = TaskTracker::new();
    let draining = Arc::new(Signal::default());
    let cut = Arc::new(Signal::default());
    let _cut_on_drop = CutOnDrop(cut.clone());

    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (socket, place) = match accepted {
            Ok(Some(accepted)) => accepted,
            // The semaphore is never closed; were it, nothing could be accepted any more.
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection =
            Connection { gateway: gateway.clone(), router: router.clone(), drain: draining.clone() };
        let cut = cut.clone();
        tasks.spawn(async move {
            // Cancelled from outside, so that what it holds (a request's future, a stream) is dropped with it.
            tokio::select! {
                () = connection.run(socket) => {}
                () = cut.raised() => {}
            }
            drop(place);
        });
    }

    gateway.start_draining();
    // As it is now: it may have been reloaded.
    let drain = Duration::from_secs(gateway.runtime.config().server.drain_timeout_s);
    draining.raise();
    drop(listener);
    tasks.close();
    if tokio::time::timeout(drain, tasks.wait()).await.is_err() {
        tracing::warn!(connections = tasks.len(), "answers that did not finish in time are cut");
        cut.raise();
        tasks.wait().await;
    }
    Ok(())
}

/// A connection and the place that it takes; waits while every place is taken.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)>> {
    let Ok(place) = places.clone().acquire_owned().await else { return Ok(None) };
    let (socket, _) = listener.accept().await?;
    // Without it a chunk waits for the acknowledgement of the one before: up to 40 ms.
    socket.set_nodelay(true)?;
    Ok(Some((socket, place)))
}

struct Connection {
    gateway: Arc<Gateway>,
    router: Router,
    drain: Arc<Signal>,
}

/// Ends every connection when the server's future is dropped.
struct CutOnDrop(Arc<Signal>);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.raise();
    }
}

/// Counts a connection as open while it lives, however it ends.
struct Open<'a>(&'a Gateway);

impl<'a> Open<'a> {
    fn new(gateway: &'a Gateway) -> Self {
        gateway.traffic.connection_opened();
        Self(gateway)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.traffic.connection_closed();
    }
}

impl Connection {
    async fn run(self, socket: TcpStream) {
        let Self { gateway, router, drain } = self;
        let _open = Open::new(&gateway);
        let activity = Arc::new(Activity::default());
        let afterwards = Afterwards::default();
        let service = service_fn(|mut request: http::Request<hyper::body::Incoming>| {
            if request.headers().contains_key(http::header::UPGRADE) {
                request.extensions_mut().insert(afterwards.clone());
            }
            let (gateway, activity, mut router) = (gateway.clone(), activity.clone(), router.clone());
            // Boxed: hyper keeps the room of this future for as long as the connection lives, and it is large. A box is
            // freed when a streamed answer has begun.
            Box::pin(async move {
                activity.request_started();
                let (response, recording) = gateway.answer(&mut router, request).await;
                Ok::<_, Infallible>(response.map(|body| Watched::new(body, recording, activity)))
            })
        });
        let io = TokioIo::new(Counted::new(socket, activity.clone()));
        let mut connection = pin!(
            http1::Builder::new()
                .max_header_size(LONGEST_HEAD)
                .max_buf_size(BUFFER)
                // The watch below does better, see `connection`.
                .header_read_timeout(None)
                .serve_connection(io, service)
                .with_upgrades()
        );
        let mut watch = Watch::new(Instant::now());
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut draining = false;
        let mut starts_draining = pin!(drain.raised());
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        // A client that went away is everyday life.
                        tracing::debug!(%error, "a connection ended");
                    }
                    break;
                }
                () = starts_draining.as_mut(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                now = looks.tick() => {
                    if let Some(reason) = watch.look(&activity, now) {
                        tracing::debug!(reason, "a connection is closed");
                        return;
                    }
                }
            }
        }
        let Some(mut work) = afterwards.take() else { return };
        loop {
            tokio::select! {
                biased;
                () = starts_draining.as_mut(), if !draining => {
                    draining = true;
                    afterwards.drain();
                }
                () = work.as_mut() => return,
            }
        }
    }
}
