//! ggml's allocator of one buffer: `ggml_dyn_tallocr` of `ggml/src/ggml-alloc.c`, of llama-cpp-sys-2 0.1.161.

/// Far above any device, and no sum of two overflows.
const END: u64 = u64::MAX / 2;

/// Bytes that are free, and how far the buffer was ever used.
#[derive(Debug)]
pub(crate) struct Arena {
    alignment: u64,
    /// Where each free block begins and how long it is, in order. The last one has no end.
    free: Vec<(u64, u64)>,
    /// Bytes that the buffer needs.
    pub(crate) peak: u64,
}

impl Arena {
    /// `alignment` is in bytes.
    pub(crate) fn new(alignment: u64) -> Self {
        Self { alignment, free: vec![(0, END)], peak: 0 }
    }

    fn padded(&self, bytes: u64) -> u64 {
        bytes.checked_next_multiple_of(self.alignment).unwrap_or(END).min(END)
    }

    /// Takes the smallest hole that fits, the end only if none does. Returns where it begins.
    pub(crate) fn take(&mut self, bytes: u64) -> u64 {
        let bytes = self.padded(bytes);
        let last = self.free.len().saturating_sub(1);
        let holes = self.free.iter().take(last).enumerate().filter(|(_, (_, size))| *size >= bytes);
        // Of equal ones the last, as ggml does.
        let best = holes.min_by_key(|(index, (_, size))| (*size, usize::MAX - index));
        let chosen = best.map_or(last, |(index, _)| index);
        let Some((start, size)) = self.free.get_mut(chosen) else { return END };
        let address = *start;
        *start = start.saturating_add(bytes);
        *size = size.saturating_sub(bytes);
        if *size == 0 {
            self.free.remove(chosen);
        }
        self.peak = self.peak.max(address.saturating_add(bytes));
        address
    }

    /// Gives back what [`take`](Self::take) took.
    pub(crate) fn give_back(&mut self, address: u64, bytes: u64) {
        let bytes = self.padded(bytes);
        let next = self.free.partition_point(|(start, _)| *start < address);
        let touches_previous = next
            .checked_sub(1)
            .and_then(|index| self.free.get(index))
            .is_some_and(|(start, size)| start.saturating_add(*size) == address);
        let end = address.saturating_add(bytes);
        let touches_next = self.free.get(next).is_some_and(|(start, _)| *start == end);
        match (touches_previous, touches_next) {
            (true, true) => {
                let (_, size) = self.free.remove(next);
                self.free[next - 1].1 += bytes + size;
            }
            (true, false) => self.free[next - 1].1 += bytes,
            (false, true) => {
                let (start, size) = &mut self.free[next];
                *start = address;
                *size += bytes;
            }
            (false, false) => self.free.insert(next, (address, bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_hole_that_fits_is_taken() {
        let mut arena = Arena::new(32);
        let places: Vec<u64> = [64, 32, 128, 32, 96, 32].iter().map(|bytes| arena.take(*bytes)).collect();
        arena.give_back(places[0], 64);
        arena.give_back(places[2], 128);
        arena.give_back(places[4], 96);
        assert_eq!(arena.take(80), places[4], "96 bytes are enough");
        assert_eq!(arena.take(65), places[2], "64 are not");
        assert_eq!(arena.take(64), places[0]);
        assert_eq!((arena.take(32), arena.peak), (places[2] + 96, 384), "what is left of a hole is one");
    }

    #[test]
    fn neighbours_become_one_hole() {
        let mut arena = Arena::new(32);
        let places: Vec<u64> = [32, 32, 32, 32].iter().map(|bytes| arena.take(*bytes)).collect();
        arena.give_back(places[0], 32);
        arena.give_back(places[2], 1);
        arena.give_back(places[1], 32);
        assert_eq!(arena.take(96), 0);
        assert_eq!(arena.peak, 128);
    }

    #[test]
    fn nonsense_ends_at_the_end() {
        let mut arena = Arena::new(32);
        arena.take(u64::MAX);
        arena.take(u64::MAX);
        assert!(arena.peak >= END);
    }
}
