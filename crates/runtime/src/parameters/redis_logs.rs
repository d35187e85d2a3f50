//! Logs of studies, bandits and advice in Redis.
//!
//! A log is a string that is appended to, and beside it, in the same slot of a cluster, a number that grows when it is replaced. Nobody
//! holds a lock: a writer says how long the log was that it has read, and a script appends only if it still is. What is acknowledged is
//! as durable as the server is configured to be.

use std::sync::Arc;

use bytes::Bytes;
use parameter_analytics_service::storage::{Kind, Log, LogName, Storage, StorageError, Tail, Turn};
use redis_service::resp::{Command, Value};
use redis_service::{Options, RedisService, RedisServiceError};
use tokio::runtime::Handle;

use crate::late_redis::LateRedis;

/// What the keys begin with, after the section's own prefix: a tilde as all that is not the user's.
const PREFIX: &str = "~uat:parameters:";

const READ: &str = include_str!("read.lua");
const APPEND: &str = include_str!("append.lua");
const REPLACE: &str = include_str!("replace.lua");

/// See the module documentation. Its calls block, and are for threads that may.
#[derive(Clone)]
pub(super) struct RedisLogs {
    redis: Arc<LateRedis>,
    handle: Handle,
}

impl std::fmt::Debug for RedisLogs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisLogs")
    }
}

impl RedisLogs {
    /// In the Redis of these options; connects when it is first used. Its calls are carried out by `handle`'s runtime.
    pub(super) fn new(options: &Options, handle: Handle) -> Self {
        let options = Options { near_cache: false, replay_writes: false, ..options.clone() };
        Self { redis: Arc::new(LateRedis::new(options, "studies and bandits cannot be kept")), handle }
    }

    pub(super) async fn close(&self) {
        self.redis.close().await;
    }

    fn call(&self, command: impl FnOnce(&RedisService) -> Command) -> Result<Value, StorageError> {
        self.handle.block_on(async {
            let service = self.redis.service().await.map_err(|reason| away(reason.to_owned()))?;
            service.call(command(service)).await.map_err(|error: RedisServiceError| away(error.to_string()))
        })
    }

    /// The set of names of a kind: those to which something was ever appended.
    fn names_key(service: &RedisService, kind: Kind) -> Bytes {
        service.prefixed(format!("{PREFIX}{}", kind.plural()).as_bytes())
    }
}

fn away(reason: String) -> StorageError {
    StorageError::Away { reason }
}

fn unexpected() -> StorageError {
    away("Redis answered something else than was asked for".to_owned())
}

impl Storage for RedisLogs {
    fn log(&self, name: &LogName) -> Result<Box<dyn Log>, StorageError> {
        Ok(Box::new(RedisLog { logs: self.clone(), name: name.clone(), read: None }))
    }

    fn names(&self, kind: Kind) -> Result<Vec<Arc<str>>, StorageError> {
        let members = self.call(|service| Command::new("SMEMBERS").key(Self::names_key(service, kind)))?;
        let members = members.into_elements().ok_or_else(unexpected)?;
        let mut names: Vec<Arc<str>> =
            members.iter().filter_map(|member| Some(member.as_str()?.into())).collect();
        names.sort();
        Ok(names)
    }
}

#[derive(Debug)]
struct RedisLog {
    logs: RedisLogs,
    name: LogName,
    /// Of what it has read: how often it was replaced, as Redis writes it, and its length. `None`: nothing yet.
    read: Option<(String, usize)>,
}

impl RedisLog {
    /// A script on the log, with what of it was read.
    fn script(&self, script: &'static str, lines: Option<&[u8]>) -> Result<Value, StorageError> {
        let LogName { kind, name } = &self.name;
        self.logs.call(|service| {
            // In braces: both keys are in one slot. What is in the name cannot end the braces early.
            let slot = name.replace('%', "%25").replace('}', "%7D");
            let lines_key = service.prefixed(format!("{PREFIX}{{{}:{slot}}}", kind.plural()).as_bytes());
            let (replaced, length) =
                self.read.as_ref().map_or(("", 0), |(replaced, length)| (replaced, *length));
            let command = Command::new("EVAL")
                .arg(script)
                .arg("2")
                .key(&lines_key)
                .arg([&lines_key[..], b":replaced"].concat())
                .arg(replaced)
                .arg(length.to_string());
            match lines {
                Some(lines) => command.arg(lines),
                None => command,
            }
        })
    }

    /// Whether the set of names has this one.
    fn name_is(&self, kept: bool) -> Result<(), StorageError> {
        let LogName { kind, name } = &self.name;
        let verb = if kept { "SADD" } else { "SREM" };
        let command = |service: &RedisService| {
            Command::new(verb).key(RedisLogs::names_key(service, *kind)).arg(name.as_bytes())
        };
        self.logs.call(command).map(drop)
    }
}

impl Log for RedisLog {
    fn turn(&mut self) -> Result<(Tail, Box<dyn Turn + '_>), StorageError> {
        let answer = self.script(READ, None)?.into_elements().ok_or_else(unexpected)?;
        let [replaced, lines] = <[Value; 2]>::try_from(answer).map_err(|_| unexpected())?;
        let replaced = replaced.as_str().ok_or_else(unexpected)?.to_owned();
        let bytes = lines.as_bytes().ok_or_else(unexpected)?.to_vec();
        let before = self.read.take().filter(|(known, _)| *known == replaced).map(|(_, length)| length);
        self.read = Some((replaced, before.unwrap_or(0) + bytes.len()));
        Ok((Tail { is_whole: before.is_none(), bytes }, Box::new(RedisTurn { log: self })))
    }
}

struct RedisTurn<'a> {
    log: &'a mut RedisLog,
}

impl RedisTurn<'_> {
    /// What becomes of a script that writes. Whether it did is unknown where its answer was lost.
    fn written(&mut self, answer: Result<Value, StorageError>) -> Result<(), StorageError> {
        match answer.map(|answer| answer.as_integer()) {
            Ok(Some(1)) => Ok(()),
            Ok(Some(0)) => Err(StorageError::Overtaken),
            Ok(_) => Err(unexpected()),
            Err(error) => {
                self.log.read = None;
                Err(error)
            }
        }
    }
}

impl Turn for RedisTurn<'_> {
    fn append(&mut self, lines: &[u8]) -> Result<(), StorageError> {
        if self.log.read.as_ref().is_none_or(|(_, length)| *length == 0) {
            self.log.name_is(true)?;
        }
        let answer = self.log.script(APPEND, Some(lines));
        self.written(answer)?;
        if let Some((_, length)) = &mut self.log.read {
            *length += lines.len();
        }
        Ok(())
    }

    fn replace(&mut self, lines: &[u8]) -> Result<(), StorageError> {
        let answer = self.log.script(REPLACE, Some(lines));
        self.written(answer)?;
        // The next turn reads what was written.
        self.log.read = None;
        Ok(())
    }

    fn remove(&mut self) -> Result<(), StorageError> {
        self.replace(&[])?;
        self.log.name_is(false)
    }
}
