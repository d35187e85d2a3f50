//! Brings the journal to Redis, when Redis is back and before it is asked for any session.
//!
//! What the journal holds of a session is one write: its last state upon the version that the first write built upon.
//! Redis remembers with the session what was replayed (`replay.lua`), so that a replay that was cut short is simply
//! done again.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::id::Hash;
use super::journal::record::{OfflineRow, Time};
use super::journal::{Chain, Chains, Journal};
use super::offline::{Offline, unavailable};
use super::redis::{Call, INDEX_SLACK_MS, Table, flag, number, user_in, words};
use super::row::TOMBSTONE_MS;
use super::scripts::{DESTROY, LIST, REPLAY, Script};
use crate::error::RedisServiceError;
use crate::resp::Value;

const CALL: Call = Call("replay");

impl Offline {
    /// Replays everything there is. On an error nothing is lost, and sessions must not be served from Redis.
    pub(crate) async fn replay(&self, table: &Table, now: impl Fn() -> u64) -> Result<(), RedisServiceError> {
        let _one = self.replaying.lock().await;
        loop {
            let Some(journal) = self.backlog.lock().first().cloned() else {
                break;
            };
            self.replay_one(&journal, table, &now).await?;
            self.backlog.lock().retain(|other| !Arc::ptr_eq(other, &journal));
        }
        self.replay_one(&self.journal, table, &now).await
    }

    async fn replay_one(
        &self,
        journal: &Arc<Journal>,
        table: &Table,
        now: &impl Fn() -> u64,
    ) -> Result<(), RedisServiceError> {
        while journal.entries() > 0 {
            let (last, chains) = journal.snapshot();
            let mut round = Round { journal, table, chains, now: now(), conflicts: 0 };
            round.tombstones().await?;
            round.rows().await?;
            let conflicts = round.conflicts;
            self.conflicts.fetch_add(conflicts, Ordering::Relaxed);
            let entries = journal.entries();
            let finishing = Arc::clone(journal);
            let finished = tokio::task::spawn_blocking(move || finishing.finish(last)).await;
            match finished {
                Ok(Ok(true)) => tracing::info!(writes = entries, conflicts, "session writes were replayed"),
                // Something was written meanwhile: once more.
                Ok(Ok(false)) => {}
                // Replayed all the same; what is left in the file is replayed to no effect.
                Ok(Err(error)) => tracing::error!(%error, "the journal of sessions could not be emptied"),
                Err(error) => return Err(unavailable("replay", error.to_string())),
            }
        }
        Ok(())
    }
}

/// Once over all that the journal holds at a moment.
struct Round<'a> {
    journal: &'a Journal,
    table: &'a Table,
    chains: Chains,
    now: u64,
    conflicts: u64,
}

impl Round<'_> {
    /// First what was destroyed, in any case.
    async fn tombstones(&mut self) -> Result<(), RedisServiceError> {
        let destroyed: Vec<Hash> = self.open(|chain| chain.row.is_none());
        let calls = destroyed.iter().map(|hash| {
            let mut args = self.head(&self.chains[hash], "destroy");
            args.extend((0..9).map(|_| Bytes::new()));
            args.push(number(TOMBSTONE_MS));
            (self.table.session(hash), args)
        });
        for (hash, answer) in destroyed.iter().zip(self.each(&REPLAY, calls.collect()).await?) {
            let Some((word, user)) = answer else {
                // Something that is no session lies there; nobody can read a session from it.
                self.lost(hash);
                continue;
            };
            if let Some(user) = user {
                self.table.unlist(CALL, &user, std::slice::from_ref(hash)).await?;
            }
            self.done(hash, word == "foreign");
        }
        Ok(())
    }

    async fn rows(&mut self) -> Result<(), RedisServiceError> {
        let mut writes = Vec::new();
        let mut dead = Vec::new();
        for hash in self.open(|chain| chain.row.is_some()) {
            let chain = &self.chains[&hash];
            let is_late = self.now.saturating_sub(chain.accepted_at) >= TOMBSTONE_MS;
            if self.has_dead_ancestor(chain) {
                // Somebody else has destroyed what it was regenerated from: it does not live on.
                dead.push(hash);
            } else if is_late && chain.base.is_none() {
                // It may have been destroyed, and the tombstone of that be gone by now.
                self.lost(&hash);
            } else {
                writes.push(hash);
            }
        }
        let calls: Vec<_> =
            dead.iter().map(|hash| (self.table.session(hash), vec![number(TOMBSTONE_MS)])).collect();
        self.each(&DESTROY, calls).await?;
        for hash in &dead {
            self.lost(hash);
        }
        // Listed before it exists, for a crash in between.
        self.list(&writes).await?;
        let calls = writes.iter().map(|hash| {
            let chain = &self.chains[hash];
            (self.table.session(hash), self.write(chain, chain.row.as_ref()))
        });
        let answers = self.each(&REPLAY, calls.collect()).await?;
        let mut written = Vec::new();
        for (hash, answer) in writes.into_iter().zip(answers) {
            match answer {
                Some((word, _)) if word != "conflict" => {
                    if word == "ok" {
                        written.push(hash.clone());
                    }
                    self.done(&hash, false);
                }
                _ => self.lost(&hash),
            }
        }
        self.list(&written).await
    }

    /// What is not in Redis yet.
    fn open(&self, which: impl Fn(&Chain) -> bool) -> Vec<Hash> {
        let open = self.chains.iter().filter(|(_, chain)| chain.replayed < chain.last && which(chain));
        open.map(|(hash, _)| hash.clone()).collect()
    }

    fn has_dead_ancestor(&self, chain: &Chain) -> bool {
        let (mut next, mut seen) = (chain.from.as_ref(), HashSet::new());
        while let Some(hash) = next
            && seen.insert(hash)
            && let Some(ancestor) = self.chains.get(hash)
        {
            if ancestor.foreign {
                return true;
            }
            next = ancestor.from.as_ref();
        }
        false
    }

    fn head(&self, chain: &Chain, mode: &'static str) -> Vec<Bytes> {
        vec![
            self.journal.name.clone().into(),
            number(chain.first),
            number(chain.last),
            mode.into(),
            chain.base.map(number).unwrap_or_default(),
        ]
    }

    fn write(&self, chain: &Chain, row: Option<&OfflineRow>) -> Vec<Bytes> {
        let Some(row) = row else {
            return Vec::new();
        };
        // Both clocks run alike; only spans go from one to the other.
        let left = |at: u64| i128::from(at) - i128::from(self.now);
        let (ends_in, ends_at) = match row.ends {
            None => (Bytes::new(), 0),
            Some(Time::Here(at)) => (left(at).to_string().into(), 0),
            Some(Time::Redis(at)) => (Bytes::new(), at),
        };
        let (age, created_at) = match row.created {
            Time::Here(at) => (number(self.now.saturating_sub(at)), 0),
            Time::Redis(at) => (Bytes::new(), at),
        };
        let mut args = self.head(chain, if row.whole { "whole" } else { "data" });
        args.extend([
            row.data.clone(),
            row.user.clone().unwrap_or_default().into(),
            number(row.ttl),
            flag(row.rolling),
            ends_in,
            number(ends_at),
            age,
            left(row.expires_at).to_string().into(),
            number(created_at),
            number(TOMBSTONE_MS),
        ]);
        args
    }

    async fn list(&self, hashes: &[Hash]) -> Result<(), RedisServiceError> {
        let calls = hashes.iter().filter_map(|hash| {
            let row = self.chains.get(hash)?.row.as_ref()?;
            let user = row.user.as_ref()?;
            let life = number(row.ttl.saturating_add(INDEX_SLACK_MS));
            Some((self.table.user(user), vec![hash.0.clone().into(), life]))
        });
        self.each(&LIST, calls.collect()).await.map(|_| ())
    }

    /// The first two words of each answer; none where something else lies under the key.
    async fn each(
        &self,
        script: &Script,
        calls: Vec<(Bytes, Vec<Bytes>)>,
    ) -> Result<Vec<Option<(String, Option<String>)>>, RedisServiceError> {
        let outcomes = self.table.eval_each(CALL, script, calls).await;
        outcomes
            .into_iter()
            .map(|outcome| match outcome {
                // The list of a user answers with a number.
                Ok(Value::Integer(_)) => Ok(None),
                Ok(answer) => {
                    let words = words(answer)?;
                    let word = words[0].as_str().unwrap_or_default().to_owned();
                    Ok(Some((word, words.get(1).and_then(user_in))))
                }
                Err(RedisServiceError::Conflict { .. }) => Ok(None),
                Err(error) => Err(error),
            })
            .collect()
    }

    fn done(&mut self, hash: &Hash, foreign: bool) {
        if let Some(chain) = self.chains.get_mut(hash) {
            chain.foreign |= foreign;
            self.journal.replayed(hash, chain.last, foreign);
        }
    }

    fn lost(&mut self, hash: &Hash) {
        self.conflicts += 1;
        tracing::warn!(
            session = hash.handle(),
            "a session write of the time without Redis is dropped: somebody else wrote or destroyed the session since"
        );
        self.done(hash, false);
    }
}
