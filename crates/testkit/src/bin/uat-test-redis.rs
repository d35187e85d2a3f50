//! The Redis servers of `testkit::redis` as a program: a cluster or Sentinels for trying something by hand, and a process that tests kill
//! to see that its servers end with it.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Parser;
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::redis::{RedisCluster, RedisServer, Reply, Sentinels};

/// Starts Redis servers on 127.0.0.1, and does with them what lines on standard input say.
///
/// Prints one line of JSON when everything is ready: `{"url", "ca_file", "servers": [{"url", "port", "pid", "users"}]}`, with the
/// sentinels after the servers that they watch. Then answers each line with `{"ok": ...}` or `{"error": "..."}`, in order:
/// `{"do": "kill" | "restart" | "freeze" | "thaw" | "pid", "server": 0}`, `{"do": "call", "server": 0, "words": [base64]}`,
/// `{"do": "master_of", "key": "k"}`, `{"do": "kill_master_of", "key": "k"}`, `{"do": "wait_for_failover_from", "server": 0}`
/// (sentinels take no key). Ends everything at the end of standard input.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// `{"kind": "server", "password", "users": [{"name", "password", "rules"}], "tls", "maxmemory", "settings": [[name, value]]}`, `{"kind":
    /// "cluster"}` or `{"kind": "sentinels"}`.
    spec: String,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Spec {
    Server {
        password: Option<String>,
        #[serde(default)]
        users: Vec<User>,
        #[serde(default)]
        tls: bool,
        maxmemory: Option<String>,
        #[serde(default)]
        settings: Vec<(String, String)>,
    },
    Cluster,
    Sentinels,
}

#[derive(Deserialize)]
struct User {
    name: String,
    password: String,
    rules: String,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    Kill {
        server: usize,
    },
    Restart {
        server: usize,
    },
    Freeze {
        server: usize,
    },
    Thaw {
        server: usize,
    },
    Pid {
        server: usize,
    },
    Call {
        server: usize,
        words: Vec<String>,
    },
    MasterOf {
        #[serde(default)]
        key: String,
    },
    KillMasterOf {
        #[serde(default)]
        key: String,
    },
    WaitForFailoverFrom {
        server: usize,
    },
}

/// What runs.
enum Running {
    Server(Box<RedisServer>),
    Cluster(RedisCluster),
    Sentinels(Sentinels),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to try when standard error is closed too.
            let _ = writeln!(io::stderr(), "uat-test-redis: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let running = Running::start(serde_json::from_str(&arguments.spec)?)?;
    writeln!(io::stdout(), "{}", running.told())?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let answer = serde_json::from_str(&line).map_err(io::Error::other);
        let answer = match answer.and_then(|request| running.obey(request)) {
            Ok(value) => json!({ "ok": value }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

impl Running {
    fn start(spec: Spec) -> io::Result<Self> {
        Ok(match spec {
            Spec::Cluster => Self::Cluster(RedisCluster::start()?),
            Spec::Sentinels => Self::Sentinels(Sentinels::start()?),
            Spec::Server { password, users, tls, maxmemory, settings } => {
                let mut builder = RedisServer::builder();
                if let Some(password) = &password {
                    builder = builder.password(password);
                }
                for user in &users {
                    builder = builder.acl_user(&user.name, &user.password, &user.rules);
                }
                if tls {
                    builder = builder.tls();
                }
                if let Some(limit) = &maxmemory {
                    builder = builder.maxmemory(limit);
                }
                for (name, value) in &settings {
                    builder = builder.arg(name, value);
                }
                let server = builder.start()?;
                Self::Server(Box::new(server))
            }
        })
    }

    fn servers(&self) -> Vec<&RedisServer> {
        match self {
            Self::Server(server) => vec![server],
            Self::Cluster(cluster) => cluster.servers().iter().collect(),
            Self::Sentinels(all) => all.servers().iter().chain(all.sentinels()).collect(),
        }
    }

    fn told(&self) -> Value {
        let (url, ca_file) = match self {
            Self::Server(server) => (server.url(), server.ca_file()),
            Self::Cluster(cluster) => (cluster.url(), None),
            Self::Sentinels(sentinels) => (sentinels.url(), None),
        };
        let servers: Vec<Value> = self
            .servers()
            .iter()
            .map(|server| json!({ "url": server.url(), "port": server.port(), "pid": server.pid(), "users": server.user_urls() }))
            .collect();
        json!({ "url": url, "ca_file": ca_file, "servers": servers })
    }

    fn obey(&self, request: Request) -> io::Result<Value> {
        let servers = self.servers();
        let at = |index: usize| {
            let server = servers.get(index).copied();
            server.ok_or_else(|| io::Error::other(format!("there is no server {index}")))
        };
        Ok(match request {
            Request::Kill { server } => {
                at(server)?.kill();
                Value::Null
            }
            Request::Restart { server } => {
                at(server)?.restart()?;
                at(server)?.pid().into()
            }
            Request::Freeze { server } => at(server)?.freeze()?.into(),
            Request::Thaw { server } => at(server)?.thaw()?.into(),
            Request::Pid { server } => at(server)?.pid().into(),
            Request::Call { server, words } => {
                let words = words.iter().map(|word| BASE64_STANDARD.decode(word));
                let words = words
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| io::Error::other(error.to_string()))?;
                match at(server)?.call(&words)? {
                    Reply::Error(text) => return Err(io::Error::other(text)),
                    reply => in_json(&reply),
                }
            }
            Request::MasterOf { key } => self.master_of(&key)?.into(),
            Request::KillMasterOf { key } => {
                let master = self.master_of(&key)?;
                at(master)?.kill();
                master.into()
            }
            Request::WaitForFailoverFrom { server } => match self {
                Self::Server(_) => return Err(alone()),
                Self::Cluster(cluster) => cluster.wait_for_failover_from(server)?.into(),
                Self::Sentinels(sentinels) => sentinels.wait_for_failover_from(server)?.into(),
            },
        })
    }

    fn master_of(&self, key: &str) -> io::Result<usize> {
        match self {
            Self::Server(_) => Err(alone()),
            Self::Cluster(cluster) => cluster.master_of(key),
            Self::Sentinels(sentinels) => sentinels.master(),
        }
    }
}

fn alone() -> io::Error {
    io::Error::other("one server alone has no failover")
}

/// Bytes as `{"base64"}`, the rest as what it is.
fn in_json(reply: &Reply) -> Value {
    match reply {
        Reply::Status(text) | Reply::Error(text) => json!(text),
        Reply::Integer(number) => json!(number),
        Reply::Bytes(bytes) => json!({ "base64": BASE64_STANDARD.encode(bytes) }),
        Reply::Nil => Value::Null,
        Reply::Array(replies) => replies.iter().map(in_json).collect(),
    }
}
