//! What can be set, and what an address means.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::envelope::{Codec, Compression, Dictionary};
use crate::error::RedisServiceError;
use crate::section;

/// How values are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CodecName {
    /// Fast.
    Lz4,
    /// Small, with a dictionary where values are small.
    Zstd,
}

/// How a service is set up. Every field has a default; without `url` everything stays in this process.
///
/// Also the section `[redis]` of a configuration; neither `Debug` nor serde shows the password of the address.
#[derive(Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// `redis://`, `rediss://`, `unix:/path`, `redis+sentinel://`, `rediss+sentinel://`, `redis+cluster://` or `rediss+cluster://`.
    /// `?ca=/path.pem` names a private certificate authority.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "section::without_password")]
    pub url: Option<String>,
    /// The environment variable that holds the address, in place of `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_env: Option<String>,
    /// A file that holds the address and nothing else, in place of `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// Connections at most: the multiplexed one (one for each master of a cluster), and dedicated ones for blocking commands and
    /// subscriptions.
    #[schemars(range(min = 1))]
    pub max_connections: usize,
    /// Goes before every key.
    pub key_prefix: String,
    /// Whether values are kept in the process too, coherent through invalidations.
    pub near_cache: bool,
    /// Bytes of the values that the process keeps.
    #[schemars(range(min = 1))]
    pub near_max_bytes: u64,
    /// Whether values are compressed.
    pub enable_compression: bool,
    /// `zstd` or `lz4`.
    pub codec: CodecName,
    /// Shorter values are stored as they are.
    pub compress_min_bytes: usize,
    /// Of zstd, 1 to 19.
    #[schemars(range(min = 1, max = 19))]
    pub compression_level: i32,
    /// A dictionary of zstd's in place of the one that ships.
    #[serde(skip)]
    pub dictionary: Option<bytes::Bytes>,
    /// Bytes of the values and keys kept in the process while Redis is away, or in its place.
    #[schemars(range(min = 1))]
    pub fallback_max_bytes: u64,
    /// Whether writes of sessions are taken while Redis is away, into a journal on disk.
    pub replay_writes: bool,
    /// Writes that the journal takes before it refuses.
    #[schemars(range(min = 1))]
    pub max_replay: usize,
    /// Where the journal lies; by default a folder of the user's state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_dir: Option<PathBuf>,
    /// Milliseconds until a connection counts as refused.
    #[schemars(range(min = 1))]
    pub connect_timeout_ms: u64,
    /// Milliseconds that a command other than a cache read has.
    #[schemars(range(min = 1))]
    pub command_timeout_ms: u64,
    /// Milliseconds that a cache read has before it is answered as a miss.
    #[schemars(range(min = 1))]
    pub read_budget_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: None,
            url_env: None,
            url_file: None,
            max_connections: 4,
            key_prefix: String::new(),
            near_cache: true,
            // Enough for some 50,000 values of 1 KB; a service that wants more says so.
            near_max_bytes: 64 << 20,
            enable_compression: false,
            codec: CodecName::Zstd,
            compress_min_bytes: 256,
            compression_level: 1,
            dictionary: None,
            fallback_max_bytes: 64 << 20,
            replay_writes: false,
            max_replay: 10_000,
            journal_dir: None,
            connect_timeout_ms: 1000,
            command_timeout_ms: 1000,
            read_budget_ms: 50,
        }
    }
}

impl Options {
    /// Time until a connection counts as refused.
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// Time that a command other than a cache read has.
    pub fn command_timeout(&self) -> Duration {
        Duration::from_millis(self.command_timeout_ms)
    }

    /// Time that a cache read has.
    pub fn read_budget(&self) -> Duration {
        Duration::from_millis(self.read_budget_ms)
    }

    /// How values are compressed, where they are.
    ///
    /// # Errors
    /// [`RedisServiceError::Config`]: the dictionary is none.
    pub(crate) fn compression(&self) -> Result<Compression, RedisServiceError> {
        let dictionary = match &self.dictionary {
            Some(bytes) => Some(Dictionary::new(bytes)?),
            None => Dictionary::shipped(),
        };
        Ok(Compression {
            codec: match self.codec {
                CodecName::Lz4 => Codec::Lz4,
                CodecName::Zstd => Codec::Zstd,
            },
            min_bytes: self.compress_min_bytes,
            level: self.compression_level,
            dictionary,
        })
    }

    /// What `url` means, if there is one.
    ///
    /// # Errors
    /// [`RedisServiceError::Config`] naming the field.
    pub fn address(&self) -> Result<Option<Address>, RedisServiceError> {
        match self.refused_limits().into_iter().next() {
            Some(refused) => Err(refused),
            None => self.url.as_deref().map(Address::parse).transpose(),
        }
    }

    /// Limits that leave nothing.
    pub(crate) fn refused_limits(&self) -> Vec<RedisServiceError> {
        let times = [
            ("connectTimeoutMs", self.connect_timeout_ms),
            ("commandTimeoutMs", self.command_timeout_ms),
            ("readBudgetMs", self.read_budget_ms),
        ];
        let refuse = |field: &str, message| RedisServiceError::config(field, message);
        let mut refused: Vec<RedisServiceError> = times
            .iter()
            .filter(|(_, ms)| *ms == 0)
            .map(|(field, _)| refuse(field, "expected a positive number of milliseconds, got 0"))
            .collect();
        if self.max_connections == 0 {
            refused.push(refuse("maxConnections", "expected at least 1, got 0"));
        }
        refused
    }
}

/// Where Redis is, and how one logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// One server, Sentinels or a cluster.
    pub topology: Topology,
    /// Whether connections are encrypted, and by whose word.
    pub tls: Option<Tls>,
    /// User and password.
    pub login: Option<Login>,
    /// The numbered database; a cluster has only 0.
    pub database: u32,
}

/// One server, Sentinels or a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// One server, by host and port or by socket file.
    Single(Place),
    /// Sentinels that know where the master of this name is.
    Sentinel {
        /// The Sentinels.
        sentinels: Vec<Place>,
        /// The name of the master.
        master: String,
    },
    /// Some nodes of a cluster.
    Cluster(Vec<Place>),
}

/// Where one server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A socket file.
    Unix(PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Whose certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// A PEM file of certificate authorities beside those of the system.
    pub ca_file: Option<PathBuf>,
}

/// User and password. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The ACL user; `None` is the default user.
    pub user: Option<String>,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login {{ user: {:?}, password: .. }}", self.user)
    }
}

const SCHEMES: &str = "redis://, rediss://, unix:, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://";

impl Address {
    /// Reads an address. The message of an error never repeats it, since it may hold a password.
    ///
    /// # Errors
    /// [`RedisServiceError::Config`] naming `url`.
    pub fn parse(text: &str) -> Result<Self, RedisServiceError> {
        if let Some(rest) = text.strip_prefix("unix:") {
            return unix(rest);
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong(format!("expected an address that begins with {SCHEMES}")))?;
        let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        if !matches!(base, "redis" | "rediss") || !matches!(kind, "" | "sentinel" | "cluster") {
            return Err(wrong(format!("expected {SCHEMES}, got the scheme {scheme:?}")));
        }
        let (front, hosts, tail) = split_hosts(rest);
        let mut places = Vec::new();
        let mut first = None;
        for host in hosts.split(',') {
            // Each host goes through the parser of URLs by itself: lists of hosts are no URL.
            let url = Url::parse(&format!("redis://{front}{host}{tail}"))
                .map_err(|error| wrong(error.to_string()))?;
            places.push(place(&url, if kind == "sentinel" { 26379 } else { 6379 })?);
            first.get_or_insert(url);
        }
        let url = first.ok_or_else(|| wrong("expected a host"))?;
        let mut tls = (base == "rediss").then(Tls::default);
        for (name, value) in url.query_pairs() {
            match (name.as_ref(), tls.as_mut()) {
                ("ca", Some(tls)) => tls.ca_file = Some(PathBuf::from(value.into_owned())),
                ("ca", None) => return Err(wrong("ca= belongs to rediss://, got redis://")),
                (other, _) => return Err(wrong(format!("expected no parameter but ca, got {other:?}"))),
            }
        }
        let mut path = url.path_segments().into_iter().flatten().filter(|part| !part.is_empty());
        let topology = match kind {
            "sentinel" => {
                let master = path.next().ok_or_else(|| {
                    wrong("expected the name of the master after the Sentinels, as in redis+sentinel://host:26379/mymaster")
                })?;
                Topology::Sentinel { sentinels: places, master: decoded(master)? }
            }
            "cluster" => Topology::Cluster(places),
            _ if places.len() > 1 => {
                return Err(wrong(
                    "expected one host, got several; redis+cluster:// and redis+sentinel:// take a list",
                ));
            }
            _ => Topology::Single(places.swap_remove(0)),
        };
        let database = match path.next() {
            None => 0,
            // What stands there is not repeated: a password with a slash ends up here.
            Some(number) => number.parse().map_err(|_| {
                wrong("expected the number of a database after the host, got something else; a / in a password is %2F")
            })?,
        };
        if path.next().is_some() {
            return Err(wrong("expected nothing after the number of the database"));
        }
        if kind == "cluster" && database != 0 {
            return Err(wrong("a cluster has only database 0"));
        }
        Ok(Self { topology, tls, login: login(&url)?, database })
    }
}

fn wrong(message: impl Into<String>) -> RedisServiceError {
    RedisServiceError::config("url", message)
}

/// `user:password@`, the hosts, and what follows them.
fn split_hosts(rest: &str) -> (&str, &str, &str) {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let at = authority.rfind('@').map_or(0, |at| at + 1);
    let (front, hosts) = authority.split_at(at);
    (front, hosts, tail)
}

fn place(url: &Url, default_port: u16) -> Result<Place, RedisServiceError> {
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("expected a host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(Place::Tcp { host: decoded(host)?, port: url.port().unwrap_or(default_port) })
}

fn login(url: &Url) -> Result<Option<Login>, RedisServiceError> {
    let user = decoded(url.username())?;
    let user = (!user.is_empty()).then_some(user);
    match (url.password(), user) {
        (Some(password), user) => Ok(Some(Login { user, password: decoded(password)? })),
        // A user of the ACL may have no password.
        (None, Some(user)) => Ok(Some(Login { user: Some(user), password: String::new() })),
        (None, None) => Ok(None),
    }
}

/// `unix:/run/redis.sock?db=1&user=u&pass=p`, with or without `//` before the path.
fn unix(rest: &str) -> Result<Address, RedisServiceError> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = decoded(path)?;
    if !path.starts_with('/') || path.len() < 2 {
        return Err(wrong("expected the path of a socket, as in unix:/run/redis.sock"));
    }
    let (mut user, mut password, mut database) = (None, None, 0);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "user" => user = Some(value.into_owned()),
            "pass" => password = Some(value.into_owned()),
            "db" => database = value.parse().map_err(|_| wrong("expected db to be a number"))?,
            other => {
                return Err(wrong(format!("expected no parameter but db, user and pass, got {other:?}")));
            }
        }
    }
    let login = (user.is_some() || password.is_some())
        .then(|| Login { user, password: password.unwrap_or_default() });
    Ok(Address { topology: Topology::Single(Place::Unix(PathBuf::from(path))), tls: None, login, database })
}

fn decoded(text: &str) -> Result<String, RedisServiceError> {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| wrong("expected UTF-8 after decoding %-escapes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Place {
        Place::Tcp { host: host.to_owned(), port }
    }

    fn check(text: &str, topology: Topology) -> Address {
        let address = Address::parse(text).unwrap();
        assert_eq!(address.topology, topology, "{text}");
        address
    }

    #[track_caller]
    fn refused(text: &str, says: &str) {
        let error = Address::parse(text).unwrap_err().to_string();
        assert!(error.starts_with("url: ") && error.contains(says), "{text}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn each_scheme_says_what_it_reaches() {
        check("redis://localhost", Topology::Single(tcp("localhost", 6379)));
        check("redis://[::1]:7000/3", Topology::Single(tcp("::1", 7000)));
        check("unix:///run/redis.sock", Topology::Single(Place::Unix("/run/redis.sock".into())));
        check("redis+cluster://a:1,b:2", Topology::Cluster(vec![tcp("a", 1), tcp("b", 2)]));
        let sentinels = vec![tcp("a", 26379), tcp("b", 2)];
        check(
            "redis+sentinel://a,b:2/mymaster/4",
            Topology::Sentinel { sentinels, master: "mymaster".to_owned() },
        );
    }

    #[test]
    fn a_login_is_decoded_and_never_shown() {
        let address = check("rediss://app:s%40cret@h:1/2?ca=/etc/ca.pem", Topology::Single(tcp("h", 1)));
        assert_eq!(
            address.login,
            Some(Login { user: Some("app".to_owned()), password: "s@cret".to_owned() })
        );
        assert_eq!(address.database, 2);
        assert_eq!(address.tls.as_ref().unwrap().ca_file, Some("/etc/ca.pem".into()));
        assert!(!format!("{address:?}").contains("s@cret"));
        assert_eq!(Address::parse("redis://:pw@h").unwrap().login.unwrap().user, None);
    }

    #[test]
    fn a_typo_is_named_without_showing_the_password() {
        refused("localhost:6379", "begins with");
        refused("http://:secret@h", "http");
        refused("redis://:secret@h:notaport", "port");
        refused("unix:relative", "path");
        refused("redis://h/x", "database");
        refused("redis://a,b", "one host");
        refused("redis+sentinel://a:1", "master");
        refused("redis+cluster://a/1", "database 0");
        refused("redis://h?ca=/x", "rediss");
        refused("rediss://h?insecure=1", "insecure");
        refused("redis://", "host");
    }
}
