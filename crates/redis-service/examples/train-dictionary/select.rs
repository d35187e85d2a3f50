//! Chooses what the dictionary holds. zstd's own trainer cuts fixed lengths out of the documents, with half an id or
//! half a sentence in each; here a piece ends where documents stop having it in common, and none is taken twice.
//! The idea is COVER's (Liao et al., "Effective construction of relative Lempel-Ziv dictionaries", 2016).

use std::collections::{BinaryHeap, HashSet};

/// Bytes that count as something in common. 6 and 7 made worse dictionaries for documents of other makes.
const GRAM: usize = 8;
/// Slots for the counts; above it, chance meetings of different grams get frequent.
const SLOTS: usize = 1 << 25;
/// Rarer grams are ids, times and single sentences.
const MIN_DOCUMENTS: u32 = 24;
/// What a longer piece gains is its own pieces' gain: none is cut longer.
const MAX_PIECE: usize = 400;
/// Bytes that a match costs: taking one more piece has to gain more.
const PIECE_COST: f64 = 6.0;

#[derive(PartialEq)]
struct Candidate<'a> {
    gain: f64,
    piece: &'a [u8],
}

impl Eq for Candidate<'_> {}

impl PartialOrd for Candidate<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // The bytes decide between equals, so that the order does not depend on the hash map's.
        self.gain.total_cmp(&other.gain).then_with(|| self.piece.cmp(other.piece))
    }
}

/// At most `max_bytes`, the most useful pieces last, where they are cheapest to refer to.
pub(crate) fn select(documents: &[Vec<u8>], max_bytes: usize) -> Vec<u8> {
    let mut seen = vec![(0_u32, u32::MAX); SLOTS];
    for (number, document) in (0..).zip(documents) {
        for gram in document.windows(GRAM) {
            let (count, last) = &mut seen[slot(gram)];
            if *last != number {
                (*count, *last) = (*count + 1, number);
            }
        }
    }
    let mut counts: Vec<u32> = seen.into_iter().map(|(count, _)| count).collect();
    let mut pieces = HashSet::new();
    for document in documents {
        cut(document, &counts, |piece| {
            pieces.insert(piece);
        });
    }
    let mut heap: BinaryHeap<_> =
        pieces.into_iter().map(|piece| Candidate { gain: gain(piece, &counts), piece }).collect();
    let (mut chosen, mut bytes) = (Vec::new(), 0);
    while let Some(Candidate { gain: old, piece }) = heap.pop() {
        let piece = trim(piece, &counts);
        let gain = gain(piece, &counts);
        if gain < old * 0.999 {
            // What was chosen since has covered a part of it.
            if gain > 0.0 {
                heap.push(Candidate { gain, piece });
            }
            continue;
        }
        if bytes + piece.len() > max_bytes {
            break;
        }
        bytes += piece.len();
        piece.windows(GRAM).for_each(|gram| counts[slot(gram)] = 0);
        chosen.push(piece);
    }
    chosen.reverse();
    chosen.concat()
}

/// FNV-1a, for it must give the same slots with every version of the standard library.
fn slot(gram: &[u8]) -> usize {
    let hash = gram.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    ((hash ^ (hash >> 32)) as usize) % SLOTS
}

/// Documents that a byte of the piece helps.
fn gain(piece: &[u8], counts: &[u32]) -> f64 {
    let sum: f64 = piece.windows(GRAM).map(|gram| f64::from(counts[slot(gram)])).sum();
    sum / (piece.len() as f64 + PIECE_COST)
}

/// The stretches of a document that others have, too.
fn cut<'a>(document: &'a [u8], counts: &[u32], mut take: impl FnMut(&'a [u8])) {
    let mut start = 0;
    let grams = document.len().saturating_sub(GRAM - 1);
    for at in 0..=grams {
        let common = at < grams && counts[slot(&document[at..at + GRAM])] >= MIN_DOCUMENTS;
        if common && at - start < MAX_PIECE {
            continue;
        }
        if at > start {
            take(&document[start..at + GRAM - 1]);
        }
        start = at + usize::from(!common);
    }
}

/// Without the ends that are in the dictionary already.
fn trim<'a>(mut piece: &'a [u8], counts: &[u32]) -> &'a [u8] {
    while piece.len() > GRAM && counts[slot(&piece[..GRAM])] == 0 {
        piece = &piece[1..];
    }
    while piece.len() > GRAM && counts[slot(&piece[piece.len() - GRAM..])] == 0 {
        piece = &piece[..piece.len() - 1];
    }
    piece
}
