//! The one connection of a service over which all its subscriptions run: made when the first comes, ended when the last goes,
//! made again when it breaks.
//!
//! Locks: the hub's state before a link's. What is sent is sent while the state is held, so that the server sees
//! subscriptions come and go in the order in which the book does.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::book::{Book, By, Confirmation, Id};
use super::mailbox::Mailbox;
use super::wire::Wire;
use crate::connection::connect::{ConnectError, Connected};
use crate::connection::silence::Patience;
use crate::connection::{Exchange, Link, LinkOwner};
use crate::error::RedisServiceError;
use crate::resp::Value;
use crate::tier::RedisTier;
use crate::tier::keeper::BACKOFF;

/// With a PING after 250 ms of silence, a server that says nothing is given up within a second, whatever commands may take.
const PATIENCE: Patience = Patience { silent: Duration::from_millis(250), dead: Duration::from_millis(700) };

/// Whom a subscription belongs to.
pub(crate) struct Member {
    pub(crate) mailbox: Arc<Mailbox>,
    /// Told once whether the server has confirmed it.
    pub(crate) begun: Option<oneshot::Sender<Result<(), RedisServiceError>>>,
}

/// All subscriptions, and their connection.
pub(crate) struct Hub {
    tier: Arc<RedisTier>,
    prefix: Bytes,
    state: Mutex<State>,
    changed: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
    me: Weak<Hub>,
}

#[derive(Default)]
struct State {
    book: Book<Member>,
    /// Each connection has a link of its own, so that what is said of a former one is known as such.
    link: Option<Arc<Link>>,
    /// The link's connection stands, and all that is in the book was sent.
    greeted: bool,
    /// Attempts in a row that led to no subscription.
    failures: u32,
    due: Option<Instant>,
    stop: bool,
}

impl Hub {
    pub(crate) fn new(tier: Arc<RedisTier>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            prefix: tier.prefix.clone(),
            tier,
            state: Mutex::default(),
            changed: Condvar::new(),
            thread: Mutex::new(None),
            me: me.clone(),
        })
    }

    /// Enters a subscription; the names have their prefix.
    pub(crate) fn add(&self, by: By, names: Vec<Bytes>, member: Member) -> Result<Id, RedisServiceError> {
        self.start_thread()?;
        let mut state = self.state.lock();
        if state.stop {
            return Err(RedisServiceError::Closed);
        }
        let id = state.book.add(by, names.clone(), member);
        match &state.link {
            Some(link) if state.greeted => link.send_own(self.subscribing(link, id, by, &names)),
            // The connection that is being made will bring it.
            Some(_) => {}
            None => {
                self.changed.notify_one();
            }
        }
        Ok(id)
    }

    /// Ends a subscription.
    pub(crate) fn remove(&self, id: Id) {
        let mut state = self.state.lock();
        let Some(removed) = state.book.remove(id) else {
            return;
        };
        if state.book.is_empty() {
            state.failures = 0;
            state.due = None;
            if let Some(link) = state.link.take() {
                self.tier.driver.detach(link, RedisServiceError::Closed, true);
            }
        } else if let Some(link) = &state.link
            && state.greeted
            && !removed.names.is_empty()
        {
            link.send_own(Wire::unsubscribe(removed.by, &removed.names));
        }
    }

    /// Ends everything; subscriptions are told that nothing more will come. Waits for the thread unless it is the caller.
    pub(crate) fn stop(&self) {
        let (members, link) = {
            let mut state = self.state.lock();
            state.stop = true;
            (state.book.take_all(), state.link.take())
        };
        self.changed.notify_one();
        if let Some(link) = link {
            self.tier.driver.detach(link, RedisServiceError::Closed, true);
        }
        for member in members {
            member.end(None);
        }
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread of redis-service's subscriptions panicked; please report this");
        }
    }

    fn start_thread(&self) -> Result<(), RedisServiceError> {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let hub = self.me.upgrade().ok_or(RedisServiceError::Closed)?;
            let started = std::thread::Builder::new()
                .name("uat-redis-subscriptions".to_owned())
                .spawn(move || hub.run())
                .map_err(|error| RedisServiceError::Internal {
                    message: format!("a thread could not be started: {error}"),
                })?;
            *thread = Some(started);
        }
        Ok(())
    }

    /// Makes connections whenever there are subscriptions and no connection.
    fn run(&self) {
        loop {
            {
                let mut state = self.state.lock();
                loop {
                    if state.stop {
                        return;
                    }
                    let wanted = state.link.is_none() && !state.book.is_empty();
                    match state.due {
                        _ if !wanted => self.changed.wait(&mut state),
                        Some(due) if due > Instant::now() => {
                            self.changed.wait_until(&mut state, due);
                        }
                        _ => break,
                    }
                }
            }
            let connected = self.tier.keeper.dedicated(&self.tier, None);
            match connected {
                Ok(connected) if connected.former.is_some() => self.attach(connected),
                Ok(_) => self.fail_new(&RedisServiceError::Unsupported {
                    message: "subscriptions need RESP3, which this server does not speak: expected Redis 6 or later"
                        .to_owned(),
                }),
                Err(ConnectError::Away(reason)) => self.note_failure(&reason),
                Err(error) => self.fail_new(&error.into()),
            }
        }
    }

    fn attach(&self, connected: Connected) {
        let owner: Weak<dyn LinkOwner> = self.me.clone();
        let driver = &self.tier.driver;
        let name = "the connection of the subscriptions".to_owned();
        let link = Link::with_patience(driver.wake(), owner, name, Some(PATIENCE));
        let mut state = self.state.lock();
        if state.stop || state.book.is_empty() {
            // Nobody needs it any more; the socket closes with `connected`.
            return;
        }
        state.link = Some(Arc::clone(&link));
        state.greeted = false;
        driver.attach(link, connected, true);
    }

    /// Those who wait for their first confirmation learn that waiting will not help; the others go on trying.
    fn fail_new(&self, why: &RedisServiceError) {
        let members = self.state.lock().book.take_new();
        for member in members {
            member.end(Some(why.clone()));
        }
        self.note_failure(&why.to_string());
    }

    fn note_failure(&self, reason: &str) {
        tracing::debug!(reason, "no connection for subscriptions yet");
        self.state.lock().note_failure();
    }

    fn subscribing(&self, link: &Arc<Link>, id: Id, by: By, names: &[Bytes]) -> Box<dyn Exchange> {
        let (hub, link) = (self.me.clone(), Arc::downgrade(link));
        Wire::subscribe(by, names, move |refusal| {
            if let Some(hub) = hub.upgrade() {
                hub.answered(&link, id, refusal);
            }
        })
    }

    /// All confirmations of a subscription have come, or the server refused it.
    fn answered(&self, link: &Weak<Link>, id: Id, refusal: Option<RedisServiceError>) {
        let mut state = self.state.lock();
        if !state.is_present(link) {
            return;
        }
        if let Some(why) = refusal {
            let removed = state.book.remove(id);
            drop(state);
            if let Some(removed) = removed {
                tracing::warn!(%why, "a subscription was refused");
                removed.member.end(Some(why));
            }
            return;
        }
        state.failures = 0;
        if let Some((confirmation, member)) = state.book.confirm(id) {
            if let Some(begun) = member.begun.take() {
                // Nobody waits where the subscriber was dropped.
                let _ = begun.send(Ok(()));
            }
            // While the state is held: no message may come before the gap.
            if let Confirmation::Again(since) = confirmation {
                member.mailbox.gap(since);
            }
        }
    }
}

impl State {
    fn is_present(&self, link: &Weak<Link>) -> bool {
        self.link.as_ref().is_some_and(|present| std::ptr::eq(Arc::as_ptr(present), link.as_ptr()))
    }

    fn note_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.due = Some(Instant::now() + BACKOFF.delay(self.failures - 1, &mut fastrand::Rng::new()));
    }
}

impl Member {
    /// Nothing more will come.
    pub(crate) fn end(mut self, why: Option<RedisServiceError>) {
        if let Some(begun) = self.begun.take() {
            let _ = begun.send(Err(why.unwrap_or(RedisServiceError::Closed)));
            return;
        }
        self.mailbox.end(why);
    }
}

impl LinkOwner for Hub {
    fn ready(&self, link: &Arc<Link>) {
        link.go_live();
        let mut state = self.state.lock();
        if state.is_present(&Arc::downgrade(link)) && !state.greeted {
            state.greeted = true;
            for (id, by, names) in state.book.wanted() {
                link.send_own(self.subscribing(link, id, by, names));
            }
        }
    }

    fn silent(&self, _link: &Arc<Link>) {}

    fn down(&self, link: &Arc<Link>, why: &RedisServiceError) {
        let good = link.state.lock().heard.unwrap_or_else(Instant::now);
        let mut state = self.state.lock();
        if !state.is_present(&Arc::downgrade(link)) {
            return;
        }
        state.link = None;
        state.greeted = false;
        if matches!(why, RedisServiceError::Closed) {
            let members = state.book.take_all();
            drop(state);
            for member in members {
                member.end(None);
            }
            return;
        }
        state.book.broken(good);
        if state.failures == 0 {
            // The first attempt at once: most breaks are mended by it.
            state.failures = 1;
            state.due = None;
        } else {
            state.note_failure();
        }
        self.changed.notify_one();
    }

    fn push(&self, _link: &Arc<Link>, push: Vec<Value>) {
        let bytes = |value: &Value| value.as_bytes().cloned();
        let (by, name, channel, payload) = match &push[..] {
            [kind, channel, payload] if kind.as_str() == Some("message") => {
                (By::Channel, bytes(channel), bytes(channel), bytes(payload))
            }
            [kind, pattern, channel, payload] if kind.as_str() == Some("pmessage") => {
                (By::Pattern, bytes(pattern), bytes(channel), bytes(payload))
            }
            _ => return,
        };
        let (Some(name), Some(channel), Some(payload)) = (name, channel, payload) else {
            return;
        };
        // Copied: slices would hold the whole buffer of the connection for as long as a slow subscriber needs.
        let short = channel.strip_prefix(&self.prefix[..]).unwrap_or(&channel);
        let (channel, payload) = (Bytes::copy_from_slice(short), Bytes::copy_from_slice(&payload));
        let state = self.state.lock();
        for member in state.book.listeners(by, &name) {
            member.mailbox.message(channel.clone(), payload.clone());
        }
    }

    fn batch_end(&self) {}
}
