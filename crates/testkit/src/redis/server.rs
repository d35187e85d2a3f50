//! One Redis server, with everything that can befall it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tempfile::TempDir;

use super::guarded::{Guarded, HeldPort};
use super::resp::{Connection, Reply};
use super::waiting::until;
use crate::certificates::CertificateFiles;

/// A start takes some 20 ms; the rest is for a machine that compiles beside it.
const START_LIMIT: Duration = Duration::from_secs(20);
/// The user that [`RedisServer::call`] is, so that a test may change everybody else's password and rights.
const CONTROL: &str = "testkit-control";

/// What a server is to be like, before it starts. See [`RedisServer::builder`].
#[derive(Debug, Clone, Default)]
#[must_use = "nothing runs before `start`"]
pub struct RedisServerBuilder {
    password: Option<String>,
    users: Vec<User>,
    tls: bool,
    lines: String,
    role: Role,
}

/// What kind of process it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Role {
    #[default]
    Alone,
    ClusterNode,
    Sentinel,
}

#[derive(Debug, Clone)]
struct User {
    name: String,
    password: String,
    rules: String,
}

impl RedisServerBuilder {
    /// The default user needs this password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Adds a user with these ACL rules, for example `~app:* &app:* +@all`.
    pub fn acl_user(mut self, name: &str, password: &str, rules: &str) -> Self {
        let (name, password) = (name.to_owned(), password.to_owned());
        self.users.push(User { name, password, rules: rules.to_owned() });
        self
    }

    /// The port speaks TLS only; see [`RedisServer::ca_file`].
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Bounds the memory, for example `3mb`; what does not fit is refused with `OOM`, unless `--maxmemory-policy` says
    /// otherwise.
    pub fn maxmemory(self, limit: &str) -> Self {
        self.arg("maxmemory", limit)
    }

    /// Any setting of `redis.conf`, its name with or without `--`. A value with spaces is several values, as in the file.
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        let name = name.trim_start_matches('-');
        self.lines.push_str(&format!("{name} {}\n", if value.is_empty() { "\"\"" } else { value }));
        self
    }

    pub(super) fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// There is no `redis-server`, or it refused its configuration: the error holds what it said.
    pub fn start(self) -> io::Result<RedisServer> {
        let server = self.launch()?;
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Starts without waiting, so that several can start at once.
    pub(super) fn launch(self) -> io::Result<RedisServer> {
        let folder = tempfile::Builder::new().prefix("redis-").tempdir()?;
        let port = HeldPort::any()?;
        let bus = if self.role == Role::ClusterNode { Some(HeldPort::any()?) } else { None };
        let certificates = if self.tls { Some(CertificateFiles::make(folder.path())?) } else { None };
        let server =
            RedisServer { builder: self, port, bus, certificates, folder, process: Mutex::default() };
        std::fs::write(server.folder.path().join("redis.conf"), server.configuration())?;
        *server.process.lock() = Some(server.spawn()?);
        Ok(server)
    }
}

/// A Redis server on a free port of 127.0.0.1, in a temporary folder, without persistence. It ends when it is dropped.
#[derive(Debug)]
pub struct RedisServer {
    builder: RedisServerBuilder,
    port: HeldPort,
    /// Over which the nodes of a cluster speak to each other.
    bus: Option<HeldPort>,
    certificates: Option<CertificateFiles>,
    /// Before `folder`, so that the process ends before its folder goes.
    process: Mutex<Option<Guarded>>,
    folder: TempDir,
}

impl RedisServer {
    /// Starts a server that anybody may use.
    ///
    /// # Errors
    /// As [`RedisServerBuilder::start`].
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// A server with passwords, users, TLS, or other settings.
    pub fn builder() -> RedisServerBuilder {
        RedisServerBuilder::default()
    }

    /// `redis://127.0.0.1:PORT`, with the default user's password if there is one; `rediss://` with TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let login = self.builder.password.as_deref().map(|password| login("", password));
        self.url_with(&login.unwrap_or_default())
    }

    /// The URL with which a user of [`acl_user`](RedisServerBuilder::acl_user) logs in; none if there is no such user.
    #[must_use]
    pub fn url_for(&self, user: &str) -> Option<String> {
        let user = self.builder.users.iter().find(|known| known.name == user)?;
        Some(self.url_with(&login(&user.name, &user.password)))
    }

    /// [`url_for`](Self::url_for) of every user that was added, by name.
    #[must_use]
    pub fn user_urls(&self) -> BTreeMap<String, String> {
        let users = self.builder.users.iter();
        users.map(|user| (user.name.clone(), self.url_with(&login(&user.name, &user.password)))).collect()
    }

    fn url_with(&self, login: &str) -> String {
        let scheme = if self.builder.tls { "rediss" } else { "redis" };
        format!("{scheme}://{login}{}", self.address())
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number)
    }

    /// The same over all restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number
    }

    pub(super) fn bus_port(&self) -> Option<u16> {
        self.bus.as_ref().map(|bus| bus.number)
    }

    /// The process id; none after [`kill`](Self::kill).
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.lock().as_ref().map(Guarded::pid)
    }

    /// The PEM file with the authority to trust; none without TLS.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.certificates.as_ref().map(|files| files.ca.as_path())
    }

    /// Ends it with `SIGKILL`, frozen or not; when this returns, the port refuses connections and stays reserved. Does
    /// nothing when it is down.
    pub fn kill(&self) {
        drop(self.process.lock().take());
    }

    /// Starts it again on the same port, empty (a node of a cluster remembers the cluster). Kills it first if it runs.
    ///
    /// # Errors
    /// As [`RedisServerBuilder::start`].
    pub fn restart(&self) -> io::Result<()> {
        self.kill();
        *self.process.lock() = Some(self.spawn()?);
        self.wait_until_ready()
    }

    /// Stops it with `SIGSTOP`: connections stay open, the kernel goes on accepting, and nothing is answered.
    ///
    /// # Errors
    /// It is down.
    pub fn freeze(&self) -> io::Result<()> {
        self.process.lock().as_ref().ok_or_else(down)?.set_frozen(true)
    }

    /// Ends [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// It is down.
    pub fn thaw(&self) -> io::Result<()> {
        self.process.lock().as_ref().ok_or_else(down)?.set_frozen(false)
    }

    /// Gives one command over a connection of its own, as a user who may do everything, and returns the answer as
    /// `redis-cli` prints it.
    ///
    /// # Errors
    /// The server refused the command (the error is its text), or does not answer within 5 s.
    pub fn cli(&self, words: &[&str]) -> io::Result<String> {
        match self.call(words)? {
            Reply::Error(text) => Err(io::Error::other(text)),
            reply => Ok(reply.to_string()),
        }
    }

    /// As [`cli`](Self::cli), with the bytes as they are; a refusal is a [`Reply::Error`].
    ///
    /// # Errors
    /// The server is down, or does not answer within 5 s.
    pub fn call<A: AsRef<[u8]>>(&self, words: &[A]) -> io::Result<Reply> {
        Connection::open(&self.socket(), CONTROL)?.call(words)
    }

    /// A field of `INFO`, for example `connected_clients`; none if the server tells no such thing.
    ///
    /// # Errors
    /// As [`cli`](Self::cli).
    pub fn info(&self, field: &str) -> io::Result<Option<String>> {
        Ok(field_of(&self.cli(&["INFO"])?, field))
    }

    fn spawn(&self) -> io::Result<Guarded> {
        let program =
            std::env::var_os("UAT_REDIS_SERVER").map_or_else(|| "redis-server".into(), PathBuf::from);
        let configuration = self.folder.path().join("redis.conf");
        let mut arguments = vec![configuration.as_path()];
        if self.builder.role == Role::Sentinel {
            arguments.push(Path::new("--sentinel"));
        }
        Guarded::start(&program, &arguments, self.folder.path(), &self.log())
    }

    pub(super) fn wait_until_ready(&self) -> io::Result<()> {
        let mut ended = false;
        let ready = until("redis-server answers PING", START_LIMIT, || {
            ended = !self.process.lock().as_ref().is_some_and(Guarded::is_running);
            Ok(ended || self.cli(&["PING"])? == "PONG")
        });
        match ready {
            Ok(()) if !ended => Ok(()),
            other => {
                self.kill();
                let reason = other.err().map_or("it ended".to_owned(), |error| error.to_string());
                let log = std::fs::read_to_string(self.log())?;
                let hint = "redis-server (7.0 or later, Debian's package has that name) did not start";
                Err(io::Error::other(format!("{hint}: {reason}\n{log}")))
            }
        }
    }

    /// The socket file on which the server listens beside its port.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn configuration(&self) -> String {
        let (folder, port) = (quoted(&self.folder.path().to_string_lossy()), self.port.number);
        let mut text = format!("bind 127.0.0.1\ndir {folder}\n");
        // A way in for `call` that does without TLS and without anybody's password.
        let socket = quoted(&self.socket().to_string_lossy());
        text += &format!("unixsocket {socket}\nuser {CONTROL} on nopass ~* &* +@all\n");
        text += &match &self.certificates {
            None => format!("port {port}\n"),
            Some(CertificateFiles { ca, certificate, key }) => {
                let [ca, certificate, key] =
                    [ca, certificate, key].map(|path| quoted(&path.to_string_lossy()));
                format!(
                    "port 0\ntls-port {port}\ntls-auth-clients no\ntls-ca-cert-file {ca}\ntls-cert-file {certificate}\ntls-key-file {key}\n"
                )
            }
        };
        if self.builder.role != Role::Sentinel {
            // Tests of failover must not wait five seconds for more replicas to come.
            text += "save \"\"\nappendonly no\nenable-debug-command local\nrepl-diskless-sync-delay 0\n";
        }
        if let Some(bus) = self.bus_port() {
            text += &format!("cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-port {bus}\n");
        }
        if let Some(password) = &self.builder.password {
            text += &format!("requirepass {}\n", quoted(password));
        }
        for User { name, password, rules } in &self.builder.users {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "user {} on {} {rules}", quoted(name), quoted(&format!(">{password}")));
        }
        text + &self.builder.lines
    }
}

/// A line `field:value` of what `INFO` and `CLUSTER INFO` answer.
pub(super) fn field_of(info: &str, field: &str) -> Option<String> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(field)?.strip_prefix(':').map(str::to_owned))
}

fn down() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the server is down")
}

fn login(name: &str, password: &str) -> String {
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    format!("{name}:{}@", utf8_percent_encode(password, NON_ALPHANUMERIC))
}

/// As `redis.conf` quotes a value.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
