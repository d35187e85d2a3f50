//! What happens next in a replay.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Things that happen, in order of time; of those at the same time, the one that was announced first.
#[derive(Debug)]
pub(super) struct Clock<T> {
    ahead: BinaryHeap<Reverse<(u64, u64)>>,
    what: Vec<Option<T>>,
}

impl<T> Clock<T> {
    pub(super) fn new() -> Self {
        Self { ahead: BinaryHeap::new(), what: Vec::new() }
    }

    pub(super) fn at(&mut self, when: u64, what: T) {
        self.ahead.push(Reverse((when, self.what.len() as u64)));
        self.what.push(Some(what));
    }

    pub(super) fn next_at(&self) -> Option<u64> {
        self.ahead.peek().map(|Reverse((when, _))| *when)
    }

    pub(super) fn next(&mut self) -> Option<(u64, T)> {
        let Reverse((when, place)) = self.ahead.pop()?;
        self.what.get_mut(usize::try_from(place).ok()?)?.take().map(|what| (when, what))
    }
}
