//! From what was heard and the tokens so far to how likely each token is next.

use rayon::prelude::*;

use crate::encoder::{feed_forward, norm};
use crate::kernels::{Activations, Level, add, dot, scores, softmax, weighted_add, weighted_sum};
use crate::model::Weights;

/// Scores and sums of fewer positions than these are not shared among threads.
const WORTH_A_THREAD: usize = 10_000;

/// What the decoder remembers of one utterance: keys and values of what was heard, computed once, and of each token so far.
///
/// Tokens lie in slots, in the order in which they were computed. A text is a list of slots, so that several that begin alike
/// share them and nothing is copied when one is dropped.
pub(crate) struct Memory {
    heard: Vec<Heard>,
    /// Of each layer: keys, values, one row for each slot.
    tokens: Vec<(Vec<f32>, Vec<f32>)>,
    slots: u32,
}

/// Of one layer, head by head: keys number by number, values position by position.
struct Heard {
    keys: Vec<f32>,
    values: Vec<f32>,
    positions: usize,
}

/// One token to be computed, and the slots of those in front of it.
pub(crate) struct Next<'a> {
    pub(crate) token: u32,
    pub(crate) before: &'a [u32],
}

/// How much each layer's heads attended to each position, for each row: `[layer][row][head][position]`, only where asked for.
pub(crate) type Attention = Vec<Vec<f32>>;

impl Memory {
    /// Of an encoder's output.
    pub(crate) fn of(weights: &Weights, level: Level, encoded: &[f32]) -> Self {
        let (width, heads) = (weights.width, weights.heads);
        let (size, positions) = (width / heads, encoded.len() / width);
        let activations = Activations::quantise(level, encoded, width);
        let heard = weights.decoder.iter().map(|layer| {
            let both = layer.cross.keys_values.multiply(level, &activations);
            let (mut keys, mut values) =
                (Vec::with_capacity(encoded.len()), Vec::with_capacity(encoded.len()));
            for head in 0..heads {
                for number in head * size..(head + 1) * size {
                    keys.extend(both.chunks_exact(2 * width).map(|row| row[number]));
                }
                for row in both.chunks_exact(2 * width) {
                    values.extend_from_slice(&row[width + head * size..][..size]);
                }
            }
            Heard { keys, values, positions }
        });
        let tokens = weights.decoder.iter().map(|_| (Vec::new(), Vec::new())).collect();
        Self { heard: heard.collect(), tokens, slots: 0 }
    }

    /// The slot that the next token gets.
    pub(crate) fn next_slot(&self) -> u32 {
        self.slots
    }

    /// Forgets the tokens, not what was heard.
    pub(crate) fn clear(&mut self) {
        self.slots = 0;
        self.tokens.iter_mut().for_each(|(keys, values)| {
            keys.clear();
            values.clear();
        });
    }

    /// Computes tokens, each in the next slot: one for each text, or several of one text after another. Returns what the output
    /// head takes, a row for each.
    pub(crate) fn step(
        &mut self,
        weights: &Weights,
        level: Level,
        next: &[Next<'_>],
        mut seen: Option<&mut Attention>,
    ) -> Vec<f32> {
        let width = weights.width;
        let mut state = vec![0.0; next.len() * width];
        for (row, next) in state.chunks_exact_mut(width).zip(next) {
            weights.embeddings.row(next.token as usize, row);
            add(level, row, &weights.decoder_positions[next.before.len() * width..][..width]);
        }
        let first_slot = self.slots;
        self.slots += next.len() as u32;
        let mut normed = vec![0.0; state.len()];
        for (index, layer) in weights.decoder.iter().enumerate() {
            norm(level, &state, &layer.own.attention_norm, &mut normed);
            let mixed =
                layer.own.queries_keys_values.multiply(level, &Activations::quantise(level, &normed, width));
            let (keys, values) = &mut self.tokens[index];
            for row in mixed.chunks_exact(3 * width) {
                keys.extend_from_slice(&row[width..2 * width]);
                values.extend_from_slice(&row[2 * width..]);
            }
            own_attention(weights, level, next, first_slot, &mixed, (keys, values), &mut normed);
            let out = layer.own.attention_out.multiply(level, &Activations::quantise(level, &normed, width));
            add(level, &mut state, &out);

            norm(level, &state, &layer.cross.norm, &mut normed);
            let queries = layer.cross.queries.multiply(level, &Activations::quantise(level, &normed, width));
            let shares =
                cross_attention(weights, level, &queries, &self.heard[index], &mut normed, seen.is_some());
            if let Some(seen) = seen.as_deref_mut() {
                seen.push(shares);
            }
            let out = layer.cross.out.multiply(level, &Activations::quantise(level, &normed, width));
            add(level, &mut state, &out);
            feed_forward(level, &layer.own, &mut state, &mut normed);
        }
        norm(level, &state, &weights.decoder_norm, &mut normed);
        normed
    }
}

/// The output head: how likely each token is next, as logits, for each row.
pub(crate) fn logits(weights: &Weights, level: Level, rows: &[f32]) -> Vec<f32> {
    weights.embeddings.multiply(level, &Activations::quantise(level, rows, weights.width))
}

fn own_attention(
    weights: &Weights,
    level: Level,
    next: &[Next<'_>],
    first_slot: u32,
    mixed: &[f32],
    (keys, values): (&[f32], &[f32]),
    out: &mut [f32],
) {
    let (width, heads) = (weights.width, weights.heads);
    let size = width / heads;
    let scale = 1.0 / (size as f32).sqrt();
    let mut scores = Vec::new();
    out.fill(0.0);
    for (index, next) in next.iter().enumerate() {
        let itself = first_slot + index as u32;
        let slots = || next.before.iter().chain(std::iter::once(&itself)).map(|slot| *slot as usize);
        for head in 0..heads {
            let query = &mixed[index * 3 * width + head * size..][..size];
            let part = |all: &'_ [f32], slot: usize| -> std::ops::Range<usize> {
                let from = slot * width + head * size;
                debug_assert!(from + size <= all.len());
                from..from + size
            };
            scores.clear();
            scores.extend(slots().map(|slot| scale * dot(level, query, &keys[part(keys, slot)])));
            softmax(level, &mut scores);
            let out = &mut out[index * width + head * size..][..size];
            for (slot, share) in slots().zip(&scores) {
                weighted_add(level, out, *share, &values[part(values, slot)]);
            }
        }
    }
}

/// Attends to what was heard. Returns the shares where `keep` says so: `[row][head][position]`.
fn cross_attention(
    weights: &Weights,
    level: Level,
    queries: &[f32],
    heard: &Heard,
    out: &mut [f32],
    keep: bool,
) -> Vec<f32> {
    let (width, heads, positions) = (weights.width, weights.heads, heard.positions);
    let (size, rows) = (width / heads, queries.len() / width);
    let scale = 1.0 / (size as f32).sqrt();
    let one = |head: usize| {
        let part = head * positions * size..(head + 1) * positions * size;
        let mut shares = vec![0.0; rows * positions];
        scores(level, &queries[head * size..], size, width, &heard.keys[part.clone()], scale, &mut shares);
        shares.chunks_exact_mut(positions).for_each(|row| softmax(level, row));
        let mut gathered = vec![0.0; rows * size];
        weighted_sum(level, &shares, &heard.values[part], size, &mut gathered);
        (shares, gathered)
    };
    let by_head: Vec<(Vec<f32>, Vec<f32>)> =
        if rayon::current_num_threads() > 1 && heads * rows * positions > WORTH_A_THREAD {
            (0..heads).into_par_iter().map(one).collect()
        } else {
            (0..heads).map(one).collect()
        };
    for (row, out) in out.chunks_exact_mut(width).enumerate() {
        for (out, (_, gathered)) in out.chunks_exact_mut(size).zip(&by_head) {
            out.copy_from_slice(&gathered[row * size..(row + 1) * size]);
        }
    }
    if !keep {
        return Vec::new();
    }
    let all = (0..rows)
        .flat_map(|row| by_head.iter().map(move |(shares, _)| &shares[row * positions..][..positions]));
    all.collect::<Vec<_>>().concat()
}
