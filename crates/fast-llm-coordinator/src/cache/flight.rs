//! One execution that several requests share, and what each of them has read of it.
//!
//! The execution puts in, the [`Waiter`]s take out, each at its own pace from the beginning on. What is kept is bounded:
//! up to `most` bytes everything, so that a further request can join; beyond that nobody joins any more, what all have
//! read is let go, and the execution waits while the slowest is `most` bytes behind the furthest. One for which
//! the others would have waited [`PATIENCE`] is given up, so that a client that does not read stops nobody else.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use llm_wire::Spoken;
use llm_wire::openai::Usage;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::{CoordinatorError, Failure};
use crate::report::{Attempt, RoutingReport};

/// For how long in all readers wait for a slower one: a hiccup of a network, not a client that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the execution began to answer.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// As of the request that began it.
    pub(super) report: RoutingReport,
    /// Fields that the endpoint was not told, whoever asks.
    pub(super) dropped: Vec<String>,
    pub(super) spoken: Option<Spoken>,
    /// The answer, if it is no stream.
    pub(super) whole: Option<Bytes>,
}

/// An execution and those who wait for it.
pub(super) struct Flight {
    most: usize,
    state: Mutex<State>,
    /// Nobody waits any more.
    pub(super) deserted: CancellationToken,
    /// A reader has moved on.
    moved: Notify,
    /// The attempts that have ended, while none has answered.
    pub(super) tried: Arc<Mutex<Vec<Attempt>>>,
}

struct State {
    head: Option<Result<Arc<Head>, CoordinatorError>>,
    chunks: VecDeque<Bytes>,
    /// The number of the first chunk that is kept.
    first: u64,
    /// Bytes of the chunks that are kept.
    held: usize,
    end: Option<Result<(), CoordinatorError>>,
    /// The report of a stream that has ended.
    report: Option<RoutingReport>,
    usage: Option<Usage>,
    readers: HashMap<u64, Reader>,
    next_reader: u64,
    /// Whether a further request may join.
    open: bool,
}

#[derive(Default)]
struct Reader {
    /// The number of the chunk that it reads next.
    next: u64,
    waker: Option<Waker>,
    /// It was too slow.
    given_up: bool,
}

impl State {
    fn wake_all(&mut self) {
        self.readers.values_mut().filter_map(|reader| reader.waker.take()).for_each(Waker::wake);
    }

    /// The number of the chunk that comes next.
    fn next(&self) -> u64 {
        self.first + self.chunks.len() as u64
    }

    /// Lets go what everybody has read, once nobody can join any more.
    fn let_go(&mut self) {
        if self.open {
            return;
        }
        let slowest = self.readers.values().filter(|r| !r.given_up).map(|r| r.next).min();
        let slowest = slowest.unwrap_or_else(|| self.next());
        while self.first < slowest
            && let Some(chunk) = self.chunks.pop_front()
        {
            self.first += 1;
            self.held -= chunk.len();
        }
    }
}

impl Flight {
    /// One of which at most `most` bytes are kept, and the first request that waits for it.
    pub(super) fn new(most: usize) -> (Arc<Self>, Waiter) {
        let flight = Arc::new(Self {
            most,
            state: Mutex::new(State {
                head: None,
                chunks: VecDeque::new(),
                first: 0,
                held: 0,
                end: None,
                report: None,
                usage: None,
                readers: HashMap::from([(0, Reader::default())]),
                next_reader: 1,
                open: true,
            }),
            deserted: CancellationToken::new(),
            moved: Notify::new(),
            tried: Arc::default(),
        });
        let waiter = Waiter { flight: Arc::clone(&flight), id: 0 };
        (flight, waiter)
    }

    /// Another request that waits for it; `None` where it is too late for that.
    pub(super) fn join(self: &Arc<Self>) -> Option<Waiter> {
        let mut state = self.state.lock();
        if !state.open {
            return None;
        }
        let id = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(id, Reader::default());
        Some(Waiter { flight: Arc::clone(self), id })
    }

    /// It answers, or it has failed.
    pub(super) fn begin(&self, head: Result<Head, CoordinatorError>) {
        let mut state = self.state.lock();
        state.open &= head.is_ok();
        state.head = Some(head.map(Arc::new));
        state.wake_all();
    }

    /// The next chunk of a stream.
    pub(super) fn push(&self, chunk: Bytes) {
        let mut state = self.state.lock();
        state.held += chunk.len();
        state.chunks.push_back(chunk);
        if state.open && state.held > self.most {
            state.open = false;
        }
        state.let_go();
        state.wake_all();
    }

    /// The stream has ended. A failed one takes nobody any more.
    pub(super) fn end(&self, end: Result<(), CoordinatorError>, report: RoutingReport, usage: Option<Usage>) {
        let mut state = self.state.lock();
        state.open &= end.is_ok();
        state.end = Some(end);
        state.report = Some(report);
        state.usage = usage;
        state.wake_all();
    }

    /// Nothing more comes, and nobody can join. Where that was not to be expected, those who wait are told.
    pub(super) fn land(&self) {
        let mut state = self.state.lock();
        state.open = false;
        let lost = || CoordinatorError::Failed {
            failure: Box::new(failure(
                "UAT_INTERNAL",
                "the request that this one shared was dropped".to_owned(),
            )),
            attempts: Vec::new(),
        };
        let is_stream =
            !matches!(state.head.get_or_insert_with(|| Err(lost())), Ok(head) if head.whole.is_some());
        if is_stream {
            state.end.get_or_insert_with(|| Err(lost()));
        }
        state.let_go();
        state.wake_all();
    }

    /// Waits until another chunk may be put in.
    pub(super) async fn room(&self) {
        let mut waited = Duration::ZERO;
        loop {
            // Before the look, so that a move in between is not missed.
            let moved = self.moved.notified();
            let starving = {
                let state = self.state.lock();
                if state.held <= self.most {
                    return;
                }
                let next = state.next();
                state.readers.values().any(|reader| reader.next == next)
            };
            let began = Instant::now();
            let left = PATIENCE.saturating_sub(waited);
            if !starving {
                moved.await;
            } else if tokio::time::timeout(left, moved).await.is_err() {
                self.give_up_on_the_slowest();
                waited = Duration::ZERO;
            } else {
                waited += began.elapsed();
            }
        }
    }

    fn give_up_on_the_slowest(&self) {
        let mut state = self.state.lock();
        let (first, next) = (state.first, state.next());
        for reader in state.readers.values_mut().filter(|r| r.next == first && r.next != next) {
            reader.given_up = true;
            if let Some(waker) = reader.waker.take() {
                waker.wake();
            }
        }
        state.let_go();
    }
}

/// One request that waits. Dropping the last one of a running execution ends it.
pub(super) struct Waiter {
    flight: Arc<Flight>,
    id: u64,
}

impl Waiter {
    /// How the answer begins.
    pub(super) async fn head(&self) -> Result<Arc<Head>, CoordinatorError> {
        std::future::poll_fn(|cx| self.poll_head(cx)).await
    }

    fn poll_head(&self, cx: &Context<'_>) -> Poll<Result<Arc<Head>, CoordinatorError>> {
        let mut state = self.flight.state.lock();
        if let Some(head) = &state.head {
            return Poll::Ready(head.clone());
        }
        if let Some(reader) = state.readers.get_mut(&self.id) {
            reader.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The next chunk; `None` after a finished answer.
    pub(super) fn poll_chunk(&self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, CoordinatorError>>> {
        let mut guard = self.flight.state.lock();
        let state = &mut *guard;
        let Some(reader) = state.readers.get_mut(&self.id) else { return Poll::Ready(None) };
        if reader.given_up {
            let attempts = Vec::new();
            let failure = failure(
                "UAT_OVERLOADED",
                format!(
                    "this stream was read too slowly: others that share it had waited {} s for it; read faster, or ask \
                     with the cache off",
                    PATIENCE.as_secs()
                ),
            );
            return Poll::Ready(Some(Err(CoordinatorError::Failed { failure: Box::new(failure), attempts })));
        }
        let index = usize::try_from(reader.next - state.first).unwrap_or(usize::MAX);
        if let Some(chunk) = state.chunks.get(index).cloned() {
            reader.next += 1;
            // Only the slowest frees anything.
            if !state.open && index == 0 {
                state.let_go();
            }
            drop(guard);
            self.flight.moved.notify_one();
            return Poll::Ready(Some(Ok(chunk)));
        }
        match &state.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(Err(error.clone()))),
            None => {
                reader.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// What was tried until now, while nothing has answered.
    pub(super) fn tried(&self) -> Vec<Attempt> {
        self.flight.tried.lock().clone()
    }

    /// The report and the usage of a stream that has ended.
    pub(super) fn outcome(&self) -> (Option<RoutingReport>, Option<Usage>) {
        let state = self.flight.state.lock();
        (state.report.clone(), state.usage)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = self.flight.state.lock();
        state.readers.remove(&self.id);
        let whole = matches!(&state.head, Some(Ok(head)) if head.whole.is_some());
        if state.readers.is_empty() && state.end.is_none() && !whole {
            state.open = false;
            self.flight.deserted.cancel();
        }
        state.let_go();
        drop(state);
        self.flight.moved.notify_one();
    }
}

fn failure(code: &'static str, message: String) -> Failure {
    Failure {
        code,
        endpoint: Arc::from(""),
        status: None,
        message,
        retryable: true,
        is_final: true,
        retry_after: None,
        upstream: None,
    }
}

#[cfg(test)]
mod tests;
