//! A cluster of six nodes, which fails over within about two seconds.

use std::io;
use std::time::Duration;

use super::resp::Reply;
use super::server::{RedisServer, Role, field_of};
use super::waiting::until;

/// Each with one replica.
const MASTERS: usize = 3;
/// Into which a cluster divides its keys.
const SLOTS: usize = 16_384;
/// Milliseconds after which a silent node counts as failed: short, for tests, and long enough for a busy machine.
const NODE_TIMEOUT_MS: &str = "1000";
/// A cluster forms in some 2 s; the rest is for a machine that compiles beside it.
const LIMIT: Duration = Duration::from_secs(60);

/// Three masters, each with a replica, on 127.0.0.1. They end when this is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    /// Names that the nodes gave themselves.
    ids: Vec<String>,
}

impl RedisCluster {
    /// Starts six nodes, joins them, and waits until every one of them serves and all replicas follow their masters.
    ///
    /// # Errors
    /// There is no `redis-server`, or the cluster did not come together within 60 s.
    pub fn start() -> io::Result<Self> {
        let builder =
            RedisServer::builder().role(Role::ClusterNode).arg("cluster-node-timeout", NODE_TIMEOUT_MS);
        // Replicas stay where the tests expect them.
        let builder = builder.arg("cluster-allow-replica-migration", "no");
        let nodes = (0..2 * MASTERS).map(|_| builder.clone().launch()).collect::<io::Result<Vec<_>>>()?;
        nodes.iter().try_for_each(RedisServer::wait_until_ready)?;
        let ids = nodes.iter().map(|node| node.cli(&["CLUSTER", "MYID"])).collect::<io::Result<_>>()?;
        let cluster = Self { nodes, ids };
        cluster.join()?;
        Ok(cluster)
    }

    fn join(&self) -> io::Result<()> {
        let (masters, replicas) = self.nodes.split_at(MASTERS);
        for (index, master) in masters.iter().enumerate() {
            let (first, next) = (index * SLOTS / MASTERS, (index + 1) * SLOTS / MASTERS);
            master.cli(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &(next - 1).to_string()])?;
            // Different from the start, so that nothing has to be settled between them.
            master.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
        }
        // Everybody meets everybody: waiting for gossip takes longer.
        for node in &self.nodes {
            for other in self.nodes.iter().filter(|other| other.port() != node.port()) {
                let bus = other.bus_port().unwrap_or_default();
                node.cli(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string(), &bus.to_string()])?;
            }
        }
        until("the nodes know each other", LIMIT, || {
            self.all_running(|node| {
                let known = node.cli(&["CLUSTER", "NODES"])?;
                Ok(self.ids.iter().all(|id| known.contains(id.as_str())) && !known.contains("handshake"))
            })
        })?;
        for (replica, master) in replicas.iter().zip(&self.ids) {
            replica.cli(&["CLUSTER", "REPLICATE", master])?;
        }
        until("the replicas follow", LIMIT, || {
            let up = |replica: &RedisServer| Ok(replica.info("master_link_status")?.as_deref() == Some("up"));
            Ok(replicas.iter().map(up).collect::<io::Result<Vec<_>>>()?.iter().all(|up| *up))
        })?;
        until("the cluster serves", LIMIT, || {
            self.all_running(|node| {
                let replicas = node.cli(&["CLUSTER", "NODES"])?.matches("slave ").count();
                Ok(is_serving(node)? && replicas == MASTERS)
            })
        })
    }

    /// `redis+cluster://` and the addresses of all nodes.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(RedisServer::address).collect();
        format!("redis+cluster://{}", addresses.join(","))
    }

    /// The URL of each node: first those that began as masters, then their replicas in the same order.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// The nodes themselves, in the order of [`nodes`](Self::nodes).
    #[must_use]
    pub fn servers(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The slot of a key, 0 to 16383.
    ///
    /// # Errors
    /// No node runs.
    pub fn slot_of(&self, key: &str) -> io::Result<u16> {
        let slot = self.any_running()?.cli(&["CLUSTER", "KEYSLOT", key])?;
        slot.parse().map_err(io::Error::other)
    }

    /// Which node is now the master of a key: its index in [`servers`](Self::servers).
    ///
    /// # Errors
    /// No running node knows one.
    pub fn master_of(&self, key: &str) -> io::Result<usize> {
        self.master_of_slot(self.slot_of(key)?)
    }

    /// Which node is now the master of a slot: its index in [`servers`](Self::servers).
    ///
    /// # Errors
    /// No running node knows one.
    pub fn master_of_slot(&self, slot: u16) -> io::Result<usize> {
        let Reply::Array(ranges) = self.any_running()?.call(&["CLUSTER", "SLOTS"])? else {
            return Err(io::Error::other("CLUSTER SLOTS was refused"));
        };
        let owner = ranges.iter().find_map(|range| match range {
            Reply::Array(range) => match range.as_slice() {
                [Reply::Integer(first), Reply::Integer(last), Reply::Array(master), ..]
                    if (*first..=*last).contains(&i64::from(slot)) =>
                {
                    master.get(2).map(Reply::to_string)
                }
                _ => None,
            },
            _ => None,
        });
        let index = owner.and_then(|owner| self.ids.iter().position(|id| *id == owner));
        index.ok_or_else(|| io::Error::other(format!("slot {slot} has no master")))
    }

    /// Ends the master of a key with `SIGKILL`; returns its index in [`servers`](Self::servers), for
    /// [`wait_for_failover_from`](Self::wait_for_failover_from) and [`RedisServer::restart`].
    ///
    /// # Errors
    /// No running node knows one.
    pub fn kill_master_of(&self, key: &str) -> io::Result<usize> {
        let master = self.master_of(key)?;
        self.nodes[master].kill();
        Ok(master)
    }

    /// As [`kill_master_of`](Self::kill_master_of), for a slot.
    ///
    /// # Errors
    /// No running node knows one.
    pub fn kill_master_of_slot(&self, slot: u16) -> io::Result<usize> {
        let master = self.master_of_slot(slot)?;
        self.nodes[master].kill();
        Ok(master)
    }

    /// Waits until every running node serves again and says that the one at `index` is master of nothing.
    ///
    /// # Errors
    /// That was not so within 60 s.
    pub fn wait_for_failover_from(&self, index: usize) -> io::Result<()> {
        until("another node took over", LIMIT, || {
            self.all_running(|node| {
                let known = node.cli(&["CLUSTER", "NODES"])?;
                let line = known.lines().find(|line| line.starts_with(self.ids[index].as_str()));
                // Slots are the ninth word and those that follow.
                let is_master = line.is_some_and(|line| line.split(' ').nth(8).is_some());
                Ok(!is_master && is_serving(node)?)
            })
        })
    }

    /// Whether all running nodes, and at least one, fulfil a condition.
    fn all_running(&self, condition: impl Fn(&RedisServer) -> io::Result<bool>) -> io::Result<bool> {
        self.any_running()?;
        for node in self.nodes.iter().filter(|node| node.pid().is_some()) {
            if !condition(node)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn any_running(&self) -> io::Result<&RedisServer> {
        let running = self.nodes.iter().find(|node| node.pid().is_some());
        running.ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "no node runs"))
    }
}

fn is_serving(node: &RedisServer) -> io::Result<bool> {
    Ok(field_of(&node.cli(&["CLUSTER", "INFO"])?, "cluster_state").as_deref() == Some("ok"))
}
