//! The thread that makes connections, again and again, and finds out who is who: it asks Sentinels for the master and a cluster for
//! its slots. It blocks, so that nobody else has to.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use resilience::Backoff;
use rustls::ClientConfig;

use super::topology::{SlotMap, read_slots};
use super::{Map, Node, RedisTier};
use crate::connection::connect::{Client, ConnectError, Connected, Target, connect};
use crate::connection::{Exchange, Link, LinkOwner, Phase};
use crate::error::RedisServiceError;
use crate::options::{Address, Place, Topology};
use crate::resp::{Command, Value};

/// A server that was killed is back within a second or is gone for longer; asking it twice a second costs nothing.
pub(crate) const BACKOFF: Backoff =
    Backoff { base: Duration::from_millis(50), max: Duration::from_millis(500) };

/// While nodes of a cluster are missing, its map is asked for this often: a failover takes a second or two.
const REFRESH_EVERY: Duration = Duration::from_millis(200);

/// What is to be done, and when.
#[derive(Default)]
struct Plan {
    connect: Vec<(Instant, Weak<Link>)>,
    refresh: Option<Instant>,
    stop: bool,
}

struct Shared {
    plan: Mutex<Plan>,
    changed: Condvar,
}

/// The thread, and what it is asked.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    tls: Option<Arc<ClientConfig>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    pub(crate) fn new(address: &Address) -> Result<Self, RedisServiceError> {
        let tls = address.tls.as_ref().map(crate::connection::tls::client_config).transpose()?;
        let shared = Arc::new(Shared { plan: Mutex::default(), changed: Condvar::new() });
        Ok(Self { shared, tls, thread: Mutex::new(None) })
    }

    /// Starts the thread.
    pub(crate) fn run(&self, tier: &Arc<RedisTier>) -> Result<(), RedisServiceError> {
        let (shared, tier) = (Arc::clone(&self.shared), Arc::downgrade(tier));
        let thread = std::thread::Builder::new()
            .name("uat-redis-keeper".to_owned())
            .spawn(move || turn(&shared, &tier))
            .map_err(|error| RedisServiceError::Internal {
                message: format!("a thread could not be started: {error}"),
            })?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// The link is to be connected after a while.
    pub(crate) fn connect_soon(&self, link: &Arc<Link>, after: Duration) {
        let mut plan = self.shared.plan.lock();
        let due = Instant::now() + after;
        if !plan.connect.iter().any(|(_, planned)| planned.ptr_eq(&Arc::downgrade(link))) {
            plan.connect.push((due, Arc::downgrade(link)));
        }
        self.shared.changed.notify_one();
    }

    /// The cluster's map is out of date.
    pub(crate) fn refresh_soon(&self) {
        let mut plan = self.shared.plan.lock();
        plan.refresh.get_or_insert_with(Instant::now);
        self.shared.changed.notify_one();
    }

    /// Ends the thread; waits for it unless it is the one that calls.
    pub(crate) fn stop(&self) {
        self.shared.plan.lock().stop = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the keeper of redis-service's connections panicked; please report this");
        }
    }

    /// The first connections, made by the caller's thread.
    pub(crate) fn connect_first(&self, tier: &Arc<RedisTier>) -> Result<(), ConnectError> {
        if tier.is_cluster()
            && let Err(error) = self.refresh(tier)
        {
            tier.board.note_error(&error.to_string());
            tier.note_mode();
            self.refresh_soon();
            return Err(error);
        }
        let mut first_error = Ok(());
        for node in &tier.map.load().nodes {
            if let Err(error) = self.connect(tier, node)
                && first_error.is_ok()
            {
                first_error = Err(error);
            }
        }
        first_error
    }

    fn target(&self, tier: &RedisTier, place: Place) -> Target {
        Target {
            place,
            tls: self.tls.clone(),
            login: tier.address.login.clone(),
            database: tier.address.database,
            tracking: tier.wants_tracking(),
            master_only: matches!(tier.address.topology, Topology::Sentinel { .. }),
            timeout: tier.options.connect_timeout(),
        }
    }

    /// A connection beside those of the nodes, to the node of a key (with its prefix), or to any that answers. Blocks.
    pub(crate) fn dedicated(&self, tier: &RedisTier, key: Option<&[u8]>) -> Result<Connected, ConnectError> {
        let node = Arc::clone(tier.map.load().node_of(b"", key).ok_or_else(|| {
            ConnectError::Away("no node of the cluster is known that could be asked".to_owned())
        })?);
        let place = self.place_of(tier, &node)?;
        connect(&Target { tracking: false, ..self.target(tier, place) }, None)
    }

    /// Connects one node and gives the connection to the driver; plans the next attempt where that fails.
    fn connect(&self, tier: &Arc<RedisTier>, node: &Arc<Node>) -> Result<(), ConnectError> {
        if node.link.phase() != Phase::Down {
            return Ok(());
        }
        let former = node.keep.lock().former.clone();
        let connected =
            self.place_of(tier, node).and_then(|place| connect(&self.target(tier, place), former.as_ref()));
        match connected {
            Ok(connected) => {
                let mut keep = node.keep.lock();
                keep.failures = 0;
                if keep.former.is_some() {
                    tier.counts.reconnects.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                keep.former.clone_from(&connected.former);
                let pings = connected.tracks;
                if !connected.tracks {
                    tier.tracks.store(false, std::sync::atomic::Ordering::Relaxed);
                }
                tier.driver.attach(Arc::clone(&node.link), connected, pings);
                Ok(())
            }
            Err(error) => {
                tier.board.note_error(&error.to_string());
                tier.note_mode();
                let failures = {
                    let mut keep = node.keep.lock();
                    keep.failures = keep.failures.saturating_add(1);
                    keep.failures
                };
                self.connect_soon(&node.link, BACKOFF.delay(failures - 1, &mut fastrand::Rng::new()));
                if tier.is_cluster() {
                    self.refresh_soon();
                }
                Err(error)
            }
        }
    }

    /// Where the node is now: for Sentinels, where they say the master is.
    fn place_of(&self, tier: &RedisTier, node: &Node) -> Result<Place, ConnectError> {
        let Topology::Sentinel { sentinels, master } = &tier.address.topology else {
            return Ok(node.place.clone());
        };
        let mut last = ConnectError::Away(format!("no Sentinel knows the master {master:?}"));
        for sentinel in sentinels {
            // Sentinels have logins of their own; the one in the URL is Redis'.
            let target = Target { login: None, ..self.target(tier, sentinel.clone()) };
            let answer = Client::open(&target).and_then(|mut client| {
                client.call(&Command::new("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master))
            });
            match answer.map(|answer| answer.into_elements().unwrap_or_default()) {
                Ok(place) => {
                    if let [host, port] = place.as_slice()
                        && let (Some(host), Some(port)) = (host.as_str(), port.as_integer())
                        && let Ok(port) = u16::try_from(port)
                    {
                        return Ok(Place::Tcp { host: host.to_owned(), port });
                    }
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Asks the cluster who holds what, and publishes it.
    fn refresh(&self, tier: &Arc<RedisTier>) -> Result<(), ConnectError> {
        let Topology::Cluster(seeds) = &tier.address.topology else {
            return Ok(());
        };
        let old = tier.map.load_full();
        let mut places: Vec<Place> = old
            .nodes
            .iter()
            .filter(|node| node.link.phase() == Phase::Live)
            .map(|node| node.place.clone())
            .collect();
        for place in seeds.iter().chain(old.nodes.iter().map(|node| &node.place)) {
            if !places.contains(place) {
                places.push(place.clone());
            }
        }
        let mut last = ConnectError::Away("no node of the cluster answers".to_owned());
        for place in places {
            let target = self.target(tier, place.clone());
            let slots = Client::open(&target).and_then(|mut client| {
                client.hello(&target)?;
                match client.call(&Command::new("CLUSTER").arg("SLOTS"))? {
                    Value::Error(error) if error.text.contains("cluster support disabled") => {
                        Err(ConnectError::Config(format!(
                            "{place} is no node of a cluster; use redis:// for one server"
                        )))
                    }
                    Value::Error(error) => Err(ConnectError::Away(format!("{place}: {error}"))),
                    slots => Ok(slots),
                }
            });
            match slots.map(|answer| read_slots(answer, &place)) {
                Ok(Some(slots)) => {
                    publish(tier, &old, slots);
                    return Ok(());
                }
                Ok(None) => last = ConnectError::Away(format!("{place} knows no slots of a cluster")),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Puts the new map in place: nodes that stay keep their connections.
fn publish(tier: &Arc<RedisTier>, old: &Map, slots: SlotMap) {
    let owner: Weak<dyn LinkOwner> = tier.me.clone();
    let nodes: Vec<Arc<Node>> = slots
        .masters
        .iter()
        .map(|place| {
            let known = old.nodes.iter().find(|node| node.place == *place);
            known.cloned().unwrap_or_else(|| Arc::new(Node::new(place.clone(), &tier.driver, owner.clone())))
        })
        .collect();
    let changed = old.owners.as_ref() != Some(&slots.owners) || nodes.len() != old.nodes.len();
    let gone: Vec<_> =
        old.nodes.iter().filter(|node| !slots.masters.contains(&node.place)).cloned().collect();
    tier.map.store(Arc::new(Map { nodes: nodes.clone(), owners: Some(slots.owners) }));
    for node in gone {
        tier.driver.detach(Arc::clone(&node.link), super::away("the node left the cluster's masters"), true);
    }
    for node in &nodes {
        match node.link.phase() {
            Phase::Down => tier.keeper.connect_soon(&node.link, Duration::ZERO),
            // Keys written meanwhile may be this node's now.
            Phase::Live if changed => super::settle::resettle(tier, &node.link),
            _ => {}
        }
    }
    if changed {
        // What was read from a former owner is no longer tracked by it.
        tier.flush_near();
    }
}

/// What the thread does.
fn turn(shared: &Shared, tier: &Weak<RedisTier>) {
    loop {
        let (links, refresh) = {
            let mut plan = shared.plan.lock();
            loop {
                if plan.stop {
                    return;
                }
                let now = Instant::now();
                let next = plan.connect.iter().map(|(due, _)| *due).chain(plan.refresh).min();
                match next {
                    None => shared.changed.wait(&mut plan),
                    Some(due) if due > now => {
                        shared.changed.wait_until(&mut plan, due);
                    }
                    Some(_) => {
                        let refresh = plan.refresh.is_some_and(|due| due <= now);
                        if refresh {
                            plan.refresh = None;
                        }
                        let (due, later) =
                            std::mem::take(&mut plan.connect).into_iter().partition(|(due, _)| *due <= now);
                        plan.connect = later;
                        let due: Vec<(Instant, Weak<Link>)> = due;
                        break (due, refresh);
                    }
                }
            }
        };
        let Some(tier) = tier.upgrade() else {
            return;
        };
        if refresh {
            refresh_and_go_on(&tier);
        }
        for (_, link) in links {
            let map = tier.map.load();
            let node =
                link.upgrade().and_then(|link| map.nodes.iter().find(|node| Arc::ptr_eq(&node.link, &link)));
            if let Some(node) = node
                && let Err(error) = tier.keeper.connect(&tier, node)
            {
                tracing::debug!(%error, node = %node.place, "no connection yet");
            }
        }
    }
}

fn refresh_and_go_on(tier: &Arc<RedisTier>) {
    let refreshed = tier.keeper.refresh(tier);
    let deferred = std::mem::take(&mut *tier.deferred.lock());
    match refreshed {
        Ok(()) => {
            for mut in_flight in deferred {
                let op = in_flight.op.clone();
                match in_flight.done.take() {
                    Some(done) => tier.start([(op, done)]),
                    None => Exchange::lost(Box::new(in_flight), &super::away("the cluster was rearranged")),
                }
            }
            let map = tier.map.load();
            if map.nodes.iter().any(|node| node.link.phase() == Phase::Down) {
                plan_refresh(tier);
            }
        }
        Err(error) => {
            tier.board.note_error(&error.to_string());
            tier.note_mode();
            for in_flight in deferred {
                in_flight.answer_aside(&super::away(&error.to_string()));
            }
            plan_refresh(tier);
        }
    }
}

fn plan_refresh(tier: &RedisTier) {
    let mut plan = tier.keeper.shared.plan.lock();
    plan.refresh.get_or_insert_with(|| Instant::now() + REFRESH_EVERY);
}
