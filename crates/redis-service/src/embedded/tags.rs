//! Which keys carry a tag. Holds exactly what the entries of the shards hold, so that it grows no further than they do.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

#[derive(Default)]
pub(super) struct Tags {
    keys: HashMap<Bytes, HashSet<Bytes>>,
}

impl Tags {
    pub(super) fn add(&mut self, key: &Bytes, tags: &[Bytes]) {
        for tag in tags {
            let key = Bytes::copy_from_slice(key);
            if let Some(keys) = self.keys.get_mut(tag) {
                keys.insert(key);
            } else {
                self.keys.insert(Bytes::copy_from_slice(tag), HashSet::from([key]));
            }
        }
    }

    pub(super) fn remove(&mut self, key: &Bytes, tags: &[Bytes]) {
        for tag in tags {
            if let Some(keys) = self.keys.get_mut(tag) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(tag);
                }
            }
        }
    }

    pub(super) fn take(&mut self, tag: &[u8]) -> Vec<Bytes> {
        self.keys.remove(tag).into_iter().flatten().collect()
    }

    /// Pairs of tag and key.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys.values().map(HashSet::len).sum()
    }
}
