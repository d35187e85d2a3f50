//! The one thread that reads all connections of a service.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mio::{Events, Interest, Poll, Token, Waker};
use parking_lot::Mutex;

use super::connect::Connected;
use super::link::{Answer, Exchange, Link, Overdue, PATIENT, Phase, Replies, Wake};
use super::reading::{Connection, lost};
use super::silence::{Patience, Verdict, judge};
use super::socket::Registered;
use crate::error::RedisServiceError;
use crate::resp::Command;

const WAKE: Token = Token(usize::MAX);

/// How often deadlines are looked at while there is traffic: the precision of a read's budget of 50 ms.
const TICK: Duration = Duration::from_millis(5);

/// Traffic this recent makes the next command likely: until then nobody needs to wake the driver.
const LINGER: Duration = Duration::from_millis(500);

/// How often a connection whose invalidations matter is asked whether it still stands, when nothing else is said.
const PING_EVERY: Duration = Duration::from_millis(250);

/// What others ask of the driver.
enum Request {
    Attach { link: Arc<Link>, connected: Box<Connected>, pings: bool },
    Detach { link: Arc<Link>, why: RedisServiceError, close: bool },
    Stop,
}

/// The thread, and the way to it. Dropping it ends both.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    wake: Arc<Wake>,
    /// Bounded by what the owner attaches: one request for each connection that is made.
    requests: Mutex<Vec<Request>>,
    stopped: AtomicBool,
}

impl Driver {
    /// Starts the thread.
    pub(crate) fn start(patience: Patience) -> io::Result<Self> {
        let poll = Poll::new()?;
        let wake =
            Arc::new(Wake { waker: Waker::new(poll.registry(), WAKE)?, parked: AtomicBool::new(false) });
        let shared = Arc::new(Shared { wake, requests: Mutex::default(), stopped: AtomicBool::new(false) });
        let turning = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("uat-redis-io".to_owned()).spawn(move || {
            Loop { poll, shared: turning, patience, connections: Vec::new(), last_traffic: Instant::now() }
                .run();
        })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// How links wake it.
    pub(crate) fn wake(&self) -> Arc<Wake> {
        Arc::clone(&self.shared.wake)
    }

    /// Takes over a connection; its owner is told `ready`. With `pings` it is asked every 250 ms whether it still stands.
    pub(crate) fn attach(&self, link: Arc<Link>, connected: Connected, pings: bool) {
        {
            // At once: whoever looks whether the link needs a connection would make a second one, and kill this one by it.
            let mut state = link.state.lock();
            if state.phase == Phase::Down {
                state.phase = Phase::Settling;
            }
        }
        self.request(Request::Attach { link, connected: Box::new(connected), pings });
    }

    /// Ends a connection. With `close` the link takes nothing any more.
    pub(crate) fn detach(&self, link: Arc<Link>, why: RedisServiceError, close: bool) {
        self.request(Request::Detach { link, why, close });
    }

    fn request(&self, request: Request) {
        self.shared.requests.lock().push(request);
        self.shared.wake.now();
    }

    /// Ends all connections and the thread. What waits is told that the service was closed. Blocks for a moment, unless
    /// called by the thread itself.
    pub(crate) fn stop(&self) {
        if self.shared.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        self.request(Request::Stop);
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread of redis-service panicked; please report this");
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Loop {
    poll: Poll,
    shared: Arc<Shared>,
    patience: Patience,
    connections: Vec<Option<Arc<Mutex<Connection>>>>,
    last_traffic: Instant,
}

impl Loop {
    fn run(mut self) {
        let mut events = Events::with_capacity(64);
        loop {
            let timeout = self.timeout();
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "waiting for sockets failed");
                // Never a busy loop, whatever the kernel says.
                std::thread::sleep(TICK);
            }
            self.shared.wake.parked.store(false, Ordering::SeqCst);
            for event in &events {
                if event.token() != WAKE {
                    let at = event.token().0;
                    let is_over = event.is_read_closed() || event.is_error();
                    if event.is_readable() || is_over {
                        self.read(at, is_over);
                    }
                    if event.is_writable() {
                        self.write(at);
                    }
                }
            }
            let requests = std::mem::take(&mut *self.shared.requests.lock());
            for request in requests {
                match request {
                    Request::Attach { link, connected, pings } => self.attach(link, *connected, pings),
                    Request::Detach { link, why, close } => self.detach(&link, &why, close),
                    Request::Stop => {
                        for at in 0..self.connections.len() {
                            self.down(at, &RedisServiceError::Closed, true);
                        }
                        return;
                    }
                }
            }
            for at in 0..self.connections.len() {
                self.write(at);
            }
            self.tick(Instant::now());
        }
    }

    /// How long nothing needs to be looked at.
    fn timeout(&self) -> Option<Duration> {
        if self.last_traffic.elapsed() < LINGER || self.anything_waits() {
            return Some(TICK);
        }
        self.shared.wake.parked.store(true, Ordering::SeqCst);
        // Again, now that whoever adds something wakes us.
        if self.anything_waits() {
            self.shared.wake.parked.store(false, Ordering::SeqCst);
            return Some(TICK);
        }
        self.connections.iter().flatten().any(|connection| connection.lock().pings).then_some(PING_EVERY)
    }

    fn anything_waits(&self) -> bool {
        !self.shared.requests.lock().is_empty()
            || self.connections.iter().flatten().any(|connection| {
                let connection = connection.lock();
                let state = connection.link.state.lock();
                !state.waiting.is_empty() || (!state.out.is_empty() && !connection.wants_room)
            })
    }

    fn attach(&mut self, link: Arc<Link>, connected: Connected, pings: bool) {
        if link.phase() == Phase::Closed {
            return;
        }
        let at = self.connections.iter().position(Option::is_none).unwrap_or(self.connections.len());
        if at == self.connections.len() {
            self.connections.push(None);
        }
        let Connected { transport, leftover, .. } = connected;
        let mut source = Registered(Arc::clone(transport.plain()));
        if let Err(error) =
            self.poll.registry().register(&mut source, Token(at), Interest::READABLE | Interest::WRITABLE)
        {
            tracing::error!(%error, "a socket could not be watched");
            link.state.lock().phase = Phase::Down;
            return;
        }
        let direct = transport.direct();
        let connection = Arc::new(Mutex::new(Connection::new(Arc::clone(&link), transport, leftover, pings)));
        {
            let mut state = link.state.lock();
            state.phase = Phase::Settling;
            state.reading = direct.is_some().then(|| Arc::clone(&connection));
            state.direct = direct;
            state.out.clear();
            state.heard = Some(Instant::now());
        }
        self.last_traffic = Instant::now();
        self.connections[at] = Some(connection);
        if let Some(owner) = link.owner.upgrade() {
            owner.ready(&link);
        }
        // The socket was readable before it was watched, perhaps.
        self.read(at, true);
    }

    fn detach(&mut self, link: &Arc<Link>, why: &RedisServiceError, close: bool) {
        let at = self
            .connections
            .iter()
            .position(|held| held.as_ref().is_some_and(|held| Arc::ptr_eq(&held.lock().link, link)));
        match at {
            Some(at) => self.down(at, why, close),
            None if close => link.state.lock().phase = Phase::Closed,
            None => {}
        }
    }

    fn read(&mut self, at: usize, to_the_end: bool) {
        let Some(Some(connection)) = self.connections.get(at) else {
            return;
        };
        self.last_traffic = Instant::now();
        let read = connection.lock().read(to_the_end);
        if let Err(why) = read {
            self.down(at, &why, false);
        }
    }

    fn write(&mut self, at: usize) {
        let Some(Some(connection)) = self.connections.get(at) else {
            return;
        };
        let mut connection = connection.lock();
        let link = Arc::clone(&connection.link);
        let written = {
            let mut state = link.state.lock();
            if state.out.is_empty() {
                connection.wants_room = false;
                return;
            }
            connection.transport.write(&mut state.out)
        };
        match written {
            Ok(done) => connection.wants_room = !done,
            Err(error) => {
                drop(connection);
                self.down(at, &lost(&link.name, &error.to_string()), false);
            }
        }
    }

    /// Looks at deadlines and silence.
    fn tick(&mut self, now: Instant) {
        for at in 0..self.connections.len() {
            let Some(Some(connection)) = self.connections.get(at) else {
                continue;
            };
            // Held until the answers are given: a reply that comes meanwhile would overtake them.
            let mut connection = connection.lock();
            let link = Arc::clone(&connection.link);
            if let Some(why) = connection.failure.take() {
                drop(connection);
                self.down(at, &why, false);
                continue;
            }
            let patience = link.patience.unwrap_or(self.patience);
            let mut answers: Vec<Answer> = Vec::new();
            let (verdict, idle, heard) = {
                let mut state = link.state.lock();
                let oldest = state.waiting.front().map(|front| front.since);
                let heard = state.heard.unwrap_or(now);
                let verdict = judge(oldest, heard, now, patience);
                let is_new = verdict == Verdict::Silent && state.phase == Phase::Live;
                if is_new {
                    state.phase = Phase::Silent;
                }
                let due = state.next_deadline.is_some_and(|next| next <= now);
                if is_new || due {
                    let why = if state.phase == Phase::Silent { Overdue::Silent } else { Overdue::Slow };
                    let mut next = None;
                    for waiting in &mut state.waiting {
                        if !waiting.expired
                            && (waiting.deadline <= now || (is_new && waiting.exchange.gives_up_early()))
                        {
                            waiting.expired = true;
                            answers.extend(waiting.exchange.expire(why));
                        }
                        if !waiting.expired {
                            next = Some(
                                next.map_or(waiting.deadline, |next: Instant| next.min(waiting.deadline)),
                            );
                        }
                    }
                    state.next_deadline = next;
                }
                (
                    if verdict == Verdict::Silent && !is_new { Verdict::Fine } else { verdict },
                    state.waiting.is_empty(),
                    heard,
                )
            };
            let answered = !answers.is_empty();
            for answer in answers {
                answer();
            }
            match verdict {
                Verdict::Fine if answered => {}
                Verdict::Fine if connection.pings && idle && now.duration_since(heard) >= PING_EVERY => {
                    link.send_own(Box::new(Ping));
                }
                Verdict::Fine => continue,
                Verdict::Silent => {
                    if let Some(owner) = link.owner.upgrade() {
                        owner.silent(&link);
                    }
                }
                Verdict::Dead => {
                    let millis = patience.dead.as_millis();
                    drop(connection);
                    self.down(at, &lost(&link.name, &format!("did not answer for {millis} ms")), false);
                }
            }
            if let Some(owner) = link.owner.upgrade() {
                owner.batch_end();
            }
        }
    }

    /// Ends a connection: all that waits is told so, then its owner.
    fn down(&mut self, at: usize, why: &RedisServiceError, close: bool) {
        let Some(connection) = self.connections.get_mut(at).and_then(Option::take) else {
            return;
        };
        let mut connection = connection.lock();
        connection.ended = true;
        let plain = Arc::clone(connection.transport.plain());
        if let Err(error) = self.poll.registry().deregister(&mut Registered(Arc::clone(&plain))) {
            tracing::debug!(%error, "a socket was not watched any more");
        }
        plain.shutdown();
        let link = Arc::clone(&connection.link);
        let waiting = {
            let mut state = link.state.lock();
            state.phase = if close { Phase::Closed } else { Phase::Down };
            state.direct = None;
            state.reading = None;
            state.out = BytesMut::new();
            state.next_deadline = None;
            std::mem::take(&mut state.waiting)
        };
        for waiting in waiting {
            waiting.exchange.lost(why);
        }
        if let Some(owner) = link.owner.upgrade() {
            owner.down(&link, why);
            owner.batch_end();
        }
    }
}

/// Asks whether the connection still stands.
struct Ping;

impl Exchange for Ping {
    fn encode(&self, out: &mut BytesMut) {
        Command::new("PING").encode(out);
    }
    fn gives_up_early(&self) -> bool {
        false
    }
    fn patience(&self) -> Duration {
        PATIENT
    }
    fn expire(&mut self, _why: Overdue) -> Option<Answer> {
        None
    }
    fn reply(self: Box<Self>, _replies: Replies) {}
    fn lost(self: Box<Self>, _why: &RedisServiceError) {}
}
