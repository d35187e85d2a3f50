//! One connection: its bytes are counted, and a watch closes it when nobody is really there.
//!
//! hyper's own header timeout also runs while a kept-alive connection is idle, and it allocates a timer per request.
//! One coarse timer per connection over byte counts tells the three cases apart: idle, a head that comes in drops, an
//! answer that nobody reads.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::observer::Recording;

/// How often a connection is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// From the first byte of a request's head to its last.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Without a request. Longer than clients keep connections in their pools (4 to 90 s), so that they close first and no
/// request meets a connection that is just closing.
const IDLE_TIME: Duration = Duration::from_secs(120);
/// An answer of which not one byte could be written for this long has no reader any more.
const STALLED_TIME: Duration = Duration::from_secs(60);

/// What happens on a connection; written by its socket and its requests, read by its watch.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    read: AtomicU64,
    written: AtomicU64,
    write_blocked: AtomicBool,
    /// A request is being answered: from its head until its answer is handed over.
    busy: AtomicBool,
    /// `read` when the last request ended: further bytes belong to the next head.
    read_before: AtomicU64,
}

impl Activity {
    pub(crate) fn request_started(&self) {
        self.busy.store(true, Ordering::Relaxed);
    }

    fn request_ended(&self) {
        self.read_before.store(self.read.load(Ordering::Relaxed), Ordering::Relaxed);
        self.busy.store(false, Ordering::Relaxed);
    }

    fn glance(&self) -> Glance {
        let read = self.read.load(Ordering::Relaxed);
        Glance {
            written: self.written.load(Ordering::Relaxed),
            state: if self.write_blocked.load(Ordering::Relaxed) {
                Doing::Writing
            } else if self.busy.load(Ordering::Relaxed) {
                Doing::Answering
            } else if read > self.read_before.load(Ordering::Relaxed) {
                Doing::ReadingHead
            } else {
                Doing::Nothing
            },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Nothing,
    ReadingHead,
    Answering,
    Writing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Glance {
    written: u64,
    state: Doing,
}

/// Decides from glances whether the connection is worth keeping. The clock is passed in.
#[derive(Debug)]
pub(crate) struct Watch {
    last: Glance,
    since: Instant,
}

impl Watch {
    pub(crate) fn new(now: Instant) -> Self {
        Self { last: Glance { written: 0, state: Doing::Nothing }, since: now }
    }

    /// Why the connection should be closed, if it should.
    pub(crate) fn look(&mut self, activity: &Activity, now: Instant) -> Option<&'static str> {
        self.judge(activity.glance(), now)
    }

    fn judge(&mut self, glance: Glance, now: Instant) -> Option<&'static str> {
        if glance != self.last {
            self.last = glance;
            self.since = now;
            return None;
        }
        let lasted = now.saturating_duration_since(self.since);
        match glance.state {
            Doing::Nothing if lasted >= IDLE_TIME => Some("idle"),
            Doing::ReadingHead if lasted >= HEAD_TIME => Some("the head of a request came too slowly"),
            Doing::Writing if lasted >= STALLED_TIME => Some("nobody reads the answer"),
            _ => None,
        }
    }
}

/// A socket that counts.
pub(crate) struct Counted {
    socket: TcpStream,
    activity: Arc<Activity>,
}

impl Counted {
    pub(crate) fn new(socket: TcpStream, activity: Arc<Activity>) -> Self {
        Self { socket, activity }
    }

    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(count)) => {
                self.activity.written.fetch_add(*count as u64, Ordering::Relaxed);
                self.activity.write_blocked.store(false, Ordering::Relaxed);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.write_blocked.store(true, Ordering::Relaxed),
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.socket).poll_read(cx, buffer);
        let count = buffer.filled().len() - before;
        if count > 0 {
            self.activity.read.fetch_add(count as u64, Ordering::Relaxed);
        }
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, data);
        self.wrote(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, data);
        self.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// An answer's body that tells the watch, and whoever records the request, when it has been handed over.
pub(crate) struct Watched {
    body: Body,
    activity: Arc<Activity>,
    /// After the body, which tells it what it knows when it goes.
    _recording: Recording,
}

impl Watched {
    pub(crate) fn new(body: Body, recording: Recording, activity: Arc<Activity>) -> Self {
        Self { body, activity, _recording: recording }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.activity.request_ended();
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The watch looks at `state` every five seconds without any progress; after how many seconds does it close?
    fn closed_after(state: Doing) -> Option<u64> {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        (0..=300).step_by(5).find(|&second| {
            let now = start + Duration::from_secs(second);
            watch.judge(Glance { written: 7, state }, now).is_some()
        })
    }

    #[test]
    fn each_kind_of_silence_has_its_patience() {
        assert_eq!(closed_after(Doing::Nothing), Some(120));
        assert_eq!(closed_after(Doing::ReadingHead), Some(10));
        assert_eq!(closed_after(Doing::Writing), Some(60));
        assert_eq!(
            closed_after(Doing::Answering),
            None,
            "a model may think for as long as its endpoint allows"
        );
    }

    #[test]
    fn a_slow_reader_that_reads_is_kept() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        for second in (0..600).step_by(30) {
            let glance = Glance { written: second, state: Doing::Writing };
            assert_eq!(watch.judge(glance, start + Duration::from_secs(second)), None);
        }
    }

    #[test]
    fn bytes_after_an_answer_belong_to_the_next_head() {
        let activity = Activity::default();
        assert_eq!(activity.glance().state, Doing::Nothing);
        activity.read.store(10, Ordering::Relaxed);
        assert_eq!(activity.glance().state, Doing::ReadingHead);
        activity.request_started();
        assert_eq!(activity.glance().state, Doing::Answering);
        activity.request_ended();
        assert_eq!(activity.glance().state, Doing::Nothing);
        activity.read.store(11, Ordering::Relaxed);
        assert_eq!(activity.glance().state, Doing::ReadingHead);
    }
}
