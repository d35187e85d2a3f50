//! Which tokens each row of a context holds, and how many of its cells that takes.
//!
//! A mirror of llama.cpp's unified cache, kept here because llama.cpp does not tell how many cells are free: a *row* (its
//! "sequence") is a run of tokens, each of which lies in a *cell*; rows that begin alike can share cells. A row is *taken*
//! while a request runs in it. A row that is not taken keeps its tokens, so that a later request that begins with them
//! need not compute them again, until its cells are wanted for something else.

use std::time::Instant;

use crate::token::Token;

/// The rows of one context.
#[derive(Debug)]
pub struct Cells {
    rows: Vec<Row>,
    /// How many rows use each cell. Its length is the number of cells.
    users: Vec<u16>,
    free: Vec<u32>,
    /// Counts releases, so that the row that was left longest ago is known.
    releases: u64,
}

#[derive(Debug, Default, Clone)]
struct Row {
    tokens: Vec<Token>,
    /// The cell of each token.
    cells: Vec<u32>,
    taken: bool,
    /// When the last request left, by count and by the clock.
    released: u64,
    left: Option<Instant>,
}

impl Cells {
    /// `rows` empty rows over `cells` cells.
    pub fn new(rows: usize, cells: usize) -> Self {
        let free = (0..u32::try_from(cells).unwrap_or(u32::MAX)).rev().collect();
        Self { rows: vec![Row::default(); rows], users: vec![0; cells], free, releases: 0 }
    }

    /// All cells.
    pub fn capacity(&self) -> usize {
        self.users.len()
    }

    /// Cells that no row uses.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// What a row holds, oldest first.
    pub fn tokens(&self, row: usize) -> &[Token] {
        self.rows.get(row).map_or(&[], |row| &row.tokens)
    }

    /// Cells that rows with a running request use. The others can be had by clearing rows.
    pub fn taken(&self) -> usize {
        let mut seen = vec![false; self.users.len()];
        let cells = self.rows.iter().filter(|row| row.taken).flat_map(|row| &row.cells);
        cells.filter(|cell| !std::mem::replace(&mut seen[**cell as usize], true)).count()
    }

    /// Cells that this row alone uses.
    pub fn exclusive(&self, row: usize) -> usize {
        let cells = self.rows.get(row).map_or(&[][..], |row| &row.cells);
        cells.iter().filter(|cell| self.users[**cell as usize] == 1).count()
    }

    /// Marks a row as running a request.
    pub fn take(&mut self, row: usize) {
        if let Some(row) = self.rows.get_mut(row) {
            row.taken = true;
        }
    }

    /// The request has left; its tokens stay.
    pub fn release(&mut self, row: usize, now: Instant) {
        self.releases += 1;
        if let Some(row) = self.rows.get_mut(row) {
            row.taken = false;
            row.released = self.releases;
            row.left = Some(now);
        }
    }

    /// When the last request left a row; `None` if none ever did.
    pub fn left(&self, row: usize) -> Option<Instant> {
        self.rows.get(row)?.left
    }

    /// Rows that hold tokens for nobody.
    pub fn idle_rows(&self) -> usize {
        self.rows.iter().filter(|row| !row.taken && !row.tokens.is_empty()).count()
    }

    /// Cells that only such rows use.
    pub fn idle(&self) -> usize {
        self.capacity() - self.free() - self.taken()
    }

    /// The row has seen these tokens too. There must be room: see [`free`](Self::free).
    pub fn extend(&mut self, row: usize, tokens: impl IntoIterator<Item = Token>) {
        let Some(row) = self.rows.get_mut(row) else { return };
        for token in tokens {
            let Some(cell) = self.free.pop() else { return };
            self.users[cell as usize] = 1;
            row.cells.push(cell);
            row.tokens.push(token);
        }
    }

    /// Only the first `length` tokens stay.
    pub fn truncate(&mut self, row: usize, length: usize) {
        let Some(row) = self.rows.get_mut(row).filter(|row| row.tokens.len() > length) else { return };
        row.tokens.truncate(length);
        for cell in row.cells.drain(length..) {
            let users = &mut self.users[cell as usize];
            *users -= 1;
            if *users == 0 {
                self.free.push(cell);
            }
        }
    }

    /// Lets the empty row `to` use the cells of the first `length` tokens of `from`.
    pub fn share(&mut self, from: usize, to: usize, length: usize) {
        let Some(source) = self.rows.get(from) else { return };
        let length = length.min(source.tokens.len());
        let (tokens, cells) = (source.tokens[..length].to_vec(), source.cells[..length].to_vec());
        let Some(target) = self.rows.get_mut(to).filter(|row| row.tokens.is_empty()) else { return };
        for cell in &cells {
            self.users[*cell as usize] += 1;
        }
        target.tokens = tokens;
        target.cells = cells;
    }

    /// The row that has most of the beginning of `tokens`, and how much. Of equals one that is not taken, which can be had
    /// without sharing.
    pub fn longest_match(&self, tokens: &[Token]) -> Option<(usize, usize)> {
        let rows = self.rows.iter().enumerate();
        let matches = rows.map(|(index, row)| (common(&row.tokens, tokens), !row.taken, index));
        matches.filter(|(length, ..)| *length > 0).max().map(|(length, _, row)| (row, length))
    }

    /// Whether a request runs in the row.
    pub fn is_taken(&self, row: usize) -> bool {
        self.rows.get(row).is_some_and(|row| row.taken)
    }

    /// The row to use for something new: an empty one, else the one that was left longest ago; never `keep`.
    pub fn spare(&self, keep: Option<usize>) -> Option<usize> {
        let rows = self.rows.iter().enumerate();
        let spare = rows.filter(|(index, row)| !row.taken && Some(*index) != keep);
        spare.min_by_key(|(_, row)| (!row.tokens.is_empty(), row.released)).map(|(index, _)| index)
    }

    /// The row that holds tokens for nobody and was left longest ago.
    pub fn coldest(&self) -> Option<usize> {
        let rows = self.rows.iter().enumerate();
        let cold = rows.filter(|(_, row)| !row.taken && !row.tokens.is_empty());
        cold.min_by_key(|(_, row)| row.released).map(|(index, _)| index)
    }
}

/// How many tokens two runs have in common from the start.
pub fn common(one: &[Token], other: &[Token]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shared_cells_count_once_and_are_freed_by_their_last_row() {
        let mut cells = Cells::new(3, 10);
        cells.take(0);
        cells.extend(0, [1, 2, 3, 4]);
        cells.take(1);
        cells.share(0, 1, 3);
        cells.extend(1, [9]);
        assert_eq!((cells.free(), cells.taken()), (5, 5));
        assert_eq!((cells.exclusive(0), cells.exclusive(1)), (1, 1));
        cells.truncate(0, 0);
        assert_eq!((cells.free(), cells.tokens(1)), (6, &[1, 2, 3, 9][..]));
        cells.truncate(1, 0);
        assert_eq!(cells.free(), 10);
    }

    #[test]
    fn the_longest_beginning_is_found_and_an_idle_row_preferred() {
        let mut cells = Cells::new(3, 20);
        cells.extend(0, [1, 2, 3]);
        cells.take(0);
        cells.extend(1, [1, 2, 3, 4]);
        cells.extend(2, [7]);
        assert_eq!(cells.longest_match(&[1, 2, 3, 5]), Some((1, 3)));
        assert_eq!(cells.longest_match(&[8]), None);
    }

    #[test]
    fn rows_are_reused_coldest_first_but_empty_ones_before() {
        let mut cells = Cells::new(3, 20);
        for row in [1, 0] {
            cells.take(row);
            cells.extend(row, [1]);
            cells.release(row, Instant::now());
        }
        assert_eq!((cells.spare(None), cells.coldest()), (Some(2), Some(1)));
        cells.take(2);
        assert_eq!((cells.spare(None), cells.spare(Some(1))), (Some(1), Some(0)));
    }

    proptest! {
        #[test]
        fn cells_are_neither_lost_nor_used_twice(
            steps in prop::collection::vec((0usize..4, 0usize..4, 0usize..6, 0u8..5), 1..60),
        ) {
            let mut cells = Cells::new(4, 32);
            for (row, other, length, kind) in steps {
                match kind {
                    0 => cells.take(row),
                    1 => cells.release(row, Instant::now()),
                    2 => {
                        let length = length.min(cells.free());
                        cells.extend(row, (0..length).map(|token| token as Token));
                    }
                    3 => cells.truncate(row, length),
                    _ => if row != other { cells.share(row, other, length) },
                }
                let mut distinct: Vec<u32> = cells.rows.iter().flat_map(|row| row.cells.clone()).collect();
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert_eq!(distinct.len() + cells.free(), cells.capacity());
                for row in &cells.rows {
                    prop_assert_eq!(row.tokens.len(), row.cells.len());
                }
                for cell in 0..32u32 {
                    let users = cells.rows.iter().filter(|row| row.cells.contains(&cell)).count();
                    prop_assert_eq!(users, usize::from(cells.users[cell as usize]));
                }
            }
        }
    }
}
