//! The Redis tier: operations on their way to one server, to the master that Sentinels name, or to the nodes of a cluster, and what
//! happens while those are away.
//!
//! An operation goes to the [`Link`] of its key's node. A link that is not live refuses it; then [`aside`] answers, with a miss, with
//! what was written meanwhile, or with an error, as the operation's kind demands. When the connection is back (or
//! speaks again), the keys that were written meanwhile are deleted in Redis, and only then is the link opened again.

pub(crate) mod aside;
pub(crate) mod direct;
pub(crate) mod in_flight;
pub(crate) mod keeper;
pub(crate) mod near;
mod settle;
pub(crate) mod topology;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;

use self::aside::{Aside, NotTaken};
use self::in_flight::{Done, InFlight, Outcome};
use self::keeper::Keeper;
use self::near::{Near, Ticket};
use self::topology::{Redirect, slot_of};
use crate::connection::connect::{ConnectError, Former};
use crate::connection::silence::Patience;
use crate::connection::{Driver, Exchange, Link, LinkOwner, Phase, Refused};
use crate::envelope::{Decoded, Decoder, Encoder};
use crate::error::RedisServiceError;
use crate::op::{Op, Origin, Reply};
use crate::options::{Address, Options, Place, Topology};
use crate::resp::Value;
use crate::status::Board;

/// Told what becomes of values that are kept outside the core, in a Node process for example.
pub trait Watcher: Send + Sync {
    /// These keys (without the prefix) have changed. Must not block.
    fn changed(&self, keys: Vec<Bytes>);
    /// Nothing that was read so far counts any more.
    fn flush(&self);
    /// A batch of outcomes has been given out.
    fn batch_end(&self);
}

/// One server that holds keys.
pub(crate) struct Node {
    pub(crate) link: Arc<Link>,
    pub(crate) place: Place,
    pub(crate) keep: Mutex<Keep>,
}

/// What is remembered of a node between connections.
#[derive(Default)]
pub(crate) struct Keep {
    pub(crate) former: Option<Former>,
    /// Attempts that failed in a row.
    pub(crate) failures: u32,
}

/// Who holds which keys.
pub(crate) struct Map {
    pub(crate) nodes: Vec<Arc<Node>>,
    /// For each slot an index into `nodes`; `None` where one server holds all.
    pub(crate) owners: Option<Vec<u16>>,
}

impl Map {
    pub(crate) fn node_of(&self, prefix: &[u8], key: Option<&[u8]>) -> Option<&Arc<Node>> {
        match (&self.owners, key) {
            (None, _) => self.nodes.first(),
            // Commands without a key go to any node that answers.
            (Some(_), None) => {
                self.nodes.iter().find(|node| node.link.phase() == Phase::Live).or(self.nodes.first())
            }
            (Some(owners), Some(key)) => {
                let owner = owners.get(usize::from(slot_of(prefix, key)))?;
                self.nodes.get(usize::from(*owner))
            }
        }
    }
}

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) reconnects: AtomicU64,
    pub(crate) fallback_ops: AtomicU64,
}

/// Redis, wherever it is, as one thing.
pub(crate) struct RedisTier {
    pub(crate) options: Options,
    pub(crate) address: Address,
    pub(crate) prefix: Bytes,
    pub(crate) map: ArcSwap<Map>,
    pub(crate) aside: Mutex<Aside>,
    pub(crate) near: Option<Near>,
    /// Whether every connection so far tells of changes.
    pub(crate) tracks: AtomicBool,
    decoder: Decoder,
    pub(crate) watcher: Option<Arc<dyn Watcher>>,
    pub(crate) board: Board,
    pub(crate) counts: Counts,
    /// Operations that wait for the cluster's new map, bounded by [`MAX_DEFERRED`].
    pub(crate) deferred: Mutex<Vec<InFlight>>,
    pub(crate) driver: Driver,
    pub(crate) keeper: Keeper,
    me: Weak<RedisTier>,
}

/// Operations that wait for a new map at most; beyond this they are answered without Redis.
const MAX_DEFERRED: usize = 10_000;

impl RedisTier {
    /// Prepares everything; [`RedisTier::connect_first`] then connects.
    pub(crate) fn new(
        options: Options,
        address: Address,
        decoder: Decoder,
        watcher: Option<Arc<dyn Watcher>>,
    ) -> Result<Arc<Self>, RedisServiceError> {
        let patience = Patience {
            silent: options.read_budget(),
            dead: options.command_timeout().max(options.read_budget()),
        };
        let driver = Driver::start(patience).map_err(|error| RedisServiceError::Internal {
            message: format!("the thread for connections could not be started: {error}"),
        })?;
        let keeper = Keeper::new(&address)?;
        Ok(Arc::new_cyclic(|me: &Weak<Self>| {
            let nodes = match &address.topology {
                Topology::Single(place) => vec![place.clone()],
                // The master's address is not known yet; the Sentinels' name for it stands in its place.
                Topology::Sentinel { master, .. } => vec![Place::Tcp { host: master.clone(), port: 0 }],
                Topology::Cluster(_) => Vec::new(),
            };
            let owner: Weak<dyn LinkOwner> = me.clone();
            let nodes =
                nodes.into_iter().map(|place| Arc::new(Node::new(place, &driver, owner.clone()))).collect();
            let owners = matches!(address.topology, Topology::Cluster(_)).then(Vec::new);
            Self {
                prefix: Bytes::from(options.key_prefix.clone()),
                map: ArcSwap::from_pointee(Map { nodes, owners }),
                aside: Mutex::new(Aside::new(options.fallback_max_bytes)),
                near: (options.near_cache && watcher.is_none()).then(|| Near::new(options.near_max_bytes)),
                tracks: AtomicBool::new(options.near_cache),
                decoder,
                watcher,
                board: Board::default(),
                counts: Counts::default(),
                deferred: Mutex::default(),
                driver,
                keeper,
                me: me.clone(),
                address,
                options,
            }
        }))
    }

    /// Connects for the first time. An error is one that waiting will not mend; a server that is away is none.
    pub(crate) fn connect_first(self: &Arc<Self>) -> Result<(), RedisServiceError> {
        let connected = self.keeper.connect_first(self);
        self.keeper.run(self)?;
        match connected {
            Ok(()) => {
                self.board.wait_live(self.options.connect_timeout());
                Ok(())
            }
            Err(ConnectError::Away(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends operations, in order, those of a node as one write. Answers come through each one's [`Done`], some before this returns.
    pub(crate) fn start(self: &Arc<Self>, batch: impl IntoIterator<Item = (Op, Done)>) {
        let map = self.map.load();
        if let (None, Some(node)) = (&map.owners, map.nodes.first()) {
            let exchanges =
                batch.into_iter().map(|(op, done)| self.exchange(op, done, None) as Box<dyn Exchange>);
            return self.send(node, exchanges);
        }
        let mut groups: Vec<Vec<Box<dyn Exchange>>> = map.nodes.iter().map(|_| Vec::new()).collect();
        let mut homeless = Vec::new();
        for (op, done) in batch {
            match self.node_for(&map, &op) {
                Some(node) => {
                    let place = node.place.clone();
                    let index = map.nodes.iter().position(|other| Arc::ptr_eq(other, node)).unwrap_or(0);
                    groups[index].push(self.exchange(op, done, Some(place)));
                }
                None => homeless.push(self.exchange(op, done, None)),
            }
        }
        for (node, group) in map.nodes.iter().zip(groups) {
            if !group.is_empty() {
                self.send(node, group);
            }
        }
        for in_flight in homeless {
            self.answer_refused(*in_flight, &away("no node of the cluster serves this key's slot"));
        }
    }

    /// The node that an operation goes to; `None` where nobody serves its slot.
    pub(super) fn node_for<'m>(&self, map: &'m Map, op: &Op) -> Option<&'m Arc<Node>> {
        match op {
            // A raw command's key has its prefix already.
            Op::Raw(command) => map.node_of(b"", command.routing_key().map(|key| &key[..])),
            _ => map.node_of(&self.prefix, op.key().map(|key| &key[..])),
        }
    }

    fn exchange(self: &Arc<Self>, op: Op, done: Done, asked: Option<Place>) -> Box<InFlight> {
        let ticket = match (&self.near, &op) {
            (Some(near), Op::Get { key, timed: true }) => Some(near.ticket(key)),
            _ => None,
        };
        if op.writes() {
            self.forget_near(&op);
        }
        Box::new(InFlight {
            tier: Arc::clone(self),
            op,
            done: Some(done),
            ticket,
            asked,
            asking: false,
            redirects: 0,
        })
    }

    fn send(&self, node: &Node, exchanges: impl IntoIterator<Item = Box<dyn Exchange>>) {
        node.link.send(exchanges, |exchange, why| match why {
            Refused::Away(Phase::Closed) => exchange.lost(&RedisServiceError::Closed),
            Refused::Away(_) => exchange.refused(&self.why_away(&node.link.name)),
            Refused::Full => exchange.lost(&RedisServiceError::Overloaded {
                message: "too many commands wait for Redis; send fewer at a time".to_owned(),
            }),
        });
    }

    pub(crate) fn why_away(&self, name: &str) -> RedisServiceError {
        let reason = self.board.last_error().unwrap_or_else(|| format!("{name} is not connected yet"));
        away(&reason)
    }

    /// See [`Link::read_soon`]; a cluster's answers come from several sockets, which the driver reads.
    pub(crate) fn read_soon(&self) {
        let map = self.map.load();
        if let (None, Some(node)) = (&map.owners, map.nodes.first()) {
            node.link.read_soon();
        }
    }

    /// What an operation gets without Redis.
    pub(crate) fn aside_outcome(self: &Arc<Self>, op: &Op, reason: &RedisServiceError) -> Outcome {
        let taken = self.aside.lock().apply(op, Instant::now());
        self.aside_answer(op, taken, reason)
    }

    pub(super) fn aside_answer(
        &self,
        op: &Op,
        taken: Result<Reply, NotTaken>,
        reason: &RedisServiceError,
    ) -> Outcome {
        self.count_unavailable();
        match (taken, reason) {
            (Ok(Reply::Stored { stored: None, .. }), _) => Ok(Reply::Unavailable),
            (Ok(reply), _) => Ok(reply),
            (Err(NotTaken::NeedsRedis), RedisServiceError::Unavailable { reason, .. }) => {
                Err(RedisServiceError::Unavailable {
                    operation: op.name().to_owned(),
                    reason: reason.clone(),
                })
            }
            (Err(NotTaken::NeedsRedis), other) => Err(other.clone()),
            (Err(NotTaken::Full), _) => Err(RedisServiceError::Unavailable {
                operation: op.name().to_owned(),
                reason: "Redis is away, and more keys were written meanwhile than fallback.maxBytes holds"
                    .to_owned(),
            }),
        }
    }

    pub(crate) fn count_unavailable(&self) {
        self.counts.fallback_ops.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.address.topology, Topology::Cluster(_))
    }

    /// Whether Redis tells us what changes.
    pub(crate) fn wants_tracking(&self) -> bool {
        self.options.near_cache
    }

    pub(crate) fn forget_near(&self, op: &Op) {
        if let (Some(near), Some(key)) = (&self.near, op.key()) {
            near.forget(key);
        }
    }

    pub(crate) fn keep_near(&self, op: &Op, reply: &Reply, ticket: Ticket) {
        if let (Some(near), Some(key), Reply::Stored { stored: Some(stored), ttl, origin: Origin::Redis }) =
            (&self.near, op.key(), reply)
        {
            let expires = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
            near.keep(key, &self.unpacked(stored), expires, ticket);
        }
    }

    /// The same value without compression, so that a near hit costs none. What cannot be read stays as it is.
    fn unpacked(&self, stored: &Bytes) -> Bytes {
        match self.decoder.decode(stored) {
            Decoded::Value(value) => {
                Encoder::default().encode(&value).map_or_else(|_| stored.clone(), |encoded| encoded.bytes)
            }
            _ => stored.clone(),
        }
    }

    /// An error that says the server is no longer the one to ask: find out who is.
    pub(crate) fn look_for_trouble(&self, replies: &[Value], asked: Option<&Place>) {
        for reply in replies {
            if let Value::Error(error) = reply
                && matches!(error.code(), "READONLY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "NOAUTH")
            {
                let map = self.map.load();
                let node = match asked {
                    Some(place) => map.nodes.iter().find(|node| node.place == *place),
                    None => map.nodes.first(),
                };
                if let Some(node) = node {
                    self.driver.detach(Arc::clone(&node.link), away(&error.text), false);
                }
                return;
            }
        }
    }

    /// Sends an operation where its refusal says.
    pub(crate) fn redirect(self: &Arc<Self>, mut in_flight: InFlight, redirect: Redirect) {
        let (place, asking) = match &redirect {
            Redirect::Moved(_, place) => (place, false),
            Redirect::Ask(place) => (place, true),
        };
        if !asking {
            self.keeper.refresh_soon();
        }
        let map = self.map.load();
        let node = map.nodes.iter().find(|node| node.place == *place && node.link.phase() == Phase::Live);
        if let Some(node) = node {
            in_flight.asking = asking;
            if asking {
                // The permission covers one command.
                in_flight.ticket = None;
                if let Op::Get { timed, .. } = &mut in_flight.op {
                    *timed = false;
                }
            }
            in_flight.asked = Some(place.clone());
            return self.send(node, [Box::new(in_flight) as Box<dyn Exchange>]);
        }
        self.keeper.refresh_soon();
        let mut deferred = self.deferred.lock();
        if deferred.len() < MAX_DEFERRED {
            in_flight.asking = false;
            deferred.push(in_flight);
        } else {
            drop(deferred);
            in_flight.answer_aside(&away("the cluster is being rearranged, and too much waits for it"));
        }
    }

    /// Ends everything; what is under way is told so.
    pub(crate) fn close(&self) {
        self.keeper.stop();
        self.driver.stop();
        for in_flight in std::mem::take(&mut *self.deferred.lock()) {
            Exchange::lost(Box::new(in_flight), &RedisServiceError::Closed);
        }
    }

    pub(crate) fn note_mode(&self) {
        let map = self.map.load();
        let all_live = !map.nodes.is_empty() && map.nodes.iter().all(|node| node.link.phase() == Phase::Live);
        let pending = self.aside.lock().len();
        self.board.note(all_live, pending);
    }
}

impl Drop for RedisTier {
    fn drop(&mut self) {
        self.close();
    }
}

impl Node {
    pub(crate) fn new(place: Place, driver: &Driver, owner: Weak<dyn LinkOwner>) -> Self {
        Self { link: Link::new(driver.wake(), owner, place.to_string()), place, keep: Mutex::default() }
    }
}

impl LinkOwner for RedisTier {
    fn ready(&self, link: &Arc<Link>) {
        if let Some(tier) = self.me.upgrade() {
            settle::settle(&tier, link);
        }
    }

    fn silent(&self, link: &Arc<Link>) {
        self.board.note_error(&format!("{} does not answer", link.name));
        self.note_mode();
    }

    fn down(&self, link: &Arc<Link>, why: &RedisServiceError) {
        self.flush_near();
        if !matches!(why, RedisServiceError::Closed) {
            let reason = match why {
                RedisServiceError::Unavailable { reason, .. } => reason.clone(),
                other => other.to_string(),
            };
            self.board.note_error(&reason);
            self.note_mode();
            self.keeper.connect_soon(link, Duration::ZERO);
        }
    }

    fn push(&self, _link: &Arc<Link>, push: Vec<Value>) {
        let mut push = push.into_iter();
        if push.next().as_ref().and_then(Value::as_str) != Some("invalidate") {
            return;
        }
        match push.next().and_then(Value::into_elements) {
            // Everything was flushed, or Redis has lost count.
            None => self.flush_near(),
            Some(keys) => {
                let keys: Vec<Bytes> = keys
                    .iter()
                    .filter_map(Value::as_bytes)
                    .filter_map(|key| {
                        key.strip_prefix(&self.prefix[..]).map(|_| key.slice(self.prefix.len()..))
                    })
                    .collect();
                if let Some(near) = &self.near {
                    for key in &keys {
                        near.forget(key);
                    }
                }
                if let Some(watcher) = &self.watcher {
                    watcher.changed(keys);
                }
            }
        }
    }

    fn batch_end(&self) {
        if let Some(watcher) = &self.watcher {
            watcher.batch_end();
        }
    }
}

impl RedisTier {
    fn flush_near(&self) {
        if let Some(near) = &self.near {
            near.flush();
        }
        if let Some(watcher) = &self.watcher {
            watcher.flush();
        }
    }
}

impl From<ConnectError> for RedisServiceError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Away(reason) => away(&reason),
            ConnectError::Unauthorized(message) => Self::Unauthorized { message },
            ConnectError::UnknownHost(message) => Self::config("url", format!("the host {message}")),
            ConnectError::Config(message) => Self::config("url", message),
            ConnectError::Tls(message) => Self::config(
                "url",
                format!("TLS: {message}; a private authority is named with ?ca=/path.pem"),
            ),
        }
    }
}

pub(crate) fn away(reason: &str) -> RedisServiceError {
    RedisServiceError::Unavailable { operation: "the command".to_owned(), reason: reason.to_owned() }
}
