//! One server as its callers see it: where commands go in, and who waits for which reply.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use mio::Waker;
use parking_lot::Mutex;

use super::reading::Connection;
use super::silence::Patience;
use super::socket::Plain;
use super::soon::Soon;
use crate::error::RedisServiceError;
use crate::resp::Value;

/// Commands that may wait for replies on one connection. Beyond this Redis is hopelessly behind, and memory would grow.
const MAX_WAITING: usize = 1 << 18;

/// Bytes that may wait to be written before further commands are refused. One command alone may be longer.
const MAX_UNSENT: usize = 64 << 20;

/// Exchanges under way from which on single further ones are gathered: a write of its own for each of a hundred callers costs more
/// than everything else.
const BUSY: usize = 16;

/// Exchanges of one call that count as single.
const DRIPS: usize = 4;

/// How long a caller waits himself: less than what it takes to be woken twice, and than what ioredis computes for one reply.
const SOON: Duration = Duration::from_micros(60);

/// Exchanges under way up to which a caller waits himself.
const FEW: usize = 2;

/// Replies to one exchange: nearly always one.
pub(crate) type Replies = Vec<Value>;

/// Patience of exchanges that nobody but the service itself waits for: the driver ends the connection of a silent server long before
/// this, and one that is busy may take its time.
pub(crate) const PATIENT: Duration = Duration::from_secs(3600);

/// Answers a caller.
pub(crate) type Answer = Box<dyn FnOnce() + Send>;

/// Why nobody waits for a reply any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// The server says nothing at all.
    Silent,
    /// The server speaks, but this one took too long.
    Slow,
}

/// A command under way, or a few that belong together, and who waits for the answer.
pub(crate) trait Exchange: Send {
    /// Appends the frames. Called once for each attempt.
    fn encode(&self, out: &mut BytesMut);
    /// How many replies the frames get.
    fn replies(&self) -> usize {
        1
    }
    /// Whether it is given up as soon as the server falls silent, rather than at its deadline.
    fn gives_up_early(&self) -> bool;
    /// Whether more replies belong to it than [`Exchange::replies`] said, because one of them was a refusal.
    fn wants_more(&self, _got: &Replies) -> bool {
        false
    }
    /// How long it may wait.
    fn patience(&self) -> Duration;
    /// Its time is over, because the server fell silent or was too slow. The replies may still come. What it returns is run
    /// outside all locks: it answers the caller.
    fn expire(&mut self, why: Overdue) -> Option<Answer>;
    /// The replies, also after it has expired.
    fn reply(self: Box<Self>, replies: Replies);
    /// The connection is not live, and nothing was sent.
    fn refused(self: Box<Self>, why: &RedisServiceError) {
        self.lost(why);
    }
    /// The connection broke: there will be no replies, and whether the command was carried out is not known.
    fn lost(self: Box<Self>, why: &RedisServiceError);
}

/// What a link tells those who own it. Called on the driver's thread: must not block.
pub(crate) trait LinkOwner: Send + Sync {
    /// The connection is up, or speaks again after silence: settle what happened meanwhile, then call [`Link::go_live`].
    fn ready(&self, link: &Arc<Link>);
    /// The server has not answered for the budget of a read; the connection still stands.
    fn silent(&self, link: &Arc<Link>);
    /// The connection is gone. Called after all that waited was told so.
    fn down(&self, link: &Arc<Link>, why: &RedisServiceError);
    /// Something that nobody asked for: an invalidation or a message.
    fn push(&self, link: &Arc<Link>, push: Vec<Value>);
    /// All replies of one read have been given out.
    fn batch_end(&self);
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There is none.
    Down,
    /// There is one, and only its owner uses it, to settle what happened meanwhile.
    Settling,
    /// Everybody uses it.
    Live,
    /// It stands, but the server has not answered for too long.
    Silent,
    /// Nobody will use it any more.
    Closed,
}

/// Why a command was not taken.
pub(crate) enum Refused {
    /// The connection is not live.
    Away(Phase),
    /// Too much waits already.
    Full,
}

/// One waiting exchange.
pub(crate) struct Waiting {
    pub(crate) exchange: Box<dyn Exchange>,
    pub(crate) since: Instant,
    pub(crate) deadline: Instant,
    pub(crate) expired: bool,
    pub(crate) got: Replies,
    pub(crate) left: usize,
}

/// What both callers and driver touch.
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// Set where callers may write themselves: not with TLS.
    pub(crate) direct: Option<Arc<Plain>>,
    /// Set where callers may read themselves.
    pub(crate) reading: Option<Arc<Mutex<Connection>>>,
    pub(crate) out: BytesMut,
    pub(crate) waiting: VecDeque<Waiting>,
    /// No waiting deadline is earlier.
    pub(crate) next_deadline: Option<Instant>,
    /// When a byte was heard last, on this connection or the one before.
    pub(crate) heard: Option<Instant>,
}

/// One server.
pub(crate) struct Link {
    pub(crate) state: Mutex<State>,
    pub(crate) wake: Arc<Wake>,
    pub(crate) owner: std::sync::Weak<dyn LinkOwner>,
    /// The server's address, for messages.
    pub(crate) name: String,
    soon: Soon,
    /// How long the server may say nothing, where that differs from what holds for the service.
    pub(crate) patience: Option<Patience>,
}

/// How the driver is woken.
pub(crate) struct Wake {
    pub(crate) waker: Waker,
    /// The driver sleeps until it is woken. While it does not, it looks around every few milliseconds anyway.
    pub(crate) parked: AtomicBool,
}

impl Wake {
    /// Wakes the driver.
    pub(crate) fn now(&self) {
        self.parked.store(false, Ordering::SeqCst);
        if let Err(error) = self.waker.wake() {
            // The only cause is a full eventfd counter, which means that the driver is being woken.
            tracing::debug!(%error, "the driver could not be woken again");
        }
    }

    /// Wakes the driver if it sleeps.
    pub(crate) fn if_parked(&self) {
        if self.parked.swap(false, Ordering::SeqCst) {
            self.now();
        }
    }
}

impl Link {
    pub(crate) fn new(wake: Arc<Wake>, owner: std::sync::Weak<dyn LinkOwner>, name: String) -> Arc<Self> {
        Self::with_patience(wake, owner, name, None)
    }

    pub(crate) fn with_patience(
        wake: Arc<Wake>,
        owner: std::sync::Weak<dyn LinkOwner>,
        name: String,
        patience: Option<Patience>,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                phase: Phase::Down,
                direct: None,
                reading: None,
                out: BytesMut::new(),
                waiting: VecDeque::new(),
                next_deadline: None,
                heard: None,
            }),
            wake,
            owner,
            soon: Soon::default(),
            name,
            patience,
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        self.state.lock().phase
    }

    /// Sends what `next` yields, in order, as one write. Yields are refused one by one; `refused` gets each that is.
    pub(crate) fn send(
        &self,
        exchanges: impl IntoIterator<Item = Box<dyn Exchange>>,
        mut refused: impl FnMut(Box<dyn Exchange>, Refused),
    ) {
        let mut rejected = Vec::new();
        {
            let mut state = self.state.lock();
            let phase = state.phase;
            let now = Instant::now();
            let before = state.waiting.len();
            for exchange in exchanges {
                if phase != Phase::Live {
                    rejected.push((exchange, Refused::Away(phase)));
                } else if state.is_full() {
                    rejected.push((exchange, Refused::Full));
                } else {
                    state.push(exchange, now);
                }
            }
            match state.waiting.len() - before {
                0 => {}
                // Answers are on their way, and with the next one the driver writes what has gathered by then.
                added if added <= DRIPS && before >= BUSY => self.wake.if_parked(),
                _ => self.write_out(&mut state),
            }
        }
        // Told outside the lock: an answer may lead to the next command.
        for (exchange, why) in rejected {
            refused(exchange, why);
        }
    }

    /// Sends something of the owner's own while the connection settles, or a PING.
    pub(crate) fn send_own(&self, exchange: Box<dyn Exchange>) {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Down | Phase::Closed) {
            drop(state);
            exchange.lost(&RedisServiceError::Unavailable {
                operation: "the command".to_owned(),
                reason: format!("{} is not connected", self.name),
            });
            return;
        }
        state.push(exchange, Instant::now());
        self.write_out(&mut state);
    }

    /// Waits a moment for the answer to what was just sent, and reads it: being woken by the driver, which is woken by the socket,
    /// takes longer than a server nearby. Gives up where answers have not come in time lately. Only few exchanges may be
    /// under way, so that parsing stays with the driver where there is much of it.
    pub(crate) fn read_soon(&self) {
        let (socket, connection) = {
            let state = self.state.lock();
            if state.phase != Phase::Live || state.waiting.len() > FEW {
                return;
            }
            let (Some(socket), Some(connection)) = (&state.direct, &state.reading) else {
                return;
            };
            (Arc::clone(socket), Arc::clone(connection))
        };
        if !self.soon.is_worth_it() {
            return;
        }
        let is_there = socket.wait_readable(SOON);
        self.soon.note(is_there);
        if is_there {
            let mut connection = connection.lock();
            if let Err(why) = connection.read(false) {
                connection.failure = Some(why);
                self.wake.now();
            }
        }
    }

    /// Opens a settled connection to everybody. The caller holds whatever lock makes "nothing is left to settle" true.
    pub(crate) fn go_live(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Settling {
            state.phase = Phase::Live;
        }
    }

    /// Takes a live connection back for its owner; whether it was live.
    pub(crate) fn close_for_settling(&self) -> bool {
        let mut state = self.state.lock();
        let was_live = state.phase == Phase::Live;
        if was_live {
            state.phase = Phase::Settling;
        }
        was_live
    }

    /// Hands what waits to the kernel, as far as it goes; the driver does the rest.
    fn write_out(&self, state: &mut State) {
        let State { direct, out, .. } = state;
        match direct {
            Some(socket) => {
                while !out.is_empty() {
                    match socket.write(out) {
                        Ok(0) => break,
                        Ok(written) => out.advance(written),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        // Full: the driver hears when there is room again. Broken: the driver finds out by reading.
                        Err(_) => break,
                    }
                }
                if out.is_empty() { self.wake.if_parked() } else { self.wake.now() }
            }
            None => self.wake.now(),
        }
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING || self.out.len() >= MAX_UNSENT
    }

    fn push(&mut self, exchange: Box<dyn Exchange>, now: Instant) {
        exchange.encode(&mut self.out);
        let deadline = now + exchange.patience();
        self.next_deadline = Some(self.next_deadline.map_or(deadline, |next| next.min(deadline)));
        let left = exchange.replies();
        self.waiting.push_back(Waiting {
            exchange,
            since: now,
            deadline,
            expired: false,
            got: Vec::new(),
            left,
        });
    }
}
