//! A master with a replica, and three sentinels that watch over them.

use std::io;
use std::time::Duration;

use super::resp::Reply;
use super::server::{RedisServer, Role};
use super::waiting::until;

/// How clients ask for the master.
const NAME: &str = "mymaster";
/// The fewest with which a majority survives the loss of one.
const SENTINELS: usize = 3;
/// They find each other in some 2 s; the rest is for a machine that compiles beside it.
const LIMIT: Duration = Duration::from_secs(60);

/// A master, a replica and three sentinels on 127.0.0.1; two sentinels must agree, and a master counts as down after
/// 500 ms. They end when this is dropped.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

impl Sentinels {
    /// Starts everything, and waits until the replica follows and the sentinels know each other.
    ///
    /// # Errors
    /// There is no `redis-server`, or the sentinels did not find each other within 60 s.
    pub fn start() -> io::Result<Self> {
        let master = RedisServer::start()?;
        let port = master.port().to_string();
        let replica = RedisServer::builder().arg("replicaof", &format!("127.0.0.1 {port}")).start()?;
        // First the replica: sentinels learn of it when they first ask the master, and then not for ten seconds.
        until("the replica follows", LIMIT, || {
            Ok(replica.info("master_link_status")?.as_deref() == Some("up")
                && master.info("connected_slaves")?.as_deref() == Some("1"))
        })?;
        let builder = RedisServer::builder()
            .role(Role::Sentinel)
            .arg("sentinel", &format!("monitor {NAME} 127.0.0.1 {port} 2"))
            .arg("sentinel", &format!("down-after-milliseconds {NAME} 500"))
            .arg("sentinel", &format!("failover-timeout {NAME} 2000"));
        let sentinels = (0..SENTINELS).map(|_| builder.clone().launch()).collect::<io::Result<Vec<_>>>()?;
        for sentinel in &sentinels {
            sentinel.wait_until_ready()?;
            // They introduce themselves at this interval, in milliseconds, instead of every two seconds.
            sentinel.cli(&["SENTINEL", "DEBUG", "PUBLISH-PERIOD", "200"])?;
        }
        until("the sentinels know each other and the replica", LIMIT, || {
            for sentinel in &sentinels {
                let fields = sentinel.call(&["SENTINEL", "MASTER", NAME])?;
                let others = (SENTINELS - 1).to_string();
                if field(&fields, "num-slaves") != Some("1".into())
                    || field(&fields, "num-other-sentinels") != Some(others)
                {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        Ok(Self { servers: vec![master, replica], sentinels })
    }

    /// `redis+sentinel://127.0.0.1:P1,127.0.0.1:P2,127.0.0.1:P3/mymaster`.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.sentinels.iter().map(RedisServer::address).collect();
        format!("redis+sentinel://{}/{NAME}", addresses.join(","))
    }

    /// First the one that began as master, then its replica.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The three sentinels.
    #[must_use]
    pub fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    /// Which server the first running sentinel takes for the master: its index in [`servers`](Self::servers).
    ///
    /// # Errors
    /// No sentinel runs.
    pub fn master(&self) -> io::Result<usize> {
        let sentinel = self.sentinels.iter().find(|sentinel| sentinel.pid().is_some());
        let sentinel =
            sentinel.ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "no sentinel runs"))?;
        self.master_according_to(sentinel)
    }

    /// Ends the master with `SIGKILL`; returns its index in [`servers`](Self::servers), for
    /// [`wait_for_failover_from`](Self::wait_for_failover_from) and [`RedisServer::restart`].
    ///
    /// # Errors
    /// No sentinel runs.
    pub fn kill_master(&self) -> io::Result<usize> {
        let master = self.master()?;
        self.servers[master].kill();
        Ok(master)
    }

    /// Waits until every running sentinel names another master than the one at `index`, and that one knows that it is.
    ///
    /// # Errors
    /// That was not so within 60 s.
    pub fn wait_for_failover_from(&self, index: usize) -> io::Result<()> {
        until("the replica became master", LIMIT, || {
            for sentinel in self.sentinels.iter().filter(|sentinel| sentinel.pid().is_some()) {
                let master = self.master_according_to(sentinel)?;
                if master == index || self.servers[master].info("role")?.as_deref() != Some("master") {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    fn master_according_to(&self, sentinel: &RedisServer) -> io::Result<usize> {
        let address = sentinel.cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME])?;
        let port = address.lines().nth(1).unwrap_or_default();
        let index = self.servers.iter().position(|server| server.port().to_string() == port);
        index.ok_or_else(|| io::Error::other(format!("the sentinel names a stranger: {address:?}")))
    }
}

/// A value in an answer that is names and values by turns.
fn field(reply: &Reply, name: &str) -> Option<String> {
    let Reply::Array(words) = reply else { return None };
    words.chunks(2).find(|pair| pair[0].to_string() == name)?.get(1).map(Reply::to_string)
}
