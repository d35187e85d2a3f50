//! From features to what the decoder listens to: a vector for every 20 ms.

use rayon::prelude::*;

use crate::features::Features;
use crate::kernels::{Activations, Level, Strided, add, gelu, layer_norm, matmul_f32, softmax};
use crate::model::{EncoderLayer, LayerNorm, Weights};

/// Queries that are scored at a time: their scores against 1,500 keys stay in the second cache.
const QUERIES: usize = 128;

/// Encodes the columns from `from` on, `positions` of 20 ms; what lies beyond `until` counts as silence.
/// Returns `positions * width` numbers.
pub(crate) fn encode(
    weights: &Weights,
    level: Level,
    features: &Features,
    from: usize,
    until: usize,
    positions: usize,
) -> Vec<f32> {
    let (width, mels) = (weights.width, weights.mels);
    // A column in front and one behind are the convolution's padding, nought as in training.
    let mut columns = vec![0.0; (2 * positions + 2) * mels];
    columns[mels..(2 * positions + 1) * mels].fill(features.silence);
    let count = (2 * positions).min(until.min(features.columns()).saturating_sub(from));
    columns[mels..(count + 1) * mels].copy_from_slice(&features.values[from * mels..(from + count) * mels]);

    let hidden = conv1(weights, level, &columns, positions);
    // Every second position of the first convolution, each with its neighbours: rows overlap.
    let mut windows = vec![0.0; positions * 3 * width];
    windows.chunks_exact_mut(3 * width).enumerate().for_each(|(position, window)| {
        window.copy_from_slice(&hidden[2 * position * width..(2 * position + 3) * width]);
    });
    let mut state = weights.conv2.multiply(level, &Activations::quantise(level, &windows, 3 * width));
    share(&mut state, width, |part| gelu(level, part));
    add(level, &mut state, &weights.encoder_positions[..positions * width]);

    let mut normed = vec![0.0; state.len()];
    for layer in &weights.encoder {
        norm(level, &state, &layer.attention_norm, &mut normed);
        let attended = attention(weights, level, layer, &normed);
        let out = layer.attention_out.multiply(level, &Activations::quantise(level, &attended, width));
        add(level, &mut state, &out);
        feed_forward(level, layer, &mut state, &mut normed);
    }
    norm(level, &state, &weights.encoder_norm, &mut normed);
    normed
}

pub(crate) fn norm(level: Level, state: &[f32], norm: &LayerNorm, out: &mut [f32]) {
    layer_norm(level, state, &norm.gamma, &norm.beta, out);
}

/// Adds what a layer's feed-forward part makes of the state to it.
pub(crate) fn feed_forward(level: Level, layer: &EncoderLayer, state: &mut [f32], normed: &mut [f32]) {
    norm(level, state, &layer.feed_norm, normed);
    let width = layer.feed_in.inputs();
    let mut inner = layer.feed_in.multiply(level, &Activations::quantise(level, normed, width));
    share(&mut inner, layer.feed_in.outputs(), |part| gelu(level, part));
    let out = layer.feed_out.multiply(level, &Activations::quantise(level, &inner, layer.feed_out.inputs()));
    add(level, state, &out);
}

/// Does something to all numbers, each thread of the pool to some.
fn share(values: &mut [f32], row: usize, act: impl Fn(&mut [f32]) + Send + Sync) {
    // As many rows as are worth a thread.
    const ROWS: usize = 128;
    if values.len() <= ROWS * row || rayon::current_num_threads() == 1 {
        act(values);
    } else {
        values.par_chunks_mut(ROWS * row).for_each(act);
    }
}

/// The first convolution over `2 * positions` columns. Its output has a row of nought in front and one behind, the padding of the
/// second.
fn conv1(weights: &Weights, level: Level, columns: &[f32], positions: usize) -> Vec<f32> {
    let (width, mels) = (weights.width, weights.mels);
    let mut hidden = vec![0.0; (2 * positions + 2) * width];
    let inner = &mut hidden[width..(2 * positions + 1) * width];
    // Weights are outputs by mels by taps: one product for each tap, over columns shifted by one.
    inner.par_chunks_mut(QUERIES * width).enumerate().for_each(|(share, out)| {
        let rows = out.len() / width;
        let mut part = vec![0.0; out.len()];
        out.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(&weights.conv1_bias));
        for tap in 0..3 {
            let left = Strided { data: &columns[(share * QUERIES + tap) * mels..], row: mels, column: 1 };
            let right = Strided { data: &weights.conv1[tap..], row: 3, column: 3 * mels };
            matmul_f32((rows, mels, width), left, right, 1.0, &mut part, width);
            add(level, out, &part);
        }
        gelu(level, out);
    });
    hidden
}

/// What each position gathers from all others, head by head.
fn attention(weights: &Weights, level: Level, layer: &EncoderLayer, normed: &[f32]) -> Vec<f32> {
    let (width, heads) = (weights.width, weights.heads);
    let (size, positions, row) = (width / heads, normed.len() / width, 3 * width);
    let mixed = layer.queries_keys_values.multiply(level, &Activations::quantise(level, normed, width));
    let scale = 1.0 / (size as f32).sqrt();
    let parts: Vec<Vec<f32>> = (0..heads)
        .into_par_iter()
        .map(|head| {
            let mut out = vec![0.0; positions * size];
            let mut scores = vec![0.0; QUERIES.min(positions) * positions];
            for first in (0..positions).step_by(QUERIES) {
                let count = QUERIES.min(positions - first);
                let queries = Strided { data: &mixed[first * row + head * size..], row, column: 1 };
                let keys = Strided { data: &mixed[width + head * size..], row: 1, column: row };
                matmul_f32((count, size, positions), queries, keys, scale, &mut scores, positions);
                scores[..count * positions].chunks_exact_mut(positions).for_each(|row| softmax(level, row));
                let shares = Strided { data: &scores, row: positions, column: 1 };
                let values = Strided { data: &mixed[2 * width + head * size..], row, column: 1 };
                matmul_f32((count, positions, size), shares, values, 1.0, &mut out[first * size..], size);
            }
            out
        })
        .collect();
    let mut out = vec![0.0; normed.len()];
    for (position, row) in out.chunks_exact_mut(width).enumerate() {
        for (to, part) in row.chunks_exact_mut(size).zip(&parts) {
            to.copy_from_slice(&part[position * size..(position + 1) * size]);
        }
    }
    out
}
