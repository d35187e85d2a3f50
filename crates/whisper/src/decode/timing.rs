//! When each token was said: the path through the attention to what was heard that fits best, as OpenAI's
//! [`timing.py`](https://github.com/openai/whisper/blob/main/whisper/timing.py) finds it by dynamic time warping.

use crate::WhisperError;
use crate::decode::Context;
use crate::decoder::{Attention, Memory, Next, logits};
use crate::kernels::log_sum_exp;
use crate::model::Weights;

/// Positions of 20 ms that a median is taken over.
const MEDIAN: usize = 7;

/// Heads whose attention follows the audio, as layer and head, where OpenAI published them for a model; otherwise all heads of the
/// upper half of the layers.
fn alignment_heads(weights: &Weights) -> Vec<(usize, usize)> {
    // Told apart by layers, and by the token that models for English lack.
    match (weights.decoder.len(), weights.heads, weights.vocabulary()) {
        (4, 6, 51_864) => vec![(1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)],
        (6, 8, 51_865) => vec![(3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6)],
        (layers, heads, _) => (layers / 2..layers).flat_map(|l| (0..heads).map(move |h| (l, h))).collect(),
    }
}

/// For each text token when it begins, in positions of 20 ms, and how likely it was; then when the last one ends.
pub(crate) fn token_times(
    context: &Context<'_>,
    memory: &mut Memory,
    start: &[u32],
    text: &[u32],
    positions: usize,
) -> Result<(Vec<(usize, f32)>, usize), WhisperError> {
    context.check_cancel()?;
    let (weights, level, special) = (context.weights, context.level, context.tokenizer.special());
    let text = &text[..text.len().min(weights.text_positions() - start.len() - 2)];
    let tokens: Vec<u32> =
        start.iter().copied().chain([special.no_timestamps]).chain(text.iter().copied()).collect();
    memory.clear();
    let slots: Vec<u32> = (0..tokens.len() as u32).collect();
    let next: Vec<Next<'_>> =
        tokens.iter().enumerate().map(|(at, token)| Next { token: *token, before: &slots[..at] }).collect();
    let mut seen: Attention = Vec::new();
    let rows = memory.step(weights, level, &next, Some(&mut seen));
    let said = logits(weights, level, &rows[start.len() * weights.width..]);
    let vocabulary = weights.vocabulary();
    let probabilities = said.chunks_exact(vocabulary).zip(text).map(|(row, token)| {
        let row = &row[..special.end as usize];
        (row[*token as usize] - log_sum_exp(level, row)).exp()
    });

    let heard = seen.first().map_or(0, |layer| layer.len() / tokens.len() / weights.heads);
    let matrix = average(weights, &seen, tokens.len(), heard, positions.min(heard));
    let columns = positions.min(heard);
    // From the token in front of the text on: each row attends to what its next token says.
    let starts = warp(&matrix[start.len() * columns..], columns);
    let end = starts.get(text.len()).copied().unwrap_or(columns);
    Ok((starts.iter().copied().zip(probabilities).collect(), end))
}

/// The heads' attention, each made comparable over the tokens and smoothed over time, then averaged: `tokens * columns`.
fn average(weights: &Weights, seen: &Attention, tokens: usize, heard: usize, columns: usize) -> Vec<f32> {
    let heads = alignment_heads(weights);
    let mut sum = vec![0.0; tokens * columns];
    for (layer, head) in &heads {
        let row = |token: usize| &seen[*layer][(token * weights.heads + head) * heard..][..columns];
        let mut values: Vec<f32> = Vec::with_capacity(tokens * columns);
        for token in 0..tokens {
            let total: f32 = row(token).iter().sum();
            values.extend(row(token).iter().map(|share| share / total.max(1e-20)));
        }
        for column in 0..columns {
            let of = || values.iter().skip(column).step_by(columns);
            let mean = of().sum::<f32>() / tokens as f32;
            let variance = of().map(|value| (value - mean) * (value - mean)).sum::<f32>() / tokens as f32;
            let factor = 1.0 / variance.sqrt().max(1e-10);
            values
                .iter_mut()
                .skip(column)
                .step_by(columns)
                .for_each(|value| *value = (*value - mean) * factor);
        }
        for (sum, row) in sum.chunks_exact_mut(columns).zip(values.chunks_exact(columns)) {
            smooth(row, sum, 1.0 / heads.len() as f32);
        }
    }
    sum
}

/// Adds the running median, mirrored at the ends, times a factor.
fn smooth(row: &[f32], sum: &mut [f32], factor: f32) {
    let (half, length) = (MEDIAN / 2, row.len());
    for (at, sum) in sum.iter_mut().enumerate() {
        if length <= half {
            *sum += factor * row[at];
            continue;
        }
        let mut window: [f32; MEDIAN] = std::array::from_fn(|offset| {
            let place = (at + offset).abs_diff(half);
            row[if place < length { place } else { 2 * length - 2 - place }]
        });
        window.sort_by(f32::total_cmp);
        *sum += factor * window[half];
    }
}

/// The path from the first row and column to the last that gathers most; for each row the column where it is entered.
fn warp(matrix: &[f32], columns: usize) -> Vec<usize> {
    let rows = matrix.len() / columns.max(1);
    if rows == 0 {
        return Vec::new();
    }
    let width = columns + 1;
    let mut cost = vec![f32::INFINITY; (rows + 1) * width];
    // 0 from both before, 1 from the row before, 2 from the column before.
    let mut trace = vec![2_u8; (rows + 1) * width];
    cost[0] = 0.0;
    for row in 1..=rows {
        for column in 1..=columns {
            let at = row * width + column;
            let (both, above, left) = (cost[at - width - 1], cost[at - width], cost[at - 1]);
            let (least, from) = if both < above && both < left {
                (both, 0)
            } else if above < both && above < left {
                (above, 1)
            } else {
                (left, 2)
            };
            cost[at] = least - matrix[(row - 1) * columns + column - 1];
            trace[at] = from;
        }
    }
    let mut starts = vec![0; rows];
    let (mut row, mut column) = (rows, columns);
    while row > 0 && column > 0 {
        starts[row - 1] = column - 1;
        match trace[row * width + column] {
            0 => (row, column) = (row - 1, column - 1),
            1 => row -= 1,
            _ => column -= 1,
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_enters_a_row_where_its_attention_begins() {
        let matrix = [9.0, 9.0, -1.0, -1.0, -1.0, -1.0, 9.0, -1.0, -1.0, -1.0, -1.0, 9.0];
        assert_eq!(warp(&matrix, 4), [0, 2, 3]);
    }

    #[test]
    fn a_lone_peak_does_not_survive_smoothing() {
        let mut out = [0.0; 9];
        smooth(&[0.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 0.0], &mut out, 1.0);
        assert_eq!(out, [0.0; 9]);
    }
}
