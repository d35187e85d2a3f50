//! Any command as it is, except those that would change the connection under everybody else.

use std::time::Duration;

use bytes::Bytes;

use crate::error::RedisServiceError;
use crate::resp::{Command, Value};
use crate::service::{RedisService, Tier};

/// Commands that concern a connection, which here belongs to all callers together, and what serves instead.
const REFUSED: [(&[&str], &str); 8] = [
    (
        &["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"],
        "use subscribe, which has a connection of its own",
    ),
    (&["MONITOR", "SYNC", "PSYNC", "REPLCONF"], "use redis-cli: it turns a connection into a stream"),
    (&["SELECT"], "name the database in the URL, as in redis://host:6379/2, and make a service for each"),
    (&["AUTH", "HELLO"], "put user and password into the URL"),
    (&["RESET", "QUIT"], "use close"),
    (
        &["MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH"],
        "use a script (EVAL), which is atomic: other callers' commands would get into the transaction",
    ),
    (&["ASKING", "READONLY", "READWRITE"], "leave it out: the service follows a cluster by itself"),
    (
        &[
            "CLIENT REPLY",
            "CLIENT TRACKING",
            "CLIENT CACHING",
            "CLIENT SETNAME",
            "CLIENT SETINFO",
            "CLIENT NO-EVICT",
            "CLIENT NO-TOUCH",
        ],
        "leave it out: the service sets its connections up by itself",
    ),
];

/// How a command is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Among all others.
    Shared,
    /// On a connection of its own, for at most so long; `None` without end.
    Alone(Option<Duration>),
}

impl RedisService {
    /// Runs any command of Redis as it is: the first argument is its name, and keys have the prefix only where the caller adds it.
    ///
    /// Commands that block (`BLPOP`, `XREAD BLOCK`, ...) run on connections of their own, at most `max_connections - 1` at
    /// once, the others queue; they have as long as they ask for. In a cluster a command goes where `COMMAND GETKEYS` says
    /// that its keys are, which costs one question more; keys in different slots are refused by Redis (`CROSSSLOT`).
    ///
    /// # Errors
    /// [`RedisServiceError::InvalidInput`] for a command that concerns the connection, naming what to use instead, or one that
    /// Redis does not take; [`RedisServiceError::Unsupported`] without Redis.
    pub async fn command(&self, arguments: Vec<Bytes>) -> Result<Value, RedisServiceError> {
        let way = judge(&arguments)?;
        let Tier::Redis(tier) = &self.tier else {
            return Err(RedisServiceError::Unsupported {
                message: "a command needs Redis, and no url is configured: expected url to be set".to_owned(),
            });
        };
        let mut command = written(&arguments);
        let mut key = None;
        if tier.is_cluster() {
            key = self.first_key(&arguments).await?;
            if let Some(key) = &key {
                command = command.routed_by(key);
            }
        }
        match (way, &self.dedicated) {
            (Way::Alone(within), Some(dedicated)) => dedicated.call(&command, key, within).await,
            _ => self.call(command).await,
        }
    }

    /// The first key of a command, as Redis itself finds it.
    async fn first_key(&self, arguments: &[Bytes]) -> Result<Option<Bytes>, RedisServiceError> {
        let mut question = Command::new("COMMAND").arg("GETKEYS");
        for argument in arguments {
            question = question.arg(argument);
        }
        match self.call(question).await {
            Ok(keys) => {
                let first = keys.into_elements().and_then(|keys| keys.into_iter().next());
                Ok(first.as_ref().and_then(Value::as_bytes).cloned())
            }
            // It has none, or is none: any server will do, and says what is wrong.
            Err(RedisServiceError::Upstream { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn written(arguments: &[Bytes]) -> Command {
    let (name, rest) = arguments.split_first().map_or((&b""[..], &[][..]), |(name, rest)| (&name[..], rest));
    let mut command = Command::new(&String::from_utf8_lossy(name));
    for argument in rest {
        command = command.arg(argument);
    }
    command
}

/// Refuses what must not be run, and says how the rest is to be.
fn judge(arguments: &[Bytes]) -> Result<Way, RedisServiceError> {
    let word = |at: usize| {
        arguments.get(at).map(|word| String::from_utf8_lossy(word).to_ascii_uppercase()).unwrap_or_default()
    };
    let name = word(0);
    if name.is_empty() {
        return Err(RedisServiceError::invalid("command", "the name of a command", "nothing"));
    }
    let with_second = format!("{name} {}", word(1));
    for (names, instead) in REFUSED {
        if let Some(refused) = names.iter().find(|refused| **refused == name || **refused == with_second) {
            return Err(RedisServiceError::invalid(
                "command",
                "a command that leaves the connection as it is",
                format!("{refused}; {instead}"),
            ));
        }
    }
    let last = arguments.len() - 1;
    let (at, unit) = match name.as_str() {
        "BLPOP" | "BRPOP" | "BRPOPLPUSH" | "BLMOVE" | "BZPOPMIN" | "BZPOPMAX" => (last, 1.0),
        "BLMPOP" | "BZMPOP" => (1, 1.0),
        "WAIT" => (2, 0.001),
        "WAITAOF" => (3, 0.001),
        "XREAD" | "XREADGROUP" => {
            // What stands after STREAMS are names of keys.
            let options = (1..arguments.len()).take_while(|at| word(*at) != "STREAMS");
            match options.into_iter().find(|at| word(*at) == "BLOCK") {
                Some(block) => (block + 1, 0.001),
                None => return Ok(Way::Shared),
            }
        }
        _ => return Ok(Way::Shared),
    };
    // Zero is without end; what is no number Redis refuses at once.
    let seconds = word(at).parse().map_or(0.0, |amount: f64| amount * unit);
    Ok(Way::Alone(Duration::try_from_secs_f64(seconds).ok().filter(|within| !within.is_zero())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Vec<Bytes> {
        line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    }

    #[track_caller]
    fn check(line: &str, expected: Way) {
        assert_eq!(judge(&arguments(line)).unwrap(), expected, "{line}");
    }

    #[test]
    fn what_blocks_is_run_alone_for_as_long_as_it_asks() {
        let alone = |seconds| Way::Alone(Some(Duration::from_secs_f64(seconds)));
        check("GET k", Way::Shared);
        check("client list", Way::Shared);
        check("BLPOP a b 0.5", alone(0.5));
        check("blpop a 0", Way::Alone(None));
        check("BLMOVE a b LEFT RIGHT 2", alone(2.0));
        check("BLMPOP 1.5 1 a LEFT", alone(1.5));
        check("XREAD COUNT 2 BLOCK 1500 STREAMS s $", alone(1.5));
        check("XREAD STREAMS BLOCK 0", Way::Shared);
        check("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", Way::Alone(None));
        check("WAIT 1 100", alone(0.1));
        check("WAITAOF 1 0 100", alone(0.1));
        check("BLPOP a x", Way::Alone(None));
        check("BLPOP", Way::Alone(None));
        check("BLPOP a -1", Way::Alone(None));
        check("BLPOP a inf", Way::Alone(None));
    }

    #[test]
    fn what_concerns_the_connection_is_refused_with_what_to_use_instead() {
        for (line, says) in [
            ("subscribe c", "use subscribe"),
            ("SELECT 1", "in the URL"),
            ("HELLO 3", "URL"),
            ("MULTI", "EVAL"),
            ("client reply off", "CLIENT REPLY"),
            ("CLIENT TRACKING on", "by itself"),
            ("MONITOR", "redis-cli"),
        ] {
            let error = judge(&arguments(line)).unwrap_err();
            assert!(matches!(error, RedisServiceError::InvalidInput { .. }), "{line}: {error:?}");
            assert!(error.to_string().contains(says), "{line}: {error}");
        }
        assert!(judge(&[]).is_err());
    }
}
