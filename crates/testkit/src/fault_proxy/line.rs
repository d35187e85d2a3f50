//! One connection through the proxy: bytes both ways, each way delayed, stalled and cut by itself.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Direction, Mode, Shared, Upstream};

/// Pieces that a delayed direction holds back; a full line stops reading, as a full network does.
const IN_FLIGHT: usize = 256;
/// Bytes read at once: what a socket buffer usually hands over.
const READ_SIZE: usize = 16 * 1024;

/// The state of one direction, of all connections.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) delay: Mutex<Duration>,
    pub(super) bytes: AtomicU64,
    pub(super) stalled: watch::Sender<bool>,
    pub(super) cut: Mutex<Cut>,
}

impl Default for Lane {
    fn default() -> Self {
        let stalled = watch::Sender::new(false);
        Self { delay: Mutex::default(), bytes: AtomicU64::default(), stalled, cut: Mutex::default() }
    }
}

/// The latest order to reset the connections that existed when it was given.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cut {
    /// Counts the orders; a connection follows those that came after it.
    pub(super) number: u64,
    pub(super) after_bytes: u64,
}

/// Why a direction passes nothing more.
enum End {
    /// The source has ended, and the target was told.
    Source,
    /// [`Mode::CutAfter`] was reached.
    Cut,
    /// An order to reset was fulfilled.
    Reset,
}

/// Why a whole connection ends before its sides have ended it.
enum Fault {
    /// One side failed: the other must notice.
    Side,
    Cut,
    Reset,
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Self {
        Self::Side
    }
}

/// Carries one connection to its end.
pub(super) async fn carry(shared: &Shared, client: TcpStream) -> io::Result<()> {
    let limit = match *shared.mode.lock() {
        Mode::BlackHole => None,
        Mode::CutAfter { downstream_bytes } => Some(downstream_bytes),
        Mode::Pass | Mode::Refuse => Some(u64::MAX),
    };
    let Some(limit) = limit else {
        // The socket stays open and unread until the proxy ends it.
        std::future::pending::<()>().await;
        drop(client);
        return Ok(());
    };
    client.set_nodelay(true)?;
    // Before the upstream answers, so that an order given meanwhile is for this connection too.
    let orders = [&shared.upward, &shared.downward].map(|lane| lane.cut.lock().number);
    match &shared.upstream {
        Upstream::Tcp(addr) => {
            let upstream = TcpStream::connect(addr).await?;
            upstream.set_nodelay(true)?;
            both_ways(shared, client, upstream, limit, orders).await
        }
        Upstream::Unix(path) => {
            both_ways(shared, client, UnixStream::connect(path).await?, limit, orders).await
        }
    }
}

async fn both_ways<S>(
    shared: &Shared,
    mut client: TcpStream,
    upstream: S,
    limit: u64,
    [upward, downward]: [u64; 2],
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = client.split();
    let (from_upstream, to_upstream) = tokio::io::split(upstream);
    let downward = one_way(shared, Direction::Downstream, from_upstream, to_client, limit, downward);
    let upward = one_way(shared, Direction::Upstream, from_client, to_upstream, u64::MAX, upward);
    // The end of one side's bytes ends only its direction, everything else the whole connection.
    let ended = tokio::try_join!(whole(downward), whole(upward));
    if matches!(ended, Err(Fault::Reset)) {
        // Closing the socket then sends a reset instead of an orderly end.
        client.set_zero_linger()?;
    }
    Ok(())
}

async fn whole(direction: impl Future<Output = io::Result<End>>) -> Result<(), Fault> {
    match direction.await? {
        End::Source => Ok(()),
        End::Cut => Err(Fault::Cut),
        End::Reset => Err(Fault::Reset),
    }
}

/// Passes bytes until the source ends, `limit` is reached, or an order after the one of this `number` is fulfilled, through
/// a line that delays and stalls.
async fn one_way<R, W>(
    shared: &Shared,
    direction: Direction,
    mut from: R,
    mut to: W,
    limit: u64,
    mut number: u64,
) -> io::Result<End>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let lane = shared.lane(direction);
    let (enter, mut leave) = mpsc::channel::<(Instant, Bytes)>(IN_FLIGHT);
    let reading = async move {
        loop {
            let mut buffer = BytesMut::with_capacity(READ_SIZE);
            let read = from.read_buf(&mut buffer).await?;
            let due = Instant::now() + *lane.delay.lock();
            // An empty piece says that the source has ended: it is delayed like the rest.
            if enter.send((due, buffer.freeze())).await.is_err() || read == 0 {
                return Ok(());
            }
        }
    };
    let writing = async {
        let (mut left, mut end) = (limit, End::Cut);
        let mut stalled = lane.stalled.subscribe();
        while left > 0 {
            let Some((due, mut bytes)) = leave.recv().await else { break };
            tokio::time::sleep_until(due).await;
            // The sender lives in `shared`, so that this cannot fail.
            let _ = stalled.wait_for(|stalled| !stalled).await;
            let cut = *lane.cut.lock();
            if cut.number > number {
                (number, left, end) = (cut.number, cut.after_bytes, End::Reset);
            }
            if bytes.is_empty() {
                to.shutdown().await?;
                return Ok(End::Source);
            }
            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            to.write_all(&bytes).await?;
            to.flush().await?;
            left -= bytes.len() as u64;
            lane.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok::<_, io::Error>(end)
    };
    tokio::pin!(reading, writing);
    tokio::select! {
        done = &mut writing => done,
        // What was read before the source failed or ended is still delivered.
        ended = &mut reading => {
            let delivered = writing.await?;
            ended.map(|()| delivered)
        }
    }
}
