//! Sessions in Redis: one script for each change.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::id::Hash;
use super::row::{Destroyed, Mode, NewRow, Refusal, Row, TOMBSTONE_MS};
use super::scripts::{DESTROY, LIST, READ, Script, TOUCH, WRITE};
use crate::error::RedisServiceError;
use crate::op::{Op, Reply};
use crate::resp::{Command, Value};
use crate::tier::RedisTier;
use crate::tier::in_flight::{Done, Outcome};

/// A user's list outlives the sessions on it by this many ms, so that a session that rolls on is always listed.
pub(crate) const INDEX_SLACK_MS: u64 = 86_400_000;

/// Commands sent before the first answer is awaited, where many sessions are asked for.
const BATCH: usize = 256;

/// See the module.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) tier: Arc<RedisTier>,
}

/// What a call is for the messages of errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call(pub(crate) &'static str);

type Args = Vec<Bytes>;

impl Table {
    pub(crate) async fn write(
        &self,
        call: Call,
        hash: &Hash,
        mode: Mode,
        new: &NewRow,
    ) -> Result<Result<Row, Refusal>, RedisServiceError> {
        let mode = match mode {
            Mode::New => "new",
            Mode::Upsert => "upsert",
        };
        let args = vec![
            mode.into(),
            Bytes::new(),
            new.data.clone(),
            new.user.clone().unwrap_or_default().into(),
            number(new.ttl),
            flag(new.rolling),
            new.absolute_ttl.map(number).unwrap_or_default(),
            number(new.ends_at),
            new.created_at.map(number).unwrap_or_default(),
        ];
        written(self.eval(call, &WRITE, self.session(hash), args).await?)
    }

    pub(crate) async fn update(
        &self,
        call: Call,
        hash: &Hash,
        data: &Bytes,
    ) -> Result<Result<Row, Refusal>, RedisServiceError> {
        let args = vec!["present".into(), Bytes::new(), data.clone()];
        // The script looks at no other, but Lua wants no gaps.
        let args = args.into_iter().chain((0..6).map(|_| Bytes::new())).collect();
        written(self.eval(call, &WRITE, self.session(hash), args).await?)
    }

    pub(crate) async fn read(
        &self,
        call: Call,
        hash: &Hash,
        roll: bool,
    ) -> Result<Option<Row>, RedisServiceError> {
        found(self.eval(call, &READ, self.session(hash), vec![flag(roll)]).await?)
    }

    pub(crate) async fn read_all(
        &self,
        call: Call,
        hashes: &[Hash],
    ) -> Result<Vec<Option<Row>>, RedisServiceError> {
        let calls = hashes.iter().map(|hash| (self.session(hash), vec![flag(false)]));
        self.eval_all(call, &READ, calls).await?.into_iter().map(found).collect()
    }

    pub(crate) async fn touch(
        &self,
        call: Call,
        hash: &Hash,
        ttl: Option<u64>,
    ) -> Result<Option<Row>, RedisServiceError> {
        let args = vec![ttl.map(number).unwrap_or_default()];
        found(self.eval(call, &TOUCH, self.session(hash), args).await?)
    }

    pub(crate) async fn destroy(&self, call: Call, hash: &Hash) -> Result<Destroyed, RedisServiceError> {
        destroyed(self.eval(call, &DESTROY, self.session(hash), vec![number(TOMBSTONE_MS)]).await?)
    }

    pub(crate) async fn destroy_all(
        &self,
        call: Call,
        hashes: &[Hash],
    ) -> Result<Vec<Destroyed>, RedisServiceError> {
        let calls = hashes.iter().map(|hash| (self.session(hash), vec![number(TOMBSTONE_MS)]));
        self.eval_all(call, &DESTROY, calls).await?.into_iter().map(destroyed).collect()
    }

    /// Lists the session under its user for as long as it lives.
    pub(crate) async fn list(
        &self,
        call: Call,
        user: &str,
        hash: &Hash,
        ttl: u64,
    ) -> Result<(), RedisServiceError> {
        let args = vec![hash.0.clone().into(), number(ttl.saturating_add(INDEX_SLACK_MS))];
        self.eval(call, &LIST, self.user(user), args).await.map(|_| ())
    }

    pub(crate) async fn unlist(
        &self,
        call: Call,
        user: &str,
        hashes: &[Hash],
    ) -> Result<(), RedisServiceError> {
        if hashes.is_empty() {
            return Ok(());
        }
        let mut command = Command::new("SREM").key(self.user(user));
        for hash in hashes {
            command = command.arg(&hash.0);
        }
        self.answer(call, self.send(command)).await.map(|_| ())
    }

    pub(crate) async fn listed(&self, call: Call, user: &str) -> Result<Vec<Hash>, RedisServiceError> {
        let command = Command::new("SMEMBERS").key(self.user(user));
        let hashes = self.answer(call, self.send(command)).await?.into_elements().unwrap_or_default();
        Ok(hashes.iter().filter_map(Value::as_str).map(|hash| Hash(hash.to_owned())).collect())
    }

    /// The key of a session.
    pub(crate) fn session(&self, hash: &Hash) -> Bytes {
        self.key(&["~uat:session:", &hash.0])
    }

    /// The key of a user's list.
    pub(crate) fn user(&self, user: &str) -> Bytes {
        self.key(&["~uat:user:", user])
    }

    fn key(&self, parts: &[&str]) -> Bytes {
        [self.tier.options.key_prefix.as_str(), parts.concat().as_str()].concat().into()
    }

    pub(crate) async fn eval(
        &self,
        call: Call,
        script: &Script,
        key: Bytes,
        args: Args,
    ) -> Result<Value, RedisServiceError> {
        let sent = self.send(command("EVALSHA", &script.sha, &key, &args));
        self.or_with_text(call, script, &key, &args, sent).await
    }

    /// Many at once; the first that fails fails all.
    async fn eval_all(
        &self,
        call: Call,
        script: &Script,
        calls: impl Iterator<Item = (Bytes, Args)>,
    ) -> Result<Vec<Value>, RedisServiceError> {
        self.eval_each(call, script, calls.collect()).await.into_iter().collect()
    }

    /// Many at once, each with its own outcome.
    pub(crate) async fn eval_each(
        &self,
        call: Call,
        script: &Script,
        calls: Vec<(Bytes, Args)>,
    ) -> Vec<Result<Value, RedisServiceError>> {
        let mut outcomes = Vec::with_capacity(calls.len());
        for batch in calls.chunks(BATCH) {
            let sent: Vec<_> = batch
                .iter()
                .map(|(key, args)| self.send(command("EVALSHA", &script.sha, key, args)))
                .collect();
            for ((key, args), sent) in batch.iter().zip(sent) {
                outcomes.push(self.or_with_text(call, script, key, args, sent).await);
            }
        }
        outcomes
    }

    /// The answer; where Redis does not know the script by its name, the text is sent, by which it learns it.
    async fn or_with_text(
        &self,
        call: Call,
        script: &Script,
        key: &Bytes,
        args: &[Bytes],
        sent: oneshot::Receiver<Outcome>,
    ) -> Result<Value, RedisServiceError> {
        match self.answer(call, sent).await {
            Err(RedisServiceError::Upstream { reply }) if reply.starts_with("NOSCRIPT") => {
                self.answer(call, self.send(command("EVAL", script.text, key, args))).await
            }
            other => other,
        }
    }

    fn send(&self, command: Command) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        let done = Done::Call(Box::new(move |outcome| {
            // Nobody waits where the caller was dropped.
            let _ = sender.send(outcome);
        }));
        self.tier.start([(Op::Raw(command), done)]);
        receiver
    }

    async fn answer(
        &self,
        Call(operation): Call,
        sent: oneshot::Receiver<Outcome>,
    ) -> Result<Value, RedisServiceError> {
        let operation = || format!("sessions.{operation}");
        match sent.await.unwrap_or(Err(RedisServiceError::Closed)) {
            Ok(Reply::Raw(value)) => Ok(value),
            Ok(other) => {
                Err(RedisServiceError::Internal { message: format!("a script was answered with {other:?}") })
            }
            Err(RedisServiceError::Unavailable { reason, .. }) => {
                Err(RedisServiceError::Unavailable { operation: operation(), reason })
            }
            // To a session a Redis that does not answer is one that is away.
            Err(error @ RedisServiceError::Timeout { .. }) => {
                Err(RedisServiceError::Unavailable { operation: operation(), reason: error.to_string() })
            }
            // Redis refuses the script, not the caller's command.
            Err(RedisServiceError::InvalidInput { got, .. }) => {
                Err(RedisServiceError::Storage { message: format!("{}: {got}", operation()) })
            }
            Err(other) => Err(other),
        }
    }
}

fn command(name: &str, script: &str, key: &Bytes, args: &[Bytes]) -> Command {
    let command = Command::new(name).arg(script).arg("1").key(key);
    args.iter().fold(command, Command::arg)
}

pub(crate) fn number(number: u64) -> Bytes {
    number.to_string().into()
}

pub(crate) fn flag(yes: bool) -> Bytes {
    Bytes::from_static(if yes { b"1" } else { b"0" })
}

/// The words of a script's answer.
pub(crate) fn words(answer: Value) -> Result<Vec<Value>, RedisServiceError> {
    answer.into_elements().filter(|words| !words.is_empty()).ok_or_else(|| odd("no list"))
}

fn odd(what: &str) -> RedisServiceError {
    RedisServiceError::Internal { message: format!("a script of sessions answered with {what}") }
}

fn written(answer: Value) -> Result<Result<Row, Refusal>, RedisServiceError> {
    let words = words(answer)?;
    match words[0].as_str() {
        Some("ok") => row(&words).map(Ok),
        Some("exists") => Ok(Err(Refusal::Exists)),
        Some("gone") => Ok(Err(Refusal::Gone)),
        Some("destroyed") => Ok(Err(Refusal::Destroyed)),
        _ => Err(odd("a word that is not known")),
    }
}

fn found(answer: Value) -> Result<Option<Row>, RedisServiceError> {
    let words = words(answer)?;
    match words[0].as_str() {
        Some("ok") => row(&words).map(Some),
        Some("gone") => Ok(None),
        _ => Err(odd("a word that is not known")),
    }
}

fn destroyed(answer: Value) -> Result<Destroyed, RedisServiceError> {
    let words = words(answer)?;
    Ok(Destroyed { existed: words[0].as_integer() == Some(1), user: words.get(1).and_then(user_in) })
}

pub(crate) fn user_in(value: &Value) -> Option<String> {
    value.as_str().filter(|user| !user.is_empty()).map(str::to_owned)
}

/// `ok`, v, d, u, c, t, r, a, expires at.
fn row(words: &[Value]) -> Result<Row, RedisServiceError> {
    let number = |at: usize| {
        let number = words.get(at).and_then(Value::as_integer).and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| odd("a number missing"))
    };
    Ok(Row {
        version: number(1)?,
        data: Bytes::copy_from_slice(words.get(2).and_then(Value::as_bytes).ok_or_else(|| odd("no data"))?),
        user: words.get(3).and_then(user_in),
        created_at: number(4)?,
        ttl: number(5)?,
        rolling: number(6)? == 1,
        ends_at: number(7)?,
        expires_at: number(8)?,
    })
}
