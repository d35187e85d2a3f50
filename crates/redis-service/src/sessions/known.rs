//! Sessions that this process has lately read from Redis or written there, with their versions: only what is known here
//! may be written on while Redis is away.
//!
//! As in the near tier a ticket is drawn before Redis is asked. A write forgets the session first, and what an earlier
//! call brings after that is not kept: a write whose outcome is not known leaves nothing known.

use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::id::Hash;
use super::row::Row;

/// Bytes of the sessions remembered: some 10,000 of 1.5 KB.
const MAX_BYTES: u64 = 16 << 20;

/// What one costs beside data and user, roughly.
const OVERHEAD: u64 = 300;

/// Locks; two sessions that share one make each other forgotten now and then, which is harmless.
const SHARDS: usize = 64;

#[derive(Clone)]
struct Weigh;

impl Weighter<Hash, Row> for Weigh {
    fn weight(&self, _hash: &Hash, row: &Row) -> u64 {
        row.data.len() as u64 + row.user.as_ref().map_or(0, String::len) as u64 + OVERHEAD
    }
}

/// The right to remember what Redis answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    shard: usize,
    generation: u64,
}

/// See the module.
pub(crate) struct Known {
    cache: Cache<Hash, Row, Weigh>,
    generations: Vec<Mutex<u64>>,
    hasher: RandomState,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            cache: Cache::with_weighter(10_000, MAX_BYTES, Weigh),
            generations: (0..SHARDS).map(|_| Mutex::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Known {
    /// Before a read.
    pub(crate) fn reads(&self, hash: &Hash) -> Ticket {
        let shard = self.shard(hash);
        Ticket { shard, generation: *self.generations[shard].lock() }
    }

    /// Before a write.
    pub(crate) fn writes(&self, hash: &Hash) -> Ticket {
        let shard = self.shard(hash);
        let mut generation = self.generations[shard].lock();
        *generation += 1;
        self.cache.remove(hash);
        Ticket { shard, generation: *generation }
    }

    /// What Redis answered, unless something was written since.
    pub(crate) fn keep(&self, hash: &Hash, row: &Row, ticket: Ticket) {
        let generation = self.generations[ticket.shard].lock();
        // Answers may be taken up in another order than they came.
        let is_older = |known: &Row| known.created_at == row.created_at && known.version > row.version;
        if *generation == ticket.generation && !self.cache.peek(hash).as_ref().is_some_and(is_older) {
            self.cache.insert(hash.clone(), row.clone());
        }
    }

    pub(crate) fn get(&self, hash: &Hash) -> Option<Row> {
        self.cache.get(hash)
    }

    fn shard(&self, hash: &Hash) -> usize {
        // The remainder always fits.
        (self.hasher.hash_one(hash) % SHARDS as u64) as usize
    }
}
